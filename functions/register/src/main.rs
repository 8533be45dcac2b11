//! The function `register` on AWS Lambda.

use std::process::ExitCode;

use rekindle_cloud_aws::Ec2Cloud;
use rekindle_function_register::RegisterImage;
use rekindle_lambda_host::run_step;

fn main() -> ExitCode {
    run_step(|host| {
        Ok(RegisterImage {
            register: host.register()?,
            cloud: host.cloud(Ec2Cloud::from_environment)?,
            clock: host.clock(),
        })
    })
}
