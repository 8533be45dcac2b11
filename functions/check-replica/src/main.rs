//! The function `check-replica` on AWS Lambda.

use std::process::ExitCode;

use rekindle_function_check_replica::CheckReplica;
use rekindle_lambda_host::run_step;

fn main() -> ExitCode {
    run_step(|host| Ok(CheckReplica { jobs: host.agent_jobs()? }))
}
