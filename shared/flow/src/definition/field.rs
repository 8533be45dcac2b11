//! The fields of one object of a file: known by name, read by type, or refused.

use serde_json::{Map, Value};

use super::{Quantity, whole_number};
use crate::LoadError;
use crate::expression::{Expression, Template};

/// Where in the files something stands, for errors.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) state: Option<String>,
}

impl Place {
    pub(super) fn refuse(&self, reason: impl Into<String>) -> LoadError {
        LoadError { file: self.file.clone(), state: self.state.clone(), reason: reason.into() }
    }

    pub(super) fn in_state(&self, name: &str) -> Self {
        Self { file: self.file.clone(), state: Some(name.to_owned()) }
    }
}

/// An object of which every member has been checked to be expected.
pub(super) struct Fields<'a> {
    pub(super) place: &'a Place,
    /// What the object is, with its article: `a Task state`.
    what: &'a str,
    members: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The members of `value`, all of which must be in `known`. `Comment` is known everywhere.
    pub(super) fn of(
        place: &'a Place,
        what: &'a str,
        value: &'a Value,
        known: &[&str],
    ) -> Result<Self, LoadError> {
        let members = value.as_object().ok_or_else(|| place.refuse(format!("{what} must be an object")))?;
        let unknown = members.keys().find(|name| *name != "Comment" && !known.contains(&name.as_str()));
        if let Some(name) = unknown {
            return Err(place.refuse(format!("the field {name:?} of {what} is not supported")));
        }
        let fields = Self { place, what, members };
        fields.text("Comment")?;
        Ok(fields)
    }

    pub(super) fn refuse(&self, name: &str, expectation: &str) -> LoadError {
        self.place.refuse(format!("the field {name:?} of {} must be {expectation}", self.what))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    pub(super) fn value(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name)
    }

    pub(super) fn required(&self, name: &str) -> Result<&'a Value, LoadError> {
        self.value(name).ok_or_else(|| self.place.refuse(format!("{} needs the field {name:?}", self.what)))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, LoadError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.refuse(name, "a string")),
        }
    }

    pub(super) fn required_text(&self, name: &str) -> Result<&'a str, LoadError> {
        self.required(name)?;
        Ok(self.text(name)?.unwrap_or_default())
    }

    /// A string that is no expression: what the loader must know.
    pub(super) fn required_literal(&self, name: &str) -> Result<&'a str, LoadError> {
        let text = self.required_text(name)?;
        if text.is_empty() || Expression::source_of(text).is_some() {
            return Err(self.refuse(name, "written out, not computed"));
        }
        Ok(text)
    }

    pub(super) fn array(&self, name: &str) -> Result<&'a [Value], LoadError> {
        match self.value(name) {
            None => Ok(&[]),
            Some(Value::Array(items)) if !items.is_empty() => Ok(items),
            Some(_) => Err(self.refuse(name, "an array that is not empty")),
        }
    }

    pub(super) fn whole(&self, name: &str, least: u64, most: u64) -> Result<Option<u64>, LoadError> {
        self.value(name)
            .map(|value| {
                whole_number(value, least, most)
                    .ok_or_else(|| self.refuse(name, &format!("a whole number from {least} to {most}")))
            })
            .transpose()
    }

    pub(super) fn template(&self, name: &str) -> Result<Option<Template>, LoadError> {
        self.value(name)
            .map(|value| Template::compile(value).map_err(|reason| self.syntax(name, &reason)))
            .transpose()
    }

    /// A string, which may be an expression.
    pub(super) fn text_template(&self, name: &str) -> Result<Option<Template>, LoadError> {
        self.text(name)?;
        self.template(name)
    }

    pub(super) fn required_expression(&self, name: &str) -> Result<Expression, LoadError> {
        let source = Expression::source_of(self.required_text(name)?)
            .ok_or_else(|| self.refuse(name, "a JSONata expression in {% %}"))?;
        Expression::compile(source).map_err(|reason| self.syntax(name, &reason))
    }

    /// A whole number within bounds, or an expression for one.
    pub(super) fn quantity(&self, name: &str, least: u64, most: u64) -> Result<Option<Quantity>, LoadError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(_)) => self.required_expression(name).map(|it| Some(Quantity::Evaluated(it))),
            Some(_) => Ok(self.whole(name, least, most)?.map(Quantity::Fixed)),
        }
    }

    fn syntax(&self, name: &str, reason: &str) -> LoadError {
        self.place.refuse(format!("in the field {name:?} of {}: {reason}", self.what))
    }
}
