//! What carries a run's tag.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Image, ImageState, Instance, NetworkInterface, Snapshot, Volume, VolumeState};
use rekindle_cloud::{CloudError, CloudErrorKind, Resource};
use rekindle_domain::{MachineKey, RunId};

use crate::client::PAGE_SIZE;
use crate::cloud::Ec2Cloud;
use crate::error::{explain, unless_unknown};
use crate::image::{image, image_in_description, snapshots};
use crate::instance::{instance, is_terminated};
use crate::tags;

/// The kind of a disk.
pub(crate) const VOLUME: &str = "volume";
/// The kind of a saved disk.
pub(crate) const SNAPSHOT: &str = "snapshot";
/// The kind of a network interface.
pub(crate) const NETWORK_INTERFACE: &str = "network-interface";

/// What EC2 has found; each list may be of another moment.
#[derive(Debug, Default)]
struct Found {
    instances: Vec<Instance>,
    images: Vec<Image>,
    snapshots: Vec<Snapshot>,
    volumes: Vec<Volume>,
    interfaces: Vec<NetworkInterface>,
}

/// One kind of resource by the run's tag, all pages.
macro_rules! tagged {
    ($call:expr, $run_id:expr, $kind:literal) => {
        async {
            let pages =
                $call.filters(tags::of_run($run_id)).into_paginator().page_size(PAGE_SIZE).items().send();
            let what = concat!("the ", $kind, " of the run could not be looked for");
            pages.try_collect().await.map_err(|error| explain(what, error))
        }
    };
}

impl Ec2Cloud {
    /// The five kinds are asked for at once.
    ///
    /// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html>
    pub(crate) async fn find_tagged(&self, run_id: &RunId) -> Result<Vec<Resource>, CloudError> {
        let images = self.ec2.describe_images().owners("self").include_disabled(true);
        let (reservations, images, snapshots, volumes, interfaces) = tokio::try_join!(
            tagged!(self.ec2.describe_instances(), run_id, "instances"),
            tagged!(images, run_id, "images"),
            tagged!(self.ec2.describe_snapshots().owner_ids("self"), run_id, "snapshots"),
            tagged!(self.ec2.describe_volumes(), run_id, "volumes"),
            tagged!(self.ec2.describe_network_interfaces(), run_id, "network interfaces"),
        )?;
        let instances =
            reservations.into_iter().flat_map(|reservation| reservation.instances.unwrap_or_default());
        Found { instances: instances.collect(), images, snapshots, volumes, interfaces }.resources()
    }

    /// Instances and images that a run made for the machine; the customer's own base images carry its tag too, but no
    /// run's.
    ///
    /// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html>
    pub(crate) async fn find_of_machine(&self, machine: &MachineKey) -> Result<Vec<Resource>, CloudError> {
        let instances = self.ec2.describe_instances().filters(tags::of_machine(machine));
        let instances = instances.filters(tags::of_any_run()).into_paginator().page_size(PAGE_SIZE).items();
        let images = self.ec2.describe_images().owners("self").include_disabled(true);
        let images = images.filters(tags::of_machine(machine)).filters(tags::of_any_run());
        let images = images.into_paginator().page_size(PAGE_SIZE).items();
        let (reservations, images) = tokio::try_join!(
            async {
                let what = "the instances of the machine could not be looked for";
                instances.send().try_collect().await.map_err(|error| explain(what, error))
            },
            async {
                let what = "the images of the machine could not be looked for";
                images.send().try_collect().await.map_err(|error| explain(what, error))
            },
        )?;
        let instances =
            reservations.into_iter().flat_map(|reservation| reservation.instances.unwrap_or_default());
        Found { instances: instances.collect(), images, ..Found::default() }.resources()
    }

