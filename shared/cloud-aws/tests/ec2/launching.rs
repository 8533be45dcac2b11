//! What is asked of RunInstances, and in which order.

use std::collections::{BTreeMap, BTreeSet};

use rekindle_cloud::{CloudErrorKind, CloudProvider as _, InstanceState, LaunchRequest, Purpose};
use rekindle_domain::{ImageId, MachineKey, RunId};

use crate::answers::{
    IMAGE, INSTANCE, MACHINE, RUN, error, image, images, instance, instances, started, tags,
};
use crate::recorder::{Answer, Recorder, Sent};

const RUN_INSTANCES: &str = "RunInstances";

fn builder(zone: &str) -> LaunchRequest {
    LaunchRequest {
        client_token: "0123456789abcdef".repeat(4),
        run_id: RunId::parse(RUN).unwrap(),
        machine: MachineKey::parse(MACHINE).unwrap(),
        image_id: ImageId::parse(IMAGE).unwrap(),
        instance_type: "t3.medium".into(),
        zone: zone.into(),
        purpose: Purpose::Builder,
        ssh_key_name: String::new(),
        isolated_network: true,
    }
}

fn replica(zone: &str) -> LaunchRequest {
    LaunchRequest { purpose: Purpose::Replica, ..builder(zone) }
}

fn no_capacity() -> (&'static str, Answer) {
    error(RUN_INSTANCES, 500, "InsufficientInstanceCapacity", "We currently do not have sufficient capacity")
}

fn bootable() -> (&'static str, Answer) {
    images(
        &image(IMAGE, "n", "available", &["snap-0000000000000000a", "snap-0000000000000000b"], &tags(&[])),
        None,
    )
}

fn launches(sent: &[Sent]) -> Vec<&Sent> {
    sent.iter().filter(|sent| sent.action == RUN_INSTANCES).collect()
}

