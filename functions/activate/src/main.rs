//! The function `activate` on AWS Lambda.

use std::process::ExitCode;

use rekindle_function_activate::Activate;
use rekindle_lambda_host::run_step;

fn main() -> ExitCode {
    run_step(|host| Ok(Activate { jobs: host.agent_jobs()? }))
}
