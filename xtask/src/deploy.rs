//! `cargo xtask deploy`: the functions and the template, made into a stack.

mod change_set;
mod template;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use clap::Args;

use crate::aws::Aws;
use crate::confirmation;
use crate::error::TaskError;
use crate::package::{self, Architectures, build::Architecture, build::Profile};
use crate::remnant;
use crate::repository::Repository;
use crate::speech;
use change_set::ChangeSet;

const EXAMPLES: &str = "\
Examples:
  cargo xtask deploy --stack rekindle --parameter CustomerId=acme --parameter VpcId=vpc-0a1b2c3d …
  cargo xtask deploy --stack rekindle --dry-run       what would change
  cargo xtask deploy --stack rekindle --packaged --yes --json > outputs.json

Account and region are those of the `aws` command: AWS_PROFILE, AWS_REGION. AWS_ENDPOINT_URL is
obeyed. Parameters that are not given keep their values. Packages go to the bucket
rekindle-packages-ACCOUNT-REGION, which is made when it is missing, also in a dry run.

Exit codes:
  0    the stack is as the template says, and its outputs are printed; or the changes are shown (--dry-run)
  1    something is missing, was not agreed to, or may be left: the error names it
  any other code is that of the `aws` command or of the build";

/// What is deployed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The stack's name: at most 27 lower-case letters, digits and hyphens.
    #[arg(long, value_name = "NAME", value_parser = stack_name)]
    stack: String,
    /// A parameter of infra/template.yaml.
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<String>,
    /// What the functions run on.
    #[arg(long, value_enum, default_value = "arm64")]
    architecture: SomeArchitecture,
    /// The packages are there already: `cargo xtask package`.
    #[arg(long)]
    packaged: bool,
    /// Where packages go.
    #[arg(long, value_name = "BUCKET")]
    package_bucket: Option<String>,
    /// Show the changes, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Print the outputs as a JSON object.
    #[arg(long)]
    json: bool,
}

/// One architecture: a stack has no two.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum SomeArchitecture {
    Arm64,
    #[value(name = "x86-64")]
    X86_64,
}

/// Names of buckets and roles are made of it: see infra/template.yaml.
pub(crate) fn stack_name(text: &str) -> Result<String, String> {
    let is_fine =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    let begins_well = text.starts_with(|character: char| character.is_ascii_lowercase());
    if begins_well && text.len() <= 27 && text.chars().all(is_fine) {
        return Ok(text.to_owned());
    }
    Err("a stack's name has at most 27 lower-case letters, digits and hyphens, and begins with a letter"
        .to_owned())
}

fn parameter(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("a parameter is NAME=VALUE".to_owned()),
    }
}

/// What a deployment needs to know.
pub(crate) struct Wanted<'w> {
    /// The stack.
    pub(crate) stack: &'w str,
    /// Each `NAME=VALUE`.
    pub(crate) parameters: Vec<String>,
    /// What the functions were built for.
    pub(crate) architecture: Architecture,
    /// Where packages go; by default a bucket of this program's.
    pub(crate) package_bucket: Option<&'w str>,
    /// Properties of the template that an emulator does not know; none on AWS.
    pub(crate) left_out: &'w [&'w str],
}

/// Whether changes that were shown are made.
pub(crate) enum Consent {
    /// Never.
    DryRun,
    /// Without asking.
    Given,
    /// When a person says so.
    Asked,
}

/// What the stack says of itself.
pub(crate) type Outputs = BTreeMap<String, String>;

/// `cargo xtask deploy`.
pub(crate) fn run(repository: &Repository, arguments: &Arguments) -> Result<(), TaskError> {
    let aws = Aws::of_the_caller(repository)?;
    let (architecture, architectures) = match arguments.architecture {
        SomeArchitecture::Arm64 => (Architecture::Arm64, Architectures::Arm64),
        SomeArchitecture::X86_64 => (Architecture::X86_64, Architectures::X86_64),
    };
    if !arguments.packaged {
        package::make_all(repository, architectures, Profile::Lambda)?;
    }
    let consent = match (arguments.dry_run, arguments.yes) {
        (true, _) => Consent::DryRun,
        (_, true) => Consent::Given,
        _ => Consent::Asked,
    };
    let wanted = Wanted {
        stack: &arguments.stack,
        parameters: arguments.parameters.clone(),
        architecture,
        package_bucket: arguments.package_bucket.as_deref(),
        left_out: &[],
    };
    let Some(outputs) = deploy(repository, &aws, &wanted, &consent)? else {
        return Ok(());
    };
    speech::say(&shown(&outputs, arguments.json));
    Ok(())
}

