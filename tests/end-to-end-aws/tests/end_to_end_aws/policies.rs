//! Every function may do what it did, and nothing else. Runs after all other tests: it reads what they made of the logs.
//!
//! That nothing is missing is shown by these tests having passed while the emulator enforced every function's role.

use std::collections::{BTreeMap, BTreeSet};

use rekindle_end_to_end_aws_tests::command_line::aws;
use serde_json::Value;

/// What a policy allows besides recorded calls, for whom (`*` is everybody), and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("*", "logs:CreateLogStream", "Lambda writes the logs with the function's role"),
    ("*", "logs:PutLogEvents", "Lambda writes the logs with the function's role"),
    ("*", "sts:AssumeRole", "the provider of credentials calls it, before the client that is recorded"),
    ("*", "kms:Decrypt", "S3 and EC2 call KMS in the function's name"),
    ("*", "kms:GenerateDataKey", "S3 calls KMS in the function's name"),
    ("*", "kms:GenerateDataKeyWithoutPlaintext", "EC2 calls KMS for encrypted volumes"),
    ("*", "kms:CreateGrant", "EC2 calls KMS for encrypted volumes"),
    ("*", "kms:DescribeKey", "EC2 calls KMS for encrypted volumes"),
    ("*", "kms:ReEncryptFrom", "EC2 calls KMS for encrypted volumes"),
    ("*", "kms:ReEncryptTo", "EC2 calls KMS for encrypted volumes"),
    ("*", "iam:PassRole", "RunInstances is refused without it; there is no call of this name"),
    ("*", "sqs:SendMessage", "Lambda itself keeps the events that the function did not take"),
    (
        "destroy",
        "ec2:DeleteNetworkInterface",
        "what a terminated instance takes along; left over only when EC2 fails",
    ),
    ("destroy", "ec2:DeleteVolume", "what a terminated instance takes along; left over only when EC2 fails"),
    (
        "destroy",
        "ec2:DeleteSnapshot",
        "an unregistered image's; deregistering takes it along where EC2 offers that",
    ),
    (
        "destroy",
        "ec2:DeregisterImage",
        "an image that was made and not registered; flows break there, not this test",
    ),
    ("destroy", "states:StartExecution", "a refresh that was wanted while another one ran"),
    ("destroy", "dynamodb:DescribeTable", "asked only where images would be removed"),
    ("operator-api", "dynamodb:DescribeTable", "the state of a restored register"),
    ("operator-api", "states:DescribeExecution", "ending a recovery whose execution is lost"),
    ("operator-api", "states:StopExecution", "ending a recovery that still runs"),
    ("operator-api", "s3:ListBucket", "a missing object is told apart from a forbidden one"),
    ("plan-refresh", "s3:ListBucket", "a missing object is told apart from a forbidden one"),
    ("plan-refresh", "states:DescribeExecution", "a lease whose holder may be gone"),
    ("recover", "ec2:CreateTags", "tags at creation take it; there is no call of this name"),
    ("recover", "ec2:DescribeImages", "only where volumes are filled faster: VolumeInitializationRate"),
    ("recover", "ec2:DescribeInstances", "only where there are several zones to start in"),
    ("recover", "ec2:TerminateInstances", "what an earlier attempt started"),
    ("snapshot-image", "ec2:CreateTags", "tags at creation take it; there is no call of this name"),
    ("start-instance", "ec2:CreateTags", "tags at creation take it; there is no call of this name"),
    ("start-instance", "ec2:DescribeInstances", "only where there are several zones to start in"),
    ("sweep", "states:StartExecution", "a refresh that an event did not bring"),
    ("sweep", "states:StopExecution", "an execution past its deadline: days"),
    ("sweep", "s3:GetObject", "a set that no event told of"),
    ("sweep", "s3:PutObject", "reports of runs that died"),
    ("agent-api", "states:SendTaskHeartbeat", "jobs that take longer than a heartbeat"),
];

/// Whose role at the customer a function uses, where it is not its own.
const ROLE_OF_ANOTHER: [(&str, &str); 1] = [("sweep", "destroy")];

/// Not of functions.
const OTHERS: [&str; 6] =
    ["agent-caller", "never", "recover-flow", "recover-service-flow", "refresh-image-flow", "scheduler"];

