//! The function `start-instance` on AWS Lambda.

use std::process::ExitCode;

use rekindle_cloud_aws::Ec2Cloud;
use rekindle_function_start_instance::StartInstance;
use rekindle_instances::Launcher;
use rekindle_lambda_host::run_step;

fn main() -> ExitCode {
    run_step(|host| {
        Ok(StartInstance {
            launcher: Launcher::new(host.register()?, host.cloud(Ec2Cloud::from_environment)?, host.clock()),
            jobs: host.agent_jobs()?,
        })
    })
}
