//! Images: made once under their name, found, destroyed with their snapshots.

use rekindle_cloud::{CloudErrorKind, CloudProvider as _, CreateImageRequest, ImageState};
use rekindle_domain::{ImageId, InstanceId, MachineKey, RunId};

use crate::answers::{
    IMAGE, INSTANCE, MACHINE, RUN, SNAPSHOT, done, error, image, images, instance, instances, reply,
    snapshot, snapshots, tags,
};
use crate::recorder::{Answer, Recorder, Sent};

const NAME: &str = "rekindle-01ARZ3NDEKTSV4RRFFQ69G5FAV-0123456789ab";

fn request() -> CreateImageRequest {
    CreateImageRequest {
        name: NAME.into(),
        run_id: RunId::parse(RUN).unwrap(),
        machine: MachineKey::parse(MACHINE).unwrap(),
        instance_id: InstanceId::parse(INSTANCE).unwrap(),
    }
}

fn id() -> ImageId {
    ImageId::parse(IMAGE).unwrap()
}

fn stopped() -> (&'static str, Answer) {
    instances(&[instance(INSTANCE, 80, "stopped", "")], None)
}

fn made() -> (&'static str, Answer) {
    reply("CreateImage", &format!("<imageId>{IMAGE}</imageId>"))
}

fn taken() -> (&'static str, Answer) {
    error("CreateImage", 400, "InvalidAMIName.Duplicate", "AMI name is already in use by AMI ami-1")
}

fn ours(state: &str) -> (&'static str, Answer) {
    images(&image(IMAGE, NAME, state, &[SNAPSHOT, "snap-0a1b2c3d4e5f6004"], &tags(&[])), None)
}

fn unknown() -> (&'static str, Answer) {
    error("DescribeImages", 400, "InvalidAMIID.NotFound", "The image id does not exist")
}

