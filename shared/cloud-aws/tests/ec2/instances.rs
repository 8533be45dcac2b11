//! Looking at instances, and destroying them.

use rekindle_cloud::{CloudErrorKind, CloudProvider as _, InstanceState};
use rekindle_domain::InstanceId;

use crate::answers::{INSTANCE, error, instance, instances, reply};
use crate::recorder::Recorder;

fn id() -> InstanceId {
    InstanceId::parse(INSTANCE).unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_state_has_its_word() {
    let states = [
        (0, "pending", InstanceState::Pending),
        (16, "running", InstanceState::Running),
        (32, "shutting-down", InstanceState::ShuttingDown),
        (48, "terminated", InstanceState::Terminated),
        (64, "stopping", InstanceState::Stopping),
        (80, "stopped", InstanceState::Stopped),
    ];
    for (code, name, state) in states {
        let ec2 = Recorder::new([instances(&[instance(INSTANCE, code, name, "")], None)]);
        assert_eq!(ec2.cloud().describe_instance(&id()).await.unwrap().state, state);
        assert_eq!(ec2.sent()[0].get("InstanceId.1"), INSTANCE);
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_too_new_is_not_found_and_then_found() {
    let unknown =
        error("DescribeInstances", 400, "InvalidInstanceID.NotFound", "The instance ID does not exist");
    let ec2 = Recorder::new([
        unknown,
        instances(&[], None),
        instances(&[instance(INSTANCE, 0, "pending", "")], None),
    ]);
    let cloud = ec2.cloud();
    for _ in 0..2 {
        assert_eq!(cloud.describe_instance(&id()).await.unwrap_err().kind, CloudErrorKind::NotFound);
    }
    assert_eq!(cloud.describe_instance(&id()).await.unwrap().instance_id, id());
}

#[tokio::test(start_paused = true)]
async fn a_state_that_is_new_to_us_is_looked_at_again() {
    let ec2 = Recorder::new([instances(&[instance(INSTANCE, 99, "hibernating", "")], None)]);
    assert_eq!(ec2.cloud().describe_instance(&id()).await.unwrap_err().kind, CloudErrorKind::Uncertain);
}

#[tokio::test(start_paused = true)]
async fn a_termination_of_what_is_gone_is_success() {
    let unknown =
        error("TerminateInstances", 400, "InvalidInstanceID.NotFound", "The instance ID does not exist");
    let ec2 = Recorder::new([reply("TerminateInstances", "<instancesSet/>"), unknown]);
    let cloud = ec2.cloud();
    cloud.terminate(&id()).await.unwrap();
    cloud.terminate(&id()).await.unwrap();
    assert_eq!(ec2.sent()[0].get("InstanceId.1"), INSTANCE);
}

#[tokio::test(start_paused = true)]
async fn a_protected_instance_is_a_refusal() {
    let protected = error("TerminateInstances", 400, "OperationNotPermitted", "disableApiTermination");
    let ec2 = Recorder::new([protected, instances(&[instance(INSTANCE, 16, "running", "")], None)]);
    assert_eq!(ec2.cloud().terminate(&id()).await.unwrap_err().kind, CloudErrorKind::Refused);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_what_is_gone_is_success() {
    let denied =
        || error("TerminateInstances", 403, "UnauthorizedOperation", "no identity-based policy allows");
    let unknown =
        error("DescribeInstances", 400, "InvalidInstanceID.NotFound", "The instance ID does not exist");
    for look in [unknown, instances(&[instance(INSTANCE, 48, "terminated", "")], None)] {
        let ec2 = Recorder::new([denied(), look]);
        ec2.cloud().terminate(&id()).await.unwrap();
        assert_eq!(ec2.actions(), ["TerminateInstances", "DescribeInstances"]);
    }
}
