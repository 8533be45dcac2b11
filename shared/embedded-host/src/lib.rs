//! All steps, flows, the register and the interfaces in one process.
//!
//! What `lambda-host`, Step Functions and API Gateway are on AWS, this crate is on one machine: it runs the same state
//! machine files with the same steps against whichever cloud provider it is given.

mod agents;
mod flows;
mod functions;
mod invoker;
mod wake;
mod workflow;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rekindle_api::AgentApi;
use rekindle_cloud::CloudProvider;
use rekindle_cmdb::Register;
use rekindle_domain::{CustomerId, Flow, MachineKey, RunId};
use rekindle_flow::{Execution, HistoryObserver, Runner, RunnerOptions, TaskInvoker};
use rekindle_instances::AgentJobs;
use rekindle_requests::recovery::{Request, start_recovery};
use rekindle_requests::refresh::start_refresh;
use rekindle_step::{Clock, DynamicStep, StepContext, StepError, Workflow};
use rekindle_step_host::Recorder;
use rekindle_store::ObjectStore;

pub use agents::serve_agent;
pub use flows::{SOURCES, load as load_flows};
pub use wake::wake_on_arrivals;

/// What the host is built on.
#[derive(Clone)]
pub struct Ports {
    /// The register.
    pub register: Register,
    /// The control bucket.
    pub control: Arc<dyn ObjectStore>,
    /// The customer under whose name the control bucket remembers how far the register has come.
    pub customer: CustomerId,
    /// Where instances and images are.
    pub cloud: Arc<dyn CloudProvider>,
    /// The time. It must agree with `epoch`.
    pub clock: Arc<dyn Clock>,
    /// What the clock shows when the host is built.
    pub epoch: Timestamp,
}

/// Puts something around a step: tests break steps with it.
pub type WrapStep = Arc<dyn Fn(Arc<dyn DynamicStep>) -> Arc<dyn DynamicStep> + Send + Sync>;
/// Puts something around all invocations: tests lose answers with it.
pub type WrapInvoker = Arc<dyn Fn(Arc<dyn TaskInvoker>) -> Arc<dyn TaskInvoker> + Send + Sync>;
/// Puts something between everybody and the runner: tests lose callbacks with it.
pub type WrapWorkflow = Arc<dyn Fn(Arc<dyn Workflow>) -> Arc<dyn Workflow> + Send + Sync>;

/// What may be different from one host to the next.
#[derive(Clone, Default)]
pub struct Options {
    /// The seed of retry jitter; none takes one by chance.
    pub jitter_seed: Option<u64>,
    /// Is told of every event of every execution.
    pub observer: Option<Arc<dyn HistoryObserver>>,
    /// Put around every step.
    pub wrap_step: Option<WrapStep>,
    /// Put around all invocations.
    pub wrap_invoker: Option<WrapInvoker>,
    /// Put around the runner as steps, agents and the sweep see it.
    pub wrap_workflow: Option<WrapWorkflow>,
}

/// Why a host could not be built.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A state machine file is not what the runner knows.
    #[error("a state machine could not be loaded")]
    Flow(#[from] rekindle_flow::LoadError),
}

/// The whole product in one process.
#[derive(Clone)]
pub struct EmbeddedHost {
    ports: Ports,
    runner: Runner,
    workflow: Arc<dyn Workflow>,
    functions: functions::Functions,
    invoker: Arc<invoker::StepInvoker>,
    agents: AgentApi,
}

impl EmbeddedHost {
    /// Loads the state machines and makes the steps.
    ///
    /// # Errors
    /// When a state machine file is not what the runner knows.
    pub fn new(ports: Ports, options: Options) -> Result<Self, HostError> {
        let attachable = Arc::new(workflow::RunnerWorkflow::default());
        let workflow: Arc<dyn Workflow> = match &options.wrap_workflow {
            Some(wrap) => wrap(attachable.clone()),
            None => attachable.clone(),
        };
        let poll_seconds = whole_poll_seconds(ports.cloud.characteristics().poll_interval);
        let agents = AgentApi::new(ports.register.clone(), workflow.clone(), ports.clock.clone());
        let jobs = agent_jobs(&ports, workflow.clone(), &agents);
        let functions =
            functions::Functions::new(&ports, &workflow, jobs, poll_seconds, options.wrap_step.as_ref());
        let recorder = Recorder::new(ports.register.clone(), ports.clock.clone());
        let invoker = Arc::new(invoker::StepInvoker::new(functions.clone(), recorder));
        let outer: Arc<dyn TaskInvoker> = match &options.wrap_invoker {
            Some(wrap) => wrap(invoker.clone()),
            None => invoker.clone(),
        };
        let mut runner_options =
            RunnerOptions { epoch: ports.epoch, observer: options.observer, ..RunnerOptions::default() };
        if let Some(seed) = options.jitter_seed {
            runner_options.jitter_seed = seed;
        }
        let runner = Runner::new(outer, runner_options);
        for machine in flows::load()? {
            runner.add(machine);
        }
        attachable.attach(&runner);
        Ok(Self { ports, runner, workflow, functions, invoker, agents })
    }

