//! The steps, each made from the ports that it needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use rekindle_function_activate::Activate;
use rekindle_function_check_replica::CheckReplica;
use rekindle_function_destroy::Destroy;
use rekindle_function_plan_recovery::PlanRecovery;
use rekindle_function_plan_refresh::PlanRefresh;
use rekindle_function_recover::Recover;
use rekindle_function_register::RegisterImage;
use rekindle_function_report::WriteReport;
use rekindle_function_request_approval::RequestApproval;
use rekindle_function_snapshot_image::SnapshotImage;
use rekindle_function_start_instance::StartInstance;
use rekindle_function_sweep::Sweep;
use rekindle_function_transfer_and_restore::TransferAndRestore;
use rekindle_function_update_configuration::UpdateConfiguration;
use rekindle_function_verify::Verify;
use rekindle_instances::{AgentJobs, Launcher};
use rekindle_step::{DynamicStep, Workflow, erase};

use crate::{Ports, WrapStep};

/// The steps by the names of their functions.
#[derive(Clone)]
pub struct Functions(Arc<BTreeMap<&'static str, Arc<dyn DynamicStep>>>);

impl Functions {
    /// All of them.
    pub fn new(
        ports: &Ports,
        workflow: &Arc<dyn Workflow>,
        jobs: AgentJobs,
        poll_seconds: u64,
        wrap: Option<&WrapStep>,
    ) -> Self {
        let made = all(ports, workflow, jobs, poll_seconds);
        let wrapped = made.into_iter().map(|step| match wrap {
            Some(wrap) => wrap(step),
            None => step,
        });
        Self(Arc::new(wrapped.map(|step| (step.name(), step)).collect()))
    }

    /// The step of this name.
    pub fn get(&self, name: &str) -> Option<Arc<dyn DynamicStep>> {
        self.0.get(name).cloned()
    }
}

fn all(
    ports: &Ports,
    workflow: &Arc<dyn Workflow>,
    jobs: AgentJobs,
    poll_seconds: u64,
) -> Vec<Arc<dyn DynamicStep>> {
    let Ports { register, control, customer, cloud, clock, .. } = ports;
    let launcher = Launcher::new(register.clone(), cloud.clone(), clock.clone());
    let plan_refresh = || PlanRefresh {
        register: register.clone(),
        control: control.clone(),
        customer: customer.clone(),
        workflow: workflow.clone(),
        clock: clock.clone(),
        poll_seconds,
    };
    let destroy = || Destroy {
        register: register.clone(),
        cloud: cloud.clone(),
        workflow: workflow.clone(),
        clock: clock.clone(),
    };
    let report =
        || WriteReport { register: register.clone(), control: control.clone(), clock: clock.clone() };
    vec![
        erase(plan_refresh()),
        erase(StartInstance { launcher: launcher.clone(), jobs: jobs.clone() }),
        erase(UpdateConfiguration { jobs: jobs.clone() }),
        erase(TransferAndRestore { register: register.clone(), jobs: jobs.clone() }),
        erase(Verify { register: register.clone(), jobs: jobs.clone() }),
        erase(SnapshotImage {
            register: register.clone(),
            cloud: cloud.clone(),
            jobs: jobs.clone(),
            clock: clock.clone(),
        }),
        erase(RegisterImage { register: register.clone(), cloud: cloud.clone(), clock: clock.clone() }),
        erase(destroy()),
        erase(report()),
        erase(PlanRecovery { register: register.clone(), clock: clock.clone(), poll_seconds }),
        erase(RequestApproval {
            register: register.clone(),
            workflow: workflow.clone(),
            clock: clock.clone(),
        }),
        erase(Recover { register: register.clone(), cloud: cloud.clone(), launcher, jobs: jobs.clone() }),
        erase(Activate { jobs: jobs.clone() }),
        erase(CheckReplica { jobs }),
        erase(Sweep {
            register: register.clone(),
            cloud: cloud.clone(),
            workflow: workflow.clone(),
            clock: clock.clone(),
            plan: plan_refresh(),
            destroy: destroy(),
            report: report(),
        }),
    ]
}
