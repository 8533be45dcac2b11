//! Keys: ed25519 for signatures (minisign's format), X25519 for data (age's format).
//!
//! A signing key lives on the customer's hosts, its public half in every image. A data identity lives with the
//! customer, is handed to a builder in memory, and its public half (the recipient) lives where backups are taken.
//! Neither key can stand in for the other. Nothing here shows a secret: `Debug` says that there is one.

use std::fmt;
use std::io::Cursor;
use std::path::Path;
use std::str::FromStr as _;

use age::secrecy::ExposeSecret as _;
use rekindle_domain::Digest;
use rekindle_step::{ErrorName, StepError};

use crate::error::{failed, file};
use crate::files::{read_bounded, write_atomically};

const LONGEST_KEY_BYTES: u64 = 16 * 1024;
/// The longest detached signature that is read.
pub const LONGEST_SIGNATURE_BYTES: u64 = 4 * 1024;

/// The secret half of a signing key.
pub struct SigningKey {
    secret: minisign::SecretKey,
    public: minisign::PublicKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningKey(secret)")
    }
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// When the operating system gives no random numbers.
    pub fn generate() -> Result<Self, StepError> {
        let pair = minisign::KeyPair::generate_unencrypted_keypair()
            .map_err(|error| failed("generating a signing key failed").because(error))?;
        Ok(Self { secret: pair.sk, public: pair.pk })
    }

    /// Reads the text of a minisign secret key without a password.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(text: &str) -> Result<Self, StepError> {
        let unusable = |error| {
            failed("the signing key cannot be read")
                .because(error)
                .next_step("Give the file of a minisign secret key without a password, as `keygen` writes it")
        };
        let boxed = minisign::SecretKeyBox::from_string(text).map_err(unusable)?;
        let secret = boxed.into_unencrypted_secret_key().map_err(unusable)?;
        let public = minisign::PublicKey::from_secret_key(&secret).map_err(unusable)?;
        Ok(Self { secret, public })
    }

    /// Reads the key from a file.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn read(path: &Path) -> Result<Self, StepError> {
        Self::parse(&read_text(path, "signing key")?)
    }

    /// Writes the key into a new file that only its owner can read.
    ///
    /// # Errors
    /// When there is a file already, or it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), StepError> {
        let boxed = self
            .secret
            .to_box(Some("rekindle signing key, keep it secret"))
            .map_err(|error| failed("writing the signing key failed").because(error))?;
        write_new(path, &boxed.into_string(), 0o600)
    }

    /// The public half as the text of a `.pub` file.
    ///
    /// # Errors
    /// Never for a key that was read; the format's library asks for it.
    pub fn public_text(&self) -> Result<String, StepError> {
        let boxed = self
            .public
            .to_box()
            .map_err(|error| failed("writing the public half of a signing key failed").because(error))?;
        Ok(boxed.into_string())
    }

    /// A detached signature over exactly these bytes.
    ///
    /// # Errors
    /// When the operating system gives no random numbers.
    pub fn sign(&self, bytes: &[u8], trusted_comment: &str) -> Result<String, StepError> {
        let signature = minisign::sign(
            Some(&self.public),
            &self.secret,
            Cursor::new(bytes),
            Some(trusted_comment),
            Some("signature from rekindle-agent"),
        )
        .map_err(|error| failed("signing failed").because(error))?;
        Ok(signature.into_string())
    }
}

/// The public keys whose signatures are obeyed.
#[derive(Clone, Default)]
pub struct TrustedKeys {
    keys: Vec<minisign_verify::PublicKey>,
}

impl fmt::Debug for TrustedKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TrustedKeys({})", self.keys.len())
    }
}

impl TrustedKeys {
    /// Reads every `.pub` file of a folder.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read. One unreadable key stops everything: it may be the one that
    /// was meant to be used.
    pub fn read(folder: &Path) -> Result<Self, StepError> {
        let entries = std::fs::read_dir(folder)
            .map_err(|error| file("reading the trusted keys in", folder, error))?
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| file("reading the trusted keys in", folder, error))?;
        let mut paths: Vec<_> = entries.iter().map(std::fs::DirEntry::path).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "pub"));
        paths.sort();
        let texts = paths.iter().map(|path| read_text(path, "trusted key")).collect::<Result<Vec<_>, _>>()?;
        Self::parse(texts.iter().map(String::as_str))
    }

    /// Reads the texts of `.pub` files.
    ///
    /// # Errors
    /// When one is not a minisign public key.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, StepError> {
        let keys = texts
            .into_iter()
            .map(|text| {
                minisign_verify::PublicKey::decode(text.trim_end())
                    .map_err(|error| failed("a trusted key is not a minisign public key").because(error))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { keys })
    }

    /// Checks a detached signature over exactly these bytes.
    ///
    /// # Errors
    /// `Agent.SignatureInvalid` when no trusted key made it.
    pub fn verify(&self, what: &str, bytes: &[u8], signature: &[u8]) -> Result<(), StepError> {
        let invalid = |reason: &str| {
            StepError::new(
                ErrorName::SignatureInvalid,
                format!("the signature of {what} is refused: {reason}"),
            )
            .next_step("Find out who wrote it; only what a key in /etc/rekindle/trusted-keys signed is used")
        };
        let text = std::str::from_utf8(signature).map_err(|_| invalid("it is not text"))?;
        let signature = minisign_verify::Signature::decode(text.trim_end())
            .map_err(|_| invalid("it is not a minisign signature"))?;
        if self.keys.iter().any(|key| key.verify(bytes, &signature, false).is_ok()) {
            return Ok(());
        }
        Err(invalid("it fits none of the trusted keys and these bytes"))
    }
}

