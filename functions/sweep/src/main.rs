//! The function `sweep` on AWS Lambda.

use std::process::ExitCode;

use rekindle_cloud_aws::Ec2Cloud;
use rekindle_function_destroy::Destroy;
use rekindle_function_plan_refresh::PlanRefresh;
use rekindle_function_report::WriteReport;
use rekindle_function_sweep::{ScheduledSweep, Sweep};
use rekindle_lambda_host::{POLL_SECONDS, run_step};

fn main() -> ExitCode {
    run_step(|host| {
        let (register, control, workflow, clock) =
            (host.register()?, host.control()?, host.workflow()?, host.clock());
        let cloud = host.cloud(Ec2Cloud::from_environment)?;
        Ok(ScheduledSweep(Sweep {
            plan: PlanRefresh {
                register: register.clone(),
                control: control.clone(),
                customer: host.customer()?,
                workflow: workflow.clone(),
                clock: clock.clone(),
                poll_seconds: POLL_SECONDS,
            },
            destroy: Destroy {
                register: register.clone(),
                cloud: cloud.clone(),
                workflow: workflow.clone(),
                clock: clock.clone(),
            },
            report: WriteReport { register: register.clone(), control, clock: clock.clone() },
            register,
            cloud,
            workflow,
            clock,
        }))
    })
}
