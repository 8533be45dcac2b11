//! What the embedded register never says, answered as DynamoDB's documentation words it.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use jiff::Timestamp;
use rekindle_cmdb::{Hello, Register, RegisterError};
use rekindle_domain::{CustomerId, InstanceId, MachineKey, RunId};
use rekindle_step::{ErrorName, StepError};
use serde_json::{Value, json};

/// How often a write is sent that keeps meeting others.
const MOST_TRIES: usize = 40;

/// A status and a body.
type Answer = (u16, Value);
/// An operation and its body.
type Request = (String, Value);

/// Gives its answers in order, the last one for ever, and keeps what it was asked.
#[derive(Debug, Clone)]
struct Recorded(Arc<Mutex<(VecDeque<Answer>, Vec<Request>)>>);

impl Recorded {
    fn requests(&self) -> Vec<Request> {
        self.0.lock().unwrap().1.clone()
    }

    fn tokens(&self) -> Vec<String> {
        let tokens = self.requests().into_iter().map(|(_, body)| body["ClientRequestToken"].to_string());
        tokens.collect()
    }
}

impl HttpClient for Recorded {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Recorded {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap();
        let operation = target.strip_prefix("DynamoDB_20120810.").unwrap().to_owned();
        let body = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        let mut state = self.0.lock().unwrap();
        state.1.push((operation, body));
        let (status, content) =
            if state.0.len() > 1 { state.0.pop_front() } else { state.0.front().cloned() }.unwrap();
        let mut response =
            HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(content.to_string()));
        response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
        HttpConnectorFuture::ready(Ok(response))
    }
}

/// A register with these answers. Tests run with paused time, for the client waits between tries.
fn register(answers: impl IntoIterator<Item = Answer>) -> (Register, Recorded) {
    let recorded = Recorded(Arc::new(Mutex::new((answers.into_iter().collect(), Vec::new()))));
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("eu-west-1"))
        .endpoint_url("http://register.invalid")
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .retry_config(RetryConfig::standard())
        .http_client(recorded.clone())
        .build();
    (Register::new(Client::from_conf(config), "register"), recorded)
}

fn done() -> Answer {
    (200, json!({}))
}

fn refused(code: &str) -> Answer {
    let name = format!("com.amazonaws.dynamodb.v20120810#{code}");
    (400, json!({"__type": name, "message": "as DynamoDB words it"}))
}

fn cancelled(codes: &[&str]) -> Answer {
    let reasons = codes.iter().map(|code| match *code {
        "None" => json!({"Code": "None"}),
        code => json!({"Code": code, "Message": "as DynamoDB words it"}),
    });
    let message = format!(
        "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
        codes.join(", ")
    );
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": message,
        "CancellationReasons": reasons.collect::<Vec<_>>(),
    });
    (400, body)
}

fn instance() -> InstanceId {
    InstanceId::parse("i-0123456789abcdef0").unwrap()
}

fn machine() -> MachineKey {
    MachineKey::parse("acme/shop/db").unwrap()
}

/// A write that is one transaction of two: that the instance is bound, and what its agent says.
async fn say_hello(register: &Register) -> Result<(), RegisterError> {
    let hello = Hello {
        hostname: "db".to_owned(),
        ip_address: "10.0.0.7".to_owned(),
        agent_version: "0.1.0".to_owned(),
        applied: None,
        revision: None,
        ssh_key_names: Vec::new(),
    };
    register.record_hello(&instance(), &hello, Timestamp::UNIX_EPOCH).await
}

