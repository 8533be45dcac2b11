//! Tags: how what a run has made is known.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html>

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use rekindle_cloud::{MACHINE_TAG, RUN_TAG};
use rekindle_domain::{MachineKey, RunId};

/// The tag that names the deployment. Instances have it from their launch template; images take it over from them.
pub const STACK_TAG: &str = "rekindle:stack";

pub(crate) fn tags(run_id: &RunId, machine: &MachineKey) -> Vec<Tag> {
    vec![tag(RUN_TAG, run_id.as_str()), tag(MACHINE_TAG, &machine.to_string())]
}

pub(crate) fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

/// The same tags on each of these, from their creation on.
pub(crate) fn specifications(on: &[ResourceType], tags: &[Tag]) -> Vec<TagSpecification> {
    let on = on.iter().cloned();
    on.map(|kind| TagSpecification::builder().resource_type(kind).set_tags(Some(tags.to_vec())).build())
        .collect()
}

pub(crate) fn of_run(run_id: &RunId) -> Filter {
    filter(&format!("tag:{RUN_TAG}"), run_id.as_str())
}

pub(crate) fn of_machine(machine: &MachineKey) -> Filter {
    filter(&format!("tag:{MACHINE_TAG}"), &machine.to_string())
}

/// What a run has made, whichever run it was.
pub(crate) fn of_any_run() -> Filter {
    filter("tag-key", RUN_TAG)
}

pub(crate) fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

pub(crate) fn as_map(tags: &[Tag]) -> BTreeMap<String, String> {
    let pairs = tags
        .iter()
        .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())));
    pairs.collect()
}
