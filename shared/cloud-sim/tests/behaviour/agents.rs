use std::sync::{Arc, Mutex};
use std::time::Duration;

use rekindle_cloud::{CloudProvider as _, InstanceState, Purpose};
use rekindle_cloud_sim::SimulatedInstance;
use rekindle_domain::{ImageId, RunId};
use serde_json::json;

use crate::{image_request, minutes, obliging_cloud, request, seconds};

#[tokio::test(start_paused = true)]
async fn an_agent_starts_with_its_instance_and_ends_with_it() {
    let cloud = obliging_cloud();
    let (ended, mut ends) = tokio::sync::mpsc::unbounded_channel();
    cloud.on_running(Arc::new(move |instance: SimulatedInstance| {
        let ended = ended.clone();
        tokio::spawn(async move {
            instance.update_disk(|disk| disk["agent"] = json!(instance.hostname));
            instance.power_off();
            instance.stopped().await;
            ended.send(instance.instance_id.clone()).unwrap();
        });
    }));
    let run_id = RunId::mint();
    let instance = cloud.launch(&request(&run_id, "token")).await.unwrap();
    assert_eq!(ends.recv().await.unwrap(), instance.instance_id);
    let look = cloud.describe_instance(&instance.instance_id).await.unwrap();
    assert_eq!(look.state, InstanceState::Stopped);
    let image = cloud.create_image(&image_request(&instance, &run_id, "image")).await.unwrap();
    let (_, disk) = cloud.truth_image(&image.image_id).unwrap();
    assert_eq!(disk, json!({ "rows": [1, 2], "agent": "ip-10-0-0-1.sim.internal" }));
}

#[tokio::test(start_paused = true)]
async fn an_agent_knows_what_it_is_and_ends_when_its_instance_is_terminated() {
    let cloud = obliging_cloud();
    let started = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&started);
    cloud.on_running(Arc::new(move |instance| seen.lock().unwrap().push(instance)));
    let run_id = RunId::mint();
    cloud.launch(&request(&run_id, "token")).await.unwrap();
    let second = cloud.launch(&request(&run_id, "another")).await.unwrap();
    minutes(1).await;
    let agents = std::mem::take(&mut *started.lock().unwrap());
    assert_eq!(agents.len(), 2);
    let agent = agents.iter().find(|agent| agent.instance_id == second.instance_id).unwrap();
    assert_eq!(agent.run_id, run_id);
    assert_eq!(agent.image_id, ImageId::parse("ami-base").unwrap());
    assert_eq!(agent.machine.to_string(), "acme/orders/database");
    assert_eq!(agent.purpose, Purpose::Builder);
    assert_eq!(agent.ip_address, "10.0.0.2");
    assert!(agent.is_running());
    let stopped = tokio::spawn(agent.stopped());
    minutes(60).await;
    assert!(!stopped.is_finished());
    cloud.terminate(&second.instance_id).await.unwrap();
    tokio::time::timeout(Duration::from_secs(1), stopped).await.unwrap().unwrap();
    assert!(!agent.is_running());
    minutes(1).await;
    assert_eq!(agent.disk(), json!(null));
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_off_writes_nothing() {
    let cloud = obliging_cloud();
    let instance = cloud.launch(&request(&RunId::mint(), "token")).await.unwrap();
    let inside = cloud.simulated_instance(&instance.instance_id).unwrap();
    inside.power_off();
    inside.update_disk(|disk| *disk = json!("too early"));
    minutes(1).await;
    assert_eq!(inside.state(), InstanceState::Running);
    inside.power_off();
    assert_eq!(inside.state(), InstanceState::Stopping);
    inside.update_disk(|disk| *disk = json!("in time"));
    seconds(11).await;
    inside.update_disk(|disk| *disk = json!("too late"));
    assert_eq!(inside.state(), InstanceState::Stopped);
    assert_eq!(inside.disk(), json!("in time"));
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_was_terminated_while_pending_never_runs() {
    let cloud = obliging_cloud();
    cloud.on_running(Arc::new(|_| unreachable!("it ran")));
    let instance = cloud.launch(&request(&RunId::mint(), "token")).await.unwrap();
    cloud.terminate(&instance.instance_id).await.unwrap();
    minutes(5).await;
    let inside = cloud.simulated_instance(&instance.instance_id).unwrap();
    assert_eq!(inside.state(), InstanceState::Terminated);
}
