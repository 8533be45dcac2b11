//! What carries a run's tag, without what goes with its owner.

use rekindle_cloud::{CloudErrorKind, CloudProvider as _};
use rekindle_domain::{MachineKey, RunId};

use crate::answers::{
    IMAGE, INSTANCE, RUN, SNAPSHOT, done, error, image, images, instance, instances, page, snapshot,
    snapshots, tags,
};
use crate::recorder::{Answer, Recorder};

fn run() -> RunId {
    RunId::parse(RUN).unwrap()
}

fn volume(id: &str, state: &str, instance: Option<&str>) -> String {
    let attachment = instance.map(|instance| format!("<item><instanceId>{instance}</instanceId></item>"));
    let attachment = attachment.unwrap_or_default();
    format!(
        "<item><volumeId>{id}</volumeId><status>{state}</status><attachmentSet>{attachment}</attachmentSet></item>"
    )
}

fn volumes(items: &str) -> (&'static str, Answer) {
    page("DescribeVolumes", "volumeSet", items, None)
}

fn interface(id: &str, instance: Option<&str>) -> String {
    let attachment =
        instance.map(|instance| format!("<attachment><instanceId>{instance}</instanceId></attachment>"));
    format!("<item><networkInterfaceId>{id}</networkInterfaceId>{}</item>", attachment.unwrap_or_default())
}

fn interfaces(items: &str) -> (&'static str, Answer) {
    page("DescribeNetworkInterfaces", "networkInterfaceSet", items, None)
}

