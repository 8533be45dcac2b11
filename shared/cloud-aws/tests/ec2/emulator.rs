//! The contract, and what only a client's own eyes see, against an emulator of EC2.
//!
//! The emulator is where `AWS_ENDPOINT_URL_EC2` says. Its address must be this machine's: these tests make instances,
//! and destroy what they find.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, RequestLaunchTemplateData, ShutdownBehavior, Snapshot};
use rekindle_cloud::{
    CloudErrorKind, CloudImage, CloudProvider as _, CreateImageRequest, ImageState, Instance, InstanceState,
    LaunchRequest, Purpose, RUN_TAG, Resource,
};
use rekindle_cloud_aws::{Ec2Cloud, LaunchSettings};
use rekindle_contract_tests::{CloudEnvironment, CloudPromise, cloud_provider};
use rekindle_domain::{ImageId, InstanceId, MachineKey, RunId};
use serde_json::json;

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// An emulated EC2 with what a deployment would have made there.
struct Emulator {
    cloud: Ec2Cloud,
    ec2: Client,
    base_image: ImageId,
    zones: Vec<String>,
}

impl Emulator {
    async fn open() -> Self {
        let endpoint = std::env::var("AWS_ENDPOINT_URL_EC2").unwrap_or_default();
        let is_here =
            ["http://127.0.0.1:", "http://localhost:"].iter().any(|here| endpoint.starts_with(here));
        assert!(is_here, "AWS_ENDPOINT_URL_EC2 must name an emulator on this machine; it is {endpoint:?}");
        let config: SdkConfig = aws_config::defaults(BehaviorVersion::latest()).load().await;
        let ec2 = Client::new(&config);
        let subnets = subnets(&ec2).await;
        let zones = subnets.keys().cloned().collect();
        let template = template(&ec2).await;
        let network = json!({"security_group": security_group(&ec2).await, "subnets": subnets});
        let settings = json!({
            "builder_launch_template": template,
            "replica_launch_template": template,
            "isolated": network,
            "production": network,
            "volume_initialization_mebibytes_per_second": 300,
        });
        let settings = LaunchSettings::parse("REKINDLE_LAUNCH", &settings.to_string()).unwrap();
        let cloud = Ec2Cloud::new(&config, settings, None).with_times(Duration::ZERO, POLL_INTERVAL);
        Self { cloud, base_image: base_image(&ec2).await, ec2, zones }
    }

    fn launch_request(&self, zone: &str) -> LaunchRequest {
        LaunchRequest {
            client_token: format!("emulator-{}", RunId::mint()),
            run_id: RunId::mint(),
            machine: MachineKey::parse("acme/orders/database").unwrap(),
            image_id: self.base_image.clone(),
            instance_type: "t3.medium".into(),
            zone: zone.into(),
            purpose: Purpose::Builder,
            ssh_key_name: String::new(),
            isolated_network: true,
        }
    }

    /// An image of an instance that was started, stopped and destroyed.
    async fn make_image(&self, request: &LaunchRequest) -> CloudImage {
        let builder = self.cloud.launch(request).await.unwrap();
        self.await_state(&builder, InstanceState::Running).await;
        self.power_off(&builder.instance_id).await;
        self.await_state(&builder, InstanceState::Stopped).await;
        let image = CreateImageRequest {
            name: format!("emulator-{}", request.run_id),
            run_id: request.run_id.clone(),
            machine: request.machine.clone(),
            instance_id: builder.instance_id.clone(),
        };
        let image = self.cloud.create_image(&image).await.unwrap();
        self.cloud.terminate(&builder.instance_id).await.unwrap();
        self.await_state(&builder, InstanceState::Terminated).await;
        image
    }

