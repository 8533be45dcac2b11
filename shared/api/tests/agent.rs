//! The agent API over an embedded register and a workflow that writes down what it is told.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::{Extension, Router};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use rekindle_api::{AgentApi, AgentApiError, CallerInstance, LONGEST_BODY_BYTES, agent_router};
use rekindle_cmdb::{EmbeddedRegister, InstanceBinding, NewJob, Register};
use rekindle_domain::job::{Hello, JobResult};
use rekindle_domain::verdict::{Check, CheckKind, Verdict};
use rekindle_domain::{
    BackupId, Flow, ImageId, InstanceId, Job, JobId, JobOutcome, JobStatus, JobWork, MachineKey, Run, RunId,
    RunState,
};
use rekindle_step::{CallbackError, ExecutionState, StartError, VirtualClock, Workflow};
use serde_json::{Value, json};
use tower::ServiceExt as _;

const TOKEN: &str = "a-task-token-that-nobody-may-see";

#[derive(Debug, Clone, PartialEq)]
enum Told {
    Success(String, Value),
    Failure(String, String, String),
    Heartbeat(String),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mood {
    Listening,
    Gone,
    Unavailable,
}

struct Recorder {
    told: Mutex<Vec<Told>>,
    mood: Mutex<Mood>,
}

impl Recorder {
    fn hear(&self, told: Told) -> Result<(), CallbackError> {
        self.told.lock().unwrap().push(told);
        match *self.mood.lock().unwrap() {
            Mood::Listening => Ok(()),
            Mood::Gone => Err(CallbackError::Gone),
            Mood::Unavailable => Err(CallbackError::Unavailable("no connection".to_owned())),
        }
    }
}

#[async_trait]
impl Workflow for Recorder {
    async fn start_execution(&self, _: &str, name: &str, _: Value) -> Result<(), StartError> {
        Err(StartError::Unavailable(name.to_owned()))
    }

    async fn describe_execution(&self, _: &str, _: &str) -> Result<ExecutionState, StartError> {
        Ok(ExecutionState::Unknown)
    }

    async fn stop_execution(&self, _: &str, _: &str, _: &str) -> Result<(), StartError> {
        Ok(())
    }

    async fn send_task_success(&self, token: &str, output: Value) -> Result<(), CallbackError> {
        self.hear(Told::Success(token.to_owned(), output))
    }

    async fn send_task_failure(&self, token: &str, error: &str, cause: &str) -> Result<(), CallbackError> {
        self.hear(Told::Failure(token.to_owned(), error.to_owned(), cause.to_owned()))
    }

    async fn send_task_heartbeat(&self, token: &str) -> Result<(), CallbackError> {
        self.hear(Told::Heartbeat(token.to_owned()))
    }
}

struct Fixture {
    register: Register,
    workflow: Arc<Recorder>,
    api: AgentApi,
    run_id: RunId,
    instance: InstanceId,
}

fn epoch() -> Timestamp {
    "2026-11-22T00:00:00Z".parse().unwrap()
}

fn machine() -> MachineKey {
    MachineKey::parse("acme/orders/database").unwrap()
}

fn run(run_id: &RunId) -> Run {
    Run {
        run_id: run_id.clone(),
        flow: Flow::Recover,
        machine: None,
        fence: None,
        wanted_seen: None,
        plan_id: None,
        state: RunState::Open,
        opened_at: epoch(),
        deadline: epoch(),
        last_intent_at: None,
        closed_at: None,
        first_empty_at: None,
        outcome: None,
        cause: None,
        reported: false,
        version: 0,
    }
}

/// A register with one open run and one bound instance.
async fn fixture() -> Fixture {
    let register = EmbeddedRegister::in_memory().await.unwrap();
    let workflow = Arc::new(Recorder { told: Mutex::new(Vec::new()), mood: Mutex::new(Mood::Listening) });
    let api = AgentApi::new(register.clone(), workflow.clone(), Arc::new(VirtualClock::starting_at(epoch())));
    let (run_id, instance) = (RunId::mint(), InstanceId::parse("i-1").unwrap());
    register.open_run(&run(&run_id)).await.unwrap();
    let binding = InstanceBinding {
        instance_id: instance.clone(),
        run_id: run_id.clone(),
        machine: machine(),
        purpose: "builder".to_owned(),
        image_id: ImageId::parse("img-1").unwrap(),
        bound_at: epoch(),
    };
    register.bind_instance(&binding).await.unwrap();
    Fixture { register, workflow, api, run_id, instance }
}

impl Fixture {
    fn router(&self) -> Router {
        agent_router(self.api.clone()).layer(Extension(CallerInstance(self.instance.clone())))
    }

