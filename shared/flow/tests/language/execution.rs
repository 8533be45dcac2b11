//! Executions: their names, their ends, and those that start others.

use std::time::Duration;

use rekindle_flow::ExecutionStatus::{Aborted, Failed, Running, Succeeded};
use rekindle_flow::{StartError, StopError};
use serde_json::{Value, json};

use crate::bench::{Bench, machine, settle, task, with};

// AWS, StartExecution: idempotent for the same name and input while the execution runs.
#[tokio::test(start_paused = true)]
async fn the_same_start_twice_is_one_execution() {
    let bench = Bench::of(json!({ "A": task("slow", json!({ "seconds": 10 })) }));
    let start = async |input: Value| bench.runner.start_execution("flow", "run", input).await;
    let first = start(json!({ "a": 1 })).await.unwrap();
    assert_eq!(start(json!({ "a": 1 })).await, Ok(first));
    let exists = Err(StartError::ExecutionAlreadyExists("run".to_owned()));
    assert_eq!(start(json!({ "a": 2 })).await, exists);
    bench.runner.wait("flow", "run").await.unwrap();
    assert_eq!(start(json!({ "a": 1 })).await, exists);
    assert_eq!(bench.functions.call_count(), 1);
    assert_eq!(bench.runner.executions().len(), 1);
}

// AWS, StartExecution: names and the size of the input.
#[tokio::test(start_paused = true)]
async fn a_start_must_be_proper() {
    let bench = Bench::of(json!({ "A": { "Type": "Succeed" } }));
    let start = async |machine: &str, name: &str, input: Value| {
        bench.runner.start_execution(machine, name, input).await
    };
    for name in ["", "a b", "a/b", "a:b", "a*b", "{a}", "a\nb", &"x".repeat(81)] {
        assert_eq!(start("flow", name, json!({})).await, Err(StartError::InvalidName(name.to_owned())));
    }
    assert!(start("flow", &"x".repeat(80), json!({})).await.is_ok());
    assert!(start("flow", "01JB-run_1.2", json!({})).await.is_ok());
    let missing = StartError::StateMachineDoesNotExist("none".to_owned());
    assert_eq!(start("none", "run", json!({})).await, Err(missing));
    let large = json!("x".repeat(262_143));
    assert_eq!(start("flow", "large", large).await, Err(StartError::InvalidExecutionInput));
}

// AWS, DescribeExecution.
#[tokio::test(start_paused = true)]
async fn an_execution_is_described() {
    let bench = Bench::of(json!({ "A": task("slow", json!({ "seconds": 10 })) }));
    bench.start(json!({ "a": 1 })).await;
    let running = bench.runner.describe_execution("flow", "run").unwrap();
    assert_eq!((running.status, running.stop_time, running.output), (Running, None, None));
    let ended = bench.runner.wait("flow", "run").await.unwrap();
    assert_eq!((ended.status, ended.error, ended.cause), (Succeeded, None, None));
    assert_eq!(ended.start_time.to_string(), "2026-11-22T12:00:00Z");
    assert_eq!(ended.stop_time.unwrap().to_string(), "2026-11-22T12:00:10Z");
    assert_eq!(ended.input, json!({ "a": 1 }));
    assert_eq!(bench.runner.describe_execution("flow", "other"), None);
    assert!(bench.runner.wait("flow", "other").await.is_none());
    assert!(bench.runner.history("flow", "other").is_empty());
}

// What runs keeps the definition it began with; what starts later has the new one.
#[tokio::test(start_paused = true)]
async fn a_new_definition_is_for_new_executions() {
    let flow = |output: &str| {
        json!({
            "A": { "Type": "Wait", "Seconds": 10, "Next": "B" },
            "B": { "Type": "Pass", "Output": output, "End": true },
        })
    };
    let bench = Bench::of(flow("old"));
    bench.start(json!({})).await;
    settle().await;
    bench.runner.add(machine("flow", &flow("new")));
    bench.runner.start_execution("flow", "second", json!({})).await.unwrap();
    let old = bench.runner.wait("flow", "run").await.unwrap();
    let new = bench.runner.wait("flow", "second").await.unwrap();
    assert_eq!((old.output, new.output), (Some(json!("old")), Some(json!("new"))));
    assert_ne!(old.definition_digest, new.definition_digest);
    assert_eq!(new.definition_digest, machine("flow", &flow("new")).digest());
}

