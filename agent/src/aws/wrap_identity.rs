//! `rekindle-agent wrap-identity`: encrypts a data identity with the customer's data key, for one machine.

use std::path::PathBuf;

use aws_sdk_kms::primitives::Blob;
use rekindle_domain::MachineKey;
use rekindle_step::StepError;

use super::api::flat;
use super::identity::CONTEXT_KEY;
use super::serve::sdk_config;
use crate::error::failed;
use crate::files::write_atomically;
use crate::keys::DataIdentity;

#[derive(Debug, clap::Args)]
pub(crate) struct WrapIdentityArguments {
    /// The data key: its id, ARN or alias.
    #[arg(long)]
    key_id: String,
    /// Whose identity it is: customer/service/machine. Agents open the one of their own machine.
    #[arg(long)]
    machine: String,
    /// The file of the identity, as `keygen` writes it.
    #[arg(long)]
    identity: PathBuf,
    /// Where to write what only the data key opens.
    #[arg(long)]
    out: PathBuf,
    /// The key's region, where the environment or the profile does not name it.
    #[arg(long)]
    region: Option<String>,
}

/// Wraps it, and gives a sentence about what was done.
pub(crate) async fn wrap(arguments: WrapIdentityArguments) -> Result<String, StepError> {
    let machine = MachineKey::parse(&arguments.machine)
        .map_err(|error| failed("--machine names no machine").because(error))?;
    let identity = DataIdentity::read(&arguments.identity)?;
    if arguments.out.exists() {
        return Err(failed(format!("{} exists, and keys are never overwritten", arguments.out.display()))
            .next_step("Choose another file, or move the old one away"));
    }
    let config = sdk_config(arguments.region.as_deref()).await;
    if config.region().is_none() {
        return Err(failed("no region is configured").next_step("Give --region, or set AWS_REGION"));
    }
    let wrapped = aws_sdk_kms::Client::new(&config)
        .encrypt()
        .key_id(&arguments.key_id)
        .plaintext(Blob::new(identity.secret_text().as_bytes()))
        .encryption_context(CONTEXT_KEY, machine.to_string())
        .send()
        .await
        .map_err(|error| {
            failed(format!("KMS did not wrap the identity: {}", flat(&error)))
                .next_step("Check --key-id, --region and whether you are allowed kms:Encrypt with the key")
        })?;
    let wrapped =
        wrapped.ciphertext_blob.ok_or_else(|| failed("KMS wrapped the identity and did not give it"))?;
    write_atomically(&arguments.out, wrapped.as_ref(), 0o600)?;
    Ok(format!(
        "{}: the identity of {machine}, recipient {}",
        arguments.out.display(),
        identity.recipient().text()
    ))
}
