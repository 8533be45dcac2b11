//! How the cloud behaves, under paused time.
#![expect(clippy::unwrap_used, reason = "a test whose cloud does not answer has failed")]

mod agents;
mod faults;
mod images;
mod launches;
mod randomness;
mod throttling;
mod visibility;

use std::time::Duration;

use rekindle_cloud::{
    CloudError, CloudErrorKind, CloudProvider as _, CreateImageRequest, Instance, LaunchRequest, Purpose,
};
use rekindle_cloud_sim::{Behaviour, SimulatedCloud};
use rekindle_domain::{ImageId, InstanceId, MachineKey, RunId};
use serde_json::json;

/// A cloud with one base image, `ami-base`.
fn cloud(behaviour: Behaviour) -> SimulatedCloud {
    let cloud = SimulatedCloud::new(behaviour);
    cloud.add_base_image(ImageId::parse("ami-base").unwrap(), json!({ "rows": [1, 2] }));
    cloud
}

fn obliging_cloud() -> SimulatedCloud {
    cloud(Behaviour::obliging())
}

fn request(run_id: &RunId, token: &str) -> LaunchRequest {
    LaunchRequest {
        client_token: token.to_owned(),
        run_id: run_id.clone(),
        machine: MachineKey::parse("acme/orders/database").unwrap(),
        image_id: ImageId::parse("ami-base").unwrap(),
        instance_type: "m7i.large".to_owned(),
        zone: "sim-1a".to_owned(),
        purpose: Purpose::Builder,
        ssh_key_name: String::new(),
        isolated_network: true,
    }
}

fn image_request(instance: &Instance, run_id: &RunId, name: &str) -> CreateImageRequest {
    CreateImageRequest {
        name: name.to_owned(),
        run_id: run_id.clone(),
        machine: MachineKey::parse("acme/orders/database").unwrap(),
        instance_id: instance.instance_id.clone(),
    }
}

/// An instance that was started and powered off.
async fn stopped_instance(cloud: &SimulatedCloud, run_id: &RunId, token: &str) -> Instance {
    let instance = cloud.launch(&request(run_id, token)).await.unwrap();
    minutes(1).await;
    let inside = cloud.simulated_instance(&instance.instance_id).unwrap();
    inside.power_off();
    inside.stopped().await;
    instance
}

async fn minutes(count: u64) {
    tokio::time::sleep(Duration::from_mins(count)).await;
}

async fn seconds(count: u64) {
    tokio::time::sleep(Duration::from_secs(count)).await;
}

fn kind_of<T: std::fmt::Debug>(answer: Result<T, CloudError>) -> CloudErrorKind {
    answer.unwrap_err().kind
}

fn unknown_instance() -> InstanceId {
    InstanceId::parse("i-unknown").unwrap()
}
