//! What happened in an execution, in the shape of `GetExecutionHistory`.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

/// What stands in a history where a task token stood.
pub const REDACTED: &str = "(task token)";

/// How every task token begins; nothing else does.
pub(crate) const TOKEN_PREFIX: &str = "rekindle-task-token-";

/// The characters that follow the prefix of a token: 32 random bytes in hexadecimal.
pub(crate) const TOKEN_CHARACTERS: usize = 64;

/// Is told of every event as it happens.
///
/// It is called in the order of the events of one execution, from within the execution, which is locked meanwhile:
/// it must return quickly and must not call the runner.
pub trait HistoryObserver: Send + Sync {
    /// An event has happened in this execution of this state machine.
    fn observe(&self, state_machine: &str, execution_name: &str, event: &HistoryEvent);
}

/// One event of an execution. Serialised, it is an element of the `events` that `GetExecutionHistory` returns.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryEvent {
    /// Counts from 1 within its execution.
    pub id: u64,
    /// The event that led to this one; 0 for the first ones.
    pub previous_event_id: u64,
    /// When it happened.
    pub timestamp: Timestamp,
    /// What happened.
    pub event_type: EventType,
    /// The members of the `...EventDetails` of this type of event. Inputs and outputs in it are JSON as text, and
    /// task tokens are replaced by [`REDACTED`].
    pub details: Map<String, Value>,
}

impl HistoryEvent {
    /// The name of the state that was entered or left, or of the Map whose iteration this is about.
    pub fn state_name(&self) -> Option<&str> {
        let member = if self.event_type == EventType::EvaluationFailed { "state" } else { "name" };
        self.details.get(member).and_then(Value::as_str)
    }

    /// The JSON in one of the members that hold JSON as text: `input`, `output`, `parameters`.
    pub fn json(&self, member: &str) -> Option<Value> {
        let text = self.details.get(member)?.as_str()?;
        serde_json::from_str(text).ok()
    }

    /// The name of the error that the event is about.
    pub fn error(&self) -> Option<&str> {
        self.details.get("error").and_then(Value::as_str)
    }
}

macro_rules! event_types {
    ($($variant:ident $details:literal $meaning:literal,)*) => {
        /// The types of events that this runner writes, by AWS's names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventType {
            $(#[doc = $meaning] $variant,)*
        }

        impl EventType {
            const ALL: &[EventType] = &[$(EventType::$variant,)*];

            /// AWS's name of the type.
            pub fn as_str(self) -> &'static str {
                match self { $(EventType::$variant => stringify!($variant),)* }
            }

            /// The member that holds the details of an event of this type; empty when it has none.
            pub fn details_member(self) -> &'static str {
                match self { $(EventType::$variant => $details,)* }
            }
        }
    };
}

event_types! {
    ExecutionStarted "executionStartedEventDetails" "The execution began.",
    ExecutionSucceeded "executionSucceededEventDetails" "The execution ended well.",
    ExecutionFailed "executionFailedEventDetails" "The execution ended with an error.",
    ExecutionTimedOut "executionTimedOutEventDetails" "The execution took longer than its state machine allows.",
    ExecutionAborted "executionAbortedEventDetails" "The execution was stopped.",
    TaskStateEntered "stateEnteredEventDetails" "A Task was entered.",
    TaskStateExited "stateExitedEventDetails" "A Task was left.",
    ChoiceStateEntered "stateEnteredEventDetails" "A Choice was entered.",
    ChoiceStateExited "stateExitedEventDetails" "A Choice was left.",
    WaitStateEntered "stateEnteredEventDetails" "A Wait was entered.",
    WaitStateExited "stateExitedEventDetails" "A Wait was left.",
    PassStateEntered "stateEnteredEventDetails" "A Pass was entered.",
    PassStateExited "stateExitedEventDetails" "A Pass was left.",
    SucceedStateEntered "stateEnteredEventDetails" "A Succeed was entered.",
    SucceedStateExited "stateExitedEventDetails" "A Succeed was left.",
    FailStateEntered "stateEnteredEventDetails" "A Fail was entered; it is never left.",
    MapStateEntered "stateEnteredEventDetails" "A Map was entered.",
    MapStateExited "stateExitedEventDetails" "A Map was left.",
    MapStateStarted "mapStateStartedEventDetails" "A Map knows its items.",
    MapStateSucceeded "" "A Map has all its results.",
    MapStateFailed "" "A Map gave up.",
    MapIterationStarted "mapIterationStartedEventDetails" "An iteration of an inline Map began.",
    MapIterationSucceeded "mapIterationSucceededEventDetails" "An iteration of an inline Map ended well.",
    MapIterationFailed "mapIterationFailedEventDetails" "An iteration of an inline Map ended with an error.",
    MapIterationAborted "mapIterationAbortedEventDetails" "An iteration of an inline Map was stopped.",
    MapRunStarted "mapRunStartedEventDetails" "The children of a distributed Map begin.",
    MapRunSucceeded "" "The children of a distributed Map ended, within its tolerance.",
    MapRunFailed "mapRunFailedEventDetails" "More children of a distributed Map failed than it tolerates.",
    TaskScheduled "taskScheduledEventDetails" "An attempt of a Task is about to begin.",
    TaskStarted "taskStartedEventDetails" "An attempt of a Task began.",
    TaskSubmitted "taskSubmittedEventDetails" "The call of a Task was made; now its end is awaited.",
    TaskSucceeded "taskSucceededEventDetails" "An attempt of a Task ended well.",
    TaskFailed "taskFailedEventDetails" "An attempt of a Task ended with an error.",
    TaskTimedOut "taskTimedOutEventDetails" "An attempt of a Task took too long, or was silent for too long.",
    EvaluationFailed "evaluationFailedEventDetails" "An expression had no usable value.",
}

