//! Starting an instance, once.

use aws_sdk_ec2::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_ec2::operation::run_instances::RunInstancesError;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, InstanceType, LaunchTemplateSpecification, ResourceType,
};
use rekindle_cloud::{CloudError, CloudErrorKind, Instance, LaunchRequest, Purpose};
use rekindle_domain::ImageId;

use crate::client::PAGE_SIZE;
use crate::cloud::Ec2Cloud;
use crate::error::{explain, is_about_the_request};
use crate::image::blocks;
use crate::instance::instance;
use crate::settings::{LaunchTemplate, Network};
use crate::tags;
use crate::tries::{Try, tries};

/// What a launch makes; all of it is tagged from its creation on.
const MADE: [ResourceType; 3] =
    [ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface];

/// Why one way of asking gave no instance.
enum Refusal {
    /// The same without a bought rate may be granted.
    OfTheRate(CloudError),
    /// Anything else.
    OfTheLaunch(CloudError),
}

impl Ec2Cloud {
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html>
    pub(crate) async fn start(&self, request: &LaunchRequest) -> Result<Instance, CloudError> {
        let rate = self.rate(request);
        let mut ways = tries(request, self.network(request), rate.is_some())?;
        let (hurried, used) =
            tokio::try_join!(self.hurried_volumes(request, rate), self.token_in_use(request, &ways))?;
        if let Some(token) = used {
            ways.retain(|way| way.token == token);
        }
        self.ask(request, &ways, &hurried).await
    }

    /// A replica serves while its disks are still being filled; a builder has time.
    fn rate(&self, request: &LaunchRequest) -> Option<i32> {
        let rate = self.settings.volume_initialization_mebibytes_per_second;
        rate.filter(|_| request.purpose == Purpose::Replica).and_then(|rate| i32::try_from(rate).ok())
    }

    /// Asks in every zone until one has room. A zone without room for the hurried way has none for the other either.
    async fn ask(
        &self,
        request: &LaunchRequest,
        ways: &[Try],
        hurried: &[BlockDeviceMapping],
    ) -> Result<Instance, CloudError> {
        let mut full_zone = None;
        let mut last = None;
        for way in ways {
            if full_zone == Some(&way.zone) {
                continue;
            }
            match self.ask_once(request, way, hurried).await {
                Ok(instance) => return Ok(instance),
                Err(Refusal::OfTheRate(error)) => {
                    tracing::warn!(zone = way.zone, %error, "the volumes are filled at the default rate");
                    last = Some(error);
                }
                Err(Refusal::OfTheLaunch(error)) if error.kind == CloudErrorKind::NoCapacity => {
                    tracing::info!(zone = way.zone, %error, "no capacity in the zone");
                    full_zone = Some(&way.zone);
                    last = Some(error);
                }
                Err(Refusal::OfTheLaunch(error)) => return Err(error),
            }
        }
        Err(last
            .unwrap_or_else(|| CloudError::new(CloudErrorKind::NoCapacity, "there is no zone to start in")))
    }

    async fn ask_once(
        &self,
        request: &LaunchRequest,
        way: &Try,
        hurried: &[BlockDeviceMapping],
    ) -> Result<Instance, Refusal> {
        let mut call = self.call(request, way);
        if way.is_hurried {
            call = call.set_block_device_mappings(Some(hurried.to_vec()));
        }
        let what = format!(
            "no instance of {} was started from {} as {} in {}",
            request.machine, request.image_id, request.instance_type, way.zone
        );
        match call.send().await {
            Ok(answer) => match answer.instances() {
                [started, ..] => instance(started).map_err(Refusal::OfTheLaunch),
                [] => {
                    let what = format!("{what}, as far as EC2's empty answer tells");
                    Err(Refusal::OfTheLaunch(CloudError::new(CloudErrorKind::Uncertain, what)))
                }
            },
            Err(error) if way.is_hurried && refuses_the_rate(&error) => {
                Err(Refusal::OfTheRate(explain(what, error)))
            }
            Err(error) => Err(Refusal::OfTheLaunch(explain(what, error))),
        }
    }

