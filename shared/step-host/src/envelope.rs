//! What a payload says about the invocation that carries it.

use rekindle_domain::{MachineKey, RunId};
use serde_json::Value;

/// Where the flows put the name of the state. Steps refuse unknown fields, so the host takes it out.
const STATE: &str = "state";

/// A payload, and what it says about its invocation.
#[derive(Clone)]
pub struct Envelope {
    /// What the invocation is about.
    pub subject: Subject,
    /// The state that invokes; outside of a flow, the function.
    pub state: String,
    /// What the step is given.
    pub payload: Value,
}

impl Envelope {
    /// Opens the payload of an invocation of this function.
    pub fn open(mut payload: Value, function: &str) -> Self {
        let subject = Subject::of(&payload);
        let state = take_state(&mut payload).unwrap_or_else(|| function.to_owned());
        Self { subject, state, payload }
    }
}

impl std::fmt::Debug for Envelope {
    /// Without the payload: it can hold the task token.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Envelope")
            .field("subject", &self.subject)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// What is no text stays where it is, and the step refuses it.
fn take_state(payload: &mut Value) -> Option<String> {
    let fields = payload.as_object_mut()?;
    let state = fields.get(STATE)?.as_str()?.to_owned();
    fields.shift_remove(STATE);
    Some(state)
}

/// What an invocation is about, as far as its payload says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The run.
    pub run_id: Option<RunId>,
    /// The machine.
    pub machine: Option<MachineKey>,
}

impl Subject {
    fn of(payload: &Value) -> Self {
        let run_id = payload.pointer("/run_id").or_else(|| payload.pointer("/plan/run_id"));
        let machine = payload.pointer("/machine").or_else(|| payload.pointer("/plan/machine"));
        Self {
            run_id: run_id.and_then(Value::as_str).and_then(|text| RunId::parse(text).ok()),
            machine: machine.and_then(|machine| serde_json::from_value(machine.clone()).ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot make its own ids has failed")]
    use serde_json::json;

    use super::*;

    #[test]
    fn the_state_is_taken_out_and_the_subject_is_read() {
        let run_id = RunId::mint();
        let machine = MachineKey::parse("acme/orders/database").unwrap();
        let payload = json!({ "state": "Verify", "plan": { "run_id": run_id, "machine": machine } });
        let envelope = Envelope::open(payload, "verify");
        assert_eq!(envelope.state, "Verify");
        assert_eq!(envelope.subject, Subject { run_id: Some(run_id), machine: Some(machine) });
        assert_eq!(envelope.payload.as_object().unwrap().keys().collect::<Vec<_>>(), ["plan"]);
    }

    #[test]
    fn outside_of_a_flow_the_function_stands_for_the_state() {
        for payload in [json!({}), json!(null), json!([1]), json!({ "state": 7 })] {
            let envelope = Envelope::open(payload.clone(), "sweep");
            assert_eq!(envelope.state, "sweep");
            assert_eq!(envelope.payload, payload);
            assert_eq!(envelope.subject, Subject { run_id: None, machine: None });
        }
    }

    #[test]
    fn what_is_printed_holds_no_payload() {
        let envelope = Envelope::open(json!({ "task_token": "sesame" }), "verify");
        assert!(!format!("{envelope:?}").contains("sesame"));
    }
}