impl EventType {
    /// Whether nothing follows an event of this type.
    pub fn ends_execution(self) -> bool {
        matches!(
            self,
            Self::ExecutionSucceeded
                | Self::ExecutionFailed
                | Self::ExecutionTimedOut
                | Self::ExecutionAborted
        )
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }
}

impl Serialize for HistoryEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut event = Map::new();
        event.insert("timestamp".to_owned(), json!(crate::clock::written(self.timestamp)));
        event.insert("type".to_owned(), json!(self.event_type.as_str()));
        event.insert("id".to_owned(), json!(self.id));
        event.insert("previousEventId".to_owned(), json!(self.previous_event_id));
        let member = self.event_type.details_member();
        if !member.is_empty() {
            event.insert(member.to_owned(), Value::Object(self.details.clone()));
        }
        event.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for HistoryEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;

        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Written {
            timestamp: Timestamp,
            r#type: String,
            id: u64,
            previous_event_id: u64,
            #[serde(flatten)]
            rest: Map<String, Value>,
        }

        let mut written = Written::deserialize(deserializer)?;
        let event_type = EventType::named(&written.r#type)
            .ok_or_else(|| Error::custom(format!("unknown type of event {:?}", written.r#type)))?;
        let details = match written.rest.remove(event_type.details_member()) {
            Some(Value::Object(details)) => details,
            _ => Map::new(),
        };
        Ok(Self {
            id: written.id,
            previous_event_id: written.previous_event_id,
            timestamp: written.timestamp,
            event_type,
            details,
        })
    }
}

/// Details with every task token replaced, whatever text it stands in.
pub(crate) fn redacted(details: Value) -> Map<String, Value> {
    match without_tokens(details) {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn without_tokens(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(redacted_text(text)),
        Value::Array(items) => items.into_iter().map(without_tokens).collect(),
        Value::Object(members) => Value::Object(
            members.into_iter().map(|(name, member)| (redacted_text(name), without_tokens(member))).collect(),
        ),
        other => other,
    }
}

/// A text with every task token replaced.
pub(crate) fn redacted_text(text: String) -> String {
    let mut clean = String::new();
    let mut rest = text.as_str();
    while let Some(position) = rest.find(TOKEN_PREFIX) {
        clean.push_str(&rest[..position]);
        clean.push_str(REDACTED);
        let tail = &rest[position + TOKEN_PREFIX.len()..];
        let token_end = tail
            .char_indices()
            .take(TOKEN_CHARACTERS)
            .take_while(|(_, character)| character.is_ascii_hexdigit())
            .count();
        rest = &tail[token_end..];
    }
    if clean.is_empty() {
        return text;
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    // The token can complete a task: AWS keeps it out of logs only when told to, here it never gets in.
    #[test]
    fn tokens_are_replaced_wherever_they_stand() {
        let token = format!("{TOKEN_PREFIX}{}", "a".repeat(TOKEN_CHARACTERS));
        let details = json!({
            "parameters": format!("{{\"Payload\":{{\"token\":\"{token}\"}}}}"),
            "list": [token, "harmless"],
            format!("key {token}"): 1,
            "twice": format!("{token}{token}ff"),
        });
        let expected = json!({
            "parameters": format!("{{\"Payload\":{{\"token\":\"{REDACTED}\"}}}}"),
            "list": [REDACTED, "harmless"],
            format!("key {REDACTED}"): 1,
            "twice": format!("{REDACTED}{REDACTED}ff"),
        });
        assert_eq!(Value::Object(redacted(details)), expected);
    }
}
