//! The suite of the cloud, against each of them.
#![expect(clippy::unwrap_used, reason = "a test whose cloud lost its instance has failed")]

use async_trait::async_trait;
use rekindle_cloud_sim::{Behaviour, SimulatedCloud};
use rekindle_contract_tests::{CloudEnvironment, cloud_provider};
use rekindle_domain::{ImageId, InstanceId};
use serde_json::json;

struct Simulation(SimulatedCloud);

#[async_trait]
impl CloudEnvironment for Simulation {
    fn base_image(&self) -> ImageId {
        ImageId::parse("ami-base").unwrap()
    }

    fn instance_type(&self) -> String {
        "m7i.large".to_owned()
    }

    fn zone(&self) -> String {
        "sim-1a".to_owned()
    }

    async fn power_off(&self, instance_id: &InstanceId) {
        self.0.simulated_instance(instance_id).unwrap().power_off();
    }
}

async fn simulation(behaviour: Behaviour) {
    let cloud = SimulatedCloud::new(behaviour);
    let environment = Simulation(cloud.clone());
    cloud.add_base_image(environment.base_image(), json!({}));
    cloud_provider(&cloud, &environment).await;
    assert_eq!(cloud.all_truth(), []);
}

#[tokio::test(start_paused = true)]
async fn a_simulated_cloud() {
    for seed in 0..100 {
        simulation(Behaviour { seed, ..Behaviour::default() }).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_obliging_simulated_cloud() {
    simulation(Behaviour::obliging()).await;
}
