//! What a function is told, and as whom it calls.

use std::collections::BTreeMap;
use std::error::Error as _;

use rekindle_cloud::{CloudError, CloudErrorKind};
use rekindle_cloud_aws::{Ec2Cloud, LaunchSettings};
use rekindle_domain::InstanceId;

use crate::answers::{INSTANCE, instance, instances};
use crate::recorder::{Answer, Recorder, SETTINGS};

const ROLE: (&str, &str) = ("REKINDLE_CUSTOMER_ROLE", "arn:aws:iam::444455556666:role/dr/rekindle");
const EXTERNAL_ID: (&str, &str) = ("REKINDLE_CUSTOMER_EXTERNAL_ID", "acme-7f3b");

fn refusal(variables: &[(&str, &str)]) -> String {
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    let config = Recorder::default().config();
    let made =
        Ec2Cloud::from_environment(&config, &|name| variables.get(name).map(|value| (*value).to_owned()));
    made.err().unwrap().to_string()
}

#[test]
fn a_missing_or_unreadable_variable_is_named() {
    let launch = ("REKINDLE_LAUNCH", SETTINGS);
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], "REKINDLE_LAUNCH is not set"),
        (&[("REKINDLE_LAUNCH", "")], "REKINDLE_LAUNCH is not set"),
        (&[launch, ROLE], "REKINDLE_CUSTOMER_EXTERNAL_ID is not set, but REKINDLE_CUSTOMER_ROLE is"),
        (&[launch, EXTERNAL_ID], "REKINDLE_CUSTOMER_ROLE is not set, but REKINDLE_CUSTOMER_EXTERNAL_ID is"),
        (&[launch, (ROLE.0, "rekindle"), EXTERNAL_ID], "REKINDLE_CUSTOMER_ROLE is not the ARN of a role"),
        (
            &[launch, (ROLE.0, "arn:aws:iam::444455556666:user/x"), EXTERNAL_ID],
            "REKINDLE_CUSTOMER_ROLE is not the ARN of a role",
        ),
        (
            &[launch, ROLE, (EXTERNAL_ID.0, "a b")],
            "REKINDLE_CUSTOMER_EXTERNAL_ID is not 2 to 1224 letters, digits or characters of +=,.@:/-_",
        ),
    ];
    for (variables, sentence) in cases {
        assert_eq!(refusal(variables), *sentence);
    }
}

