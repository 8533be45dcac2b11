//! The cloud, as the port describes it.

use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_ec2::Client;
use rekindle_cloud::{
    Characteristics, CloudError, CloudImage, CloudProvider, CreateImageRequest, Instance, LaunchRequest,
    Resource,
};
use rekindle_domain::{ImageId, InstanceId, MachineKey, RunId};

use crate::client::client;
use crate::role::CustomerRole;
use crate::settings::LaunchSettings;

/// Much longer than EC2 needs until every answer knows of a change; it promises no time.
///
/// <https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html>
const SETTLING_TIME: Duration = Duration::from_mins(10);
/// Instances and images take minutes, and all looks of an account draw on one allowance.
const POLL_INTERVAL: Duration = Duration::from_secs(15);

/// Instances and images on EC2.
#[derive(Debug, Clone)]
pub struct Ec2Cloud {
    pub(crate) ec2: Client,
    pub(crate) settings: LaunchSettings,
    characteristics: Characteristics,
}

impl Ec2Cloud {
    /// The cloud of the account that these credentials belong to, or of the customer's account by its role.
    pub fn new(config: &SdkConfig, settings: LaunchSettings, role: Option<CustomerRole>) -> Self {
        let characteristics =
            Characteristics { name: "ec2", settling_time: SETTLING_TIME, poll_interval: POLL_INTERVAL };
        Self { ec2: client(config, role), settings, characteristics }
    }

    /// The same cloud with other times: an emulator settles at once.
    #[must_use]
    pub fn with_times(mut self, settling_time: Duration, poll_interval: Duration) -> Self {
        self.characteristics.settling_time = settling_time;
        self.characteristics.poll_interval = poll_interval;
        self
    }
}

#[async_trait]
impl CloudProvider for Ec2Cloud {
    fn characteristics(&self) -> Characteristics {
        self.characteristics.clone()
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Instance, CloudError> {
        self.start(request).await
    }

    async fn describe_instance(&self, instance_id: &InstanceId) -> Result<Instance, CloudError> {
        self.look_at_instance(instance_id).await
    }

    async fn terminate(&self, instance_id: &InstanceId) -> Result<(), CloudError> {
        self.terminate_instance(instance_id).await
    }

    async fn create_image(&self, request: &CreateImageRequest) -> Result<CloudImage, CloudError> {
        self.save_instance(request).await
    }

    async fn describe_image(&self, image_id: &ImageId) -> Result<CloudImage, CloudError> {
        self.look_at_image(image_id).await
    }

    async fn find_image(&self, name: &str) -> Result<Option<CloudImage>, CloudError> {
        self.look_for_image(name).await
    }

    async fn delete_image(&self, image_id: &ImageId) -> Result<(), CloudError> {
        self.remove_image(image_id).await
    }

    async fn find_by_run(&self, run_id: &RunId) -> Result<Vec<Resource>, CloudError> {
        self.find_tagged(run_id).await
    }

    async fn find_by_machine(&self, machine: &MachineKey) -> Result<Vec<Resource>, CloudError> {
        self.find_of_machine(machine).await
    }

    async fn delete_other(&self, kind: &str, id: &str) -> Result<(), CloudError> {
        self.remove_other(kind, id).await
    }
}