async fn found(ec2: &Recorder) -> Vec<(String, String)> {
    let found = ec2.cloud().find_by_run(&run()).await.unwrap();
    found.iter().map(|resource| (resource.kind().to_owned(), resource.id().to_owned())).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(kind, id)| ((*kind).to_owned(), (*id).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn parts_are_listed_only_when_their_owner_is_gone() {
    let gone = "i-0a1b2c3d4e5f6dead";
    let made_of = |image: &str| format!("Created by CreateImage({INSTANCE}) for {image}");
    let ec2 = Recorder::new([
        instances(&[instance(INSTANCE, 32, "shutting-down", ""), instance(gone, 48, "terminated", "")], None),
        images(&image(IMAGE, "n", "pending", &[SNAPSHOT], &tags(&[])), None),
        snapshots(
            &[
                snapshot(SNAPSHOT, "of the image's mapping"),
                snapshot("snap-0a1b2c3d4e5f6004", &made_of(IMAGE)),
                snapshot("snap-0a1b2c3d4e5f6005", &made_of("ami-0a1b2c3d4e5f6dead")),
            ]
            .concat(),
        ),
        volumes(
            &[
                volume("vol-0000000000000000a", "in-use", Some(INSTANCE)),
                volume("vol-0000000000000000b", "available", None),
                volume("vol-0000000000000000c", "deleting", None),
                volume("vol-0000000000000000d", "in-use", Some(gone)),
            ]
            .concat(),
        ),
        interfaces(
            &(interface("eni-0000000000000000a", Some(INSTANCE)) + &interface("eni-0000000000000000b", None)),
        ),
    ]);
    let expected = [
        ("instance", INSTANCE),
        ("image", IMAGE),
        ("volume", "vol-0000000000000000b"),
        ("volume", "vol-0000000000000000d"),
        ("snapshot", "snap-0a1b2c3d4e5f6005"),
        ("network-interface", "eni-0000000000000000b"),
    ];
    assert_eq!(found(&ec2).await, pairs(&expected));
    for sent in ec2.sent() {
        assert_eq!((sent.get("Filter.1.Name"), sent.get("Filter.1.Value.1")), ("tag:rekindle:run", RUN));
        assert_eq!(sent.get("MaxResults"), "500");
        let is_of_owner = ["DescribeImages", "DescribeSnapshots"].contains(&sent.action.as_str());
        assert_eq!(sent.get("Owner.1"), if is_of_owner { "self" } else { "" }, "{}", sent.action);
    }
}

/// The customer tags its base images with the machine too: they belong to no run, and are not asked for.
#[tokio::test(start_paused = true)]
async fn of_a_machine_is_found_what_runs_have_made_for_it() {
    let ec2 = Recorder::new([
        instances(&[instance(INSTANCE, 16, "running", "")], Some("page-2")),
        instances(&[instance("i-0a1b2c3d4e5f6dead", 48, "terminated", "")], None),
        images(&image(IMAGE, "n", "available", &[SNAPSHOT], &tags(&[])), None),
    ]);
    let machine = MachineKey::parse("acme/orders/database").unwrap();
    let found = ec2.cloud().find_by_machine(&machine).await.unwrap();
    let found: Vec<_> = found.iter().map(|resource| (resource.kind(), resource.id())).collect();
    assert_eq!(found, [("instance", INSTANCE), ("image", IMAGE)]);
    for sent in ec2.sent() {
        let first = (sent.get("Filter.1.Name"), sent.get("Filter.1.Value.1"));
        assert_eq!(first, ("tag:rekindle:machine", "acme/orders/database"));
        assert_eq!((sent.get("Filter.2.Name"), sent.get("Filter.2.Value.1")), ("tag-key", "rekindle:run"));
    }
}

#[tokio::test(start_paused = true)]
async fn all_pages_are_read_also_empty_ones() {
    let second = "i-0a1b2c3d4e5f60009";
    let ec2 = Recorder::new([
        instances(&[instance(INSTANCE, 16, "running", "")], Some("page-2")),
        instances(&[], Some("page-3")),
        instances(&[instance(second, 16, "running", "")], None),
        images("", None),
        snapshots(""),
        volumes(""),
        interfaces(""),
    ]);
    assert_eq!(found(&ec2).await, pairs(&[("instance", INSTANCE), ("instance", second)]));
    let sent = ec2.sent();
    let tokens: Vec<&str> = sent
        .iter()
        .filter(|sent| sent.action == "DescribeInstances")
        .map(|sent| sent.get("NextToken"))
        .collect();
    assert_eq!(tokens, ["", "page-2", "page-3"]);
}

#[tokio::test(start_paused = true)]
async fn a_part_of_the_truth_is_not_told() {
    let denied = error("DescribeVolumes", 403, "UnauthorizedOperation", "No.");
    let ec2 = Recorder::new([instances(&[], None), images("", None), denied, snapshots(""), interfaces("")]);
    let error = ec2.cloud().find_by_run(&run()).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Refused);
    assert_eq!(error.what, "the volumes of the run could not be looked for: UnauthorizedOperation (No.)");
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_part_is_deleted_and_unknown_is_success() {
    let kinds = [
        ("volume", "DeleteVolume", "VolumeId", "InvalidVolume.NotFound"),
        ("snapshot", "DeleteSnapshot", "SnapshotId", "InvalidSnapshot.NotFound"),
        (
            "network-interface",
            "DeleteNetworkInterface",
            "NetworkInterfaceId",
            "InvalidNetworkInterfaceID.NotFound",
        ),
    ];
    for (kind, action, parameter, unknown) in kinds {
        let ec2 = Recorder::new([done(action), error(action, 400, unknown, "does not exist")]);
        let cloud = ec2.cloud();
        cloud.delete_other(kind, "x-1").await.unwrap();
        cloud.delete_other(kind, "x-1").await.unwrap();
        assert_eq!(ec2.sent()[1].get(parameter), "x-1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_in_use_is_in_the_wrong_state() {
    let interface = "Network interface 'eni-1' is currently in use.";
    let answers = [
        ("volume", error("DeleteVolume", 400, "VolumeInUse", "is currently attached to i-1")),
        ("snapshot", error("DeleteSnapshot", 400, "InvalidSnapshot.InUse", "is currently in use by ami-1")),
        ("network-interface", error("DeleteNetworkInterface", 400, "InvalidParameterValue", interface)),
    ];
    for (kind, answer) in answers {
        let ec2 = Recorder::new([answer]);
        assert_eq!(ec2.cloud().delete_other(kind, "x-1").await.unwrap_err().kind, CloudErrorKind::WrongState);
    }
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_never_listed_is_refused() {
    let ec2 = Recorder::new([]);
    let error = ec2.cloud().delete_other("folder", "instances/i-1").await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Refused);
}
