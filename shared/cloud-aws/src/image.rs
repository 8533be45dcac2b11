//! Images: made of stopped instances, looked at, destroyed with their snapshots.

use aws_sdk_ec2::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_ec2::operation::create_image::CreateImageError;
use aws_sdk_ec2::types::{BlockDeviceMapping, Image, ImageState as State, ResourceType, Tag};
use rekindle_cloud::{
    CloudError, CloudErrorKind, CloudImage, CreateImageRequest, ImageState, InstanceState, RUN_TAG,
};
use rekindle_domain::ImageId;

use crate::client::PAGE_SIZE;
use crate::cloud::Ec2Cloud;
use crate::error::{explain, is_not_implemented, unless_unknown};
use crate::tags::{self, STACK_TAG};

impl Ec2Cloud {
    /// Creation takes no client token; the name is what makes a second call harmless. EC2 would also take a running
    /// instance, and reboot it: so it is looked at first.
    ///
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html>
    pub(crate) async fn save_instance(&self, request: &CreateImageRequest) -> Result<CloudImage, CloudError> {
        let instance = self.look_at_instance(&request.instance_id).await?;
        if instance.state != InstanceState::Stopped {
            return Err(self.why_not(request).await?);
        }
        let mut tags = tags::tags(&request.run_id, &request.machine);
        tags.extend(instance.tags.get(STACK_TAG).map(|stack| tags::tag(STACK_TAG, stack)));
        let both = [ResourceType::Image, ResourceType::Snapshot];
        let image_id = match self.ask_for_image(request, &both, &tags).await {
            Err(error) if refuses_snapshot_tags(&error) => {
                let made = self.ask_for_image(request, &[ResourceType::Image], &tags).await;
                let image_id = named(request, made)?;
                self.tag_snapshots(&image_id, &tags).await;
                image_id
            }
            made => named(request, made)?,
        };
        let tags = tags::as_map(&tags);
        Ok(CloudImage {
            image_id,
            name: request.name.clone(),
            state: ImageState::Pending,
            size_bytes: None,
            tags,
        })
    }

    /// An instance that is not stopped may have been one when an earlier try saved it.
    async fn why_not(&self, request: &CreateImageRequest) -> Result<CloudError, CloudError> {
        if self.look_for_image(&request.name).await?.is_some() {
            let what = format!("there is an image {} already", request.name);
            return Ok(CloudError::new(CloudErrorKind::NameTaken, what));
        }
        let what = format!("the instance {} is not stopped, so no image is made of it", request.instance_id);
        Ok(CloudError::new(CloudErrorKind::WrongState, what))
    }

    async fn ask_for_image(
        &self,
        request: &CreateImageRequest,
        tagged: &[ResourceType],
        tags: &[Tag],
    ) -> Result<Option<String>, SdkError<CreateImageError>> {
        let call = self.ec2.create_image().instance_id(request.instance_id.as_str()).name(&request.name);
        let call = call.set_tag_specifications(Some(tags::specifications(tagged, tags)));
        Ok(call.send().await?.image_id)
    }

    /// Where snapshots cannot be tagged at their creation. Without these tags they are still found with their image,
    /// and by [`orphans`](Self::orphans) after it, so a failure here fails nothing.
    ///
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateTags.html>
    async fn tag_snapshots(&self, image_id: &ImageId, tags: &[Tag]) {
        let tagged = async {
            let snapshots = snapshots(&self.image_by_id(image_id).await?);
            if snapshots.is_empty() {
                let what = format!("the snapshots of {image_id} are not known yet");
                return Err(CloudError::new(CloudErrorKind::NotFound, what));
            }
            let call = self.ec2.create_tags().set_resources(Some(snapshots)).set_tags(Some(tags.to_vec()));
            let answer = call.send().await.map(drop);
            answer.map_err(|error| explain(format!("the snapshots of {image_id} were not tagged"), error))
        };
        if let Err(error) = tagged.await {
            tracing::warn!(%image_id, %error, "the snapshots of the image carry no tags");
        }
    }

    pub(crate) async fn look_at_image(&self, id: &ImageId) -> Result<CloudImage, CloudError> {
        image(&self.image_by_id(id).await?)
    }

    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImages.html>
    pub(crate) async fn image_by_id(&self, id: &ImageId) -> Result<Image, CloudError> {
        let answer = self.ec2.describe_images().image_ids(id.as_str()).include_disabled(true).send().await;
        let answer =
            answer.map_err(|error| explain(format!("the image {id} could not be looked at"), error))?;
        let found = answer.images.unwrap_or_default().into_iter().find(|image| {
            image.image_id() == Some(id.as_str()) && image.state() != Some(&State::Deregistered)
        });
        found.ok_or_else(|| {
            CloudError::new(CloudErrorKind::NotFound, format!("EC2 does not know the image {id}"))
        })
    }

    pub(crate) async fn look_for_image(&self, name: &str) -> Result<Option<CloudImage>, CloudError> {
        let call = self.ec2.describe_images().owners("self").include_disabled(true);
        let pages =
            call.filters(tags::filter("name", name)).into_paginator().page_size(PAGE_SIZE).items().send();
        let found = pages.try_collect().await;
        let found =
            found.map_err(|error| explain(format!("the image {name} could not be looked for"), error))?;
        // The filter knows wildcards, and a name is not a pattern.
        let is_it =
            |image: &&Image| image.name() == Some(name) && image.state() != Some(&State::Deregistered);
        found.iter().find(is_it).map(image).transpose()
    }

