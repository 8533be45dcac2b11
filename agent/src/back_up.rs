//! `rekindle-agent backup`: takes one backup of a production host.

use std::path::PathBuf;
use std::sync::Arc;

use rekindle_domain::BackupId;
use rekindle_step::StepError;
use rekindle_store::ObjectStore;

use crate::backup::{BackupRequest, BackupSummary, KindWish, Remnants, take};
use crate::buckets::{Bucket, open_configured, open_folder};
use crate::configuration::AgentConfiguration;
use crate::error::{failed, file};
use crate::keys::{Recipient, SigningKey};
use crate::places::Places;

#[derive(Debug, clap::Args)]
pub(crate) struct BackupArguments {
    /// The agent's configuration, where it is not at its usual place.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The key that signs the set.
    #[arg(long)]
    signing_key: PathBuf,
    /// Who can read the backup; several times for several.
    #[arg(long, required_unless_present = "recipients_file")]
    recipient: Vec<String>,
    /// A file with one recipient on each line.
    #[arg(long)]
    recipients_file: Option<PathBuf>,
    /// The folder of the control bucket, where it is not the one that agent.toml names.
    #[arg(long, requires = "data")]
    control: Option<PathBuf>,
    /// The folder of the data bucket, where it is not the one that agent.toml names.
    #[arg(long, requires = "control")]
    data: Option<PathBuf>,
    /// What to take.
    #[arg(long, value_enum, default_value = "auto")]
    kind: KindWish,
    /// Begin a new incarnation: the machine's history forked, for example by a failback.
    #[arg(long)]
    new_incarnation: bool,
    /// The group of sets that are taken at one moment on several machines.
    #[arg(long)]
    group: Option<BackupId>,
    /// Show the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Takes one backup, and gives what is to be said about it.
pub(crate) async fn back_up(
    places: Places,
    agent: PathBuf,
    arguments: BackupArguments,
) -> Result<String, StepError> {
    let configuration =
        AgentConfiguration::read(&arguments.config.clone().unwrap_or_else(|| places.configuration()))?;
    let (control, data) = open_buckets(&places, &configuration, &arguments).await?;
    let remnants = if arguments.data.is_some() { Remnants::Remove } else { Remnants::Leave };
    let request = BackupRequest {
        places,
        agent,
        configuration,
        signing_key: SigningKey::read(&arguments.signing_key)?,
        recipients: recipients(&arguments)?,
        control,
        data,
        remnants,
        kind: arguments.kind,
        new_incarnation: arguments.new_incarnation,
        group_id: arguments.group,
    };
    let summary = take(&request).await?;
    if arguments.json { as_json(&summary) } else { Ok(as_sentence(&summary)) }
}

type OpenBucket = Arc<dyn ObjectStore>;

/// The folders that were named, or else the buckets of the configuration.
async fn open_buckets(
    places: &Places,
    configuration: &AgentConfiguration,
    arguments: &BackupArguments,
) -> Result<(OpenBucket, OpenBucket), StepError> {
    if let (Some(control), Some(data)) = (&arguments.control, &arguments.data) {
        return Ok((open_folder(control)?, open_folder(data)?));
    }
    let buckets = open_configured(configuration, "Give --control and --data").await?;
    Ok((buckets.get(places, Bucket::Control)?, buckets.get(places, Bucket::Data)?))
}

fn recipients(arguments: &BackupArguments) -> Result<Vec<Recipient>, StepError> {
    let from_file = match &arguments.recipients_file {
        Some(path) => std::fs::read_to_string(path).map_err(|error| file("reading", path, error))?,
        None => String::new(),
    };
    let lines = from_file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    arguments.recipient.iter().map(String::as_str).chain(lines).map(Recipient::parse).collect()
}

fn as_json(summary: &BackupSummary) -> Result<String, StepError> {
    serde_json::to_string(summary).map_err(|error| failed("writing the result failed").because(error))
}

fn as_sentence(summary: &BackupSummary) -> String {
    format!(
        "set {} at {}, {}: {} in {} objects, everything committed before {}",
        summary.backup_id,
        summary.position,
        summary.kind,
        rekindle_domain::Bytes(summary.stored_bytes),
        summary.objects,
        summary.recovery_point
    )
}
