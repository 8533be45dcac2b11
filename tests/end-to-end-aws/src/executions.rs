//! Executions of the deployed state machines.

use serde_json::Value;

use crate::command_line::aws;
use crate::patience::eventually;

/// The ARNs of all executions of a state machine, in whatever state. The emulator lists those that were started through
/// an alias under the alias; AWS lists them under the state machine too.
pub fn all(state_machine_arn: &str) -> Vec<String> {
    let of = |arn: &str| {
        let answer = aws(&["stepfunctions", "list-executions", "--state-machine-arn", arn]);
        answer["executions"].as_array().expect("a list of executions").clone()
    };
    let executions = [of(state_machine_arn), of(&format!("{state_machine_arn}:live"))].concat();
    executions.iter().filter_map(|execution| execution["executionArn"].as_str()).map(str::to_owned).collect()
}

/// The execution of a run.
///
/// # Panics
/// When there is none.
pub fn of_run(state_machine_arn: &str, run_id: &str) -> String {
    let found = all(state_machine_arn).into_iter().find(|execution| run_of(execution) == run_id);
    found.unwrap_or_else(|| panic!("{state_machine_arn} has no execution {run_id}"))
}

/// The run of an execution: its name.
pub fn run_of(execution_arn: &str) -> &str {
    execution_arn.rsplit(':').next().unwrap_or_default()
}

/// Describes an execution.
fn describe(execution_arn: &str) -> Value {
    aws(&["stepfunctions", "describe-execution", "--execution-arn", execution_arn])
}

/// For example `RUNNING`.
pub fn status(execution_arn: &str) -> String {
    describe(execution_arn)["status"].as_str().unwrap_or_default().to_owned()
}

/// What an execution was started with.
///
/// # Panics
/// When that is not JSON.
pub fn input(execution_arn: &str) -> Value {
    let description = describe(execution_arn);
    serde_json::from_str(description["input"].as_str().expect("an execution has an input")).unwrap()
}

/// Stops what runs of a state machine.
pub fn stop_all(state_machine_arn: &str) {
    for execution in all(state_machine_arn).iter().filter(|execution| status(execution) == "RUNNING") {
        aws(&["stepfunctions", "stop-execution", "--execution-arn", execution]);
    }
}

/// Waits until an execution has ended, and describes it.
pub fn ended(execution_arn: &str) -> Value {
    eventually(&format!("the end of {execution_arn}"), || {
        let description = describe(execution_arn);
        (description["status"] != "RUNNING").then_some(description)
    })
}

/// The names of the states that were entered, in order.
pub fn entered_states(execution_arn: &str) -> Vec<String> {
    let history = aws(&[
        "stepfunctions",
        "get-execution-history",
        "--execution-arn",
        execution_arn,
        "--max-items",
        "5000",
    ]);
    let events = history["events"].as_array().cloned().unwrap_or_default();
    let entered = events.iter().filter_map(|event| event["stateEnteredEventDetails"]["name"].as_str());
    entered.map(str::to_owned).collect()
}