// AWS, StopExecution: no catcher sees it, and what has ended stays as it ended.
#[tokio::test(start_paused = true)]
async fn a_stop_ends_an_execution() {
    let states = json!({
        "A": with(task("hang", json!({})), json!({ "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "B" }] })),
        "B": { "Type": "Succeed" },
    });
    let bench = Bench::of(states);
    bench.start(json!({})).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    bench.runner.stop_execution("flow", "run", "Operator", "changed my mind").await.unwrap();
    let execution = bench.runner.wait("flow", "run").await.unwrap();
    assert_eq!(execution.status, Aborted);
    assert_eq!(
        (execution.error.as_deref(), execution.cause.as_deref()),
        (Some("Operator"), Some("changed my mind"))
    );
    settle().await;
    assert_eq!(bench.functions.dropped(), 1);
    assert_eq!(bench.event_names().last(), Some(&"ExecutionAborted"));
    bench.runner.stop_execution("flow", "run", "Again", "").await.unwrap();
    assert_eq!(bench.runner.describe_execution("flow", "run").unwrap().error.as_deref(), Some("Operator"));
    let missing = bench.runner.stop_execution("flow", "none", "", "").await;
    assert_eq!(missing, Err(StopError::ExecutionDoesNotExist("none".to_owned())));
}

// A killed process writes nothing: the execution stays as it stood, for the sweep to find.
#[tokio::test(start_paused = true)]
async fn a_kill_leaves_everything_as_it_is() {
    let bench = Bench::of(json!({ "A": with(task("hang", json!({})), json!({ "TimeoutSeconds": 60 })) }));
    bench.start(json!({})).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = bench.history();
    bench.runner.kill();
    let execution = bench.runner.wait("flow", "run").await.unwrap();
    assert_eq!((execution.status, execution.stop_time), (Running, None));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(bench.history(), before);
    assert_eq!(bench.functions.dropped(), 1);
    assert_eq!(bench.runner.start_execution("flow", "new", json!({})).await, Err(StartError::Killed));
}

// Also while other threads are in the middle of a state.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_after_a_kill() {
    let loops = json!({
        "A": { "Type": "Wait", "Seconds": 0, "Next": "B" },
        "B": task("echo", json!({})),
    });
    let mut loops = loops;
    loops["B"].as_object_mut().unwrap().remove("End");
    loops["B"]["Next"] = json!("A");
    let bench = Bench::of(loops);
    let names: Vec<_> = (0..8).map(|number| format!("run-{number}")).collect();
    for name in &names {
        bench.runner.start_execution("flow", name, json!({})).await.unwrap();
    }
    while bench.functions.call_count() < 40 {
        tokio::task::yield_now().await;
    }
    bench.runner.kill();
    let histories = || names.iter().map(|name| bench.runner.history("flow", name)).collect::<Vec<_>>();
    let at_the_kill = histories();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(histories(), at_the_kill);
    assert!(bench.runner.executions().iter().all(|execution| execution.status == Running));
}

#[tokio::test(start_paused = true)]
async fn a_kill_drops_children_too() {
    let bench = parent(json!({ "StateMachineArn": "child", "Name": "c" }), task("hang", json!({})));
    bench.start(json!({})).await;
    settle().await;
    bench.runner.kill();
    settle().await;
    assert!(bench.runner.executions().iter().all(|execution| execution.status == Running));
    assert_eq!(bench.runner.executions().len(), 2);
    assert_eq!(bench.functions.dropped(), 1);
}

fn starting(arguments: Value) -> Value {
    json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Arguments": arguments,
        "End": true,
    })
}

/// A bench with a machine `flow` that starts the machine `child`, which consists of this one state.
fn parent(arguments: Value, child: Value) -> Bench {
    let bench = Bench::of(json!({ "A": starting(arguments) }));
    bench.runner.add(machine("child", &json!({ "C": child })));
    bench
}

// AWS, "Start workflow executions from a task state": the output of .sync:2 is JSON.
#[tokio::test(start_paused = true)]
async fn a_child_gives_its_output() {
    let arn = "arn:aws:states:local:000000000000:stateMachine:child";
    for name in ["child", arn] {
        let arguments =
            json!({ "StateMachineArn": name, "Name": "c", "Input": { "n": "{% $states.input.n %}" } });
        let bench = parent(arguments, json!({ "Type": "Wait", "Seconds": 5, "End": true }));
        let output = bench.run(json!({ "n": 1 })).await.output.unwrap();
        let expected = json!({
            "ExecutionArn": "arn:aws:states:local:000000000000:execution:child:c",
            "Name": "c",
            "StartDate": 1_795_348_800_000_u64,
            "StateMachineArn": arn,
            "Status": "SUCCEEDED",
            "StopDate": 1_795_348_805_000_u64,
            "Input": { "n": 1 },
            "Output": { "n": 1 },
        });
        assert_eq!(output, expected);
    }
}

