//! The real alternative, measured in the same run: an empty instance is started when the disaster has struck, and the
//! same backups are fetched, decrypted, restored and served.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rekindle_cloud::{CloudProvider, Purpose};
use rekindle_cmdb::Register;
use rekindle_domain::configuration::RevisionId;
use rekindle_domain::{
    BackupId, Bytes, Flow, InstanceId, JobId, JobOutcome, JobWork, MachineKey, Run, RunId,
};
use rekindle_instances::{AgentJobs, Assignment, Launch, Launcher};
use rekindle_planning::deadline::run_deadline;
use rekindle_step::{CallbackError, Clock, ExecutionState, StartError, StepError, SystemClock, Workflow};
use serde_json::Value;

use super::orders_client::OrdersClient;
use super::sites::Recovery;

/// Longest that is waited for one job.
const PATIENCE: Duration = Duration::from_secs(1800);

/// What is restored.
pub struct ColdRestore<'a> {
    /// Where.
    pub site: &'a Recovery,
    /// Whose data.
    pub machine: &'a MachineKey,
    /// The sets, oldest first.
    pub sets: Vec<BackupId>,
    /// The configuration that the service needs to start.
    pub revision: RevisionId,
}

impl ColdRestore<'_> {
    /// Restores into an empty instance and asks the service; answers how long that took, and destroys the instance.
    ///
    /// # Errors
    /// When a step of it fails.
    pub async fn measure(&self) -> Result<Duration, StepError> {
        let register = self.site.host.register();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        // A run under which `destroy` finds the instance again, whatever happens.
        let now = clock.now();
        let run = Run::open(RunId::mint(), Flow::Recover, None, now, run_deadline(now));
        let run = register.open_run(&run).await.map_err(StepError::from)?;
        let began = Instant::now();
        let measured = self.restore(register, &clock, &run.run_id, began).await;
        // Whatever happened: nothing may be left.
        self.site.host.end_recovery(&run.run_id).await?;
        register.mark_reported(&run.run_id).await.map_err(StepError::from)?;
        measured
    }

    async fn restore(
        &self,
        register: &Register,
        clock: &Arc<dyn Clock>,
        run_id: &RunId,
        began: Instant,
    ) -> Result<Duration, StepError> {
        let cloud: Arc<dyn CloudProvider> = self.site.cloud.clone();
        let launcher = Launcher::new(register.clone(), cloud, clock.clone());
        let started = launcher.ensure(&self.launch(run_id)).await?;
        let jobs = AgentJobs::new(register.clone(), Arc::new(NobodyWaits), clock.clone());
        let worker =
            Worker { register, jobs, run_id, machine: self.machine, instance_id: &started.instance_id };
        worker.finish("boot", JobWork::Boot).await?;
        worker
            .finish("update-configuration", JobWork::UpdateConfiguration { revision: self.revision.clone() })
            .await?;
        let work = JobWork::TransferAndRestore { sets: self.sets.clone(), applied: None };
        worker.finish("transfer-and-restore", work).await?;
        worker.finish("activate", JobWork::Activate).await?;
        let address = self.site.cloud.address(&started.instance_id).map_err(StepError::from)?;
        first_answer(self.site, address).await?;
        Ok(began.elapsed())
    }

    fn launch(&self, run_id: &RunId) -> Launch {
        Launch {
            run_id: run_id.clone(),
            fence: None,
            step: "cold-restore".to_owned(),
            machine: self.machine.clone(),
            image_id: self.site.base_image.clone(),
            instance_types: vec!["local".to_owned()],
            zones: Vec::new(),
            purpose: Purpose::Builder, // It has to read backups.
            ssh_key_name: String::new(),
            isolated_network: true,
        }
    }
}

async fn first_answer(site: &Recovery, address: IpAddr) -> Result<(), StepError> {
    OrdersClient::connect(&site.cloud, address).await?.health().await?;
    Ok(())
}

/// Has jobs done and waits for each.
struct Worker<'a> {
    register: &'a Register,
    jobs: AgentJobs,
    run_id: &'a RunId,
    machine: &'a MachineKey,
    instance_id: &'a InstanceId,
}

impl Worker<'_> {
    async fn finish(&self, step: &str, work: JobWork) -> Result<(), StepError> {
        let id = JobId {
            run_id: self.run_id.clone(),
            machine: self.machine.clone(),
            step: format!("cold-{step}"),
        };
        let assignment = Assignment {
            id: id.clone(),
            work,
            instance_id: self.instance_id.clone(),
            stored: Bytes(0),
            task_token: "nobody waits".into(),
        };
        self.jobs.assign(assignment).await?;
        let until = Instant::now() + PATIENCE;
        loop {
            let job = self.register.job(&id).await.map_err(StepError::from)?;
            match job.and_then(|job| job.outcome) {
                Some(JobOutcome::Succeeded { .. }) => return Ok(()),
                Some(JobOutcome::Failed { error, cause }) => {
                    return Err(StepError::permanent(format!(
                        "the cold restore failed at {step}: {cause} ({error})"
                    )));
                }
                None if Instant::now() > until => {
                    return Err(StepError::permanent(format!(
                        "the cold restore did not finish {step} in time"
                    )));
                }
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }
}

/// The cold restore is no flow: it looks at the jobs themselves.
struct NobodyWaits;

#[async_trait]
impl Workflow for NobodyWaits {
    async fn start_execution(&self, _: &str, _: &str, _: Value) -> Result<(), StartError> {
        Err(StartError::Unavailable("a cold restore starts no flows".to_owned()))
    }

    async fn describe_execution(&self, _: &str, _: &str) -> Result<ExecutionState, StartError> {
        Ok(ExecutionState::Unknown)
    }

    async fn stop_execution(&self, _: &str, _: &str, _: &str) -> Result<(), StartError> {
        Ok(())
    }

    async fn send_task_success(&self, _: &str, _: Value) -> Result<(), CallbackError> {
        Err(CallbackError::Gone)
    }

    async fn send_task_failure(&self, _: &str, _: &str, _: &str) -> Result<(), CallbackError> {
        Err(CallbackError::Gone)
    }

    async fn send_task_heartbeat(&self, _: &str) -> Result<(), CallbackError> {
        Err(CallbackError::Gone)
    }
}
