//! The function `destroy` on AWS Lambda.

use std::process::ExitCode;

use rekindle_cloud_aws::Ec2Cloud;
use rekindle_function_destroy::Destroy;
use rekindle_lambda_host::run_step;

fn main() -> ExitCode {
    run_step(|host| {
        Ok(Destroy {
            register: host.register()?,
            cloud: host.cloud(Ec2Cloud::from_environment)?,
            workflow: host.workflow()?,
            clock: host.clock(),
        })
    })
}
