//! The agent's loop inside an instance: greet, pull a job, do it, report, again.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rekindle_domain::JobWork;
use rekindle_domain::job::{Hello, Job, JobOutcome, JobResult};
use rekindle_step::{ErrorName, StepError};
use tokio::time::Instant;

use super::{Instance, Progress, perform};
use crate::AGENT_VERSION;
use crate::api_client::{ApiClient, HeartbeatReport, LONGEST_WAIT, Reception};
use crate::files::{read_bounded, write_atomically};
use crate::state::State;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The jobs of a flow follow each other within seconds, and none is planned after a replica's check. The rest is for
/// steps that are tried again.
const EXPECTANT: Duration = Duration::from_secs(300);
/// Between two looks after that. A state that waits fails without a sign of life for two minutes.
const REST: Duration = Duration::from_secs(30);
/// So long an outcome is reported at least, also when the job's deadline has passed: as long as the states wait for a
/// sign of life. An agent that gives up asks for work again, and answers the same job with the same result.
const LAST_WORD: Duration = Duration::from_secs(120);

/// Serves until the instance is sealed, and then asks it to power off.
///
/// # Errors
/// When the request to power off cannot be written. Everything else is reported, or tried again for ever.
pub async fn serve(instance: &Instance, api: &ApiClient) -> Result<(), StepError> {
    // A sealed instance never takes another job, also when the agent is started anew in it.
    if !instance.places.sealed().exists() {
        greet(instance, api).await;
        while !serve_one(instance, api).await? {}
    }
    write_atomically(&instance.places.power_off(), b"", 0o644)
}

/// Whether the instance is sealed now.
async fn serve_one(instance: &Instance, api: &ApiClient) -> Result<bool, StepError> {
    let job = next_job(api).await;
    let Some(outcome) = work(instance, api, &job).await else {
        tracing::warn!(job = %job.id, "abandoned: nobody waits for it any more");
        return Ok(instance.places.sealed().exists());
    };
    report(api, &job, &outcome).await;
    let sealed = matches!(&outcome, JobOutcome::Succeeded { result: JobResult::Sealed });
    Ok(sealed || instance.places.sealed().exists())
}

async fn greet(instance: &Instance, api: &ApiClient) {
    let mut pause = FIRST_PAUSE;
    loop {
        let greeted = match hello(instance) {
            Ok(hello) => api.hello(&hello).await,
            Err(error) => Err(error),
        };
        match greeted {
            Ok(()) => return,
            Err(error) => tracing::warn!(error = error.chain(), "greeting again"),
        }
        pause = wait(pause).await;
    }
}

/// How the next job is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asking {
    /// Before asking.
    rest: Duration,
    /// What the API is asked to wait for a job.
    wait: Duration,
}

/// Waiting costs whoever runs the API, as long as it lasts: a replica that serves for months is only looked after.
fn asking(without_a_job_for: Duration) -> Asking {
    if without_a_job_for < EXPECTANT {
        Asking { rest: Duration::ZERO, wait: LONGEST_WAIT }
    } else {
        Asking { rest: REST, wait: Duration::ZERO }
    }
}

async fn next_job(api: &ApiClient) -> Job {
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let asking = asking(began.elapsed());
        tokio::time::sleep(asking.rest).await;
        match api.next_job(asking.wait).await {
            Ok(Some(job)) => return job,
            Ok(None) => pause = FIRST_PAUSE,
            Err(error) => {
                tracing::warn!(error = error.chain(), "asking again");
                pause = wait(pause).await;
            }
        }
    }
}

/// Reports until the orchestrator has taken it or does not want it, and says meanwhile that the agent is alive: the step
/// that waits could not be told yet, and must not give up.
async fn report(api: &ApiClient, job: &Job, outcome: &JobOutcome) {
    let told = async {
        tokio::select! {
            () = tell(api, job, outcome) => {}
            () = beat_after_work(api, job) => {}
        }
    };
    if tokio::time::timeout(time_left(job).max(LAST_WORD), told).await.is_err() {
        tracing::error!(job = %job.id, "the outcome was not taken before the job's deadline");
    }
}

