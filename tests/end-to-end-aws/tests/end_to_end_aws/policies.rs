//! Every function may do what it did, and nothing else. Runs after all other tests: it reads what they made of the logs.
//!
//! That nothing is missing is shown by these tests having passed while the emulator enforced every function's role.

use std::collections::{BTreeMap, BTreeSet};

use rekindle_end_to_end_aws_tests::command_line::aws;
use serde_json::Value;

/// What a policy allows besides recorded calls, and why.
struct Exception {
    /// The function, or `*` for everybody.
    who: &'static str,
    /// The action.
    action: &'static str,
    /// Whether these tests can come to see it called.
    seen: Seen,
    why: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// A function never calls it itself.
    Never,
    /// It depends on when what comes, or on what goes wrong.
    Sometimes,
}

use Seen::{Never, Sometimes};

const fn but(who: &'static str, action: &'static str, seen: Seen, why: &'static str) -> Exception {
    Exception { who, action, seen, why }
}

const EXCEPTIONS: &[Exception] = &[
    but("*", "logs:CreateLogStream", Never, "Lambda writes the logs with the function's role"),
    but("*", "logs:PutLogEvents", Never, "Lambda writes the logs with the function's role"),
    but(
        "*",
        "sts:AssumeRole",
        Never,
        "the provider of credentials calls it, before the client that is recorded",
    ),
    but("*", "kms:Decrypt", Never, "S3 and EC2 call KMS in the function's name"),
    but("*", "kms:GenerateDataKey", Never, "S3 calls KMS in the function's name"),
    but("*", "kms:GenerateDataKeyWithoutPlaintext", Never, "EC2 calls KMS for encrypted volumes"),
    but("*", "kms:CreateGrant", Never, "EC2 calls KMS for encrypted volumes"),
    but("*", "kms:DescribeKey", Never, "EC2 calls KMS for encrypted volumes"),
    but("*", "kms:ReEncryptFrom", Never, "EC2 calls KMS for encrypted volumes"),
    but("*", "kms:ReEncryptTo", Never, "EC2 calls KMS for encrypted volumes"),
    but("*", "iam:PassRole", Never, "RunInstances is refused without it; there is no call of this name"),
    but("*", "sqs:SendMessage", Never, "Lambda itself keeps the events that the function did not take"),
    but(
        "destroy",
        "ec2:DeleteVolume",
        Sometimes,
        "what a terminated instance takes along; left over only when EC2 fails",
    ),
    but("destroy", "states:StartExecution", Sometimes, "a refresh that was wanted while another one ran"),
    but("operator-api", "states:StopExecution", Sometimes, "ending a recovery that still runs"),
    but("operator-api", "s3:ListBucket", Sometimes, "a missing object is told apart from a forbidden one"),
    but("plan-refresh", "states:DescribeExecution", Sometimes, "a lease whose holder may be gone"),
    but("recover", "ec2:CreateTags", Never, "tags at creation take it; there is no call of this name"),
    but(
        "recover",
        "ec2:DescribeImages",
        Sometimes,
        "only where volumes are filled faster: VolumeInitializationRate",
    ),
    but("recover", "ec2:DescribeInstances", Sometimes, "only where there are several zones to start in"),
    but("recover", "ec2:TerminateInstances", Sometimes, "what an earlier attempt started"),
    but("start-instance", "ec2:CreateTags", Never, "tags at creation take it; there is no call of this name"),
    but(
        "start-instance",
        "ec2:DescribeInstances",
        Sometimes,
        "only where there are several zones to start in",
    ),
    but("sweep", "states:StopExecution", Sometimes, "an execution past its deadline: days"),
    but("agent-api", "states:SendTaskHeartbeat", Sometimes, "jobs that take longer than a heartbeat"),
    but("destroy", "ec2:DeleteNetworkInterface", Sometimes, "as volumes: left over only when EC2 fails"),
    but("operator-api", "states:SendTaskFailure", Sometimes, "a question that is declined"),
    but("plan-refresh", "dynamodb:ConditionCheckItem", Sometimes, "a lease of a run that was closed"),
    but(
        "request-approval",
        "states:SendTaskFailure",
        Sometimes,
        "a question that was declined and is asked again",
    ),
    but("sweep", "ec2:DeregisterImage", Sometimes, "an image of a run whose own destroy was cut off"),
    but("sweep", "ec2:DeleteSnapshot", Sometimes, "as that image"),
    but("sweep", "dynamodb:ConditionCheckItem", Sometimes, "an older image that a rebuild takes back"),
];

/// Those that give an agent a job and wait for it.
const GIVE_JOBS: [&str; 8] = [
    "activate",
    "check-replica",
    "recover",
    "snapshot-image",
    "start-instance",
    "transfer-and-restore",
    "update-configuration",
    "verify",
];

/// What they do besides when their state is entered again.
const ENTERED_AGAIN: [Exception; 4] = [
    but("", "dynamodb:UpdateItem", Sometimes, "the job is there, and waits under another token"),
    but("", "dynamodb:DeleteItem", Sometimes, "another instance had the job"),
    but("", "states:SendTaskSuccess", Sometimes, "the job is done already"),
    but("", "states:SendTaskFailure", Sometimes, "the job has failed already"),
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
        for action in &allowed {
            let place = exception(&function, action);
            let seen = place.map(|place| EXCEPTIONS[place].seen);
            match (called.contains(action), seen.or_else(|| again(&function, action))) {
                (true, Some(Never)) => wrong.push(format!("{function} calls {action}: it is no exception")),
                (false, None) => wrong.push(format!("{function} may {action}, and never does")),
                _ => {}
            }
            used.extend(place);
        }
    }
    let needless =
        (0..EXCEPTIONS.len()).filter(|place| !used.contains(place)).map(|place| &EXCEPTIONS[place]);
    wrong.extend(needless.map(|it| format!("{} may not {} at all: {}", it.who, it.action, it.why)));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The other one, or itself.
fn another<'n>(pairs: &[(&str, &'n str)], function: &'n str) -> &'n str {
    pairs.iter().find(|(who, _)| *who == function).map_or(function, |(_, other)| *other)
}

/// What holds for everybody, for the function, or for the owner of the role at the customer that it uses.
fn exception(function: &str, action: &str) -> Option<usize> {
    let of = |who: &str| {
        EXCEPTIONS.iter().position(|exception| exception.who == who && exception.action == action)
    };
    of("*").or_else(|| of(function)).or_else(|| of(another(&ROLE_OF_ANOTHER, function)))
}

fn again(function: &str, action: &str) -> Option<Seen> {
    let exception = ENTERED_AGAIN.iter().find(|exception| exception.action == action)?;
    GIVE_JOBS.contains(&function).then_some(exception.seen)
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
