//! The agent inside a simulated instance. It does what the real one does, to a disk that is one JSON value.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rekindle_api::{AgentApi, AgentApiError};
use rekindle_cloud_sim::{RunningHook, SimulatedInstance};
use rekindle_domain::job::{Hello, JobResult};
use rekindle_domain::{
    BackupId, BackupKind, Check, CheckKind, ImageId, Job, JobOutcome, JobWork, MachineKey, RevisionId, RunId,
    SetPosition, Verdict,
};
use rekindle_step::{Clock, ErrorName};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::world::backups::{Backups, Taken};

/// From the start of the instance to the agent's first word.
const START: Duration = Duration::from_secs(5);
/// How long an agent waits before it asks again, when nobody wakes it.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// How often an agent says that it goes on.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// What the disk of an instance or image holds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Disk {
    /// The newest set inside.
    pub applied: Option<SetPosition>,
    /// Its name.
    pub backup_id: Option<BackupId>,
    /// The configuration inside.
    pub revision: Option<RevisionId>,
    /// The customer's data.
    pub data: String,
    /// Whether the engines were stopped cleanly and the keys wiped.
    pub sealed: bool,
    /// Whether the service was started.
    pub serving: bool,
}

impl Disk {
    /// Reads a disk.
    pub fn read(disk: &serde_json::Value) -> Self {
        serde_json::from_value(disk.clone()).unwrap_or_default()
    }

    /// As the cloud keeps it.
    pub fn written(&self) -> serde_json::Value {
        json!(self)
    }

    /// Whether it holds what the machine held when this set was taken.
    pub fn holds(&self, taken: &Taken) -> bool {
        self.applied == Some(taken.set.position)
            && self.backup_id.as_ref() == Some(&taken.set.backup_id)
            && self.data == taken.data
    }
}

/// What is to go wrong inside of instances.
#[derive(Debug, Default)]
struct Sabotage {
    /// Instances of these images never report.
    unbootable: BTreeSet<ImageId>,
    /// The next instance of these runs dies before it reports.
    doomed: BTreeSet<RunId>,
    /// Restoring these sets brings back something else.
    garbled: BTreeSet<BackupId>,
}

/// All agents, and what they share.
pub struct Agents {
    api: Mutex<Option<AgentApi>>,
    backups: Arc<Backups>,
    clock: Arc<dyn Clock>,
    posted: Notify,
    sabotage: Mutex<Sabotage>,
    /// When replicas first answered correctly, by run and machine.
    served: Mutex<BTreeMap<(RunId, String), Timestamp>>,
}