async fn tell(api: &ApiClient, job: &Job, outcome: &JobOutcome) {
    let mut pause = FIRST_PAUSE;
    loop {
        match api.outcome(&job.id.step, outcome).await {
            Ok(_) => return,
            Err(error) => tracing::warn!(error = error.chain(), "reporting again"),
        }
        pause = wait(pause).await;
    }
}

async fn wait(pause: Duration) -> Duration {
    tokio::time::sleep(pause).await;
    (pause * 2).min(LONGEST_PAUSE)
}

/// Does a job within its deadline; none when the orchestrator abandoned it.
async fn work(instance: &Instance, api: &ApiClient, job: &Job) -> Option<JobOutcome> {
    tracing::info!(job = %job.id, work = job.work.name(), deadline = %job.deadline, "taken");
    let progress = Progress::default();
    let result = tokio::select! {
        result = tokio::time::timeout(time_left(job), perform(instance, job, &progress)) => {
            result.unwrap_or_else(|_| Err(too_late(&job.work)))
        }
        () = abandoned(api, job, &progress) => return None,
    };
    Some(outcome_of(job, result))
}

/// Until the job's deadline; nothing when that has passed.
fn time_left(job: &Job) -> Duration {
    Duration::try_from(job.deadline.duration_since(Timestamp::now())).unwrap_or_default()
}

fn too_late(work: &JobWork) -> StepError {
    StepError::new(ErrorName::JobDeadline, format!("{} did not end before its deadline", work.name()))
        .next_step("Give it more time: a larger instance, or a smaller set")
}

fn outcome_of(job: &Job, result: Result<JobResult, StepError>) -> JobOutcome {
    match result {
        Ok(result) => {
            tracing::info!(job = %job.id, "done");
            JobOutcome::Succeeded { result }
        }
        Err(error) => {
            tracing::error!(job = %job.id, name = %error.name, error = error.chain(), "failed");
            JobOutcome::Failed { error: error.name.to_string(), cause: error.chain() }
        }
    }
}

/// Beats until the orchestrator says that the job is not wanted any more.
async fn abandoned(api: &ApiClient, job: &Job, progress: &Progress) {
    while beat(api, job, progress).await == Reception::Accepted {
        tokio::time::sleep(interval(job)).await;
    }
}

/// Beats without an end: whether the outcome is wanted is for the answer to the outcome to say.
async fn beat_after_work(api: &ApiClient, job: &Job) {
    let progress = Progress::default();
    loop {
        tokio::time::sleep(interval(job)).await;
        beat(api, job, &progress).await;
    }
}

/// A heartbeat that was lost is no reason to stop the work.
async fn beat(api: &ApiClient, job: &Job, progress: &Progress) -> Reception {
    api.heartbeat(&job.id.step, &HeartbeatReport::of(progress)).await.unwrap_or_else(|error| {
        tracing::warn!(error = error.chain(), "a heartbeat was not taken");
        Reception::Accepted
    })
}

fn interval(job: &Job) -> Duration {
    let interval = Duration::from_secs(u64::from(job.heartbeat_seconds)) / 3;
    interval.max(Duration::from_millis(200))
}

/// What the instance says of itself.
///
/// # Errors
/// When its state cannot be read.
pub fn hello(instance: &Instance) -> Result<Hello, StepError> {
    let Instance { places, known, .. } = instance;
    let state = State::read(places)?;
    Ok(Hello {
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        ip_address: known.address.unwrap_or_else(own_address).to_string(),
        agent_version: AGENT_VERSION.to_owned(),
        applied: state.position(),
        revision: state.configuration.map(|configuration| configuration.revision),
        ssh_key_names: match &known.ssh_key_names {
            Some(names) => names.clone(),
            None => ssh_key_names(&places.authorized_keys()),
        },
    })
}

fn own_address() -> Ipv4Addr {
    let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    local_addresses(&table).find(|address| !address.is_loopback()).unwrap_or(Ipv4Addr::LOCALHOST)
}