#[test]
fn launch_settings_are_read_strictly() {
    let cases = [
        ("{", "is not what it should be: EOF while parsing an object at line 1 column 1"),
        (
            &SETTINGS.replace("volume_init", "volum_init"),
            "is not what it should be: unknown field `volum_initialization_mebibytes_per_second`",
        ),
        (
            &SETTINGS.replace(r#""id": "lt-0b0"#, r#""id": "sg-0b0"#),
            "holds a builder_launch_template.id that is not",
        ),
        (
            &SETTINGS.replace(r#""7""#, r#""$Latest""#),
            "holds a replica_launch_template.version that is not a number",
        ),
        (
            &SETTINGS.replace("sg-015", "SG-015"),
            "holds a isolated.security_group that is not of the form sg-0",
        ),
        (
            &SETTINGS.replace("subnet-0d", "vpc-0d"),
            "holds a production.subnets.eu-west-1a that is not of the form",
        ),
        (&SETTINGS.replace(r#""eu-west-1b""#, r#""EU""#), "holds in isolated.subnets what is not a zone"),
        (
            &SETTINGS.replace(r#"{"eu-west-1a": "subnet-0d00000000000000a"}"#, "{}"),
            "holds not one to 32 of production.subnets",
        ),
        (
            &SETTINGS.replace("300", "301"),
            "holds a volume_initialization_mebibytes_per_second of 301; EC2 takes 100 to",
        ),
        (&" ".repeat(5000), "is longer than 4096 bytes"),
    ];
    for (json, sentence) in cases {
        let error = LaunchSettings::parse("REKINDLE_LAUNCH", json).unwrap_err().to_string();
        assert!(error.starts_with(&format!("REKINDLE_LAUNCH {sentence}")), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_role_calls_are_ours() {
    let ec2 = Recorder::new([instances(&[instance(INSTANCE, 16, "running", "")], None)]);
    let cloud = Ec2Cloud::from_environment(&ec2.config(), &|name: &str| {
        (name == "REKINDLE_LAUNCH").then(|| SETTINGS.to_owned())
    });
    cloud.unwrap().describe_instance(&InstanceId::parse(INSTANCE).unwrap()).await.unwrap();
    assert!(ec2.sent()[0].authorization.contains("Credential=OURKEY/"));
}

fn with_role(ec2: &Recorder) -> std::sync::Arc<dyn rekindle_cloud::CloudProvider> {
    let variables: BTreeMap<&str, &str> = [("REKINDLE_LAUNCH", SETTINGS), ROLE, EXTERNAL_ID].into();
    let variable = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    Ec2Cloud::from_environment(&ec2.config(), &variable).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_customers_role_is_assumed_once_under_the_external_id() {
    // <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
    let credentials = "<AssumeRoleResponse><AssumeRoleResult><AssumedRoleUser><AssumedRoleId>AROA:rekindle</AssumedRoleId>\
        <Arn>arn:aws:sts::444455556666:assumed-role/rekindle/rekindle</Arn></AssumedRoleUser><Credentials>\
        <AccessKeyId>THEIRKEY</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
        <SessionToken>session</SessionToken><Expiration>2999-11-09T13:34:41Z</Expiration></Credentials>\
        </AssumeRoleResult></AssumeRoleResponse>";
    let running = || instances(&[instance(INSTANCE, 16, "running", "")], None);
    let ec2 = Recorder::new([("AssumeRole", Answer::Reply(200, credentials.into())), running(), running()]);
    let cloud = with_role(&ec2);
    let id = InstanceId::parse(INSTANCE).unwrap();
    cloud.describe_instance(&id).await.unwrap();
    cloud.describe_instance(&id).await.unwrap();
    let sent = ec2.sent();
    assert_eq!((sent[0].get("RoleArn"), sent[0].get("ExternalId")), (ROLE.1, EXTERNAL_ID.1));
    assert_eq!(sent[0].get("RoleSessionName"), "rekindle");
    assert!(sent[0].authorization.contains("Credential=OURKEY/"));
    assert!(sent[1..].iter().all(|sent| sent.authorization.contains("Credential=THEIRKEY/")));
}

/// What a call comes to when STS answers for its role with this. EC2 is never asked without it.
async fn not_granted(status: u16, code: &str, message: &str) -> CloudError {
    let answer = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    );
    let ec2 = Recorder::new([("AssumeRole", Answer::Reply(status, answer))]);
    let error = with_role(&ec2).describe_instance(&InstanceId::parse(INSTANCE).unwrap()).await.unwrap_err();
    assert_eq!(ec2.actions(), ["AssumeRole"]);
    error
}

#[tokio::test(start_paused = true)]
async fn a_role_that_is_refused_is_said_with_what_to_check_and_not_tried_again() {
    for (code, message) in [
        ("AccessDenied", "not authorized to perform: sts:AssumeRole"),
        ("InvalidClientTokenId", "The security token included in the request is invalid"),
    ] {
        let error = not_granted(403, code, message).await;
        assert_eq!(error.kind, CloudErrorKind::Refused, "{error}");
        for part in [ROLE.1, code, message, "trust policy", "external id"] {
            assert!(error.what.contains(part), "{part}: {error}");
        }
        assert!(error.source().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_that_may_be_granted_to_the_next_try_is_uncertain() {
    let error =
        not_granted(403, "ExpiredToken", "The security token included in the request is expired").await;
    assert_eq!(error.kind, CloudErrorKind::Uncertain, "{error}");
    assert!(error.what.contains("ExpiredToken"), "{error}");
}