// AWS, StartExecution: Name and Input are optional.
#[tokio::test(start_paused = true)]
async fn a_child_without_a_name_gets_one() {
    let bench = parent(json!({ "StateMachineArn": "child" }), json!({ "Type": "Succeed" }));
    let output = bench.run(json!({ "n": 1 })).await.output.unwrap();
    assert_eq!((output["Output"].clone(), output["Name"].as_str().unwrap().len()), (json!({}), 36));
}

// AWS, "Run a Job": a child that fails, times out or is stopped fails the task; the cause is its description.
#[tokio::test(start_paused = true)]
async fn a_child_that_fails_fails_the_task() {
    let fail = json!({ "Type": "Fail", "Error": "Broken", "Cause": "no disk" });
    let bench = parent(json!({ "StateMachineArn": "child", "Name": "c" }), fail);
    let execution = bench.run(json!({})).await;
    assert_eq!((execution.status, execution.error.as_deref()), (Failed, Some("States.TaskFailed")));
    let cause: Value = serde_json::from_str(&execution.cause.unwrap()).unwrap();
    assert_eq!(
        (&cause["Status"], &cause["Error"], &cause["Cause"]),
        (&json!("FAILED"), &json!("Broken"), &json!("no disk"))
    );
    assert_eq!((&cause["Name"], &cause["Input"]), (&json!("c"), &json!("{}")));
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_stopped_fails_the_task() {
    let bench = parent(json!({ "StateMachineArn": "child", "Name": "c" }), task("hang", json!({})));
    bench.start(json!({})).await;
    settle().await;
    bench.runner.stop_execution("child", "c", "Operator", "").await.unwrap();
    let execution = bench.runner.wait("flow", "run").await.unwrap();
    assert_eq!(execution.error.as_deref(), Some("States.TaskFailed"));
    assert!(execution.cause.unwrap().contains("\"Status\":\"ABORTED\""));
}

// AWS, StartExecution: the same name and input while it runs is the same execution, anything else an error.
#[tokio::test(start_paused = true)]
async fn a_task_attaches_to_its_child_or_fails() {
    let arguments = json!({ "StateMachineArn": "child", "Name": "c", "Input": { "n": 1 } });
    let attach = async |input: Value, wait: u64| {
        let bench = parent(arguments.clone(), task("slow", json!({ "seconds": 10 })));
        bench.runner.start_execution("child", "c", input).await.unwrap();
        tokio::time::sleep(Duration::from_secs(wait)).await;
        (bench.run(json!({})).await, bench.functions.call_count())
    };
    let (attached, calls) = attach(json!({ "n": 1 }), 5).await;
    assert_eq!((attached.status, calls), (Succeeded, 1));
    for (input, wait) in [(json!({ "n": 2 }), 5), (json!({ "n": 1 }), 15)] {
        let (refused, _) = attach(input, wait).await;
        assert_eq!(refused.error.as_deref(), Some("StepFunctions.ExecutionAlreadyExistsException"));
    }
}

// AWS, service exceptions: the name of the service, and of the exception.
#[tokio::test(start_paused = true)]
async fn a_child_that_cannot_start_fails_the_task() {
    let cases = [
        (json!({ "StateMachineArn": "none" }), "StepFunctions.StateMachineDoesNotExistException"),
        (json!({ "StateMachineArn": "child", "Name": "a b" }), "StepFunctions.InvalidNameException"),
        (json!({ "StateMachineArn": "child", "Name": "{% 5 %}" }), "States.Runtime"),
    ];
    for (arguments, error) in cases {
        let execution = parent(arguments, json!({ "Type": "Succeed" })).run(json!({})).await;
        assert_eq!(execution.error.as_deref(), Some(error));
    }
}

// AWS, "Run a Job": when the task no longer waits, the child is stopped, or none is left to wait for it.
#[tokio::test(start_paused = true)]
async fn a_child_does_not_outlive_its_task() {
    let mut timed_out = json!({ "A": starting(json!({ "StateMachineArn": "child", "Name": "c" })) });
    timed_out["A"]["TimeoutSeconds"] = json!(60);
    let bench = Bench::of(timed_out);
    bench.runner.add(machine("child", &json!({ "C": task("hang", json!({})) })));
    let execution = bench.run(json!({})).await;
    assert_eq!((execution.error.as_deref(), bench.seconds()), (Some("States.Timeout"), 60.0));
    assert_eq!(bench.runner.wait("child", "c").await.unwrap().status, Aborted);
    let stopped = parent(json!({ "StateMachineArn": "child", "Name": "c" }), task("hang", json!({})));
    stopped.start(json!({})).await;
    settle().await;
    stopped.runner.stop_execution("flow", "run", "Stop", "").await.unwrap();
    assert_eq!(stopped.runner.wait("child", "c").await.unwrap().status, Aborted);
}