/// The addresses that the kernel's routing table calls its own: a line with the address, then one that says `host LOCAL`.
fn local_addresses(table: &str) -> impl Iterator<Item = Ipv4Addr> {
    let lines: Vec<&str> = table.lines().map(str::trim).collect();
    let pairs: Vec<Option<Ipv4Addr>> = lines
        .windows(2)
        .map(|pair| match pair {
            [address, kind] if kind.ends_with("host LOCAL") => address.strip_prefix("|-- ")?.parse().ok(),
            _ => None,
        })
        .collect();
    pairs.into_iter().flatten()
}

fn ssh_key_names(path: &Path) -> Vec<String> {
    const LONGEST_BYTES: u64 = 256 * 1024;
    let bytes = read_bounded(path, LONGEST_BYTES).ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().nth(2).map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test whose folder cannot be used has failed")]
    use std::sync::{Arc, Mutex};

    use axum::Json;
    use axum::http::{StatusCode, Uri};
    use axum::response::IntoResponse as _;
    use rekindle_domain::job::JobId;
    use rekindle_domain::{MachineKey, RunId};

    use super::*;

    #[test]
    fn a_job_is_waited_for_at_first_and_looked_for_now_and_then_later() {
        let waiting = Asking { rest: Duration::ZERO, wait: LONGEST_WAIT };
        assert_eq!(asking(Duration::ZERO), waiting);
        assert_eq!(asking(EXPECTANT - Duration::from_secs(1)), waiting);
        assert_eq!(asking(EXPECTANT), Asking { rest: REST, wait: Duration::ZERO });
        assert_eq!(asking(EXPECTANT * 1_000), asking(EXPECTANT));
    }

    fn a_job() -> Job {
        let machine = MachineKey::parse("acme/orders/database").unwrap();
        let id = JobId { run_id: RunId::mint(), machine, step: "seal".to_owned() };
        Job { id, work: JobWork::Seal, deadline: Timestamp::now(), heartbeat_seconds: 30 }
    }

    /// An API that has a job when it is asked for the twentieth time, and notes how long it was asked to wait.
    fn api(socket: &Path) -> Arc<Mutex<Vec<u64>>> {
        let asked: Arc<Mutex<Vec<u64>>> = Arc::default();
        let notes = asked.clone();
        let answer = async move |uri: Uri| {
            let wait: u64 = uri.query().unwrap().strip_prefix("wait_seconds=").unwrap().parse().unwrap();
            notes.lock().unwrap().push(wait);
            if notes.lock().unwrap().len() == 20 {
                return Json(a_job()).into_response();
            }
            tokio::time::sleep(Duration::from_secs(wait)).await;
            StatusCode::NO_CONTENT.into_response()
        };
        let listener = tokio::net::UnixListener::bind(socket).unwrap();
        let router = axum::Router::new().route("/v1/job", axum::routing::get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        asked
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_without_a_job_rests_between_looks_and_takes_the_job_that_comes() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("api.sock");
        let (asked, began) = (api(&socket), Instant::now());
        let job = next_job(&ApiClient::new(&socket)).await;
        assert_eq!(job.work, JobWork::Seal);
        assert_eq!(*asked.lock().unwrap(), [vec![20; 15], vec![0; 5]].concat());
        assert!(began.elapsed() >= EXPECTANT + REST * 5, "{:?}", began.elapsed());
    }

    #[test]
    fn the_own_address_is_the_one_that_others_reach() {
        let table = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.77.0.4\n        /32 host LOCAL\n     |-- 127.0.0.1\n        \
                     /32 host LOCAL\n     |-- 10.77.0.255\n        /32 link BROADCAST\n";
        let found: Vec<_> = local_addresses(table).collect();
        assert_eq!(found, [Ipv4Addr::new(10, 77, 0, 4), Ipv4Addr::LOCALHOST]);
    }

    #[test]
    fn keys_are_named_by_their_comments() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authorized_keys");
        std::fs::write(&path, "# none\nssh-ed25519 AAAA operator@acme\nssh-ed25519 AAAA\n").unwrap();
        assert_eq!(ssh_key_names(&path), ["operator@acme"]);
        assert!(ssh_key_names(&folder.path().join("absent")).is_empty());
    }
}