    /// Destroys a part that has lost its owner.
    ///
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteVolume.html>,
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteSnapshot.html>,
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteNetworkInterface.html>
    pub(crate) async fn remove_other(&self, kind: &str, id: &str) -> Result<(), CloudError> {
        let what = format!("the {kind} {id} could not be deleted");
        let result = match kind {
            VOLUME => {
                let answer = self.ec2.delete_volume().volume_id(id).send().await;
                answer.map(drop).map_err(|error| explain(what, error))
            }
            SNAPSHOT => {
                let answer = self.ec2.delete_snapshot().snapshot_id(id).send().await;
                answer.map(drop).map_err(|error| explain(what, error))
            }
            NETWORK_INTERFACE => {
                let answer = self.ec2.delete_network_interface().network_interface_id(id).send().await;
                answer.map(drop).map_err(|error| still_attached(explain(what, error)))
            }
            _ => Err(CloudError::new(CloudErrorKind::Refused, format!("{what}: EC2 has no such kind here"))),
        };
        unless_unknown(result)
    }
}

/// EC2 calls an interface that is attached an invalid parameter. It is free as soon as its instance is terminated.
fn still_attached(mut error: CloudError) -> CloudError {
    if error.kind == CloudErrorKind::Refused && error.what.contains("is currently in use") {
        error.kind = CloudErrorKind::WrongState;
    }
    error
}

impl Found {
    /// Owners first, then what none of them owns. A part whose owner is not to be seen yet is listed too: it is
    /// refused while it is in use, and nothing is overlooked.
    fn resources(&self) -> Result<Vec<Resource>, CloudError> {
        let mut resources = Vec::new();
        for description in self.instances.iter().filter(|instance| !is_terminated(instance)) {
            resources.push(Resource::Instance(instance(description)?));
        }
        for description in self.images.iter().filter(|image| is_there(image)) {
            resources.push(Resource::Image(image(description)?));
        }
        let owners: BTreeSet<String> = resources.iter().map(|owner| owner.id().to_owned()).collect();
        resources.extend(self.orphaned_volumes(&owners));
        resources.extend(self.orphaned_snapshots(&owners));
        resources.extend(self.orphaned_interfaces(&owners));
        Ok(resources)
    }

    fn orphaned_volumes(&self, owners: &BTreeSet<String>) -> impl Iterator<Item = Resource> {
        let is_going =
            |volume: &Volume| matches!(volume.state(), Some(VolumeState::Deleting | VolumeState::Deleted));
        let is_owned = |volume: &Volume| {
            volume.attachments().iter().any(|at| at.instance_id().is_some_and(|id| owners.contains(id)))
        };
        let orphans = self.volumes.iter().filter(move |volume| !is_going(volume) && !is_owned(volume));
        orphans.filter_map(|volume| other(VOLUME, volume.volume_id()))
    }

    /// An image that is being made may not name its snapshots yet, but they name it.
    fn orphaned_snapshots(&self, owners: &BTreeSet<String>) -> impl Iterator<Item = Resource> {
        let owned: BTreeSet<String> =
            self.images.iter().filter(|image| is_there(image)).flat_map(snapshots).collect();
        let is_owned = move |snapshot: &Snapshot| {
            let of_image = snapshot.description().and_then(image_in_description);
            of_image.is_some_and(|id| owners.contains(id))
                || snapshot.snapshot_id().is_some_and(|id| owned.contains(id))
        };
        let orphans = self.snapshots.iter().filter(move |snapshot| !is_owned(snapshot));
        orphans.filter_map(|snapshot| other(SNAPSHOT, snapshot.snapshot_id()))
    }

    fn orphaned_interfaces(&self, owners: &BTreeSet<String>) -> impl Iterator<Item = Resource> {
        let is_owned = |interface: &NetworkInterface| {
            interface.attachment().and_then(|at| at.instance_id()).is_some_and(|id| owners.contains(id))
        };
        let orphans = self.interfaces.iter().filter(move |interface| !is_owned(interface));
        orphans.filter_map(|interface| other(NETWORK_INTERFACE, interface.network_interface_id()))
    }
}

fn is_there(image: &Image) -> bool {
    image.state() != Some(&ImageState::Deregistered)
}

fn other(kind: &str, id: Option<&str>) -> Option<Resource> {
    Some(Resource::Other { kind: kind.to_owned(), id: id?.to_owned() })
}
