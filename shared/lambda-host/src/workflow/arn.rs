//! The names of state machines and executions.

use rekindle_step::StepError;

use crate::environment::unreadable;

const STATE_MACHINE: &str = ":stateMachine:";
/// The alias under which every state machine is started: it points to one published version.
const ALIAS: &str = "live";

/// The state machines whose ARNs begin alike:
/// `arn:aws:states:<region>:<account>:stateMachine:<stack>-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateMachines {
    /// Up to `:stateMachine:`.
    place: String,
    /// What follows.
    prefix: String,
}

impl StateMachines {
    /// Reads the beginning of the ARNs from what `variable` holds.
    ///
    /// # Errors
    /// When it is no beginning of a state machine's ARN; `variable` is named.
    pub fn parse(variable: &str, text: &str) -> Result<Self, StepError> {
        let parts = text.split_once(STATE_MACHINE);
        let parts = parts.filter(|(place, prefix)| is_place(place) && !prefix.contains([':', '/']));
        let (place, prefix) = parts.ok_or_else(|| {
            unreadable(
                variable,
                "is not the beginning of state machine ARNs, arn:aws:states:<region>:<account>:stateMachine:<stack>-",
            )
        })?;
        Ok(Self { place: place.to_owned(), prefix: prefix.to_owned() })
    }

    /// The stack's name, which the names of its state machines begin with.
    pub(crate) fn stack(&self) -> &str {
        self.prefix.trim_end_matches('-')
    }

    /// The Region.
    pub(crate) fn region(&self) -> &str {
        self.place.split(':').nth(3).unwrap_or_default()
    }

    /// The alias by which a state machine is started.
    pub(crate) fn live(&self, state_machine: &str) -> String {
        format!("{}{STATE_MACHINE}{}{state_machine}:{ALIAS}", self.place, self.prefix)
    }

    /// An execution. Its ARN names the state machine and not the alias that it was started by.
    pub(crate) fn execution(&self, state_machine: &str, name: &str) -> String {
        format!("{}:execution:{}{state_machine}:{name}", self.place, self.prefix)
    }
}

/// `arn:<partition>:states:<region>:<account>`.
fn is_place(place: &str) -> bool {
    let parts: Vec<&str> = place.split(':').collect();
    matches!(parts.as_slice(), ["arn", _, "states", _, _]) && parts.iter().all(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "test code")]
    use super::*;

    #[test]
    fn machines_are_started_by_their_alias_and_executions_named_without_it() {
        let text = "arn:aws:states:eu-west-1:111122223333:stateMachine:rekindle-";
        let machines = StateMachines::parse("NAME", text).unwrap();
        assert_eq!(
            machines.live("recover"),
            "arn:aws:states:eu-west-1:111122223333:stateMachine:rekindle-recover:live"
        );
        assert_eq!(
            machines.execution("recover", "01J"),
            "arn:aws:states:eu-west-1:111122223333:execution:rekindle-recover:01J"
        );
        assert_eq!((machines.stack(), machines.region()), ("rekindle", "eu-west-1"));
    }

    #[test]
    fn what_is_no_beginning_is_refused_and_not_shown() {
        for text in [
            "rekindle-",
            "arn:aws:states:eu-west-1:stateMachine:rekindle-",
            "arn:aws:states::111122223333:stateMachine:rekindle-",
            "arn:aws:states:eu-west-1:111122223333:stateMachine:rekindle-recover:live",
            "arn:aws:lambda:eu-west-1:111122223333:stateMachine:rekindle-",
        ] {
            let chain = StateMachines::parse("NAME", text).unwrap_err().chain();
            assert!(chain.starts_with("the environment variable NAME is not"), "{chain}");
            assert!(!chain.contains("eu-west-1"));
        }
    }
}
