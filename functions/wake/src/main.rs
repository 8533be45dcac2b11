//! The function `wake` on AWS Lambda.

use std::process::ExitCode;

use rekindle_function_wake::Wake;
use rekindle_lambda_host::run_step;

fn main() -> ExitCode {
    run_step(|host| Ok(Wake { control_bucket: host.control_bucket()?, workflow: host.workflow()? }))
}
