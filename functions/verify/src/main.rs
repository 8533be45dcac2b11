//! The function `verify` on AWS Lambda.

use std::process::ExitCode;

use rekindle_function_verify::Verify;
use rekindle_lambda_host::run_step;

fn main() -> ExitCode {
    run_step(|host| Ok(Verify { register: host.register()?, jobs: host.agent_jobs()? }))
}
