//! What a case is built of: a simulated cloud with agents in its instances, a register, a control bucket, and the whole
//! product in one process that can die and be started again.

pub mod backups;
pub mod customer;
mod past;
mod process;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use rekindle_cloud::CloudProvider;
use rekindle_cloud_sim::{Behaviour, SimulatedCloud};
use rekindle_cmdb::{EmbeddedRegister, NewestImage, Register};
use rekindle_domain::service::CurrentConfiguration;
use rekindle_domain::{
    BackupId, BackupKind, Digest, Flow, ImageId, MachineKey, RecoveryKind, Run, RunId, RunState, ServiceKey,
};
use rekindle_embedded_host::{EmbeddedHost, Options, Ports, WrapStep};
use rekindle_flow::{Execution, ExecutionStatus};
use rekindle_planning::register_epoch::first_epoch;
use rekindle_requests::recovery::Request;
use rekindle_step::{Clock, VirtualClock, Workflow};

use crate::agent::{Agents, Disk};
use crate::executions::Executions;
use crate::faults::{Ended, Faults, FaultyInvoker, LossyWorkflow};
use crate::store::MemoryStore;
use backups::{Backups, Taken};
use process::Process;

/// How often the sweep comes.
pub const SWEEP_INTERVAL: Duration = rekindle_planning::SWEEP_INTERVAL;
/// How often it comes when that has been going on for long: nothing is hurried any more, and a late sweep has to do.
const LATE_SWEEP_INTERVAL: Duration = Duration::from_mins(5);
/// How long it comes in time.
const SWEEPS_IN_TIME: Duration = Duration::from_mins(20);
/// When a case that is not quiet by then has failed.
pub const PATIENCE: Duration = Duration::from_hours(48);
/// How long the process is dead before it is started again.
const DEATH: Duration = Duration::from_mins(3);

/// Makes steps that are broken on purpose, from what sound ones are made of.
pub type Breakage = Arc<dyn Fn(&Ports, Arc<OnceLock<Arc<dyn Workflow>>>) -> WrapStep + Send + Sync>;

/// Puts something between the product and the cloud.
pub type WrapCloud = Arc<dyn Fn(SimulatedCloud) -> Arc<dyn CloudProvider> + Send + Sync>;

/// What may be different from one world to the next.
#[derive(Clone, Default)]
pub struct Variation {
    /// Where everything random comes from.
    pub seed: u64,
    /// Puts broken steps in place of sound ones.
    pub breakage: Option<Breakage>,
    /// Puts something between the product and the cloud.
    pub wrap_cloud: Option<WrapCloud>,
    /// The engine never fires a heartbeat time-out.
    pub without_heartbeat_time_outs: bool,
    /// What the cloud is like, besides its seed.
    pub behaviour: Behaviour,
}

/// Everything.
pub struct World {
    /// Where instances and images are.
    pub cloud: SimulatedCloud,
    /// The register.
    pub register: Register,
    /// The control bucket.
    pub store: Arc<MemoryStore>,
    /// What was backed up.
    pub backups: Arc<Backups>,
    /// The agents inside instances.
    pub agents: Arc<Agents>,
    /// The time.
    pub clock: Arc<VirtualClock>,
    /// Every execution there was.
    pub executions: Arc<Executions>,
    /// What goes wrong.
    pub faults: Arc<Faults>,
    process: Arc<Process>,
    variation: Variation,
    /// How executions stood on processes that are dead.
    buried: std::sync::Mutex<Vec<Execution>>,
    newest: std::sync::Mutex<BTreeMap<MachineKey, Vec<NewestImage>>>,
    /// What the workflow engine knows of processes from before a restore: on AWS it outlives the table.
    ended: Ended,
}

