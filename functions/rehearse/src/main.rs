//! The function `rehearse` on AWS Lambda.

use std::process::ExitCode;

use rekindle_function_rehearse::Rehearse;
use rekindle_lambda_host::run_step;

fn main() -> ExitCode {
    run_step(|host| Ok(Rehearse { workflow: host.workflow()?, clock: host.clock() }))
}
