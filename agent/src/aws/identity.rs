//! The data identity, which only the customer's data key opens.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aws_sdk_kms::Client;
use aws_sdk_kms::error::SdkError;
use aws_sdk_kms::operation::decrypt::DecryptError;
use aws_sdk_kms::primitives::Blob;
use rekindle_domain::MachineKey;
use rekindle_step::{ErrorName, StepError};
use zeroize::Zeroizing;

use super::api::flat;
use crate::error::failed;
use crate::files::read_bounded;
use crate::keys::DataIdentity;

/// KMS decrypts nothing longer.
/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html>
pub(super) const LONGEST_CIPHERTEXT_BYTES: u64 = 6144;

/// Binds the file to one machine: with another context KMS does not open it, and policies can name it.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/encrypt_context.html>
pub(super) const CONTEXT_KEY: &str = "rekindle:machine";

/// An identity in a file that KMS opens. What it gives is kept in memory until the instance is sealed.
pub struct KmsIdentity {
    client: Client,
    path: PathBuf,
    machine: String,
    opened: Mutex<Option<DataIdentity>>,
}

impl fmt::Debug for KmsIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("KmsIdentity").field("path", &self.path).finish_non_exhaustive()
    }
}

impl KmsIdentity {
    /// The identity of this machine, in this file.
    pub fn new(client: Client, path: PathBuf, machine: &MachineKey) -> Self {
        Self { client, path, machine: machine.to_string(), opened: Mutex::default() }
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, Option<DataIdentity>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The identity, opened by KMS when it is first asked for.
    ///
    /// # Errors
    /// `Agent.DecryptionFailed` when the file or KMS does not give it, `Step.Transient` when that may pass.
    pub async fn obtain(&self) -> Result<DataIdentity, StepError> {
        if let Some(identity) = self.opened().clone() {
            return Ok(identity);
        }
        let text = self.decrypt(read_wrapped(&self.path)?).await?;
        let identity = DataIdentity::parse(&String::from_utf8_lossy(&text))?;
        *self.opened() = Some(identity.clone());
        Ok(identity)
    }

    /// Drops the identity, which overwrites it.
    pub fn forget(&self) {
        self.opened().take();
    }

    async fn decrypt(&self, wrapped: Vec<u8>) -> Result<Zeroizing<Vec<u8>>, StepError> {
        let answer = self
            .client
            .decrypt()
            .ciphertext_blob(Blob::new(wrapped))
            .encryption_context(CONTEXT_KEY, &self.machine)
            .send()
            .await
            .map_err(|error| refusal(error, &self.machine))?;
        let plaintext =
            answer.plaintext.ok_or_else(|| failed("KMS opened the identity and did not give it"))?;
        Ok(Zeroizing::new(plaintext.into_inner()))
    }
}

fn read_wrapped(path: &Path) -> Result<Vec<u8>, StepError> {
    read_bounded(path, LONGEST_CIPHERTEXT_BYTES)?.ok_or_else(|| {
        StepError::new(
            ErrorName::DecryptionFailed,
            format!("there is no wrapped identity at {}", path.display()),
        )
        .next_step("Make it with `rekindle-agent wrap-identity`, and the image anew with it")
    })
}

/// What a person can do about it, in a sentence. What passes by itself is tried again.
/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html#API_Decrypt_Errors>
fn refusal(error: SdkError<DecryptError>, machine: &str) -> StepError {
    let code = error.as_service_error().and_then(|error| error.meta().code()).unwrap_or_default().to_owned();
    let (what, next_step) = match code.as_str() {
        "AccessDeniedException" => (
            "the instance role is not allowed to open the data identity".to_owned(),
            "Allow the role kms:Decrypt with the data key and this machine's encryption context",
        ),
        "InvalidCiphertextException" | "IncorrectKeyException" | "InvalidKeyUsageException" => (
            format!("the wrapped identity is damaged, or was wrapped for another machine than {machine}"),
            "Wrap it again with `rekindle-agent wrap-identity --machine`, and make the image anew with it",
        ),
        "DisabledException" | "KMSInvalidStateException" | "NotFoundException" => (
            format!("the data key cannot be used: {code}"),
            "Enable the key, or wrap the identity with another one",
        ),
        _ => {
            let what = format!("KMS did not open the data identity: {}", flat(&error));
            return StepError::transient(what);
        }
    };
    StepError::new(ErrorName::DecryptionFailed, what).next_step(next_step)
}
