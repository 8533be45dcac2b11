//! The function `update-configuration` on AWS Lambda.

use std::process::ExitCode;

use rekindle_function_update_configuration::UpdateConfiguration;
use rekindle_lambda_host::run_step;

fn main() -> ExitCode {
    run_step(|host| Ok(UpdateConfiguration { jobs: host.agent_jobs()? }))
}