    fn set(&self, mood: Mood) {
        *self.workflow.mood.lock().unwrap() = mood;
    }

    fn told(&self) -> Vec<Told> {
        std::mem::take(&mut self.workflow.told.lock().unwrap())
    }

    fn job(&self, step: &str, work: JobWork) -> Job {
        let id = JobId { run_id: self.run_id.clone(), machine: machine(), step: step.to_owned() };
        Job { id, work, deadline: epoch(), heartbeat_seconds: 30 }
    }

    async fn post(&self, step: &str, work: JobWork) -> Job {
        let job = self.job(step, work);
        let new = NewJob {
            job: job.clone(),
            instance_id: self.instance.clone(),
            token: TOKEN.into(),
            now: epoch(),
        };
        self.register.post_job(&new).await.unwrap();
        job
    }

    async fn stored(&self, job: &Job) -> Option<JobOutcome> {
        self.register.job(&job.id).await.unwrap().unwrap().outcome
    }
}

async fn send(router: Router, request: Request<Body>) -> (StatusCode, String, Value) {
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let kind = kind.map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(!String::from_utf8_lossy(&body).contains(TOKEN));
    (status, kind, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header(header::CONTENT_TYPE, "application/json").body(body.into()).unwrap()
}

fn hello() -> Hello {
    Hello {
        hostname: "orders".to_owned(),
        ip_address: "10.0.0.7".to_owned(),
        agent_version: "0.1.0".to_owned(),
        applied: None,
        revision: None,
        ssh_key_names: vec!["acme".to_owned()],
    }
}

fn sealed() -> JobOutcome {
    JobOutcome::Succeeded { result: JobResult::Sealed }
}

fn failed(error: &str, cause: &str) -> JobOutcome {
    JobOutcome::Failed { error: error.to_owned(), cause: cause.to_owned() }
}

async fn refused(router: Router, request: Request<Body>) -> (u16, String) {
    let (status, kind, body) = send(router, request).await;
    assert_eq!(kind, "application/problem+json", "{body}");
    assert_eq!(body["status"], status.as_u16());
    let code = body["code"].as_str().unwrap().to_owned();
    assert_eq!(body["type"], format!("urn:rekindle:problem:{code}"));
    assert!(!body["title"].as_str().unwrap().is_empty() && !body["detail"].as_str().unwrap().is_empty());
    (status.as_u16(), code)
}

#[tokio::test]
async fn hello_completes_the_boot_job() {
    let fixture = fixture().await;
    let boot = fixture.post("start-instance", JobWork::Boot).await;
    let body = serde_json::to_string(&hello()).unwrap();
    let (status, _, _) = send(fixture.router(), post("/v1/hello", body)).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let result = JobResult::Booted { instance_id: fixture.instance.clone(), hello: hello() };
    let told = Told::Success(TOKEN.to_owned(), serde_json::to_value(&result).unwrap());
    assert_eq!(fixture.told(), vec![told.clone()]);
    assert_eq!(fixture.stored(&boot).await, Some(JobOutcome::Succeeded { result }));
    assert_eq!(fixture.register.hello(&fixture.instance).await.unwrap().unwrap().hello, hello());

    // The agent starts again: its first greeting stays the result.
    let other = Hello { hostname: "other".to_owned(), ..hello() };
    fixture.api.hello(&fixture.instance, &other).await.unwrap();
    assert_eq!(fixture.told(), vec![told]);
}

#[tokio::test]
async fn hello_before_the_boot_job_is_kept_for_it() {
    let fixture = fixture().await;
    fixture.api.hello(&fixture.instance, &hello()).await.unwrap();
    assert!(fixture.told().is_empty());
    assert!(fixture.register.hello(&fixture.instance).await.unwrap().is_some());
}

#[tokio::test]
async fn a_greeting_cannot_steer_a_terminal() {
    let fixture = fixture().await;
    let greeting = Hello { hostname: "orders\u{1b}[2J".to_owned(), ..hello() };
    fixture.api.hello(&fixture.instance, &greeting).await.unwrap();
    let stored = fixture.register.hello(&fixture.instance).await.unwrap().unwrap().hello;
    assert_eq!(stored.hostname, "orders[2J");
}

#[tokio::test]
async fn a_job_is_handed_out_without_its_token() {
    let fixture = fixture().await;
    let (status, _, _) = send(fixture.router(), get("/v1/job")).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let job = fixture.post("seal", JobWork::Seal).await;
    let (status, _, body) = send(fixture.router(), get("/v1/job?wait_seconds=0")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(serde_json::from_value::<Job>(body).unwrap(), job);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_agent_gets_a_job_that_comes_later() {
    let fixture = fixture().await;
    let started = tokio::time::Instant::now();
    let waiting = tokio::spawn(send(fixture.router(), get("/v1/job?wait_seconds=20")));
    tokio::time::sleep(Duration::from_secs(7)).await;
    fixture.post("seal", JobWork::Seal).await;
    assert_eq!(waiting.await.unwrap().0, StatusCode::OK);
    assert!(started.elapsed() <= Duration::from_secs(9), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_wake_up_hands_out_a_job_at_once() {
    let fixture = fixture().await;
    let waiting = tokio::spawn({
        let (api, instance) = (fixture.api.clone(), fixture.instance.clone());
        async move { api.next_job(&instance, Duration::from_secs(20)).await.unwrap() }
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    fixture.post("seal", JobWork::Seal).await;
    let posted = tokio::time::Instant::now();
    fixture.api.wake();
    assert!(waiting.await.unwrap().is_some());
    assert_eq!(posted.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_after_the_time_that_was_asked_for() {
    let fixture = fixture().await;
    let started = tokio::time::Instant::now();
    let (status, _, _) = send(fixture.router(), get("/v1/job?wait_seconds=3")).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let waited = started.elapsed();
    assert!((Duration::from_secs(3)..Duration::from_millis(3_100)).contains(&waited), "{waited:?}");
}

#[tokio::test]
async fn a_heartbeat_is_stored_and_forwarded() {
    let fixture = fixture().await;
    let job = fixture.post("seal", JobWork::Seal).await;
    for body in ["", "{}", r#"{"progress":{"done":1,"total":2,"unit":"bytes"}}"#] {
        let (status, _, _) = send(fixture.router(), post("/v1/jobs/seal/heartbeat", body)).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{body}");
        assert_eq!(fixture.told(), vec![Told::Heartbeat(TOKEN.to_owned())]);
    }
    let record = fixture.register.job(&job.id).await.unwrap().unwrap();
    assert_eq!((record.status, record.progress.unwrap().done), (JobStatus::Taken, 1));
    assert!(record.last_heartbeat_at.is_some());
}

#[tokio::test]
async fn an_agent_whose_job_is_gone_is_told_so() {
    let fixture = fixture().await;
    let heartbeat = || post("/v1/jobs/seal/heartbeat", "{}");
    assert_eq!(refused(fixture.router(), heartbeat()).await, (410, "job-gone".to_owned()));
    let outcome = post("/v1/jobs/seal/outcome", serde_json::to_string(&sealed()).unwrap());
    assert_eq!(refused(fixture.router(), outcome).await, (410, "job-gone".to_owned()));
    fixture.post("seal", JobWork::Seal).await;
    fixture.api.outcome(&fixture.instance, "seal", sealed()).await.unwrap();
    fixture.set(Mood::Gone);
    assert_eq!(refused(fixture.router(), heartbeat()).await, (410, "job-gone".to_owned()));
}

#[tokio::test]
async fn a_lost_token_alone_does_not_make_work_useless() {
    let fixture = fixture().await;
    fixture.post("seal", JobWork::Seal).await;
    fixture.set(Mood::Gone);
    // The task timed out, and the step may be entered again with a new token.
    fixture.api.heartbeat(&fixture.instance, "seal", None).await.unwrap();
    fixture.set(Mood::Unavailable);
    fixture.api.heartbeat(&fixture.instance, "seal", None).await.unwrap();
    fixture.set(Mood::Gone);
    fixture.register.close_run(&fixture.run_id, None, None, epoch()).await.unwrap();
    let error = fixture.api.heartbeat(&fixture.instance, "seal", None).await.unwrap_err();
    assert!(matches!(error, AgentApiError::JobGone { .. }), "{error:?}");
}

#[tokio::test]
async fn a_job_of_a_closed_run_is_handed_to_nobody() {
    let fixture = fixture().await;
    fixture.post("seal", JobWork::Seal).await;
    assert!(fixture.api.next_job(&fixture.instance, Duration::ZERO).await.unwrap().is_some());
    fixture.register.close_run(&fixture.run_id, None, None, epoch()).await.unwrap();
    assert!(fixture.api.next_job(&fixture.instance, Duration::ZERO).await.unwrap().is_none());
}

#[tokio::test]
async fn an_outcome_is_stored_once_and_told_each_time() {
    let fixture = fixture().await;
    let job = fixture.post("seal", JobWork::Seal).await;
    let told = Told::Success(TOKEN.to_owned(), json!({"kind": "sealed"}));
    for outcome in [sealed(), failed("Agent.Failed", "too late")] {
        let body = serde_json::to_string(&outcome).unwrap();
        let (status, _, _) = send(fixture.router(), post("/v1/jobs/seal/outcome", body)).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
        assert_eq!(fixture.told(), vec![told.clone()]);
        assert_eq!(fixture.stored(&job).await, Some(sealed()));
    }
}

#[tokio::test]
async fn an_outcome_that_nobody_waits_for_is_stored_and_taken() {
    let fixture = fixture().await;
    let job = fixture.post("seal", JobWork::Seal).await;
    fixture.set(Mood::Gone);
    fixture.api.outcome(&fixture.instance, "seal", sealed()).await.unwrap();
    assert_eq!(fixture.stored(&job).await, Some(sealed()));
}

#[tokio::test]
async fn an_outcome_that_could_not_be_told_is_stored_and_asked_for_again() {
    let fixture = fixture().await;
    let job = fixture.post("seal", JobWork::Seal).await;
    fixture.set(Mood::Unavailable);
    let outcome = || post("/v1/jobs/seal/outcome", serde_json::to_string(&sealed()).unwrap());
    assert_eq!(refused(fixture.router(), outcome()).await, (503, "workflow-unavailable".to_owned()));
    assert_eq!(fixture.stored(&job).await, Some(sealed()));
    // The agent goes on beating, and the state that waits hears it.
    fixture.set(Mood::Listening);
    fixture.told();
    let (status, _, _) = send(fixture.router(), post("/v1/jobs/seal/heartbeat", "{}")).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(fixture.told(), vec![Told::Heartbeat(TOKEN.to_owned())]);
    let (status, _, _) = send(fixture.router(), outcome()).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(fixture.told(), vec![Told::Success(TOKEN.to_owned(), json!({"kind": "sealed"}))]);
}

#[tokio::test]
async fn a_greeting_that_could_not_be_told_is_asked_for_again() {
    let fixture = fixture().await;
    fixture.post("start-instance", JobWork::Boot).await;
    fixture.set(Mood::Unavailable);
    let greeting = || post("/v1/hello", serde_json::to_string(&hello()).unwrap());
    assert_eq!(refused(fixture.router(), greeting()).await, (503, "workflow-unavailable".to_owned()));
    fixture.set(Mood::Listening);
    assert_eq!(send(fixture.router(), greeting()).await.0, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_token_under_which_nobody_waits_is_not_used_again() {
    let fixture = fixture().await;
    let job = fixture.post("seal", JobWork::Seal).await;
    let record = fixture.register.job(&job.id).await.unwrap().unwrap();
    fixture.register.forget_token(&record).await.unwrap();
    // The run is open, and the step may be entered again: the work still counts.
    fixture.api.heartbeat(&fixture.instance, "seal", None).await.unwrap();
    fixture.api.outcome(&fixture.instance, "seal", sealed()).await.unwrap();
    assert_eq!((fixture.stored(&job).await, fixture.told()), (Some(sealed()), vec![]));
    let error = fixture.api.heartbeat(&fixture.instance, "seal", None).await.unwrap_err();
    assert!(matches!(error, AgentApiError::JobGone { .. }), "{error:?}");
}

#[tokio::test]
async fn a_failure_reaches_the_flow_with_a_name_that_it_knows() {
    let cause = format!("it\nfailed\u{7}{}", "x".repeat(5_000));
    for (said, expected) in [
        ("Agent.DiskFull", "Agent.DiskFull"),
        ("Step.Transient", "Step.Transient"),
        ("Cloud.NoCapacity", "Agent.Failed"),
        ("Recovery.Declined", "Agent.Failed"),
        ("States.ALL", "Agent.Failed"),
        ("", "Agent.Failed"),
    ] {
        let fixture = fixture().await;
        fixture.post("seal", JobWork::Seal).await;
        fixture.api.outcome(&fixture.instance, "seal", failed(said, &cause)).await.unwrap();
        let told = fixture.told();
        let [Told::Failure(_, error, cause)] = told.as_slice() else { unreachable!("{told:?}") };
        assert_eq!(error, expected);
        assert!(cause.starts_with("it failedx"));
        assert_eq!(cause.chars().count(), 1_000);
    }
}

#[tokio::test]
async fn a_result_of_other_work_fails_the_job() {
    let fixture = fixture().await;
    let job = fixture.post("verify", JobWork::Verify { backup_id: BackupId::mint() }).await;
    fixture.api.outcome(&fixture.instance, "verify", sealed()).await.unwrap();
    let stored = fixture.stored(&job).await;
    assert!(
        matches!(&stored, Some(JobOutcome::Failed { error, .. }) if error == "Agent.Failed"),
        "{stored:?}"
    );
}

#[tokio::test]
async fn a_verdict_cannot_steer_a_terminal() {
    let fixture = fixture().await;
    let job = fixture.post("verify", JobWork::Verify { backup_id: BackupId::mint() }).await;
    let check = Check {
        kind: CheckKind::Probe,
        name: "rows\u{1b}[31m".to_owned(),
        data_store: None,
        passed: true,
        explanation: "as\nexpected".to_owned(),
    };
    let verdict = Verdict { checks: vec![check], recovery_point: None, verified_at: epoch() };
    let outcome = JobOutcome::Succeeded { result: JobResult::Verified { verdict } };
    fixture.api.outcome(&fixture.instance, "verify", outcome).await.unwrap();
    let stored = fixture.stored(&job).await;
    let Some(JobOutcome::Succeeded { result: JobResult::Verified { verdict } }) = stored else {
        unreachable!("{stored:?}")
    };
    assert_eq!(
        (verdict.checks[0].name.as_str(), verdict.checks[0].explanation.as_str()),
        ("rows[31m", "as expected")
    );
}

#[tokio::test]
async fn boot_cannot_be_completed_by_an_outcome() {
    let fixture = fixture().await;
    let boot = fixture.post("start-instance", JobWork::Boot).await;
    let other = InstanceId::parse("i-other").unwrap();
    let result = JobResult::Booted { instance_id: other, hello: hello() };
    let outcome = JobOutcome::Succeeded { result };
    let error = fixture.api.outcome(&fixture.instance, "start-instance", outcome).await.unwrap_err();
    assert!(matches!(error, AgentApiError::JobGone { .. }), "{error:?}");
    assert_eq!(fixture.stored(&boot).await, None);
}

#[tokio::test]
async fn an_instance_reaches_its_own_jobs_only() {
    let fixture = fixture().await;
    let job = fixture.post("seal", JobWork::Seal).await;
    let stranger = InstanceId::parse("i-2").unwrap();
    let binding = fixture.register.instance(&fixture.instance).await.unwrap().unwrap();
    let binding = InstanceBinding { instance_id: stranger.clone(), ..binding };
    fixture.register.bind_instance(&binding).await.unwrap();
    let router = || agent_router(fixture.api.clone()).layer(Extension(CallerInstance(stranger.clone())));
    assert_eq!(send(router(), get("/v1/job")).await.0, StatusCode::NO_CONTENT);
    let outcome = || post("/v1/jobs/seal/outcome", serde_json::to_string(&sealed()).unwrap());
    assert_eq!(refused(router(), outcome()).await.1, "job-gone");
    assert_eq!(refused(router(), post("/v1/jobs/seal/heartbeat", "")).await.1, "job-gone");
    assert_eq!(fixture.stored(&job).await, None);
    assert!(fixture.told().is_empty());
}

fn every_request() -> [Request<Body>; 4] {
    [
        post("/v1/hello", serde_json::to_string(&hello()).unwrap()),
        get("/v1/job"),
        post("/v1/jobs/seal/heartbeat", "{}"),
        post("/v1/jobs/seal/outcome", serde_json::to_string(&sealed()).unwrap()),
    ]
}

#[tokio::test]
async fn an_unbound_instance_is_refused_everywhere() {
    let fixture = fixture().await;
    let stranger = CallerInstance(InstanceId::parse("i-unbound").unwrap());
    for request in every_request() {
        let router = agent_router(fixture.api.clone()).layer(Extension(stranger.clone()));
        assert_eq!(refused(router, request).await, (403, "unbound-instance".to_owned()));
    }
}

#[tokio::test]
async fn a_request_without_a_caller_is_refused_everywhere() {
    let fixture = fixture().await;
    for request in every_request() {
        let router = agent_router(fixture.api.clone());
        assert_eq!(refused(router, request).await, (403, "caller-unknown".to_owned()));
    }
}

#[tokio::test]
async fn what_does_not_fit_the_contract_is_refused() {
    let fixture = fixture().await;
    fixture.post("seal", JobWork::Seal).await;
    let mut stranger: Value = serde_json::to_value(hello()).unwrap();
    stranger["instance_id"] = json!("i-other");
    let long = format!(
        "{{\"outcome\":\"failed\",\"error\":\"x\",\"cause\":\"{}\"}}",
        "x".repeat(LONGEST_BODY_BYTES)
    );
    for (request, status, code) in [
        (post("/v1/hello", stranger.to_string()), 400, "body-unreadable"),
        (post("/v1/hello", "not json"), 400, "body-unreadable"),
        (post("/v1/hello", ""), 400, "body-unreadable"),
        (post("/v1/jobs/seal/heartbeat", r#"{"percent":5}"#), 400, "body-unreadable"),
        (post("/v1/jobs/seal/outcome", r#"{"outcome":"unknown"}"#), 400, "body-unreadable"),
        (
            post("/v1/jobs/seal/outcome", r#"{"outcome":"failed","error":"x","cause":"y","z":1}"#),
            400,
            "body-unreadable",
        ),
        (post("/v1/jobs/seal/outcome", long), 413, "body-too-large"),
        (get("/v1/job?wait_seconds=21"), 400, "query-invalid"),
        (get("/v1/job?wait_seconds=-1"), 400, "query-invalid"),
        (get("/v1/job?wait=1"), 400, "query-invalid"),
        (get("/v1/nothing"), 404, "not-found"),
        (get("/v1/hello"), 405, "method-not-allowed"),
    ] {
        let address = request.uri().to_string();
        assert_eq!(refused(fixture.router(), request).await, (status, code.to_owned()), "{address}");
    }
    assert!(fixture.told().is_empty());
}
