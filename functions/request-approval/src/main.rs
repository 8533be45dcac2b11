//! The function `request-approval` on AWS Lambda.

use std::process::ExitCode;

use rekindle_function_request_approval::RequestApproval;
use rekindle_lambda_host::run_step;

fn main() -> ExitCode {
    run_step(|host| {
        Ok(RequestApproval { register: host.register()?, workflow: host.workflow()?, clock: host.clock() })
    })
}
