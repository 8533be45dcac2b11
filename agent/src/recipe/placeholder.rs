//! `{…}` in a recipe's arguments: what may stand there, and what replaces it.

use std::collections::BTreeMap;

use rekindle_step::StepError;

use super::{Action, Parameter, ParameterKind, VerifyKind};
use crate::configuration::DataStore;
use crate::error::failed;

/// What replaces the built-in placeholders in one run of an action.
pub(crate) type Values = BTreeMap<&'static str, String>;

/// Whether a built-in placeholder has a value in an action, and for a check also in its kind.
type HasValue = fn(Action, Option<VerifyKind>) -> bool;

/// The built-in placeholders and where each has a value.
const BUILTINS: [(&str, HasValue); 11] = [
    ("agent", |_, _| true),
    ("data_store", |_, _| true),
    ("backup_id", |action, _| is_backup(action) || is_restore(action)),
    ("staging", |action, _| is_backup(action) || is_restore(action)),
    ("probes", |action, _| is_backup(action)),
    ("report", |action, _| is_backup(action)),
    ("next_state", |action, _| is_backup(action)),
    ("parent_state", |action, _| action == Action::BackupIncremental),
    ("position", |action, _| is_restore(action)),
    ("from_position", |action, _| action == Action::Apply),
    ("query", |_, kind| kind == Some(VerifyKind::Probe)),
];
/// Says whether a check runs in a builder (`verify`) or beside the running service (`serving`).
const PHASE: &str = "phase";

fn is_backup(action: Action) -> bool {
    matches!(action, Action::BackupFull | Action::BackupIncremental)
}

fn is_restore(action: Action) -> bool {
    matches!(action, Action::Rebuild | Action::Apply)
}

fn is_builtin(name: &str) -> bool {
    name == PHASE || BUILTINS.iter().any(|(builtin, _)| *builtin == name)
}

fn has_value(name: &str, action: Action, kind: Option<VerifyKind>) -> bool {
    let phase = name == PHASE && action == Action::Verify;
    phase || BUILTINS.iter().any(|(builtin, fits)| *builtin == name && fits(action, kind))
}

/// What is wrong with the declaration of a parameter.
pub(super) fn declaration_problem(name: &str, parameter: &Parameter) -> Option<String> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if name.is_empty() || name.len() > 40 || !name.bytes().all(inner) {
        return Some(format!("the parameter {name:?} is not named with lower-case letters, digits and _"));
    }
    if is_builtin(name) {
        return Some(format!("the parameter {name} has the name of a built-in value"));
    }
    let default = parameter.default.as_deref()?;
    (!default.is_empty() && !fits(parameter.kind, default))
        .then(|| format!("the default of the parameter {name} does not have its type"))
}

/// Whether an argument can name a program: the agent itself or an absolute path.
pub(super) fn is_program(argument: &str, parameters: &BTreeMap<String, Parameter>) -> bool {
    if argument == "{agent}" {
        return true;
    }
    if argument.starts_with('/') {
        return is_path(argument);
    }
    let named = argument.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    named.is_some_and(|(name, rest)| {
        rest.starts_with('/')
            && is_path(rest)
            && parameters.get(name).is_some_and(|parameter| parameter.kind == ParameterKind::Path)
    })
}

/// What is wrong with an argument of a step.
pub(super) fn problem(
    argument: &str,
    parameters: &BTreeMap<String, Parameter>,
    action: Action,
    kind: Option<VerifyKind>,
) -> Option<String> {
    if argument.contains('\0') || argument.len() > 4096 {
        return Some("an argument is longer than 4096 bytes or holds a zero byte".to_owned());
    }
    let parts = match split(argument) {
        Ok(parts) => parts,
        Err(problem) => return Some(problem),
    };
    parts.into_iter().find_map(|part| match part {
        Part::Text(_) => None,
        Part::Name(name) if parameters.contains_key(name) || has_value(name, action, kind) => None,
        Part::Name(name) if is_builtin(name) => Some(format!("{{{name}}} has no value there")),
        Part::Name(name) => Some(format!("{{{name}}} is neither a parameter nor a built-in value")),
    })
}

