//! The function `plan-recovery` on AWS Lambda.

use std::process::ExitCode;

use rekindle_function_plan_recovery::PlanRecovery;
use rekindle_lambda_host::{POLL_SECONDS, run_step};

fn main() -> ExitCode {
    run_step(|host| {
        Ok(PlanRecovery { register: host.register()?, clock: host.clock(), poll_seconds: POLL_SECONDS })
    })
}