fn is_transient(error: RegisterError) -> bool {
    StepError::from(error).name == ErrorName::Transient
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_met_another_one_is_sent_again_as_a_new_one() {
    for met in [
        ["TransactionConflict", "None"],
        ["None", "ThrottlingError"],
        ["ProvisionedThroughputExceeded", "None"],
        // The first condition was not looked at, so nobody knows whether it was the second one alone.
        ["TransactionConflict", "ConditionalCheckFailed"],
    ] {
        let (register, recorded) = register([cancelled(&met), cancelled(&met), done()]);
        say_hello(&register).await.unwrap();
        let tokens = recorded.tokens();
        assert_eq!(tokens.len(), 3, "{met:?}");
        assert!(tokens[0] != tokens[1] && tokens[1] != tokens[2], "{tokens:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_meets_others_for_ever_is_transient() {
    let (register, recorded) = register([cancelled(&["None", "TransactionConflict"])]);
    let before = tokio::time::Instant::now();
    let error = say_hello(&register).await.unwrap_err();
    assert!(matches!(error, RegisterError::Contention { .. }), "{error:?}");
    assert!(is_transient(error));
    assert_eq!(recorded.requests().len(), MOST_TRIES);
    assert!(before.elapsed().as_secs() < 6, "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_did_not_hold_is_an_answer_at_once() {
    let (register, recorded) = register([cancelled(&["ConditionalCheckFailed", "None"])]);
    let error = say_hello(&register).await.unwrap_err();
    assert!(matches!(error, RegisterError::Unknown { kind: "instance", .. }), "{error:?}");
    assert_eq!(recorded.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_is_being_worked_on_is_waited_for_under_its_token() {
    let busy = || refused("TransactionInProgressException");
    let (patient, recorded) = register([busy(), busy(), busy(), busy(), done()]);
    say_hello(&patient).await.unwrap();
    let tokens = recorded.tokens();
    assert_eq!(tokens.len(), 5);
    // The client repeats its own request with the token that it has; so do we.
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");

    let (register, _) = register([busy()]);
    let error = say_hello(&register).await.unwrap_err();
    assert!(matches!(error, RegisterError::Unavailable { .. }), "{error:?}");
    assert!(is_transient(error));
}

#[tokio::test(start_paused = true)]
async fn a_write_of_one_item_that_met_a_transaction_is_sent_again() {
    let met = || refused("TransactionConflictException");
    let customer = CustomerId::parse("acme").unwrap();
    let (patient, recorded) = register([met(), met(), done()]);
    patient.put_customer(&customer).await.unwrap();
    assert_eq!(recorded.requests().len(), 3);
    let counted = json!({"Attributes": {"wanted": {"N": "7"}}});
    let (patient, recorded) = register([met(), (200, counted)]);
    assert_eq!(patient.announce_work(&machine()).await.unwrap(), 7);
    assert_eq!(recorded.requests().len(), 2);

    let (register, recorded) = register([met()]);
    for error in [
        register.put_customer(&customer).await.unwrap_err(),
        register.announce_work(&machine()).await.unwrap_err(),
    ] {
        assert!(matches!(error, RegisterError::Contention { .. }), "{error:?}");
        assert!(is_transient(error));
    }
    assert_eq!(recorded.requests().len(), 2 * MOST_TRIES);
}

#[tokio::test(start_paused = true)]
async fn throttling_is_repeated_by_the_client_and_in_the_end_transient() {
    for code in ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"] {
        let (patient, _) = register([refused(code), refused(code), done()]);
        assert_eq!(patient.machine_state(&machine()).await.unwrap().wanted, 0);
        let (register, recorded) = register([refused(code)]);
        let error = say_hello(&register).await.unwrap_err();
        assert!(matches!(error, RegisterError::Unavailable { .. }), "{error:?}");
        assert!(is_transient(error));
        let tokens = recorded.tokens();
        assert!(tokens.len() > 1 && tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_transient_and_a_refusal_is_not() {
    let (out_of_order, _) = register([(500, json!({"__type": "InternalServerError"}))]);
    assert!(is_transient(out_of_order.machine_state(&machine()).await.unwrap_err()));
    let (register, recorded) = register([refused("AccessDeniedException")]);
    let error = say_hello(&register).await.unwrap_err();
    assert!(matches!(error, RegisterError::Refused { .. }), "{error:?}");
    assert_eq!(recorded.requests().len(), 1);
}

/// Whoever decides by what was read decides by what is there now.
#[tokio::test(start_paused = true)]
async fn every_read_of_the_table_is_consistent() {
    let (register, recorded) = register([(200, json!({"Items": [], "Count": 0}))]);
    let run_id = RunId::parse("01J00000000000000000000000").unwrap();
    let customer = CustomerId::parse("acme").unwrap();
    register.machine_state(&machine()).await.unwrap();
    register.run(&run_id).await.unwrap();
    register.refresh_plan(&run_id).await.unwrap();
    register.report(&run_id).await.unwrap();
    register.service(&machine().service()).await.unwrap();
    register.instance(&instance()).await.unwrap();
    register.hello(&instance()).await.unwrap();
    register.services(&customer).await.unwrap();
    register.sets(&machine()).await.unwrap();
    register.images(&machine()).await.unwrap();
    register.intents(&run_id).await.unwrap();
    register.jobs_of_run(&run_id).await.unwrap();
    register.jobs_of_instance(&instance()).await.unwrap();
    register.customers().await.unwrap();
    register.services_page(&customer, 10, None).await.unwrap();
    register.images_page(&machine(), 10, None).await.unwrap();
    let requests = recorded.requests();
    assert_eq!(requests.len(), 16);
    for (operation, body) in requests {
        assert_eq!(body["ConsistentRead"], json!(true), "{operation} {body}");
    }
}

/// DynamoDB refuses consistent reads of an index.
#[tokio::test(start_paused = true)]
async fn only_the_index_is_read_as_it_lags_behind() {
    let (register, recorded) = register([(200, json!({"Items": [], "Count": 0}))]);
    register.unfinished_runs().await.unwrap();
    register.open_human_tasks().await.unwrap();
    register.unfinished_runs_page(10, None).await.unwrap();
    register.ended_runs_page(10, None).await.unwrap();
    for (_, body) in recorded.requests() {
        assert_eq!(body["IndexName"], json!("open-items"));
        assert_eq!(body.get("ConsistentRead"), None);
    }
}

/// The database ends a page when it is full, and one may even be empty.
#[tokio::test(start_paused = true)]
async fn a_list_is_read_to_its_last_page() {
    let customer = |name: &str| json!({"customer_id": {"S": name}});
    let place = |sort: &str| json!({"pk": {"S": "CUSTOMERS"}, "sk": {"S": sort}});
    let (register, recorded) = register([
        (200, json!({"Items": [customer("acme")], "LastEvaluatedKey": place("CUSTOMER#acme")})),
        (200, json!({"Items": [], "LastEvaluatedKey": place("CUSTOMER#b")})),
        (200, json!({"Items": [customer("zenith")]})),
    ]);
    let customers = register.customers().await.unwrap();
    assert_eq!(customers.iter().map(CustomerId::as_str).collect::<Vec<_>>(), ["acme", "zenith"]);
    let starts = recorded.requests().into_iter().map(|(_, body)| body["ExclusiveStartKey"].clone());
    let expected = [Value::Null, place("CUSTOMER#acme"), place("CUSTOMER#b")];
    assert_eq!(starts.collect::<Vec<_>>(), expected);
}
