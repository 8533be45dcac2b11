//! The function `recover` on AWS Lambda.

use std::process::ExitCode;

use rekindle_cloud_aws::Ec2Cloud;
use rekindle_function_recover::Recover;
use rekindle_instances::Launcher;
use rekindle_lambda_host::run_step;

fn main() -> ExitCode {
    run_step(|host| {
        let cloud = host.cloud(Ec2Cloud::from_environment)?;
        let launcher = Launcher::new(host.register()?, cloud.clone(), host.clock());
        Ok(Recover { register: host.register()?, cloud, launcher, jobs: host.agent_jobs()? })
    })
}