    /// The register.
    pub fn register(&self) -> &Register {
        &self.ports.register
    }

    /// Runs the state machines.
    pub fn runner(&self) -> &Runner {
        &self.runner
    }

    /// The same as a port.
    pub fn workflow(&self) -> Arc<dyn Workflow> {
        self.workflow.clone()
    }

    /// What agents may ask and report.
    pub fn agents(&self) -> &AgentApi {
        &self.agents
    }

    /// Starts a refresh of a machine.
    ///
    /// # Errors
    /// When the runner does not take it.
    pub async fn start_refresh(&self, machine: &MachineKey) -> Result<RunId, StepError> {
        let run_id = RunId::mint();
        start_refresh(self.workflow.as_ref(), &run_id, machine).await?;
        Ok(run_id)
    }

    /// Starts a recovery: a declared disaster or a rehearsal.
    ///
    /// # Errors
    /// When the runner does not take it.
    pub async fn start_recovery(&self, request: &Request) -> Result<RunId, StepError> {
        let run_id = RunId::mint();
        start_recovery(self.workflow.as_ref(), &run_id, request).await?;
        Ok(run_id)
    }

    /// Waits until an execution has ended; nothing when there is none.
    pub async fn wait(&self, flow: Flow, run_id: &RunId) -> Option<Execution> {
        self.runner.wait(flow.state_machine(), run_id.as_str()).await
    }

    /// Sweeps once.
    ///
    /// # Errors
    /// When the register cannot be read.
    pub async fn sweep(&self) -> Result<serde_json::Value, StepError> {
        self.call("sweep", serde_json::json!({})).await
    }

    /// Ends an open recovery: destroys its replicas, until nothing is left.
    ///
    /// # Errors
    /// When something is left after two minutes: call again, or leave it to the sweep.
    pub async fn end_recovery(&self, run_id: &RunId) -> Result<(), StepError> {
        const ROUNDS: u32 = 600;
        for _ in 0..ROUNDS {
            let answer = self.call("destroy", serde_json::json!({ "run_id": run_id })).await?;
            if answer["status"] == "Clear" {
                return Ok(());
            }
            tokio::time::sleep(self.ports.cloud.characteristics().poll_interval).await;
        }
        Err(StepError::dirty(format!("replicas of the recovery {run_id} are still there"))
            .next_step("Run the command again, or leave it to the sweep"))
    }

    /// Calls a function outside of a flow, as a schedule does.
    async fn call(&self, function: &str, input: serde_json::Value) -> Result<serde_json::Value, StepError> {
        let step = self
            .functions
            .get(function)
            .ok_or_else(|| StepError::permanent(format!("there is no function {function}")))?;
        step.invoke(input, &StepContext { state: function.to_owned() }).await
    }

    /// Ends everything at once, as the death of the process would: executions have no ending, steps stop where they
    /// stand. For tests.
    pub fn kill(&self) {
        self.runner.kill();
        self.invoker.kill();
    }
}

/// Agents of this process look for their job at once, not only at their next look.
fn agent_jobs(ports: &Ports, workflow: Arc<dyn Workflow>, agents: &AgentApi) -> AgentJobs {
    let posted = agents.job_posted();
    AgentJobs::new(ports.register.clone(), workflow, ports.clock.clone())
        .announcing(Arc::new(move || posted.notify_waiters()))
}

/// A Wait state takes whole seconds; polling without a pause would starve what is waited for.
fn whole_poll_seconds(interval: Duration) -> u64 {
    interval.as_secs_f64().ceil().max(1.0) as u64
}