#[tokio::test(start_paused = true)]
async fn a_launch_says_all_that_a_request_decides_and_no_more() {
    let ec2 = Recorder::new([started(INSTANCE)]);
    let request = LaunchRequest { ssh_key_name: "acme ops".into(), ..builder("eu-west-1b") };
    let made = ec2.cloud().launch(&request).await.unwrap();
    assert_eq!((made.instance_id.as_str(), made.state), (INSTANCE, InstanceState::Pending));
    assert_eq!(made.tags.get("rekindle:machine").unwrap(), MACHINE);
    let mut expected: BTreeMap<String, String> = [
        ("ClientToken", request.client_token.as_str()),
        ("ImageId", IMAGE),
        ("InstanceType", "t3.medium"),
        ("KeyName", "acme ops"),
        ("LaunchTemplate.LaunchTemplateId", "lt-0b000000000000001"),
        ("LaunchTemplate.Version", "3"),
        ("MaxCount", "1"),
        ("MinCount", "1"),
        ("SecurityGroupId.1", "sg-01500000000000001"),
        ("SubnetId", "subnet-0b000000000000002"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for (number, kind) in (1..).zip(["instance", "volume", "network-interface"]) {
        let name = format!("TagSpecification.{number}");
        expected.insert(format!("{name}.ResourceType"), kind.into());
        for (tag, (key, value)) in (1..).zip([("rekindle:run", RUN), ("rekindle:machine", MACHINE)]) {
            expected.insert(format!("{name}.Tag.{tag}.Key"), key.into());
            expected.insert(format!("{name}.Tag.{tag}.Value"), value.into());
        }
    }
    assert_eq!(ec2.sent()[0].parameters, expected);
}

#[tokio::test(start_paused = true)]
async fn a_replica_has_its_volumes_filled_at_the_rate_that_is_bought() {
    let ec2 = Recorder::new([bootable(), instances(&[], None), started(INSTANCE)]);
    let request = LaunchRequest { isolated_network: false, ..replica("eu-west-1a") };
    ec2.cloud().launch(&request).await.unwrap();
    let sent = ec2.sent();
    let launch = launches(&sent)[0];
    assert_eq!(launch.get("ClientToken"), request.client_token);
    assert_eq!(launch.get("LaunchTemplate.LaunchTemplateId"), "lt-0c000000000000001");
    assert_eq!(launch.get("SubnetId"), "subnet-0d00000000000000a");
    assert_eq!(launch.get("SecurityGroupId.1"), "sg-0d000000000000001");
    assert!(!launch.parameters.contains_key("KeyName"));
    let blocks: Vec<(&str, &str)> = launch
        .parameters
        .iter()
        .filter(|(name, _)| name.starts_with("BlockDeviceMapping."))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let expected = [
        ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
        ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true"),
        ("BlockDeviceMapping.1.Ebs.SnapshotId", "snap-0000000000000000a"),
        ("BlockDeviceMapping.1.Ebs.VolumeInitializationRate", "300"),
        ("BlockDeviceMapping.2.DeviceName", "/dev/sdf"),
        ("BlockDeviceMapping.2.Ebs.DeleteOnTermination", "true"),
        ("BlockDeviceMapping.2.Ebs.SnapshotId", "snap-0000000000000000b"),
        ("BlockDeviceMapping.2.Ebs.VolumeInitializationRate", "300"),
    ];
    assert_eq!(blocks, expected);
}

#[tokio::test(start_paused = true)]
async fn a_refused_rate_does_not_keep_a_replica_from_starting() {
    let refusals = [
        ("VolumeLimitExceeded", "You have exceeded a quota"),
        ("InvalidParameterCombination", "The volume initialization rate is not supported here"),
        ("Unsupported", "VolumeInitializationRate is not supported in this Availability Zone"),
    ];
    for (code, message) in refusals {
        let refused = error(RUN_INSTANCES, 400, code, message);
        let ec2 = Recorder::new([bootable(), instances(&[], None), refused, started(INSTANCE)]);
        let request = replica("eu-west-1a");
        ec2.cloud().launch(&request).await.unwrap();
        let sent = ec2.sent();
        let [hurried, plain] = launches(&sent)[..] else { panic!("{code}") };
        assert_eq!(hurried.get("ClientToken"), request.client_token);
        assert_eq!(plain.get("ClientToken").len(), 64);
        assert_ne!(plain.get("ClientToken"), request.client_token, "other parameters need another token");
        assert!(!plain.parameters.keys().any(|name| name.starts_with("BlockDeviceMapping")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_caller_is_not_taken_for_one_of_the_rate() {
    for code in ["UnauthorizedOperation", "IdempotentParameterMismatch", "IdempotentInstanceTerminated"] {
        let ec2 = Recorder::new([bootable(), instances(&[], None), error(RUN_INSTANCES, 400, code, "No.")]);
        let error = ec2.cloud().launch(&replica("eu-west-1a")).await.unwrap_err();
        assert_eq!(error.kind, CloudErrorKind::Refused);
        assert_eq!(launches(&ec2.sent()).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_zone_without_capacity_is_asked_once_and_the_next_one_is_asked_with_another_token() {
    let ec2 = Recorder::new([bootable(), instances(&[], None), no_capacity(), started(INSTANCE)]);
    let request = replica("");
    ec2.cloud().launch(&request).await.unwrap();
    let sent = ec2.sent();
    let [first, second] = launches(&sent)[..] else { panic!("{sent:?}") };
    assert_eq!(first.get("SubnetId"), "subnet-0a000000000000001");
    assert_eq!(second.get("SubnetId"), "subnet-0b000000000000002");
    let tokens = [first.get("ClientToken"), second.get("ClientToken"), request.client_token.as_str()];
    assert_eq!(BTreeSet::from(tokens).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn no_capacity_anywhere_is_said_with_the_type_and_the_zone() {
    let unsupported =
        error(RUN_INSTANCES, 400, "Unsupported", "Your requested instance type is not supported");
    let ec2 = Recorder::new([instances(&[], None), no_capacity(), unsupported]);
    let error = ec2.cloud().launch(&builder("")).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::NoCapacity);
    assert_eq!(
        error.what,
        format!(
            "no instance of {MACHINE} was started from {IMAGE} as t3.medium in eu-west-1b: Unsupported (Your requested \
             instance type is not supported)"
        )
    );
    assert_eq!(launches(&ec2.sent()).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_zone_without_a_subnet_is_not_asked() {
    let ec2 = Recorder::new([]);
    let error = ec2.cloud().launch(&builder("eu-west-1c")).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::NoCapacity);
    assert!(error.what.ends_with("in eu-west-1c: the isolated network has no subnet there"), "{error}");
    assert!(ec2.sent().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_repeated_launch_goes_where_the_first_one_had_success() {
    let first = Recorder::new([instances(&[], None), no_capacity(), started(INSTANCE)]);
    first.cloud().launch(&builder("")).await.unwrap();
    let token = first.sent()[2].get("ClientToken").to_owned();

    // On a second page, and beside an instance of another machine of the same run.
    let one = instances(&[instance("i-0a1b2c3d4e5f60009", 16, "running", "another")], Some("page-2"));
    let two = instances(&[instance(INSTANCE, 16, "running", &token)], None);
    let again = Recorder::new([one, two, started(INSTANCE)]);
    again.cloud().launch(&builder("")).await.unwrap();
    let sent = again.sent();
    assert_eq!(sent[0].get("Filter.1.Name"), "tag:rekindle:run");
    assert_eq!(sent[0].get("Filter.1.Value.1"), RUN);
    assert_eq!(sent[1].get("NextToken"), "page-2");
    let [launch] = launches(&sent)[..] else { panic!("{sent:?}") };
    assert_eq!(
        (launch.get("SubnetId"), launch.get("ClientToken")),
        ("subnet-0b000000000000002", token.as_str())
    );
}

#[tokio::test(start_paused = true)]
async fn a_throttled_launch_is_repeated_with_the_same_token() {
    let throttled = error(RUN_INSTANCES, 503, "RequestLimitExceeded", "Request limit exceeded.");
    let ec2 = Recorder::new([throttled.clone(), throttled, started(INSTANCE)]);
    ec2.cloud().launch(&builder("eu-west-1a")).await.unwrap();
    let sent = ec2.sent();
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|launch| launch.parameters == sent[0].parameters));
}

#[tokio::test(start_paused = true)]
async fn throttling_that_lasts_is_left_to_the_step() {
    let throttled = || error(RUN_INSTANCES, 503, "RequestLimitExceeded", "Request limit exceeded.");
    let ec2 = Recorder::new([throttled(), throttled(), throttled(), throttled()]);
    let started = tokio::time::Instant::now();
    let error = ec2.cloud().launch(&builder("eu-west-1a")).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Throttled);
    assert!(error.is_transient());
    assert!(started.elapsed() <= std::time::Duration::from_secs(30));
    assert_eq!(ec2.sent().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_for_again_with_the_same_token() {
    let ec2 = Recorder::new([(RUN_INSTANCES, Answer::Lost), started(INSTANCE)]);
    ec2.cloud().launch(&builder("eu-west-1a")).await.unwrap();
    let sent = ec2.sent();
    assert_eq!(sent[0].parameters, sent[1].parameters);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_leaves_the_launch_uncertain_in_time() {
    let silence = || (RUN_INSTANCES, Answer::Silence);
    let ec2 = Recorder::new([silence(), silence(), silence()]);
    let started = tokio::time::Instant::now();
    let error = ec2.cloud().launch(&builder("eu-west-1a")).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Uncertain);
    assert!(error.source.is_some(), "the error underneath is kept");
    assert_eq!(started.elapsed(), std::time::Duration::from_secs(30));
    // Uncertain is not "no capacity": no other zone and no other rate may be tried.
    assert!(ec2.sent().iter().all(|sent| sent.get("SubnetId") == "subnet-0a000000000000001"));
}

#[tokio::test(start_paused = true)]
async fn an_uncertain_launch_goes_to_no_other_zone() {
    let broken = || error(RUN_INSTANCES, 500, "InternalError", "An internal error has occurred");
    let ec2 = Recorder::new([instances(&[], None), broken(), broken(), broken(), broken()]);
    let error = ec2.cloud().launch(&builder("")).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Uncertain);
    let sent = ec2.sent();
    let tokens: BTreeSet<&str> = launches(&sent).iter().map(|launch| launch.get("ClientToken")).collect();
    assert_eq!(tokens.len(), 1);
}