/// Brings the stack about, and gives its outputs; nothing after a dry run.
pub(crate) fn deploy(
    repository: &Repository,
    aws: &Aws<'_>,
    wanted: &Wanted<'_>,
    consent: &Consent,
) -> Result<Option<Outputs>, TaskError> {
    let bucket = match wanted.package_bucket {
        Some(bucket) => bucket.to_owned(),
        None => own_bucket(aws)?,
    };
    let packaged = upload(repository, aws, wanted, &bucket)?;
    let Some(change_set) = ChangeSet::create(aws, wanted, &packaged, &bucket)? else {
        speech::progress("The stack is as the template says: there is nothing to change.");
        return outputs(aws, wanted.stack).map(Some);
    };
    speech::progress(&change_set.shown());
    let agreed = match consent {
        Consent::DryRun => Ok(false),
        Consent::Given => Ok(true),
        Consent::Asked => {
            confirmation::obtain("Are these changes to be made?", false, "changed").map(|()| true)
        }
    };
    if !matches!(agreed, Ok(true)) {
        let left = change_set.discard(aws);
        remnant::told(agreed, &left, |_| "the changes were shown, and not made".to_owned())?;
        speech::progress("Nothing was changed.");
        return Ok(None);
    }
    change_set.execute(aws)?;
    outputs(aws, wanted.stack).map(Some)
}

/// The bucket of packages and bundles in this account, made when it is missing.
pub(crate) fn own_bucket(aws: &Aws<'_>) -> Result<String, TaskError> {
    let account = aws.account()?;
    let bucket = format!("rekindle-packages-{account}-{}", aws.region()?);
    // Anybody can make a bucket of a name that can be guessed: what is uploaded there would be theirs to replace. In a
    // bucket of somebody else's, making it fails, and so does the deployment.
    let is_ours =
        || aws.succeeds(&["s3api", "head-bucket", "--bucket", &bucket, "--expected-bucket-owner", &account]);
    if is_ours() {
        return Ok(bucket);
    }
    match aws.carry_out(&["s3", "mb", &format!("s3://{bucket}")]) {
        // Somebody else of this account may have made it meanwhile.
        Err(error) if !is_ours() => return Err(error),
        _ => {}
    }
    Ok(bucket)
}

/// Has the packages uploaded, and gives the template that names where they are.
fn upload(
    repository: &Repository,
    aws: &Aws<'_>,
    wanted: &Wanted<'_>,
    bucket: &str,
) -> Result<PathBuf, TaskError> {
    let folder = repository.target().join("deploy").join(wanted.stack);
    fs::create_dir_all(&folder).map_err(|cause| TaskError::file(&folder, cause))?;
    let template = template::adapted(repository, wanted, &folder)?;
    let packaged = folder.join("packaged.yaml");
    let shown = |path: &std::path::Path| path.display().to_string();
    aws.carry_out(&[
        "cloudformation",
        "package",
        "--template-file",
        &shown(&template),
        "--s3-bucket",
        bucket,
        "--s3-prefix",
        wanted.stack,
        "--output-template-file",
        &shown(&packaged),
    ])?;
    Ok(packaged)
}

/// What a stack says of itself.
pub(crate) fn outputs(aws: &Aws<'_>, stack: &str) -> Result<Outputs, TaskError> {
    let answer = aws.ask(&["cloudformation", "describe-stacks", "--stack-name", stack])?;
    let outputs = answer["Stacks"][0]["Outputs"].as_array().cloned().unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    Ok(outputs.iter().map(|output| (text(&output["OutputKey"]), text(&output["OutputValue"]))).collect())
}

fn shown(outputs: &Outputs, as_json: bool) -> String {
    if as_json {
        return serde_json::json!(outputs).to_string();
    }
    let lines: Vec<String> = outputs.iter().map(|(name, value)| format!("{name:<32} {value}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_buckets_cannot_be_made_of_are_refused() {
        assert!(stack_name("rekindle-1").is_ok());
        for name in ["", "Rekindle", "1rekindle", "rekindle_1", &"a".repeat(28)] {
            assert!(stack_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_parameter_has_a_name_and_may_have_an_empty_value() {
        assert!(parameter("CustomerId=acme").is_ok() && parameter("AlarmEmail=").is_ok());
        assert!(parameter("CustomerId").is_err() && parameter("=acme").is_err());
    }
}