/// The secret that decrypts backups.
#[derive(Clone)]
pub struct DataIdentity(age::x25519::Identity);

impl fmt::Debug for DataIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DataIdentity(secret)")
    }
}

impl DataIdentity {
    /// A new identity.
    pub fn generate() -> Self {
        Self(age::x25519::Identity::generate())
    }

    /// Reads an identity file: its first line that begins with `AGE-SECRET-KEY-1`.
    ///
    /// # Errors
    /// When there is none.
    pub fn parse(text: &str) -> Result<Self, StepError> {
        text.lines()
            .map(str::trim)
            .filter(|line| line.starts_with("AGE-SECRET-KEY-1"))
            .find_map(|line| age::x25519::Identity::from_str(line).ok())
            .map(Self)
            .ok_or_else(|| {
                decryption_failed("the identity file holds no AGE-SECRET-KEY-1 line that can be read")
            })
    }

    /// Reads the identity from a file.
    ///
    /// # Errors
    /// When the file cannot be read or holds none.
    pub fn read(path: &Path) -> Result<Self, StepError> {
        match read_bounded(path, LONGEST_KEY_BYTES)? {
            Some(bytes) => Self::parse(&String::from_utf8_lossy(&bytes)),
            None => Err(decryption_failed(&format!("there is no data identity at {}", path.display()))),
        }
    }

    /// Writes the identity into a new file that only its owner can read.
    ///
    /// # Errors
    /// When there is a file already, or it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), StepError> {
        let text = format!(
            "# public recipient: {}\n{}\n",
            self.recipient().text(),
            self.0.to_string().expose_secret()
        );
        write_new(path, &text, 0o600)
    }

    /// The line of an identity file, for whoever encrypts it at once.
    #[cfg(feature = "aws")]
    pub(crate) fn secret_text(&self) -> zeroize::Zeroizing<String> {
        zeroize::Zeroizing::new(self.0.to_string().expose_secret().to_owned())
    }

    /// The public half.
    pub fn recipient(&self) -> Recipient {
        Recipient(self.0.to_public())
    }

    pub(crate) fn key(&self) -> &age::x25519::Identity {
        &self.0
    }
}

fn decryption_failed(what: &str) -> StepError {
    StepError::new(ErrorName::DecryptionFailed, what)
        .next_step("Hand the builder the identity whose recipient the backups are encrypted to")
}

/// A public recipient that backups are encrypted to.
#[derive(Debug, Clone)]
pub struct Recipient(age::x25519::Recipient);

impl Recipient {
    /// Reads `age1…`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(text: &str) -> Result<Self, StepError> {
        age::x25519::Recipient::from_str(text.trim()).map(Self).map_err(|reason| {
            failed(format!("the recipient cannot be read: {reason}"))
                .next_step("Give a recipient that begins with age1, as `keygen` shows it")
        })
    }

    /// The text `age1…`.
    pub fn text(&self) -> String {
        self.0.to_string()
    }

    /// Digest of the text, as a set description names it.
    pub fn digest(&self) -> Digest {
        Digest::of(self.text().as_bytes())
    }

    pub(crate) fn key(&self) -> &age::x25519::Recipient {
        &self.0
    }
}

fn read_text(path: &Path, what: &str) -> Result<String, StepError> {
    let bytes = read_bounded(path, LONGEST_KEY_BYTES)?
        .ok_or_else(|| failed(format!("there is no {what} at {}", path.display())))?;
    String::from_utf8(bytes).map_err(|_| failed(format!("the {what} at {} is not text", path.display())))
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), StepError> {
    if path.exists() {
        return Err(failed(format!("{} exists, and keys are never overwritten", path.display()))
            .next_step("Choose another file, or move the old key away"));
    }
    write_atomically(path, text.as_bytes(), mode)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot make its own keys has failed")]
    use super::*;

    fn trusting(key: &SigningKey) -> TrustedKeys {
        TrustedKeys::parse([key.public_text().unwrap().as_str()]).unwrap()
    }

    #[test]
    fn a_signature_holds_for_its_bytes_and_its_key_only() {
        let key = SigningKey::generate().unwrap();
        let signature = key.sign(b"text", "a set").unwrap();
        trusting(&key).verify("it", b"text", signature.as_bytes()).unwrap();
        for (keys, bytes, signature) in [
            (trusting(&key), &b"texT"[..], signature.as_bytes()),
            (trusting(&SigningKey::generate().unwrap()), b"text", signature.as_bytes()),
            (TrustedKeys::default(), b"text", signature.as_bytes()),
            (trusting(&key), b"text", b"nothing"),
            (trusting(&key), b"text", &[0xff, 0xfe]),
        ] {
            let error = keys.verify("it", bytes, signature).unwrap_err();
            assert_eq!(error.name, ErrorName::SignatureInvalid);
        }
    }

    #[test]
    fn keys_read_back_from_files_that_only_the_owner_reads() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (signing, identity) = (folder.path().join("signing"), folder.path().join("identity"));
        let key = SigningKey::generate().unwrap();
        key.write(&signing).unwrap();
        let data = DataIdentity::generate();
        data.write(&identity).unwrap();
        assert!(key.write(&signing).is_err(), "a key was overwritten");
        assert_eq!(SigningKey::read(&signing).unwrap().public_text().unwrap(), key.public_text().unwrap());
        assert_eq!(DataIdentity::read(&identity).unwrap().recipient().text(), data.recipient().text());
        for path in [signing, identity] {
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let data = DataIdentity::generate();
        assert_eq!(format!("{data:?}"), "DataIdentity(secret)");
        assert_eq!(format!("{:?}", SigningKey::generate().unwrap()), "SigningKey(secret)");
    }
}
