//! The suite of the port, against real instances.

use std::time::Duration;

use async_trait::async_trait;
use rekindle_contract_tests::{CloudEnvironment, cloud_provider};
use rekindle_domain::{ImageId, InstanceId};

use crate::site::Site;

#[async_trait]
impl CloudEnvironment for Site {
    fn base_image(&self) -> ImageId {
        self.image.clone()
    }

    fn instance_type(&self) -> String {
        "small".to_owned()
    }

    fn zone(&self) -> String {
        String::new()
    }

    async fn power_off(&self, instance_id: &InstanceId) {
        Self::power_off(self, instance_id).await;
    }

    fn patience(&self) -> Duration {
        Duration::from_mins(1)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_cloud_keeps_the_contract() {
    let site = Site::open().await;
    cloud_provider(&site.cloud, &site).await;
}
