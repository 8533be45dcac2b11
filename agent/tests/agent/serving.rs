//! The agent's loop against an agent API over a Unix socket.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use rekindle_agent::api_client::ApiClient;
use rekindle_agent::jobs::serve;
use rekindle_domain::JobWork;
use rekindle_domain::job::{Hello, Job, JobOutcome, JobResult};

use crate::world::{World, job};

#[derive(Default)]
pub struct Orchestrator {
    pub jobs: VecDeque<Job>,
    greetings: Vec<Hello>,
    heartbeats: Vec<String>,
    pub outcomes: Vec<(String, JobOutcome)>,
    /// Reports that are answered with an error first.
    stumbles: u32,
    /// Outcomes are answered with an error until the agent has said once more that it is alive.
    must_beat: bool,
    refused: u32,
    /// Outcomes of this step are answered as gone.
    gone: Option<String>,
    unwanted: Option<String>,
}

pub type Shared = Arc<Mutex<Orchestrator>>;

fn start(world: &World, orchestrator: &Shared) -> ApiClient {
    ApiClient::new(listen(world, orchestrator))
}

/// Serves the agent API; the socket.
pub fn listen(world: &World, orchestrator: &Shared) -> PathBuf {
    let socket = world.folder.path().join("api.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let router = Router::new()
        .route("/v1/hello", post(greeted))
        .route("/v1/job", get(asked))
        .route("/v1/jobs/{step}/heartbeat", post(beaten))
        .route("/v1/jobs/{step}/outcome", post(reported))
        .with_state(orchestrator.clone());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    socket
}

async fn greeted(State(state): State<Shared>, Json(hello): Json<Hello>) -> StatusCode {
    let mut state = state.lock().unwrap();
    if state.stumbles > 0 {
        state.stumbles -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    state.greetings.push(hello);
    StatusCode::NO_CONTENT
}

async fn asked(State(state): State<Shared>) -> Response {
    match state.lock().unwrap().jobs.pop_front() {
        Some(job) => Json(job).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn beaten(
    State(state): State<Shared>,
    Path(step): Path<String>,
    Json(_): Json<serde_json::Value>,
) -> StatusCode {
    let mut state = state.lock().unwrap();
    state.heartbeats.push(step.clone());
    if state.refused > 0 {
        state.must_beat = false;
    }
    if state.unwanted.as_ref() == Some(&step) { StatusCode::GONE } else { StatusCode::NO_CONTENT }
}

async fn reported(
    State(state): State<Shared>,
    Path(step): Path<String>,
    Json(outcome): Json<JobOutcome>,
) -> StatusCode {
    let mut state = state.lock().unwrap();
    if state.stumbles > 0 {
        state.stumbles -= 1;
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    if state.must_beat {
        state.refused += 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let is_gone = state.gone.as_ref() == Some(&step);
    state.outcomes.push((step, outcome));
    if is_gone { StatusCode::GONE } else { StatusCode::NO_CONTENT }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_greets_works_is_sealed_and_asks_to_be_powered_off() {
    let world = World::sqlite();
    world.fill(100);
    let full = world.backup_id("full");
    let builder = world.builder("builder");
    let orchestrator = Shared::default();
    {
        let mut state = orchestrator.lock().unwrap();
        state.stumbles = 2;
        state.jobs = [
            JobWork::TransferAndRestore { sets: vec![full.clone()], applied: None },
            JobWork::Verify { backup_id: full },
            JobWork::Seal,
            JobWork::Activate,
        ]
        .map(job)
        .into();
    }
    let api = start(&world, &orchestrator);
    tokio::time::timeout(Duration::from_secs(60), serve(&builder, &api)).await.expect("it hangs").unwrap();
    let state = orchestrator.lock().unwrap();
    assert_eq!(state.greetings.len(), 1);
    assert_eq!(state.greetings[0].applied, None);
    let steps: Vec<&str> = state.outcomes.iter().map(|(step, _)| step.as_str()).collect();
    assert_eq!(steps, ["transfer-and-restore", "verify", "seal"], "{:?}", state.outcomes);
    for (_, outcome) in &state.outcomes {
        assert!(matches!(outcome, JobOutcome::Succeeded { .. }), "{outcome:?}");
    }
    assert_eq!(state.jobs.len(), 1, "a sealed instance took another job");
    assert!(builder.places.power_off().exists());
    // The other jobs may well be done before their first heartbeat.
    assert!(state.heartbeats.iter().any(|step| step == "transfer-and-restore"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_a_missed_deadline_and_an_abandoned_job_are_three_things() {
    let world = World::sqlite();
    let builder = world.builder("builder");
    let orchestrator = Shared::default();
    // A program that never answers keeps this job busy.
    let programs = r#"[{"name":"shop","command":["/bin/sleep","60"],"health_url":"http://127.0.0.1:1/"}]"#;
    crate::world::write(&builder.places.programs(), programs.as_bytes());
    world.fill(10);
    let full = world.backup_id("full");
    crate::world::restore(&builder, &[&full], None).await.unwrap();
    {
        let mut state = orchestrator.lock().unwrap();
        let mut late = job(JobWork::Activate);
        late.id.step = "late".to_owned();
        late.deadline = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1);
        let mut unwanted = job(JobWork::Activate);
        unwanted.id.step = "unwanted".to_owned();
        state.unwanted = Some("unwanted".to_owned());
        let mut wrong = job(JobWork::Boot);
        wrong.id.step = "wrong".to_owned();
        state.jobs = [unwanted, late, wrong, job(JobWork::Seal)].into();
    }
    let api = start(&world, &orchestrator);
    tokio::time::timeout(Duration::from_secs(60), serve(&builder, &api)).await.expect("it hangs").unwrap();
    let state = orchestrator.lock().unwrap();
    let named: Vec<(&str, &str)> = state
        .outcomes
        .iter()
        .map(|(step, outcome)| match outcome {
            JobOutcome::Failed { error, .. } => (step.as_str(), error.as_str()),
            JobOutcome::Succeeded { result: JobResult::Sealed } => (step.as_str(), "sealed"),
            JobOutcome::Succeeded { .. } => (step.as_str(), "succeeded"),
        })
        .collect();
    assert_eq!(named, [("late", "Agent.JobDeadline"), ("wrong", "Step.InputInvalid"), ("seal", "sealed")]);
}

/// A job that fails at once.
fn wrong_job(step: &str) -> Job {
    let mut wrong = job(JobWork::Boot);
    step.clone_into(&mut wrong.id.step);
    wrong.heartbeat_seconds = 1;
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_could_not_be_delivered_is_reported_again_by_an_agent_that_beats() {
    let world = World::sqlite();
    world.fill(10);
    let full = world.backup_id("full");
    let builder = world.builder("builder");
    crate::world::restore(&builder, &[&full], None).await.unwrap();
    let orchestrator = Shared::default();
    {
        let mut state = orchestrator.lock().unwrap();
        state.must_beat = true;
        // What is answered as gone is not reported again, and the next job is done.
        state.gone = Some("gone".to_owned());
        state.jobs = [wrong_job("untold"), wrong_job("gone"), job(JobWork::Seal)].into();
    }
    let api = start(&world, &orchestrator);
    tokio::time::timeout(Duration::from_secs(60), serve(&builder, &api)).await.expect("it hangs").unwrap();
    let state = orchestrator.lock().unwrap();
    let steps: Vec<&str> = state.outcomes.iter().map(|(step, _)| step.as_str()).collect();
    assert_eq!(steps, ["untold", "gone", "seal"]);
    assert!(state.refused > 0 && state.heartbeats.iter().any(|step| step == "untold"));
}