fn tag_parameters(sent: &Sent) -> Vec<(&str, &str)> {
    let named = sent.parameters.iter().filter(|(name, _)| name.starts_with("TagSpecification"));
    named.map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn an_image_and_its_snapshots_are_tagged_when_they_are_made() {
    let item = instance(INSTANCE, 80, "stopped", "");
    let item = item.replace("</tagSet>", "<item><key>rekindle:stack</key><value>dr</value></item></tagSet>");
    let ec2 = Recorder::new([instances(&[item], None), made()]);
    let image = ec2.cloud().create_image(&request()).await.unwrap();
    assert_eq!(
        (image.image_id.as_str(), image.name.as_str(), image.state),
        (IMAGE, NAME, ImageState::Pending)
    );
    assert_eq!(image.tags.get("rekindle:run").unwrap(), RUN);
    let sent = ec2.sent();
    let call = &sent[1];
    assert_eq!((call.get("InstanceId"), call.get("Name")), (INSTANCE, NAME));
    assert!(!call.parameters.contains_key("NoReboot"));
    let mut expected = Vec::new();
    for (number, kind) in [("1", "image"), ("2", "snapshot")] {
        expected.push((format!("TagSpecification.{number}.ResourceType"), kind));
        let tags = [("rekindle:run", RUN), ("rekindle:machine", MACHINE), ("rekindle:stack", "dr")];
        for (tag, (key, value)) in (1..).zip(tags) {
            expected.push((format!("TagSpecification.{number}.Tag.{tag}.Key"), key));
            expected.push((format!("TagSpecification.{number}.Tag.{tag}.Value"), value));
        }
    }
    let expected: Vec<(&str, &str)> = expected.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(tag_parameters(call), expected);
}

#[tokio::test(start_paused = true)]
async fn a_taken_name_and_a_wrong_state_are_told_apart() {
    let wrong =
        error("CreateImage", 400, "IncorrectInstanceState", "The instance is not in a state for this");
    for (answer, kind) in [(taken(), CloudErrorKind::NameTaken), (wrong, CloudErrorKind::WrongState)] {
        let ec2 = Recorder::new([stopped(), answer]);
        assert_eq!(ec2.cloud().create_image(&request()).await.unwrap_err().kind, kind);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_lost_after_the_effect_ends_as_a_taken_name() {
    let broken = error("CreateImage", 500, "InternalError", "An internal error has occurred");
    for answer in [broken, ("CreateImage", Answer::Lost)] {
        let ec2 = Recorder::new([stopped(), answer, taken()]);
        assert_eq!(ec2.cloud().create_image(&request()).await.unwrap_err().kind, CloudErrorKind::NameTaken);
    }
}

#[tokio::test(start_paused = true)]
async fn a_running_instance_is_neither_saved_nor_rebooted() {
    let running = || instances(&[instance(INSTANCE, 16, "running", "")], None);
    let ec2 = Recorder::new([running(), images("", None)]);
    assert_eq!(ec2.cloud().create_image(&request()).await.unwrap_err().kind, CloudErrorKind::WrongState);
    assert_eq!(ec2.actions(), ["DescribeInstances", "DescribeImages"]);

    let ec2 = Recorder::new([running(), ours("pending")]);
    assert_eq!(ec2.cloud().create_image(&request()).await.unwrap_err().kind, CloudErrorKind::NameTaken);
}

#[tokio::test(start_paused = true)]
async fn where_snapshots_cannot_be_tagged_at_once_they_are_tagged_after() {
    let page = "<!doctype html>\n<html lang=en>\n<title>500 Internal Server Error</title>\n<h1>Internal Server Error</h1>".to_owned();
    let invalid = "'snapshot' is not a valid taggable resource type for this operation.";
    let refusals = [
        ("CreateImage", Answer::Reply(500, page)),
        ("CreateImage", Answer::Reply(501, String::new())),
        error("CreateImage", 400, "InvalidParameterValue", invalid),
    ];
    for refusal in refusals {
        let ec2 = Recorder::new([stopped(), refusal, made(), ours("pending"), done("CreateTags")]);
        ec2.cloud().create_image(&request()).await.unwrap();
        let sent = ec2.sent();
        assert_eq!(tag_parameters(&sent[2]).iter().filter(|(_, value)| *value == "snapshot").count(), 0);
        let last = &sent[4];
        assert_eq!((last.get("ResourceId.1"), last.get("ResourceId.2")), (SNAPSHOT, "snap-0a1b2c3d4e5f6004"));
        assert_eq!((last.get("Tag.1.Key"), last.get("Tag.1.Value")), ("rekindle:run", RUN));
        assert_eq!((last.get("Tag.2.Key"), last.get("Tag.2.Value")), ("rekindle:machine", MACHINE));
    }
}

#[tokio::test(start_paused = true)]
async fn snapshots_that_could_not_be_tagged_do_not_lose_the_image() {
    let refusal = ("CreateImage", Answer::Reply(501, String::new()));
    let denied = error("CreateTags", 403, "UnauthorizedOperation", "No.");
    let ec2 = Recorder::new([stopped(), refusal.clone(), made(), ours("pending"), denied]);
    assert_eq!(ec2.cloud().create_image(&request()).await.unwrap().image_id, id());

    let ec2 = Recorder::new([stopped(), refusal, made(), unknown()]);
    assert_eq!(ec2.cloud().create_image(&request()).await.unwrap().image_id, id());
    assert_eq!(ec2.sent().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn every_state_of_an_image_has_its_word() {
    let states = [
        ("available", ImageState::Available),
        ("pending", ImageState::Pending),
        ("transient", ImageState::Pending),
        ("failed", ImageState::Failed),
        ("error", ImageState::Failed),
        ("invalid", ImageState::Failed),
        ("disabled", ImageState::Failed),
    ];
    for (name, state) in states {
        let ec2 = Recorder::new([ours(name)]);
        assert_eq!(ec2.cloud().describe_image(&id()).await.unwrap().state, state, "{name}");
    }
    for answer in [unknown(), images("", None), ours("deregistered")] {
        let ec2 = Recorder::new([answer]);
        assert_eq!(ec2.cloud().describe_image(&id()).await.unwrap_err().kind, CloudErrorKind::NotFound);
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_is_found_by_its_whole_name_on_any_page() {
    let another =
        images(&image("ami-0a1b2c3d4e5f60009", &format!("{NAME}-2"), "available", &[], ""), Some("more"));
    let ec2 = Recorder::new([another, ours("available")]);
    assert_eq!(ec2.cloud().find_image(NAME).await.unwrap().unwrap().image_id, id());
    let sent = ec2.sent();
    assert_eq!(sent[0].get("Owner.1"), "self");
    assert_eq!((sent[0].get("Filter.1.Name"), sent[0].get("Filter.1.Value.1")), ("name", NAME));
    assert_eq!((sent[1].get("NextToken"), sent[1].get("MaxResults")), ("more", "500"));

    let ec2 = Recorder::new([images("", None)]);
    assert_eq!(ec2.cloud().find_image(NAME).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn the_snapshots_are_read_before_the_image_is_deregistered() {
    let ec2 = Recorder::new([
        ours("available"),
        done("DeregisterImage"),
        done("DeleteSnapshot"),
        done("DeleteSnapshot"),
    ]);
    ec2.cloud().delete_image(&id()).await.unwrap();
    assert_eq!(ec2.actions(), ["DescribeImages", "DeregisterImage", "DeleteSnapshot", "DeleteSnapshot"]);
    let sent = ec2.sent();
    assert_eq!(sent[1].get("ImageId"), IMAGE);
    assert_eq!([sent[2].get("SnapshotId"), sent[3].get("SnapshotId")], [SNAPSHOT, "snap-0a1b2c3d4e5f6004"]);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_was_cut_off_is_finished_by_the_next_one() {
    let left = snapshot(SNAPSHOT, &format!("Created by CreateImage({INSTANCE}) for {IMAGE}"));
    let foreign =
        snapshot("snap-0a1b2c3d4e5f6005", &format!("Created by CreateImage({INSTANCE}) for {IMAGE}9"));
    let ec2 = Recorder::new([unknown(), snapshots(&(left + &foreign)), done("DeleteSnapshot")]);
    ec2.cloud().delete_image(&id()).await.unwrap();
    let sent = ec2.sent();
    assert_eq!(sent[1].get("Owner.1"), "self");
    assert_eq!(sent[1].get("Filter.1.Name"), "description");
    assert_eq!(sent[1].get("Filter.1.Value.1"), format!("Created by CreateImage(*) for {IMAGE}*"));
    assert_eq!(sent[2].get("SnapshotId"), SNAPSHOT);

    let ec2 = Recorder::new([unknown(), snapshots("")]);
    ec2.cloud().delete_image(&id()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_snapshot_that_is_in_use_keeps_no_other_one_alive() {
    let in_use = error("DeleteSnapshot", 400, "InvalidSnapshot.InUse", "is currently in use by ami-1");
    let ec2 = Recorder::new([ours("available"), done("DeregisterImage"), in_use, done("DeleteSnapshot")]);
    let error = ec2.cloud().delete_image(&id()).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::WrongState);
    assert!(error.what.contains(SNAPSHOT));
    assert_eq!(ec2.sent().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_went_meanwhile_and_its_snapshots_are_success() {
    let gone = error("DeregisterImage", 400, "InvalidAMIID.Unavailable", "is no longer available");
    let no_snapshot = || error("DeleteSnapshot", 400, "InvalidSnapshot.NotFound", "does not exist");
    let ec2 = Recorder::new([ours("available"), gone, no_snapshot(), no_snapshot()]);
    ec2.cloud().delete_image(&id()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_image_that_no_run_has_made_is_not_destroyed() {
    let base = image(IMAGE, "debian-12", "available", &[SNAPSHOT], "<tagSet/>");
    let ec2 = Recorder::new([images(&base, None)]);
    assert_eq!(ec2.cloud().delete_image(&id()).await.unwrap_err().kind, CloudErrorKind::Refused);
    assert_eq!(ec2.actions(), ["DescribeImages"]);
}
