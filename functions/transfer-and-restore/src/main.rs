//! The function `transfer-and-restore` on AWS Lambda.

use std::process::ExitCode;

use rekindle_function_transfer_and_restore::TransferAndRestore;
use rekindle_lambda_host::run_step;

fn main() -> ExitCode {
    run_step(|host| Ok(TransferAndRestore { register: host.register()?, jobs: host.agent_jobs()? }))
}
