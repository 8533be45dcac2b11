//! What every Task of every flow must say.

use std::time::Duration;

use rekindle_embedded_host::load_flows;
use rekindle_flow::{Integration, Seconds, TaskOutline};
use rekindle_flow_tests::matrix::{Place, places};
use rekindle_planning::sweep::{LONGEST_SILENCE_AT_WORK, LONGEST_SILENT_BOOT, SWEEP_INTERVAL};
use rekindle_step::ErrorName;

/// Names that no step of ours answers with: Step Functions and Lambda do.
const NAMES_OF_THE_ENGINE: [&str; 13] = [
    "States.ALL",
    "States.Timeout",
    "States.HeartbeatTimeout",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.Unknown",
    "Runtime.ExitError",
    "Sandbox.Timedout",
    "StepFunctions.ThrottlingException",
    "StepFunctions.SdkClientException",
];

/// What passes by itself: the step says so, or Lambda's documentation does.
const TRANSIENT: [&str; 9] = [
    "Step.Transient",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.Unknown",
    "Runtime.ExitError",
    "Sandbox.Timedout",
];

/// The same for a Task that starts an execution.
const TRANSIENT_START: [&str; 2] = ["StepFunctions.ThrottlingException", "StepFunctions.SdkClientException"];

fn retried(task: &TaskOutline) -> Vec<&str> {
    task.retries.iter().flat_map(|retry| &retry.errors).map(String::as_str).collect()
}

#[test]
fn every_name_that_is_matched_exists() {
    for Place { task, .. } in places() {
        let caught = task.catches.iter().flat_map(|catch| &catch.errors).map(String::as_str);
        for name in retried(&task).into_iter().chain(caught) {
            let is_known = ErrorName::parse(name).is_some() || NAMES_OF_THE_ENGINE.contains(&name);
            assert!(is_known, "{:?} matches {name:?}, and nobody answers with it", task.path);
        }
    }
}

#[test]
fn every_task_tries_again_what_passes_by_itself() {
    for Place { task, .. } in places() {
        let wanted: &[&str] = match task.integration {
            Integration::StartExecutionSync => &TRANSIENT_START,
            Integration::LambdaInvoke | Integration::LambdaInvokeWaitForTaskToken => &TRANSIENT,
        };
        let retried = retried(&task);
        let missing: Vec<_> = wanted.iter().filter(|name| !retried.contains(name)).collect();
        assert!(missing.is_empty(), "{:?} does not try {missing:?} again", task.path);
    }
}

#[test]
fn every_task_has_an_end_and_somewhere_to_go() {
    for Place { task, .. } in places() {
        assert!(matches!(task.timeout_seconds, Some(Seconds::Fixed(_))), "{:?} may hang for ever", task.path);
        let catches_all = task.catches.iter().any(|catch| catch.errors == ["States.ALL"]);
        assert!(catches_all, "an error of {:?} ends its execution", task.path);
    }
}

/// A silent agent is noticed long before the time-out. A person is silent until the question's own deadline.
#[test]
fn every_callback_but_a_persons_has_a_heartbeat() {
    for Place { task, .. } in places() {
        let waits = task.integration == Integration::LambdaInvokeWaitForTaskToken;
        let asks_a_person = task.function_name == "request-approval";
        assert_eq!(task.heartbeat_seconds.is_some(), waits && !asks_a_person, "{:?}", task.path);
    }
}

/// Every HeartbeatSeconds, with the step that the state invokes.
fn heartbeats() -> Vec<(String, Duration)> {
    let of = |place: Place| match place.task.heartbeat_seconds {
        Some(Seconds::Fixed(seconds)) => Some((place.task.function_name, Duration::from_secs(seconds))),
        _ => None,
    };
    let heartbeats: Vec<_> = places().into_iter().filter_map(of).collect();
    assert!(!heartbeats.is_empty(), "no state has a heartbeat");
    heartbeats
}

/// A callback that was lost is sent again before the state gives its agent up.
#[test]
fn two_sweeps_fit_into_every_heartbeat() {
    for (step, heartbeat) in heartbeats() {
        assert!(2 * SWEEP_INTERVAL <= heartbeat, "the sweep comes too late for {step}");
    }
}

/// The sweep gives an agent up by the ceilings of the states, and later than they do.
#[test]
fn the_sweep_knows_how_long_states_wait_for_a_sign_of_life() {
    for (step, heartbeat) in heartbeats() {
        let waits_for_a_boot = ["start-instance", "recover"].contains(&step.as_str());
        let known = if waits_for_a_boot { LONGEST_SILENT_BOOT } else { LONGEST_SILENCE_AT_WORK };
        assert_eq!(heartbeat, known.unsigned_abs(), "{step}");
    }
}

#[test]
fn what_cannot_clean_up_or_report_is_left_for_the_sweep() {
    for Place { task, .. } in places() {
        if !["destroy", "report"].contains(&task.function_name.as_str()) {
            continue;
        }
        let leads_to: Vec<&str> = task.catches.iter().map(|catch| catch.next.as_str()).collect();
        assert_eq!(leads_to, ["LeftForSweep"], "{:?}", task.path);
    }
}

#[test]
fn every_flow_that_is_started_has_a_time_out() {
    for machine in load_flows().unwrap() {
        assert!(machine.timeout_seconds().is_some(), "{} may run for ever", machine.name());
    }
}