    fn call(&self, request: &LaunchRequest, way: &Try) -> RunInstancesFluentBuilder {
        let key = Some(request.ssh_key_name.clone()).filter(|name| !name.is_empty());
        let tags = tags::tags(&request.run_id, &request.machine);
        self.ec2
            .run_instances()
            .launch_template(template(self.template(request.purpose)))
            .image_id(request.image_id.as_str())
            .instance_type(InstanceType::from(request.instance_type.as_str()))
            .subnet_id(&way.subnet)
            .security_group_ids(&self.network(request).security_group)
            .set_key_name(key)
            .client_token(&way.token)
            .min_count(1)
            .max_count(1)
            .set_tag_specifications(Some(tags::specifications(&MADE, &tags)))
    }

    fn network(&self, request: &LaunchRequest) -> &Network {
        if request.isolated_network { &self.settings.isolated } else { &self.settings.production }
    }

    fn template(&self, purpose: Purpose) -> &LaunchTemplate {
        match purpose {
            Purpose::Builder => &self.settings.builder_launch_template,
            Purpose::Replica => &self.settings.replica_launch_template,
        }
    }

    /// The token that an earlier try of the same request had success with, where there are several ways to ask. Capacity
    /// comes and goes: asked again, a zone that had no room then may have some now, and would give a second instance.
    ///
    /// A new instance may not be seen yet. Then EC2 still answers the same token with the same instance, and only where
    /// a zone or a rate has changed its mind within these seconds a second one is made: it carries the run's tag.
    async fn token_in_use(
        &self,
        request: &LaunchRequest,
        ways: &[Try],
    ) -> Result<Option<String>, CloudError> {
        if ways.len() < 2 {
            return Ok(None);
        }
        let call = self.ec2.describe_instances().filters(tags::of_run(&request.run_id));
        let pages = call.into_paginator().page_size(PAGE_SIZE).items().send();
        let reservations = pages.try_collect().await.map_err(|error| {
            explain(format!("it could not be seen whether {} is started already", request.machine), error)
        })?;
        let instances = reservations.iter().flat_map(|reservation| reservation.instances());
        let mut tokens = instances.filter_map(|instance| instance.client_token());
        let used = tokens.find(|token| ways.iter().any(|way| way.token == *token));
        Ok(used.map(str::to_owned))
    }

    /// The volumes that the image restores, to be filled at this rate. Their devices and snapshots are the image's:
    /// nobody else knows them.
    ///
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EbsBlockDevice.html>
    async fn hurried_volumes(
        &self,
        request: &LaunchRequest,
        rate: Option<i32>,
    ) -> Result<Vec<BlockDeviceMapping>, CloudError> {
        let Some(rate) = rate else { return Ok(Vec::new()) };
        let restored = self.restored_volumes(&request.image_id).await?;
        let volumes = restored.into_iter().map(|(device, snapshot)| {
            let disk = EbsBlockDevice::builder().snapshot_id(snapshot).volume_initialization_rate(rate);
            // An image made from a builder says itself whether a volume ends with its instance; ours always do.
            let disk = disk.delete_on_termination(true).build();
            BlockDeviceMapping::builder().device_name(device).ebs(disk).build()
        });
        Ok(volumes.collect())
    }

    async fn restored_volumes(&self, image_id: &ImageId) -> Result<Vec<(String, String)>, CloudError> {
        let description = self.image_by_id(image_id).await?;
        let restored = blocks(&description).filter_map(|block| {
            let snapshot = block.ebs()?.snapshot_id().filter(|id| !id.is_empty())?;
            Some((block.device_name()?.to_owned(), snapshot.to_owned()))
        });
        Ok(restored.collect())
    }
}

fn template(template: &LaunchTemplate) -> LaunchTemplateSpecification {
    LaunchTemplateSpecification::builder().launch_template_id(&template.id).version(&template.version).build()
}

/// Over the account's quota of rates the whole launch is refused. EC2 documents no code for it, so every definitive
/// refusal of the request is taken for one: if it was about something else, the plain launch is refused as well.
///
/// <https://docs.aws.amazon.com/ebs/latest/userguide/initalize-volume.html>
fn refuses_the_rate(error: &SdkError<RunInstancesError>) -> bool {
    let SdkError::ServiceError(context) = error else { return false };
    let words = |text: Option<&str>| text.unwrap_or_default().to_lowercase().replace([' ', '-', '_'], "");
    let names_it = |text: Option<&str>| words(text).contains("initializationrate");
    let is_definitive = (400..500).contains(&context.raw().status().as_u16());
    names_it(error.code())
        || names_it(error.message())
        || is_definitive && error.code().is_some_and(is_about_the_request)
}
