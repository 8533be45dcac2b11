//! Expressions of DynamoDB. Every attribute is written `#name`, so that none can be one of its reserved words.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::attributes::{Item, number, text};

/// A condition, or an update together with its condition, and the values that they name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expression {
    condition: String,
    update: Option<String>,
    values: Item,
}

impl Expression {
    /// A precondition.
    pub(crate) fn condition(condition: impl Into<String>) -> Self {
        Self { condition: condition.into(), ..Self::default() }
    }

    /// Nothing lies under the key yet.
    pub(crate) fn absent() -> Self {
        Self::condition("attribute_not_exists(#pk)")
    }

    /// Something lies under the key.
    pub(crate) fn present() -> Self {
        Self::condition("attribute_exists(#pk)")
    }

    /// An update that is made where the condition holds.
    pub(crate) fn update(update: impl Into<String>, condition: impl Into<String>) -> Self {
        Self { update: Some(update.into()), ..Self::condition(condition) }
    }

    /// The value that the expression names `:name`.
    pub(crate) fn with(mut self, name: &str, value: AttributeValue) -> Self {
        self.values.insert(format!(":{name}"), value);
        self
    }

    /// The text that the expression names `:name`.
    pub(crate) fn with_text(self, name: &str, value: impl Into<String>) -> Self {
        self.with(name, text(value))
    }

    /// The number that the expression names `:name`.
    pub(crate) fn with_number(self, name: &str, value: u64) -> Self {
        self.with(name, number(value))
    }

    /// The condition's text.
    pub(crate) fn condition_text(&self) -> String {
        self.condition.clone()
    }

    /// The update's text.
    pub(crate) fn update_text(&self) -> Option<String> {
        self.update.clone()
    }

    /// What every `#name` stands for: itself.
    pub(crate) fn names(&self) -> Option<HashMap<String, String>> {
        let mut names = HashMap::new();
        collect_names(&self.condition, &mut names);
        collect_names(self.update.as_deref().unwrap_or_default(), &mut names);
        (!names.is_empty()).then_some(names)
    }

    /// The values; none where there are none, as DynamoDB wants it.
    pub(crate) fn values(&self) -> Option<Item> {
        (!self.values.is_empty()).then(|| self.values.clone())
    }
}

fn collect_names(text: &str, names: &mut HashMap<String, String>) {
    for piece in text.split('#').skip(1) {
        let end = piece.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(piece.len());
        let name = &piece[..end];
        names.insert(format!("#{name}"), name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn every_name_of_condition_and_update_is_declared_once() {
        let expression =
            Expression::update("SET #state = :closed", "#state = :open AND #lease.#run_id = :run");
        let mut names: Vec<String> = expression.names().unwrap().into_values().collect();
        names.sort();
        assert_eq!(names, ["lease", "run_id", "state"]);
    }
}
