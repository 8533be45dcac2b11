//! The function `snapshot-image` on AWS Lambda.

use std::process::ExitCode;

use rekindle_cloud_aws::Ec2Cloud;
use rekindle_function_snapshot_image::SnapshotImage;
use rekindle_lambda_host::run_step;

fn main() -> ExitCode {
    run_step(|host| {
        Ok(SnapshotImage {
            register: host.register()?,
            cloud: host.cloud(Ec2Cloud::from_environment)?,
            jobs: host.agent_jobs()?,
            clock: host.clock(),
        })
    })
}
