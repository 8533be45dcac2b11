//! The function `report` on AWS Lambda.

use std::process::ExitCode;

use rekindle_function_report::WriteReport;
use rekindle_lambda_host::run_step;

fn main() -> ExitCode {
    run_step(|host| {
        Ok(WriteReport { register: host.register()?, control: host.control()?, clock: host.clock() })
    })
}