#[test]
#[ignore = "needs the emulators"]
fn every_function_may_do_what_it_did_and_nothing_else() {
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for (function, allowed) in policies() {
        let called = calls(&function);
        if called.is_empty() {
            wrong.push(format!("{function} was never called, or does not record its calls"));
        }
        let missing = called.iter().filter(|action| !allowed.contains(*action));
        wrong.extend(
            missing.map(|action| format!("{function} calls {action}, which its policies do not name")),
        );
        for action in allowed.difference(&called) {
            match exception(&function, action) {
                Some(place) => _ = used.insert(place),
                None => wrong.push(format!("{function} may {action}, and never does")),
            }
        }
    }
    // What only one function may do besides is what only some runs of the tests come to.
    let needless = (0..EXCEPTIONS.len()).filter(|place| EXCEPTIONS[*place].0 == "*" && !used.contains(place));
    wrong.extend(needless.map(|place| format!("nobody needs the exception {:?}", EXCEPTIONS[place])));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The other one, or itself.
fn another<'n>(pairs: &[(&str, &'n str)], function: &'n str) -> &'n str {
    pairs.iter().find(|(who, _)| *who == function).map_or(function, |(_, other)| *other)
}

/// What holds for the owner of a role at the customer holds for whoever uses it.
fn exception(function: &str, action: &str) -> Option<usize> {
    let owner = another(&ROLE_OF_ANOTHER, function);
    let is_meant = |who: &str| who == "*" || who == function || who == owner;
    EXCEPTIONS.iter().position(|(who, what, _)| is_meant(who) && *what == action)
}

/// What each function may do, with its own role and with its role at the customer's.
fn policies() -> BTreeMap<String, BTreeSet<String>> {
    let folder = format!("{}/../../infra/policies", env!("CARGO_MANIFEST_DIR"));
    let mut policies = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let function = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_none_or(|extension| extension != "json") || OTHERS.contains(&function.as_str())
        {
            continue;
        }
        let mut actions = actions(&std::fs::read_to_string(&path).unwrap());
        let role = another(&ROLE_OF_ANOTHER, &function);
        if let Ok(at_the_customer) = std::fs::read_to_string(format!("{folder}/customer/{role}.json")) {
            actions.extend(self::actions(&at_the_customer));
        }
        policies.insert(function, actions);
    }
    policies
}

fn actions(policy: &str) -> BTreeSet<String> {
    let policy: Value = serde_json::from_str(policy).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    let allowed = statements.iter().filter(|statement| statement["Effect"] == "Allow");
    let actions = allowed.flat_map(|statement| match &statement["Action"] {
        Value::Array(actions) => actions.clone(),
        action => vec![action.clone()],
    });
    actions.map(|action| action.as_str().unwrap().to_owned()).collect()
}

/// The actions of IAM behind the calls that a function's log tells of.
fn calls(function: &str) -> BTreeSet<String> {
    let group = format!("/aws/lambda/rekindle-e2e-{function}");
    let answer = aws(&["logs", "filter-log-events", "--log-group-name", &group]);
    let events = answer["events"].as_array().unwrap();
    let lines =
        events.iter().filter_map(|event| serde_json::from_str::<Value>(event["message"].as_str()?).ok());
    let calls = lines.filter(|line| line["target"] == "rekindle::aws_call");
    calls.filter_map(|call| action(call["service"].as_str()?, call["operation"].as_str()?)).collect()
}

/// AWS's service authorization reference says which action a call takes.
fn action(service: &str, operation: &str) -> Option<String> {
    let (prefix, action) = match (service, operation) {
        ("DynamoDB", "TransactWriteItems") => return None, // Its parts are told apart from it.
        ("DynamoDB", operation) => ("dynamodb", operation),
        ("S3", "HeadObject") => ("s3", "GetObject"),
        ("S3", "ListObjectsV2") => ("s3", "ListBucket"),
        ("S3", operation) => ("s3", operation),
        ("EC2", operation) => ("ec2", operation),
        ("SFN", operation) => ("states", operation),
        (other, operation) => panic!("nobody said which action {other} {operation} takes"),
    };
    Some(format!("{prefix}:{action}"))
}
