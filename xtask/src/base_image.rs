//! `cargo xtask base-image`: an AMI with the agent, the customer's keys and recipes, in the customer's account.

mod builder;
mod bundle;
mod image;
mod place;
#[cfg(test)]
mod tests;
mod user_data;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::aws::Aws;
use crate::aws::tagged::{self, Kind, Tagged};
use crate::confirmation;
use crate::deploy;
use crate::error::TaskError;
use crate::interruption::Interruption;
use crate::package;
use crate::package::build::Architecture;
use crate::random;
use crate::remnant::{self, Remnant};
use crate::repository::Repository;
use crate::speech;
use builder::{Start, Traces};
use bundle::{Bundle, Inputs};
use image::Label;
use place::{Parent, Place};
use user_data::Order;

const EXAMPLES: &str = "\
Examples:
  cargo xtask package --only agent
  cargo xtask base-image --stack rekindle --machine acme/orders/database \\
      --parent /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64 \\
      --config agent.toml --trusted-keys keys --recipes recipes --wrapped-identity identity.kms
  cargo xtask base-image … --dry-run         what would be made
  cargo xtask base-image … --yes --json      without a question; prints {\"image_id\": \"ami-…\", …}

Account and region are those of the `aws` command: the customer's. In an account of the
customer's own, --stack is the stack of infra/customer-account.yaml.

For Debian, --parent is /aws/service/debian/release/12/latest/arm64. Whatever it is has to have
cloud-init, systemd and the `aws` command, and beforehand the programs of the database engine.

What is made carries the tag rekindle:base-image, and is removed on failure and on Ctrl-C. A second
Ctrl-C ends at once, and leaves it to you.

A dry run makes nothing, uploads nothing and waits for nothing. Where the image is there already it
prints its id, also while the image is pending.

Exit codes:
  0    the image is there, and its id is printed; or it would be made (--dry-run)
  1    something is missing, was refused, was not agreed to, or may be left: the error names it
  130  interrupted; what was started is removed
  any other code is that of the `aws` command";

/// What goes into the image, and where it is made.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The customer's stack.
    #[arg(long, value_name = "NAME")]
    stack: String,
    /// Whose image it is: customer/service/machine.
    #[arg(long, value_parser = machine_key)]
    machine: String,
    /// The system to begin with: an AMI's id, or a public parameter of Systems Manager that names one.
    #[arg(long, value_name = "IMAGE")]
    parent: String,
    /// The agent's configuration, agent.toml.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The folder of the public signing keys: its .pub files.
    #[arg(long, value_name = "FOLDER")]
    trusted_keys: PathBuf,
    /// The folder of the signed recipes: its .toml and .toml.minisig files.
    #[arg(long, value_name = "FOLDER")]
    recipes: PathBuf,
    /// The identity as `rekindle-agent wrap-identity` writes it.
    #[arg(long, value_name = "FILE")]
    wrapped_identity: Option<PathBuf>,
    /// The agent; by default the one that `cargo xtask package` has made for the parent's processor.
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// What the builder runs on; by default t4g.small or t3.small.
    #[arg(long, value_name = "TYPE")]
    instance_type: Option<String>,
    /// Show what would be made, and make nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Print the image as a JSON object.
    #[arg(long)]
    json: bool,
}

/// Three ids, as the register has them. They become the value of a tag.
fn machine_key(text: &str) -> Result<String, String> {
    let is_id = |part: &str| {
        let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_bare = !part.starts_with('-') && !part.ends_with('-');
        (1..=63).contains(&part.len()) && part.bytes().all(fine) && is_bare
    };
    let parts: Vec<&str> = text.split('/').collect();
    if parts.len() == 3 && parts.iter().all(|part| is_id(part)) {
        return Ok(text.to_owned());
    }
    Err("a machine is customer/service/machine, of lower-case letters, digits, and hyphens between them"
        .to_owned())
}

/// The image, and what it was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct BaseImage {
    image_id: String,
    name: String,
    machine: String,
    parent: String,
    bundle_sha256: String,
    /// False when an earlier run has made it.
    is_new: bool,
}

/// `cargo xtask base-image`.
pub(crate) fn run(repository: &Repository, arguments: &Arguments) -> Result<(), TaskError> {
    let aws = Aws::of_the_caller(repository)?;
    let Some(image) = make(repository, &aws, arguments)? else {
        return Ok(());
    };
    match arguments.json {
        true => speech::say(&serde_json::json!(image).to_string()),
        false => speech::say(&image.image_id),
    }
    Ok(())
}