impl Agents {
    /// Nobody yet.
    pub fn new(backups: Arc<Backups>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            api: Mutex::default(),
            backups,
            clock,
            posted: Notify::new(),
            sabotage: Mutex::default(),
            served: Mutex::default(),
        })
    }

    /// Puts an agent into every instance that begins to run.
    pub fn hook(self: &Arc<Self>) -> RunningHook {
        let agents = self.clone();
        Arc::new(move |instance| {
            tokio::spawn(live(agents.clone(), instance));
        })
    }

    /// Says whom agents talk to from now on; nobody, while the process is dead.
    pub fn talk_to(&self, api: Option<AgentApi>) {
        *self.api.lock().unwrap_or_else(PoisonError::into_inner) = api;
    }

    /// Lets every agent ask for work now.
    pub fn wake(&self) {
        self.posted.notify_waiters();
    }

    /// Instances of this image never report.
    pub fn refuse_to_boot(&self, image_id: &ImageId) {
        self.sabotage().unbootable.insert(image_id.clone());
    }

    /// The next instance of this run dies before it reports.
    pub fn doom_next(&self, run_id: &RunId) {
        self.sabotage().doomed.insert(run_id.clone());
    }

    /// Restoring this set brings back something else, from now on or no more.
    pub fn garble(&self, backup_id: &BackupId, garbled: bool) {
        let mut sabotage = self.sabotage();
        if garbled {
            sabotage.garbled.insert(backup_id.clone());
        } else {
            sabotage.garbled.remove(backup_id);
        }
    }

    /// Whether a replica of the machine answered correctly in this run, and by then.
    pub fn had_served(&self, run_id: &RunId, machine: &MachineKey, by: Timestamp) -> bool {
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.get(&(run_id.clone(), machine.to_string())).is_some_and(|since| *since <= by)
    }

    fn sabotage(&self) -> std::sync::MutexGuard<'_, Sabotage> {
        self.sabotage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn api(&self) -> Option<AgentApi> {
        self.api.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Runs until the instance is off.
async fn live(agents: Arc<Agents>, instance: SimulatedInstance) {
    let off = instance.stopped();
    let agent = Agent { agents, instance, answers: BTreeMap::new() };
    tokio::select! {
        () = off => {}
        () = agent.work() => {}
    }
}

struct Agent {
    agents: Arc<Agents>,
    instance: SimulatedInstance,
    /// What was answered, by step: a job that is handed out again is answered again.
    answers: BTreeMap<String, JobOutcome>,
}

impl Agent {
    async fn work(mut self) {
        sleep(START).await;
        if self.agents.sabotage().doomed.remove(&self.instance.run_id) {
            self.instance.power_off();
        }
        if self.agents.sabotage().unbootable.contains(&self.instance.image_id) {
            std::future::pending::<()>().await;
        }
        self.instance.update_disk(|disk| *disk = Disk { sealed: false, ..Disk::read(disk) }.written());
        while !self.say_hello().await {
            sleep(Duration::from_secs(5)).await;
        }
        loop {
            let agents = self.agents.clone();
            let posted = agents.posted.notified();
            tokio::pin!(posted);
            posted.as_mut().enable();
            match self.next_job().await {
                Some(job) => self.do_job(job).await,
                None => drop(tokio::time::timeout(ASK_AGAIN, posted).await),
            }
        }
    }

    async fn say_hello(&self) -> bool {
        let Some(api) = self.agents.api() else { return false };
        let disk = self.disk();
        let hello = Hello {
            hostname: self.instance.hostname.clone(),
            ip_address: self.instance.ip_address.clone(),
            agent_version: "0.1.0".to_owned(),
            applied: disk.applied,
            revision: disk.revision,
            ssh_key_names: Vec::new(),
        };
        api.hello(&self.instance.instance_id, &hello).await.is_ok()
    }

    async fn next_job(&self) -> Option<Job> {
        self.agents.api()?.next_job(&self.instance.instance_id, Duration::ZERO).await.ok()?
    }

    async fn do_job(&mut self, job: Job) {
        let outcome = match self.answers.get(&job.id.step) {
            Some(outcome) => outcome.clone(),
            None => {
                let done = tokio::select! {
                    outcome = self.carry_out(&job) => Some(outcome),
                    () = self.beat_until_gone(&job.id.step) => None,
                };
                let Some(outcome) = done else {
                    // Nobody wants it any more, and it would be handed out again at once.
                    sleep(Duration::from_secs(5)).await;
                    return;
                };
                self.answers.insert(job.id.step.clone(), outcome.clone());
                outcome
            }
        };
        let is_sealed = matches!(outcome, JobOutcome::Succeeded { result: JobResult::Sealed });
        tokio::select! {
            () = self.tell(&job.id.step, &outcome) => {}
            () = self.beat(&job.id.step) => {}
        }
        if is_sealed {
            self.instance.power_off();
        }
    }

    /// Says that it goes on; ends when nobody wants the work any more.
    async fn beat_until_gone(&self, step: &str) {
        while self.is_wanted(step).await {
            sleep(HEARTBEAT).await;
        }
    }

    /// Says without an end that it goes on.
    async fn beat(&self, step: &str) {
        loop {
            sleep(HEARTBEAT).await;
            self.is_wanted(step).await;
        }
    }

    async fn is_wanted(&self, step: &str) -> bool {
        let Some(api) = self.agents.api() else { return true };
        let told = api.heartbeat(&self.instance.instance_id, step, None).await;
        !matches!(told, Err(AgentApiError::JobGone { .. }))
    }

    /// Reports until the outcome was taken, or nobody wants it.
    async fn tell(&self, step: &str, outcome: &JobOutcome) {
        loop {
            if let Some(api) = self.agents.api() {
                let told = api.outcome(&self.instance.instance_id, step, outcome.clone()).await;
                if matches!(told, Ok(()) | Err(AgentApiError::JobGone { .. })) {
                    return;
                }
            }
            sleep(Duration::from_secs(5)).await;
        }
    }

    async fn carry_out(&self, job: &Job) -> JobOutcome {
        sleep(duration(&job.work)).await;
        let done = match &job.work {
            JobWork::Boot => Err((ErrorName::AgentFailed, "Boot is never handed out".to_owned())),
            JobWork::UpdateConfiguration { revision } => Ok(self.configure(revision)),
            JobWork::TransferAndRestore { sets, applied } => self.restore(sets, *applied),
            JobWork::Verify { backup_id } => self.verify(backup_id),
            JobWork::Seal => Ok(self.seal()),
            JobWork::Activate => Ok(self.activate()),
            JobWork::CheckReplica => self.check_replica(job),
        };
        match done {
            Ok(result) => JobOutcome::Succeeded { result },
            Err((error, cause)) => JobOutcome::Failed { error: error.as_str().to_owned(), cause },
        }
    }

    fn disk(&self) -> Disk {
        Disk::read(&self.instance.disk())
    }

    fn change(&self, change: impl FnOnce(&mut Disk)) {
        self.instance.update_disk(|written| {
            let mut disk = Disk::read(written);
            change(&mut disk);
            *written = disk.written();
        });
    }

    fn configure(&self, revision: &RevisionId) -> JobResult {
        self.change(|disk| disk.revision = Some(revision.clone()));
        JobResult::ConfigurationUpdated { revision: revision.clone(), files_written: 1 }
    }

    fn restore(&self, sets: &[BackupId], applied: Option<SetPosition>) -> Result<JobResult, Refusal> {
        let all = sets.iter().map(|id| self.set(id)).collect::<Result<Vec<Taken>, Refusal>>()?;
        let begun = all.iter().any(|taken| self.disk().backup_id.as_ref() == Some(&taken.set.backup_id));
        if !begun && self.disk().applied != applied {
            return Err((ErrorName::SetOutOfOrder, "the image does not hold what was planned".to_owned()));
        }
        for taken in &all {
            if self.disk().backup_id.as_ref() != Some(&taken.set.backup_id) {
                self.apply(taken)?;
            }
        }
        let applied = self.disk().applied.unwrap();
        let fetched_bytes = all.iter().map(|taken| taken.set.stored_bytes().0).sum();
        Ok(JobResult::Restored { applied, fetched_bytes, restored_bytes: fetched_bytes })
    }

    fn apply(&self, taken: &Taken) -> Result<(), Refusal> {
        let disk = self.disk();
        let set = &taken.set;
        if disk.applied.is_some_and(|applied| applied >= set.position) {
            return Err((
                ErrorName::SetOutOfOrder,
                format!("{} is not newer than what is applied", set.position),
            ));
        }
        if set.kind == BackupKind::Incremental && disk.backup_id != set.parent_id {
            return Err((
                ErrorName::SetOutOfOrder,
                format!("{} does not continue what is applied", set.position),
            ));
        }
        let increment = format!(", orders of {}", set.position);
        let restored = match set.kind {
            BackupKind::Full => taken.data.clone(),
            BackupKind::Incremental => disk.data + &increment,
        };
        let is_garbled = self.agents.sabotage().garbled.contains(&set.backup_id);
        self.change(|disk| {
            disk.data = if is_garbled { "yesterday's orders".to_owned() } else { restored };
            disk.applied = Some(set.position);
            disk.backup_id = Some(set.backup_id.clone());
        });
        Ok(())
    }

    fn set(&self, backup_id: &BackupId) -> Result<Taken, Refusal> {
        let missing = || (ErrorName::ObjectMissing, format!("the objects of {backup_id} are gone"));
        self.agents.backups.set(backup_id).ok_or_else(missing)
    }

    fn verify(&self, backup_id: &BackupId) -> Result<JobResult, Refusal> {
        Ok(JobResult::Verified { verdict: self.verdict(&self.set(backup_id)?, Vec::new()) })
    }

    fn verdict(&self, taken: &Taken, more: Vec<Check>) -> Verdict {
        let disk = self.disk();
        let found = disk.backup_id.as_ref().and_then(|id| self.agents.backups.set(id));
        let recovery_point = found.map(|found| found.set.recovery_point_time());
        let mut verdict = verdict_of(&disk, taken, recovery_point, self.agents.clock.now());
        verdict.checks.extend(more);
        verdict
    }

    fn seal(&self) -> JobResult {
        self.change(|disk| disk.sealed = true);
        JobResult::Sealed
    }

    fn activate(&self) -> JobResult {
        self.change(|disk| disk.serving = true);
        JobResult::Activated { programs: vec!["shop".to_owned()] }
    }

    fn check_replica(&self, job: &Job) -> Result<JobResult, Refusal> {
        let disk = self.disk();
        let backup_id = disk.backup_id.clone();
        let taken = backup_id.and_then(|id| self.agents.backups.set(&id));
        let taken = taken.ok_or_else(|| (ErrorName::AgentFailed, "there is no data".to_owned()))?;
        let verdict = self.verdict(&taken, vec![check(CheckKind::Application, disk.serving)]);
        if verdict.passed() {
            let served = (job.id.run_id.clone(), job.id.machine.to_string());
            let mut all = self.agents.served.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(served).or_insert_with(|| self.agents.clock.now());
        }
        Ok(JobResult::ReplicaChecked { verdict })
    }
}

type Refusal = (ErrorName, String);

/// Facts about a disk, held against what the machine held when the set was taken.
pub fn verdict_of(disk: &Disk, taken: &Taken, recovery_point: Option<Timestamp>, now: Timestamp) -> Verdict {
    let checks = [
        (CheckKind::Position, disk.applied == Some(taken.set.position)),
        (CheckKind::Heartbeat, disk.backup_id.as_ref() == Some(&taken.set.backup_id)),
        (CheckKind::Probe, disk.data == taken.data),
        (CheckKind::Structure, true),
    ];
    let checks = checks.into_iter().map(|(kind, passed)| check(kind, passed)).collect();
    Verdict { checks, recovery_point, verified_at: now }
}

fn check(kind: CheckKind, passed: bool) -> Check {
    Check {
        kind,
        name: format!("{kind:?}").to_lowercase(),
        data_store: None,
        passed,
        explanation: if passed { "it held" } else { "it did not hold" }.to_owned(),
    }
}

fn duration(work: &JobWork) -> Duration {
    Duration::from_secs(match work {
        JobWork::TransferAndRestore { .. } => 45,
        JobWork::Verify { .. } => 15,
        _ => 10,
    })
}
