//! The function `plan-refresh` on AWS Lambda.

use std::process::ExitCode;

use rekindle_function_plan_refresh::PlanRefresh;
use rekindle_lambda_host::{POLL_SECONDS, run_step};

fn main() -> ExitCode {
    run_step(|host| {
        Ok(PlanRefresh {
            register: host.register()?,
            control: host.control()?,
            customer: host.customer()?,
            workflow: host.workflow()?,
            clock: host.clock(),
            poll_seconds: POLL_SECONDS,
        })
    })
}