enum Part<'a> {
    Text(&'a str),
    Name(&'a str),
}

fn split(argument: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = argument;
    while let Some((text, after)) = rest.split_once('{') {
        if text.contains('}') {
            return Err(format!("{argument:?} closes a brace that was not opened"));
        }
        let Some((name, left)) = after.split_once('}') else {
            return Err(format!("{argument:?} opens a brace and does not close it"));
        };
        parts.push(Part::Text(text));
        parts.push(Part::Name(name));
        rest = left;
    }
    if rest.contains('}') {
        return Err(format!("{argument:?} closes a brace that was not opened"));
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

/// A data store's parameters, checked against their declarations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Checks what a data store gives against what the recipe declares.
    pub(crate) fn of(declared: &BTreeMap<String, Parameter>, store: &DataStore) -> Result<Self, StepError> {
        if let Some(stray) = store.params.keys().find(|name| !declared.contains_key(*name)) {
            return Err(failed(format!(
                "the data store {} gives a parameter {stray:?} that the recipe {} does not declare",
                store.name, store.recipe
            )));
        }
        let mut values = BTreeMap::new();
        for (name, parameter) in declared {
            values.insert(name.clone(), value_of(name, parameter, store)?);
        }
        Ok(Self(values))
    }
}

fn value_of(name: &str, parameter: &Parameter, store: &DataStore) -> Result<String, StepError> {
    let given = match store.params.get(name) {
        Some(toml::Value::String(text)) => Some(text.clone()),
        Some(toml::Value::Integer(number)) => Some(number.to_string()),
        Some(_) => return Err(failed(format!("the parameter {name} of {} is not a text", store.name))),
        None => None,
    };
    match (given, &parameter.default) {
        (Some(text), _) if fits(parameter.kind, &text) => Ok(text),
        (Some(_), _) => {
            Err(failed(format!("the parameter {name} of {} is not a {:?}", store.name, parameter.kind)))
        }
        (None, Some(default)) => Ok(default.clone()),
        (None, None) => Err(failed(format!(
            "the data store {} does not give the parameter {name} of the recipe {}",
            store.name, store.recipe
        ))),
    }
}

fn fits(kind: ParameterKind, text: &str) -> bool {
    match kind {
        ParameterKind::Ident => is_ident(text),
        ParameterKind::Path => is_path(text),
        ParameterKind::Port => text.parse::<u16>().is_ok_and(|port| port > 0),
    }
}

fn is_ident(text: &str) -> bool {
    let begins = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    begins && text.len() <= 63 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && text.len() <= 1024
        && !text.chars().any(char::is_control)
        && !text.split('/').any(|segment| segment == "..")
}

/// An argument vector with every placeholder replaced.
pub(super) fn fill(
    arguments: &[String],
    parameters: &Parameters,
    values: &Values,
) -> Result<Vec<String>, StepError> {
    arguments.iter().map(|argument| fill_one(argument, parameters, values)).collect()
}

fn fill_one(argument: &str, parameters: &Parameters, values: &Values) -> Result<String, StepError> {
    let mut filled = String::new();
    for part in split(argument).map_err(failed)? {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Name(name) => {
                let value = parameters.0.get(name).or_else(|| values.get(name)).ok_or_else(|| {
                    failed(format!("the recipe asks for {{{name}}}, which has no value in this action"))
                })?;
                filled.push_str(value);
            }
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot fill its own arguments has failed")]
    use super::*;

    #[test]
    fn values_fill_an_argument_and_are_not_read_again() {
        let parameters = Parameters([("a".to_owned(), "{b}".to_owned())].into());
        let values: Values = [("agent", "/bin/agent".to_owned())].into();
        let arguments = ["{agent}".to_owned(), "x{a}y".to_owned()];
        assert_eq!(fill(&arguments, &parameters, &values).unwrap(), ["/bin/agent", "x{b}y"]);
        assert!(fill(&["{c}".to_owned()], &parameters, &values).is_err());
    }

    #[test]
    fn types_hold_back_options_climbing_and_control_characters() {
        for text in ["-rf", "", "a b", "a;b", "ä"] {
            assert!(!fits(ParameterKind::Ident, text), "{text:?}");
        }
        for text in ["relative", "/a/../b", "/a\nb", ""] {
            assert!(!fits(ParameterKind::Path, text), "{text:?}");
        }
        for text in ["0", "65536", "-1", "x"] {
            assert!(!fits(ParameterKind::Port, text), "{text:?}");
        }
        assert!(fits(ParameterKind::Port, "5432") && fits(ParameterKind::Path, "/srv/a b"));
    }
}
