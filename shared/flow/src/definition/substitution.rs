//! `${Name}` in a file: what CloudFormation calls definition substitutions.

use std::collections::BTreeMap;

use serde_json::Value;

/// The values of the placeholders of a file, such as the ARNs of its functions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Substitutions(BTreeMap<String, String>);

impl Substitutions {
    /// Substitutions from names and values.
    pub fn new<Name: Into<String>, Text: Into<String>>(
        pairs: impl IntoIterator<Item = (Name, Text)>,
    ) -> Self {
        let pairs = pairs.into_iter();
        Self(pairs.map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// The text with every placeholder replaced; the error is the first thing in the way.
    pub(crate) fn apply(&self, text: &str) -> Result<String, String> {
        let mut replaced = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, behind) = after.split_once('}').ok_or("a placeholder ${... is never closed")?;
            let value =
                self.0.get(name).ok_or_else(|| format!("the placeholder ${{{name}}} has no substitution"))?;
            replaced.push_str(before);
            replaced.push_str(&inside_json_string(value));
            rest = behind;
        }
        replaced.push_str(rest);
        Ok(replaced)
    }
}

impl<Name: Into<String>, Text: Into<String>> FromIterator<(Name, Text)> for Substitutions {
    fn from_iter<Pairs: IntoIterator<Item = (Name, Text)>>(pairs: Pairs) -> Self {
        Self::new(pairs)
    }
}

/// A value may hold a quote; it must not end the string it is put into.
fn inside_json_string(value: &str) -> String {
    let quoted = Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}