/// Everything that is known before anything is made.
struct Plan {
    place: Place,
    parent: Parent,
    instance_type: String,
    bundle: Bundle,
    label: Label,
    region: String,
    folder: RunFolder,
}

/// A folder of one run's own, below target. It goes with the run, however that ends: copies of a customer's files are
/// in it.
struct RunFolder(PathBuf);

impl RunFolder {
    fn new(repository: &Repository, run: &str) -> Self {
        Self(repository.target().join("base-image").join(run))
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Brings the image about; nothing after a dry run of an image that is not there.
fn make(
    repository: &Repository,
    aws: &Aws<'_>,
    arguments: &Arguments,
) -> Result<Option<BaseImage>, TaskError> {
    let plan = plan(repository, aws, arguments)?;
    let image = |image_id: String, is_new: bool| BaseImage {
        image_id,
        name: plan.label.name.clone(),
        machine: plan.label.machine.clone(),
        parent: plan.parent.id.clone(),
        bundle_sha256: plan.bundle.sha256.clone(),
        is_new,
    };
    if let Some(id) = image::find(aws, &plan.label.name)? {
        speech::progress(&format!("The image {id} was made of just this before; nothing is to be done."));
        if !arguments.dry_run {
            image::wait(aws, &id, &plan.label, &Interruption::watch()?)?;
        }
        return Ok(Some(image(id, false)));
    }
    refuse_beside_another(aws, &plan.label.name)?;
    speech::progress(&shown(&plan));
    if arguments.dry_run {
        speech::progress("Nothing was made.");
        return Ok(None);
    }
    confirmation::obtain("Is this image to be made?", arguments.yes, "made")?;
    build(aws, &plan).map(|id| Some(image(id, true)))
}

fn plan(repository: &Repository, aws: &Aws<'_>, arguments: &Arguments) -> Result<Plan, TaskError> {
    let region = aws.region()?;
    let place = place::of_stack(aws, &arguments.stack, &region)?;
    let parent = place::parent(aws, &arguments.parent, &place)?;
    let inputs = inputs(repository, arguments, parent.architecture)?;
    let text = fs::read_to_string(&inputs.config).map_err(|cause| TaskError::file(&inputs.config, cause))?;
    if let Some(reason) = bundle::contradiction(&text, &arguments.machine, &region, &place) {
        return Err(TaskError::CheckFailed(format!("{} is refused: {reason}", inputs.config.display())));
    }
    let run = random::word()?;
    // Before anything is put into it: what cannot be packed has to go as well.
    let folder = RunFolder::new(repository, &run);
    let bundle = bundle::pack(repository, &inputs, parent.architecture, &folder.0)?;
    let content = Content {
        machine: &arguments.machine,
        parent: &parent.id,
        bundle: &bundle.sha256,
        disk_key: &place.disk_key,
    };
    let label = Label {
        name: name(&place.stack, &content),
        machine: arguments.machine.clone(),
        stack: place.stack.clone(),
        run,
    };
    let usual = match parent.architecture {
        Architecture::Arm64 => "t4g.small",
        Architecture::X86_64 => "t3.small",
    };
    let instance_type = arguments.instance_type.clone().unwrap_or_else(|| usual.to_owned());
    Ok(Plan { place, parent, instance_type, bundle, label, region, folder })
}

/// Programs are run from the top of the repository, so every path is made whole first.
fn inputs(
    repository: &Repository,
    arguments: &Arguments,
    architecture: Architecture,
) -> Result<Inputs, TaskError> {
    let whole = |path: &Path| std::path::absolute(path).map_err(|cause| TaskError::file(path, cause));
    let packaged = || package::folder(repository, architecture).join("agent").join("rekindle-agent");
    let agent = whole(&arguments.agent.clone().unwrap_or_else(packaged))?;
    if !agent.is_file() {
        return Err(TaskError::Missing(format!(
            "there is no agent at {}: make it with `cargo xtask package --only agent`, or give one with --agent",
            agent.display()
        )));
    }
    Ok(Inputs {
        config: whole(&arguments.config)?,
        trusted_keys: whole(&arguments.trusted_keys)?,
        recipes: whole(&arguments.recipes)?,
        wrapped_identity: arguments.wrapped_identity.as_deref().map(whole).transpose()?,
        agent,
    })
}

/// What makes an image this one and no other.
#[derive(Debug, Clone, Copy)]
struct Content<'c> {
    machine: &'c str,
    parent: &'c str,
    /// Its digest.
    bundle: &'c str,
    /// Under another key instances of it would not start, and a refresh would copy the whole disk each time.
    disk_key: &'c str,
}

/// Follows from all that the image is made of: the same again is the same image.
fn name(stack: &str, content: &Content<'_>) -> String {
    let mut hash = Sha256::new();
    let Content { machine, parent, bundle, disk_key } = content;
    for part in [machine, parent, bundle, disk_key, user_data::STEPS] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    format!("rekindle-base-{stack}-{}", &format!("{:x}", hash.finalize())[..24])
}

/// Whose run it is cannot be known: it may go on, or have been killed.
fn refuse_beside_another(aws: &Aws<'_>, name: &str) -> Result<(), TaskError> {
    let others = builder::others(aws, name)?;
    if others.is_empty() {
        return Ok(());
    }
    let ids = others.join(" ");
    Err(TaskError::CheckFailed(format!(
        "a builder of this image is there already. If another run goes on, wait for it; if it was killed: \
         `aws ec2 terminate-instances --instance-ids {ids}`, and try again"
    )))
}

fn shown(plan: &Plan) -> String {
    let Plan { place, parent, bundle, label, .. } = plan;
    let lines = [
        format!("A base image of {} is made in {}:", label.machine, plan.region),
        format!("  from          {} {}", parent.id, parent.name),
        format!("  bundle        {} bytes, SHA-256 {}", bundle.bytes, bundle.sha256),
        format!("  builder       one {} in {}, with the profile {}", plan.instance_type, place.subnet, place.profile),
        format!("  encryption    {} with {}", place.root_device, place.disk_key),
        format!("  name          {}", label.name),
        "  costs         a few minutes of the builder (below 0.01 $), and 0.05 $ a month for each GB of the snapshot"
            .to_owned(),
    ];
    lines.join("\n")
}

/// Makes it, and removes everything else that came into being on the way.
fn build(aws: &Aws<'_>, plan: &Plan) -> Result<String, TaskError> {
    let interruption = Interruption::watch()?;
    let bucket = deploy::own_bucket(aws)?;
    let folder = format!("base-images/{}/{}/{}", plan.place.profile, plan.label.name, plan.label.run);
    let traces = Traces { bucket, folder };
    let outcome = steps(aws, plan, &traces, &interruption);
    let outcome = outcome.and_then(|built| interruption.check().map(|()| built));
    let left = clean_up(aws, &plan.label.run, &traces, outcome.as_ref().ok());
    remnant::told(outcome, &left, |built| format!("the image {} was made", built.image))
        .map(|built| built.image)
}

/// What a run that went well has made.
struct Built {
    image: String,
    builder: String,
}

/// Of a run that went well everything but its image; of another one everything, whether its id was learned or not.
fn clean_up(aws: &Aws<'_>, run: &str, traces: &Traces, built: Option<&Built>) -> Vec<Remnant> {
    let mut left = match built {
        Some(built) => tagged::take_away(aws, Kind::Instance, &built.builder).into_iter().collect(),
        None => Tagged::with(aws, image::RUN_TAG, run).take_away(),
    };
    left.extend(builder::remove_objects(aws, traces));
    left
}

fn steps(
    aws: &Aws<'_>,
    plan: &Plan,
    traces: &Traces,
    interruption: &Interruption,
) -> Result<Built, TaskError> {
    speech::progress("Uploading the bundle.");
    builder::upload(aws, traces, &plan.bundle.path)?;
    interruption.check()?;
    let order = Order {
        region: plan.region.clone(),
        bucket: traces.bucket.clone(),
        folder: traces.folder.clone(),
        sha256: plan.bundle.sha256.clone(),
    };
    let user_data = plan.folder.0.join("user-data.sh");
    fs::write(&user_data, user_data::script(&order)?).map_err(|cause| TaskError::file(&user_data, cause))?;
    let start = Start {
        place: &plan.place,
        parent: &plan.parent.id,
        instance_type: &plan.instance_type,
        user_data: &user_data,
        label: &plan.label,
    };
    let builder = builder::start(aws, &start)?;
    speech::progress(&format!("The builder {builder} is started; it powers itself off when it is done."));
    builder::wait(aws, &builder, traces, &plan.bundle.sha256, interruption)?;
    builder::check_disks(aws, &builder, &plan.place.disk_key)?;
    let image = image::create(aws, &builder, &plan.label)?;
    speech::progress(&format!("The image {image} is being made."));
    image::wait(aws, &image, &plan.label, interruption)?;
    Ok(Built { image, builder })
}
