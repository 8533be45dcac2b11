//! Step Functions as the emulators know it: names, aliases and ARNs that fit together, which recorded answers cannot
//! show. `AWS_ENDPOINT_URL`, a region and any credentials have to be in the environment.
#![expect(clippy::unwrap_used, reason = "test code")]
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_sfn::Client;
use aws_sdk_sfn::types::RoutingConfigurationListItem;
use rekindle_domain::RunId;
use rekindle_lambda_host::{StateMachines, StepFunctions};
use rekindle_step::{CallbackError, ExecutionState, StartError, Workflow};
use serde_json::json;

const WAITS: &str = r#"{"QueryLanguage": "JSONata", "StartAt": "Wait",
    "States": {"Wait": {"Type": "Wait", "Seconds": 3600, "End": true}}}"#;

/// Makes a state machine with an alias, and says how its ARN begins.
async fn made(aws: &SdkConfig, stack: &str) -> String {
    let client = Client::new(aws);
    let made = client
        .create_state_machine()
        .name(format!("{stack}-waits"))
        .definition(WAITS)
        .role_arn("arn:aws:iam::000000000000:role/any")
        .publish(true)
        .send()
        .await
        .unwrap();
    let version = made.state_machine_version_arn().unwrap();
    let route = RoutingConfigurationListItem::builder().state_machine_version_arn(version).weight(100);
    let alias =
        client.create_state_machine_alias().name("live").routing_configuration(route.build().unwrap());
    alias.send().await.unwrap();
    made.state_machine_arn().strip_suffix("waits").unwrap().to_owned()
}

#[tokio::test]
#[ignore = "needs the emulators"]
async fn an_execution_is_started_once_seen_and_stopped() {
    let aws = aws_config::defaults(BehaviorVersion::latest()).load().await;
    let stack = format!("rekindle-{}", RunId::mint());
    let machines = StateMachines::parse("the ARN", &made(&aws, &stack).await).unwrap();
    let workflow = StepFunctions::new(&aws, machines);
    let name = RunId::mint().to_string();
    let input = json!({ "machine": "acme/orders/database" });
    let state = async || workflow.describe_execution("waits", &name).await.unwrap();

    assert_eq!(state().await, ExecutionState::Unknown);
    workflow.stop_execution("waits", &name, "there is none").await.unwrap();
    workflow.start_execution("waits", &name, input.clone()).await.unwrap();
    assert_eq!(state().await, ExecutionState::Running);
    // On AWS this is success; ministack 1.5.33 says that the name is taken. Callers take both for the same.
    let again = workflow.start_execution("waits", &name, input).await;
    assert!(matches!(again, Ok(()) | Err(StartError::AlreadyExists(_))), "{again:?}");
    let other = workflow.start_execution("waits", &name, json!({})).await;
    assert!(matches!(other, Err(StartError::AlreadyExists(_))), "{other:?}");
    workflow.stop_execution("waits", &name, "its deadline has passed").await.unwrap();
    assert_eq!(state().await, ExecutionState::Terminal);
}

#[tokio::test]
#[ignore = "needs the emulators"]
async fn a_token_that_nobody_waits_for_is_gone() {
    let aws = aws_config::defaults(BehaviorVersion::latest()).load().await;
    let machines = "arn:aws:states:eu-west-1:000000000000:stateMachine:rekindle-";
    let workflow = StepFunctions::new(&aws, StateMachines::parse("the ARN", machines).unwrap());
    let told = workflow.send_task_success("no-such-token", json!({})).await;
    assert!(matches!(told, Err(CallbackError::Gone)), "{told:?}");
}