    /// Deregistered first: a snapshot cannot be deleted before. Which ones they are is read before that, since EC2
    /// forgets it; a call that was cut off in between finds them by their description.
    ///
    /// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/deregister-ami.html>
    pub(crate) async fn remove_image(&self, id: &ImageId) -> Result<(), CloudError> {
        let snapshots = match self.image_by_id(id).await {
            Ok(description) => {
                refuse_what_is_not_ours(id, &description)?;
                self.deregister(id).await?;
                snapshots(&description)
            }
            Err(error) if error.kind == CloudErrorKind::NotFound => self.orphans(id).await?,
            Err(error) => return Err(error),
        };
        let mut result = Ok(());
        for snapshot in snapshots {
            // One that fails keeps no other one alive.
            result = result.and(self.remove_other(crate::find::SNAPSHOT, &snapshot).await);
        }
        result
    }

    async fn deregister(&self, id: &ImageId) -> Result<(), CloudError> {
        let answer = self.ec2.deregister_image().image_id(id.as_str()).send().await;
        let what = format!("the image {id} could not be deregistered");
        unless_unknown(answer.map(drop).map_err(|error| explain(what, error)))
    }

    /// The snapshots that an image has left behind: EC2 writes the image's id into their description.
    async fn orphans(&self, id: &ImageId) -> Result<Vec<String>, CloudError> {
        let call = self.ec2.describe_snapshots().owner_ids("self");
        let call = call.filters(tags::filter("description", &format!("Created by CreateImage(*) for {id}*")));
        let found = call.into_paginator().page_size(PAGE_SIZE).items().send().try_collect().await;
        let what = || format!("it could not be seen what the image {id} has left behind");
        let found = found.map_err(|error| explain(what(), error))?;
        let of_it = found
            .iter()
            .filter(|snapshot| snapshot.description().and_then(image_in_description) == Some(id.as_str()));
        Ok(of_it.filter_map(|snapshot| snapshot.snapshot_id().map(str::to_owned)).collect())
    }
}

/// `Created by CreateImage(i-…) for ami-…`, and in older ones ` from vol-…` after it.
pub(crate) fn image_in_description(description: &str) -> Option<&str> {
    let rest = description.strip_prefix("Created by CreateImage(")?;
    rest.split_once(") for ")?.1.split_whitespace().next()
}

fn named(
    request: &CreateImageRequest,
    made: Result<Option<String>, SdkError<CreateImageError>>,
) -> Result<ImageId, CloudError> {
    let what = format!("no image {} was made of {}", request.name, request.instance_id);
    let id = made.map_err(|error| explain(&what, error))?.unwrap_or_default();
    // It may well exist: the next try is told that the name is taken, and finds it.
    ImageId::parse(&id).map_err(|error| {
        CloudError::new(CloudErrorKind::Uncertain, format!("{what}, as far as EC2's answer tells"))
            .because(error)
    })
}

/// Some places that speak EC2's language cannot tag snapshots together with the image: they do not know the kind of
/// resource, or have not implemented it. Should it be an accident of EC2's, the name still allows only one image.
fn refuses_snapshot_tags(error: &SdkError<CreateImageError>) -> bool {
    let status = error.raw_response().map(|response| response.status().as_u16());
    is_not_implemented(status, error.code())
        || error.message().is_some_and(|message| message.contains("not a valid taggable resource type"))
}

/// A base image belongs to somebody, and a mistake with an id must not take it away.
fn refuse_what_is_not_ours(id: &ImageId, description: &Image) -> Result<(), CloudError> {
    if description.tags().iter().any(|tag| tag.key() == Some(RUN_TAG)) {
        return Ok(());
    }
    Err(CloudError::new(
        CloudErrorKind::Refused,
        format!("the image {id} was made by no run, so it is not destroyed"),
    ))
}

pub(crate) fn blocks(description: &Image) -> impl Iterator<Item = &BlockDeviceMapping> {
    description.block_device_mappings().iter()
}

pub(crate) fn snapshots(description: &Image) -> Vec<String> {
    blocks(description).filter_map(|block| block.ebs()?.snapshot_id().map(str::to_owned)).collect()
}

/// The port's words for what EC2 describes. EC2 says how large the volumes are, not what their snapshots take.
pub(crate) fn image(description: &Image) -> Result<CloudImage, CloudError> {
    let id = description.image_id().unwrap_or_default();
    let image_id = ImageId::parse(id).map_err(|error| {
        CloudError::new(CloudErrorKind::Uncertain, "EC2 described an image without a usable id")
            .because(error)
    })?;
    Ok(CloudImage {
        image_id,
        name: description.name().unwrap_or_default().to_owned(),
        state: state(description.state()),
        size_bytes: None,
        tags: tags::as_map(description.tags()),
    })
}

/// What can no longer be started counts as failed; a state that is new to us is looked at again.
fn state(state: Option<&State>) -> ImageState {
    match state {
        Some(State::Available) => ImageState::Available,
        Some(State::Failed | State::Error | State::Invalid | State::Disabled | State::Deregistered) => {
            ImageState::Failed
        }
        _ => ImageState::Pending,
    }
}
