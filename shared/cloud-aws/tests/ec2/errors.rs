//! The table of what EC2's errors mean.

use std::error::Error as _;

use rekindle_cloud::CloudErrorKind::{
    NameTaken, NoCapacity, NotFound, Refused, Throttled, Uncertain, WrongState,
};
use rekindle_cloud::{CloudErrorKind, CloudProvider as _};
use rekindle_cloud_aws::{Failure, classify};
use rekindle_domain::InstanceId;

use crate::answers::{INSTANCE, error};
use crate::recorder::{Answer, Recorder};

/// Code, status, meaning.
const TABLE: &[(&str, u16, CloudErrorKind)] = &[
    ("AuthFailure", 401, Refused),
    ("ConcurrentSnapshotLimitExceeded", 400, Throttled),
    ("ExpiredToken", 400, Uncertain),
    ("IdempotentInstanceTerminated", 400, Refused),
    ("IdempotentParameterMismatch", 400, Refused),
    ("IncorrectInstanceState", 400, WrongState),
    ("InstanceLimitExceeded", 400, NoCapacity),
    ("InsufficientFreeAddressesInSubnet", 400, NoCapacity),
    ("InsufficientInstanceCapacity", 400, NoCapacity),
    ("InsufficientInstanceCapacity", 500, NoCapacity),
    ("InternalError", 500, Uncertain),
    ("InvalidAMIID.Malformed", 400, Refused),
    ("InvalidAMIID.NotFound", 400, NotFound),
    ("InvalidAMIID.Unavailable", 400, NotFound),
    ("InvalidAMIName.Duplicate", 400, NameTaken),
    ("InvalidGroup.NotFound", 400, Refused),
    ("InvalidInstanceID.NotFound", 400, NotFound),
    ("InvalidInstanceType.NotFound", 400, NoCapacity),
    ("InvalidKeyPair.NotFound", 400, Refused),
    ("InvalidLaunchTemplateId.NotFound", 400, Refused),
    ("InvalidNetworkInterface.InUse", 400, WrongState),
    ("InvalidNetworkInterfaceID.NotFound", 400, NotFound),
    ("InvalidParameterValue", 400, Refused),
    ("InvalidSnapshot.InUse", 400, WrongState),
    ("InvalidSnapshot.NotFound", 400, NotFound),
    ("InvalidSubnetID.NotFound", 400, Refused),
    ("InvalidVolume.NotFound", 400, NotFound),
    ("MaxSpotInstanceCountExceeded", 400, Refused),
    ("PendingSnapshotLimitExceeded", 400, Throttled),
    ("RequestExpired", 400, Uncertain),
    ("RequestLimitExceeded", 503, Throttled),
    ("ServiceUnavailable", 503, Uncertain),
    ("SnapshotLimitExceeded", 400, Refused),
    ("SomethingNew", 400, Refused),
    ("SomethingNew", 429, Throttled),
    ("SomethingNew", 500, Uncertain),
    ("UnauthorizedOperation", 403, Refused),
    ("Unavailable", 503, Uncertain),
    ("Unsupported", 400, NoCapacity),
    ("VcpuLimitExceeded", 400, NoCapacity),
    ("VolumeInUse", 400, WrongState),
    ("VolumeLimitExceeded", 400, Refused),
];

#[test]
fn every_code_has_its_meaning() {
    for (code, status, kind) in TABLE {
        assert_eq!(classify(Some(code), Some(*status), Failure::Service), *kind, "{code} with {status}");
    }
}

#[test]
fn what_was_not_answered_is_uncertain_and_what_was_not_sent_is_refused() {
    assert_eq!(classify(None, None, Failure::Construction), Refused);
    for failure in [Failure::Timeout, Failure::Dispatch, Failure::Response] {
        assert_eq!(classify(None, None, failure), Uncertain);
    }
    assert_eq!(classify(None, Some(200), Failure::Response), Uncertain);
    assert_eq!(classify(None, Some(502), Failure::Response), Uncertain);
    assert_eq!(classify(None, Some(413), Failure::Response), Refused);
}

#[tokio::test(start_paused = true)]
async fn an_answer_means_what_the_table_says_and_keeps_its_source() {
    for (code, status, kind) in TABLE {
        let (action, answer) = error("DescribeInstances", *status, code, "the message");
        let ec2 = Recorder::new([
            (action, answer.clone()),
            (action, answer.clone()),
            (action, answer.clone()),
            (action, answer),
        ]);
        let id = InstanceId::parse(INSTANCE).unwrap();
        let error = ec2.cloud().describe_instance(&id).await.unwrap_err();
        assert_eq!(error.kind, *kind, "{code} with {status}");
        assert!(error.what.ends_with(&format!("{code} (the message)")), "{error}");
        assert!(error.source().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_not_ec2s_is_uncertain() {
    let answer = || ("DescribeInstances", Answer::Reply(502, "<html>Bad gateway</html>".into()));
    let ec2 = Recorder::new([answer(), answer(), answer(), answer()]);
    let error = ec2.cloud().describe_instance(&InstanceId::parse(INSTANCE).unwrap()).await.unwrap_err();
    assert_eq!(error.kind, Uncertain);
    assert!(error.what.ends_with("EC2 answered 502 without a reason"), "{error}");
}