/// When every world begins.
fn epoch() -> Timestamp {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

impl World {
    /// A world with services and without backups.
    pub async fn new(variation: Variation) -> Self {
        let clock = Arc::new(VirtualClock::starting_at(epoch()));
        let cloud = SimulatedCloud::new(Behaviour { seed: variation.seed, ..variation.behaviour.clone() });
        let base = ImageId::parse(customer::BASE_IMAGE).unwrap();
        cloud.add_base_image(base, Disk { sealed: true, ..Disk::default() }.written());
        let keys = customer::signing_keys();
        let register = EmbeddedRegister::in_memory().await.unwrap();
        // Most cases begin with a past; a register that has one and no epoch is a restored one.
        let epoch_of_the_register = first_epoch(&register.table_id().await.unwrap(), clock.now());
        register.put_epoch(&epoch_of_the_register, None).await.unwrap();
        register.put_customer(&customer::customer()).await.unwrap();
        let configuration = CurrentConfiguration { revision: Digest::of(b"configuration 1"), counter: 1 };
        for service in customer::services(&keys.pk, &configuration) {
            register.put_service(&service, None).await.unwrap();
        }
        let backups = Arc::new(Backups::new(keys));
        let agents = Agents::new(backups.clone(), clock.clone());
        cloud.on_running(agents.hook());
        let process = Process::new(cloud.clone(), agents.clone());
        let faults = Arc::new(Faults::default());
        faults.surround(process.clone());
        let world = Self {
            cloud,
            register,
            store: Arc::default(),
            backups,
            agents,
            clock,
            executions: Executions::new(),
            faults,
            process,
            variation,
            buried: std::sync::Mutex::default(),
            newest: std::sync::Mutex::default(),
            ended: Ended::default(),
        };
        world.start_process();
        world
    }

    /// Starts the process on what there is.
    pub fn start_process(&self) {
        let ports = Ports {
            register: self.register.clone(),
            control: self.store.clone(),
            customer: customer::customer(),
            cloud: match &self.variation.wrap_cloud {
                Some(wrap) => wrap(self.cloud.clone()),
                None => Arc::new(self.cloud.clone()),
            },
            clock: self.clock.clone(),
            epoch: self.clock.now(),
        };
        let ended = self.ended.clone();
        let (for_steps, for_answers) = (self.faults.clone(), self.faults.clone());
        let workflow: Arc<OnceLock<Arc<dyn Workflow>>> = Arc::new(OnceLock::new());
        let never_silent = self.variation.without_heartbeat_time_outs.then(|| workflow.clone());
        let wrap_step = self.variation.breakage.as_ref().map(|breakage| breakage(&ports, workflow.clone()));
        let options = Options {
            jitter_seed: Some(self.variation.seed),
            observer: Some(self.executions.clone()),
            wrap_step,
            wrap_invoker: Some(Arc::new(move |inner| {
                let never_silent = never_silent.clone();
                Arc::new(FaultyInvoker { faults: for_steps.clone(), inner, never_silent })
            })),
            wrap_workflow: Some(Arc::new(move |inner| {
                Arc::new(LossyWorkflow { faults: for_answers.clone(), inner, ended: ended.clone() })
            })),
        };
        let host = EmbeddedHost::new(ports, options).unwrap();
        let _ = workflow.set(host.workflow());
        self.process.start(host);
    }

    /// Kills the process.
    pub fn kill(&self) {
        self.process.kill_host();
    }

    /// The table as it is now: what a later restore brings back.
    pub async fn save_register(&self) -> Register {
        EmbeddedRegister::restored_from(&self.register).await.unwrap()
    }

    /// The process is started anew with a table that was restored; the workflow engine knows what was carried out before.
    /// What was seen of the register before does not count.
    pub fn restore(&mut self, saved: Register) {
        self.restart_on(saved);
        let buried = self.buried.lock().unwrap();
        let names = buried.iter().map(|one| (one.state_machine.clone(), one.name.clone()));
        self.ended.lock().unwrap().extend(names);
        self.newest.lock().unwrap().clear();
    }

    /// The process dies, and is started anew on this register at once.
    pub fn restart_on(&mut self, register: Register) {
        self.kill();
        if let Some(corpse) = self.process.take_corpse() {
            self.buried.lock().unwrap().extend(corpse.runner().executions());
        }
        self.register = register;
        self.start_process();
    }

    /// The process, unless it is dead.
    pub fn host(&self) -> Option<EmbeddedHost> {
        self.process.host()
    }

    /// The process, from which others can be told that it died.
    pub fn surroundings(&self) -> Arc<dyn crate::faults::Surroundings> {
        self.process.clone()
    }

    /// The process, which must live.
    pub fn living_host(&self) -> EmbeddedHost {
        self.host().expect("the process lives")
    }

    /// Takes and publishes a backup.
    pub fn back_up(&self, machine: &MachineKey, kind: BackupKind) -> Taken {
        self.back_up_in_group(machine, kind, None)
    }

    /// Takes and publishes a backup of a group.
    pub fn back_up_in_group(&self, machine: &MachineKey, kind: BackupKind, group: Option<BackupId>) -> Taken {
        let taken = self.backups.take(machine, kind, group, self.clock.now());
        self.backups.publish(&self.store, &taken.set);
        taken
    }

    /// Publishes another configuration of the machine's service.
    pub async fn publish_configuration(&self, service: &ServiceKey, text: &str) {
        let version = self.register.service(service).await.unwrap().unwrap().version;
        let revision = Digest::of(text.as_bytes());
        self.register.publish_configuration(service, &revision, version).await.unwrap();
    }

    /// Starts a refresh and waits until its execution has ended or died.
    pub async fn refresh(&self, machine: &MachineKey) -> RunId {
        let host = self.living_host();
        let run_id = host.start_refresh(machine).await.unwrap();
        host.wait(Flow::RefreshImage, &run_id).await.unwrap();
        run_id
    }

    /// What somebody asks for: all services.
    pub fn request(&self, kind: RecoveryKind) -> Request {
        Request {
            kind,
            customer_id: customer::customer(),
            services: Vec::new(),
            requested_by: "Ada".to_owned(),
            reason: "the data centre is on fire".to_owned(),
            declared_at: self.clock.now(),
            at_or_before: None,
            target: None,
        }
    }

    /// How executions stand or stood, of this process and of those before it; the latest of each name is the last.
    pub fn all_executions(&self) -> Vec<Execution> {
        let mut all = self.buried.lock().unwrap().clone();
        all.extend(self.host().iter().flat_map(|host| host.runner().executions()));
        all
    }

    /// How the execution of a run ended last.
    pub fn execution(&self, run_id: &RunId) -> Option<Execution> {
        self.all_executions().into_iter().rfind(|execution| execution.name == run_id.as_str())
    }

    /// Remembers the newest image of every machine: the register must not go backwards.
    pub async fn remember_newest(&self) {
        for machine in customer::machines() {
            if let Some(newest) = self.register.machine_state(&machine).await.unwrap().newest {
                self.newest.lock().unwrap().entry(machine).or_default().push(newest);
            }
        }
    }

    /// The newest images of a machine, as they were seen one after the other.
    pub fn newest_seen(&self, machine: &MachineKey) -> Vec<NewestImage> {
        self.newest.lock().unwrap().get(machine).cloned().unwrap_or_default()
    }

    /// Starts the process again when it is dead.
    pub async fn revive(&self) {
        if let Some(corpse) = self.process.take_corpse() {
            self.buried.lock().unwrap().extend(corpse.runner().executions());
            tokio::time::sleep(DEATH).await;
            self.start_process();
        }
    }

    /// Lets the sweep come until nothing is left to do, and everything that was on its way has come.
    ///
    /// # Panics
    /// When that is not so after two days.
    pub async fn settle(&self) {
        let begun = tokio::time::Instant::now();
        let mut quiet = 0;
        while quiet < 2 {
            self.revive().await;
            let swept = self.living_host().sweep().await.unwrap();
            tracing::debug!(at = %self.clock.now(), %swept, "swept");
            self.remember_newest().await;
            quiet = if self.is_quiet().await { quiet + 1 } else { 0 };
            assert!(
                begun.elapsed() < PATIENCE,
                "not quiet after two days: {}",
                self.unrest().await.join("; ")
            );
            let in_time = begun.elapsed() < SWEEPS_IN_TIME;
            tokio::time::sleep(if in_time { SWEEP_INTERVAL } else { LATE_SWEEP_INTERVAL }).await;
        }
    }

    /// Lets time pass, and the sweep come in it.
    pub async fn sweep_for(&self, time: Duration) {
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < time {
            tokio::time::sleep(SWEEP_INTERVAL).await;
            self.living_host().sweep().await.unwrap();
        }
    }

    async fn is_quiet(&self) -> bool {
        self.unrest().await.is_empty()
    }

    /// What is still going on.
    async fn unrest(&self) -> Vec<String> {
        let mut unrest = Vec::new();
        for run in self.register.unfinished_runs().await.unwrap() {
            if !self.is_open_disaster(&run).await || !run.reported {
                unrest.push(format!("{:?} run {} is {:?}", run.flow, run.run_id, run.state));
            }
        }
        let executions = self.host().map(|host| host.runner().executions()).unwrap_or_default();
        let running = executions.iter().filter(|execution| execution.status == ExecutionStatus::Running);
        unrest
            .extend(running.map(|execution| format!("{} {} runs", execution.state_machine, execution.name)));
        if self.host().is_none() {
            unrest.push("the process is dead".to_owned());
        }
        if self.faults.late_effects() + self.cloud.pending_late_effects() > 0 {
            unrest.push("an effect is still to come".to_owned());
        }
        unrest
    }

    /// Whether a run is a declared disaster whose replicas are kept.
    pub async fn is_open_disaster(&self, run: &Run) -> bool {
        let Some(plan_id) = &run.plan_id else { return false };
        let plan = self.register.plan(plan_id).await.unwrap();
        run.state == RunState::Open
            && run.last_intent_at.is_some()
            && plan.is_some_and(|plan| plan.kind == RecoveryKind::Disaster)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.process.bury();
    }
}
