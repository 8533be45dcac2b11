//! The real template with the real functions, deployed to the emulators by the code that deploys to AWS.

use super::{Tests, logs, policies, second_ec2, state_machines};
use crate::aws::Aws;
use crate::deploy::{self, Consent, Outputs, Wanted};
use crate::emulators::{Emulators, Wishes};
use crate::error::TaskError;
use crate::package::build::{Architecture, Profile};
use crate::package::{self, Architectures};
use crate::repository::Repository;
use crate::speech;

/// The tests, and the one that looks at what the others made functions do.
const TESTS: &str = "package(rekindle-end-to-end-aws-tests) and not test(/^policies::/)";
const AFTER_ALL: &str = "package(rekindle-end-to-end-aws-tests) and test(/^policies::/)";

/// How they run.
const CONFIGURATION: &str = "xtask/nextest/deployed.toml";

/// The customer and the stack that the tests know of.
const CUSTOMER: &str = "acme";
const STACK: &str = "rekindle-e2e";

/// Roles are enforced, and the polls of state machines do not wait for clouds that answer at once.
const WISHES: Wishes = Wishes { authorize: true, wait_scale: Some(0.1) };

/// Deploys and tests.
pub(super) fn test(repository: &Repository, tests: &Tests<'_>) -> Result<(), TaskError> {
    package::make_all(repository, Architectures::of_this_machine(), Profile::Dev)?;
    let emulators = Emulators::start(repository, WISHES)?;
    let outputs = deploy_to(repository, &emulators)?;
    let agent =
        package::folder(repository, Architecture::of_this_machine()).join("agent").join("rekindle-agent");
    let variables = variables(&emulators, &outputs, &agent);
    let configuration = repository.top().join(CONFIGURATION).display().to_string();
    let run = |tests_to_run| tests.run(&emulators, tests_to_run, Some(&configuration), &variables);
    // A choice of tests does not make every function do all that it may.
    let all = if tests.words.is_empty() { run(TESTS).and_then(|()| run(AFTER_ALL)) } else { run(TESTS) };
    all.inspect_err(|_| {
        let aws = Aws::of_emulators(repository, &emulators);
        if let Err(error) = logs::show(&aws, STACK) {
            speech::progress(&format!("The logs of the functions cannot be shown: {error}."));
        }
    })
}

fn deploy_to(repository: &Repository, emulators: &Emulators) -> Result<Outputs, TaskError> {
    let aws = Aws::of_emulators(repository, emulators);
    let wanted = Wanted {
        stack: STACK,
        parameters: parameters(&aws)?,
        architecture: Architecture::of_this_machine(),
        package_bucket: None,
        // The emulator has neither.
        left_out: &["AutoPublishAlias", "WaitingForPeopleFilter"],
    };
    let outputs = deploy::deploy(repository, &aws, &wanted, &Consent::Given)?.unwrap_or_default();
    state_machines::publish(&aws, &outputs)?;
    policies::translate(&aws, &outputs)?;
    second_ec2::carry_over(&aws, &endpoint(emulators), STACK)?;
    Ok(outputs)
}

/// The emulator of everything but the EC2 that functions call; CloudFormation makes things in an EC2 of its own.
fn endpoint(emulators: &Emulators) -> String {
    let variables = emulators.variables();
    let endpoint = variables.into_iter().find(|(name, _)| name == "AWS_ENDPOINT_URL");
    endpoint.map(|(_, url)| url).unwrap_or_default()
}

/// What the tests are told: see tests/end-to-end-aws.
fn variables(emulators: &Emulators, outputs: &Outputs, agent: &std::path::Path) -> Vec<(String, String)> {
    let pairs = [
        ("REKINDLE_E2E_OUTPUTS", serde_json::json!(outputs).to_string()),
        ("REKINDLE_E2E_AWS", emulators.aws_command().display().to_string()),
        ("REKINDLE_E2E_AGENT", agent.display().to_string()),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}

/// The network that a new account has.
fn parameters(aws: &Aws<'_>) -> Result<Vec<String>, TaskError> {
    let described = aws.ask(&["ec2", "describe-subnets"])?;
    let subnet = &described["Subnets"][0];
    let word = |name: &str| {
        subnet[name].as_str().map(str::to_owned).ok_or_else(|| {
            TaskError::CheckFailed("the emulator of EC2 has no subnet to begin with".to_owned())
        })
    };
    let (vpc, zone, subnet) = (word("VpcId")?, word("AvailabilityZone")?, word("SubnetId")?);
    Ok(vec![
        format!("CustomerId={CUSTOMER}"),
        format!("VpcId={vpc}"),
        format!("Zone1={zone}"),
        format!("IsolatedSubnet1={subnet}"),
        format!("ProductionSubnet1={subnet}"),
        // Never during the tests: they take its target, and give it a time of their own.
        "RehearsalSchedule=cron(0 3 1 1 ? *)".to_owned(),
        // Says which calls of AWS each function makes; they are compared with its policy.
        "LogFilter=info,rekindle::aws_call=debug".to_owned(),
    ])
}