    async fn await_state(&self, instance: &Instance, state: InstanceState) {
        for _ in 0..100 {
            if self.cloud.describe_instance(&instance.instance_id).await.unwrap().state == state {
                return;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        panic!("{} is not {state:?}", instance.instance_id);
    }

    /// The snapshots of an image, with their tags.
    async fn snapshots(&self, image: &CloudImage) -> Vec<Snapshot> {
        let description = format!("*for {}*", image.image_id);
        let filter = Filter::builder().name("description").values(description).build();
        self.ec2.describe_snapshots().filters(filter).send().await.unwrap().snapshots.unwrap()
    }
}

async fn subnets(ec2: &Client) -> BTreeMap<String, String> {
    let answer = ec2.describe_subnets().send().await.unwrap();
    let pairs = answer.subnets().iter().map(|subnet| {
        (subnet.availability_zone().unwrap().to_owned(), subnet.subnet_id().unwrap().to_owned())
    });
    pairs.collect()
}

async fn security_group(ec2: &Client) -> String {
    let answer = ec2.describe_security_groups().group_names("default").send().await.unwrap();
    answer.security_groups()[0].group_id().unwrap().to_owned()
}

async fn base_image(ec2: &Client) -> ImageId {
    let answer = ec2.describe_images().owners("amazon").send().await.unwrap();
    let images = answer.images().iter().filter(|image| !image.block_device_mappings().is_empty());
    ImageId::parse(images.filter_map(|image| image.image_id()).min().unwrap()).unwrap()
}

async fn template(ec2: &Client) -> serde_json::Value {
    let data = RequestLaunchTemplateData::builder()
        .instance_initiated_shutdown_behavior(ShutdownBehavior::Stop)
        .build();
    let call = ec2.create_launch_template().launch_template_name(format!("rekindle-{}", RunId::mint()));
    let answer = call.launch_template_data(data).send().await.unwrap();
    json!({"id": answer.launch_template().unwrap().launch_template_id(), "version": "1"})
}

#[async_trait]
impl CloudEnvironment for Emulator {
    fn base_image(&self) -> ImageId {
        self.base_image.clone()
    }

    fn instance_type(&self) -> String {
        "t3.medium".into()
    }

    fn zone(&self) -> String {
        self.zones[0].clone()
    }

    async fn power_off(&self, instance_id: &InstanceId) {
        self.ec2.stop_instances().instance_ids(instance_id.as_str()).send().await.unwrap();
    }

    fn exempts(&self, promise: CloudPromise) -> Option<&'static str> {
        Some(match promise {
            CloudPromise::OneInstancePerToken => "moto makes a second instance for a repeated client token",
            CloudPromise::OneImagePerName => "moto accepts a name of an image that is taken",
        })
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }
}

#[tokio::test]
#[ignore = "needs the emulators"]
async fn the_contract_is_kept() {
    let emulator = Emulator::open().await;
    cloud_provider(&emulator.cloud, &emulator).await;
}

#[tokio::test]
#[ignore = "needs the emulators"]
async fn the_snapshots_of_an_image_are_tagged_and_go_with_it() {
    let emulator = Emulator::open().await;
    let request = emulator.launch_request(&emulator.zone());
    let image = emulator.make_image(&request).await;
    let snapshots = emulator.snapshots(&image).await;
    assert!(!snapshots.is_empty());
    for snapshot in &snapshots {
        let is_run = |tag: &aws_sdk_ec2::types::Tag| {
            tag.key() == Some(RUN_TAG) && tag.value() == Some(request.run_id.as_str())
        };
        assert!(
            snapshot.tags().iter().any(is_run),
            "moto tags no snapshot with its image; the second way does"
        );
    }
    assert_eq!(emulator.cloud.describe_image(&image.image_id).await.unwrap().state, ImageState::Available);
    let found = emulator.cloud.find_by_run(&request.run_id).await.unwrap();
    let found: Vec<&str> = found.iter().map(Resource::id).collect();
    assert_eq!(
        found,
        [image.image_id.as_str()],
        "snapshots go with their image, volumes went with the builder"
    );
    emulator.cloud.delete_image(&image.image_id).await.unwrap();
    assert!(emulator.snapshots(&image).await.is_empty());
    assert_eq!(emulator.cloud.find_by_run(&request.run_id).await.unwrap(), []);
}

#[tokio::test]
#[ignore = "needs the emulators"]
async fn what_a_deletion_that_was_cut_off_has_left_is_found_and_destroyed() {
    let emulator = Emulator::open().await;
    for by_find in [true, false] {
        let request = emulator.launch_request(&emulator.zone());
        let image = emulator.make_image(&request).await;
        emulator.ec2.deregister_image().image_id(image.image_id.as_str()).send().await.unwrap();
        let left = emulator.cloud.find_by_run(&request.run_id).await.unwrap();
        assert!(!left.is_empty() && left.iter().all(|resource| resource.kind() == "snapshot"), "{left:?}");
        if by_find {
            for resource in &left {
                emulator.cloud.delete_other(resource.kind(), resource.id()).await.unwrap();
            }
        } else {
            emulator.cloud.delete_image(&image.image_id).await.unwrap();
        }
        assert_eq!(emulator.cloud.find_by_run(&request.run_id).await.unwrap(), []);
    }
}

#[tokio::test]
#[ignore = "needs the emulators"]
async fn a_launch_is_where_and_what_the_request_says() {
    let emulator = Emulator::open().await;
    for zone in [String::new(), emulator.zones[1].clone()] {
        let request = emulator.launch_request(&zone);
        let made = emulator.cloud.launch(&request).await.unwrap();
        let call = emulator.ec2.describe_instances().instance_ids(made.instance_id.as_str());
        let answer = call.send().await.unwrap();
        let seen = &answer.reservations()[0].instances()[0];
        let expected = if zone.is_empty() { &emulator.zones[0] } else { &zone };
        assert_eq!(seen.placement().unwrap().availability_zone(), Some(expected.as_str()));
        assert_eq!(seen.image_id(), Some(emulator.base_image.as_str()));
        assert_eq!(seen.instance_type().unwrap().as_str(), "t3.medium");
        emulator.cloud.terminate(&made.instance_id).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs the emulators"]
async fn a_type_that_is_not_offered_and_a_zone_without_a_subnet_are_no_capacity() {
    let emulator = Emulator::open().await;
    let no_type =
        LaunchRequest { instance_type: "m99.huge".into(), ..emulator.launch_request(&emulator.zone()) };
    let no_zone = emulator.launch_request("eu-west-1z");
    for request in [no_type, no_zone] {
        let error = emulator.cloud.launch(&request).await.unwrap_err();
        assert_eq!(error.kind, CloudErrorKind::NoCapacity, "{error}");
    }
}
