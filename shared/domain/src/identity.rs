//! Typed names. An id that was parsed is safe in a file name, an object key, a tag and a register key.

use jiff::Timestamp;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Names given by people: lower-case letters, digits and hyphens.
    #[error(
        "{text:?} is not a {kind}: 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit"
    )]
    Name {
        /// What the text was read as.
        kind: &'static str,
        /// The text, cut to 80 characters.
        text: String,
    },
    /// Ids that we mint: 26 characters of Crockford base 32.
    #[error("{text:?} is not a {kind}: 26 characters of a ULID expected")]
    Ulid {
        /// What the text was read as.
        kind: &'static str,
        /// The text, cut to 80 characters.
        text: String,
    },
    /// Ids that a cloud provider minted.
    #[error("{text:?} is not a {kind}: 1 to 128 letters, digits, hyphens, dots and underscores expected")]
    Foreign {
        /// What the text was read as.
        kind: &'static str,
        /// The text, cut to 80 characters.
        text: String,
    },
    /// SHA-256 in hexadecimal.
    #[error("{text:?} is not a SHA-256 digest: 64 lower-case hexadecimal digits expected")]
    Digest {
        /// The text, cut to 80 characters.
        text: String,
    },
    /// Three names joined by slashes.
    #[error("{text:?} does not name a {kind}")]
    Path {
        /// What the text was read as.
        kind: &'static str,
        /// The text, cut to 80 characters.
        text: String,
    },
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    let outer = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (1..=63).contains(&bytes.len()) && bytes.iter().all(inner) && outer(bytes.first()) && outer(bytes.last())
}

fn is_foreign(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        && text != "."
        && text != ".."
}

macro_rules! text_id {
    ($(#[$documentation:meta])* $name:ident, $kind:literal, $check:expr, $error:expr) => {
        $(#[$documentation])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Reads and checks the text.
            ///
            /// # Errors
            /// When the text does not have the documented form.
            pub fn parse(text: &str) -> Result<Self, IdentityError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    let error: fn(&'static str, String) -> IdentityError = $error;
                    Err(error($kind, shown(text)))
                }
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdentityError;
            fn from_str(text: &str) -> Result<Self, IdentityError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdentityError;
            fn try_from(text: String) -> Result<Self, IdentityError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

fn name_error(kind: &'static str, text: String) -> IdentityError {
    IdentityError::Name { kind, text }
}

fn ulid_error(kind: &'static str, text: String) -> IdentityError {
    IdentityError::Ulid { kind, text }
}

fn foreign_error(kind: &'static str, text: String) -> IdentityError {
    IdentityError::Foreign { kind, text }
}

fn is_ulid(text: &str) -> bool {
    text.len() == 26 && ulid::Ulid::from_string(text).is_ok()
}

text_id!(
    /// Who is protected: a name that the provider gives, for example `acme`.
    CustomerId, "customer", is_name, name_error
);
text_id!(
    /// An IT service of a customer: a name that the customer gives, for example `orders`.
    ServiceId, "service", is_name, name_error
);
text_id!(
    /// One host of a service, for example `database`.
    MachineId, "machine", is_name, name_error
);
text_id!(
    /// One execution of a flow. Minted before anything happens; the execution's name, and the tag on every
    /// resource that the run makes.
    RunId, "run", is_ulid, ulid_error
);
text_id!(
    /// One backup set. Minted by the agent that took the backup.
    BackupId, "backup", is_ulid, ulid_error
);
text_id!(
    /// An image, as the cloud provider calls it (`ami-…`, `img-…`).
    ImageId, "image", is_foreign, foreign_error
);
text_id!(
    /// An instance, as the cloud provider calls it (`i-…`).
    InstanceId, "instance", is_foreign, foreign_error
);

impl RunId {
    /// A new id, ordered by time.
    pub fn mint() -> Self {
        Self(ulid::Ulid::new().to_string())
    }

    /// The run that takes over the work which arrived while this one was busy.
    ///
    /// The same run always gives the same successor, so that a step which runs twice starts one successor, not two.
    pub fn successor(&self) -> Self {
        // This run's time, so that ids stay ordered by time.
        let time = ulid::Ulid::from_string(&self.0).map_or(0, |id| id.timestamp_ms());
        Self::of_parts(time, &format!("successor of {}", self.0))
    }

    /// The run that follows from an event of this time. The same event, however it is described, gives the same run when
    /// it has the same `identity`.
    pub fn of_event(at: Timestamp, identity: &str) -> Self {
        Self::of_parts(u64::try_from(at.as_millisecond()).unwrap_or(0), identity)
    }

    fn of_parts(milliseconds: u64, identity: &str) -> Self {
        let digest = Sha256::digest(identity);
        let mut random = [0_u8; 16];
        random.copy_from_slice(&digest[..16]);
        Self(ulid::Ulid::from_parts(milliseconds, u128::from_be_bytes(random)).to_string())
    }
}

impl BackupId {
    /// A new id, ordered by time.
    pub fn mint() -> Self {
        Self(ulid::Ulid::new().to_string())
    }
}

/// A service of a customer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceKey {
    /// Who owns the service.
    pub customer_id: CustomerId,
    /// Which service.
    pub service_id: ServiceId,
}

impl ServiceKey {
    /// The machine of this service with the given name.
    pub fn machine(&self, machine_id: MachineId) -> MachineKey {
        MachineKey { customer_id: self.customer_id.clone(), service_id: self.service_id.clone(), machine_id }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.customer_id, self.service_id)
    }
}

/// One host of a service of a customer: what leases, images and backup sets belong to.
///
/// Written `customer/service/machine`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineKey {
    /// Who owns the machine.
    pub customer_id: CustomerId,
    /// The service that it is part of.
    pub service_id: ServiceId,
    /// Which host of that service.
    pub machine_id: MachineId,
}

impl MachineKey {
    /// The service that the machine is part of.
    pub fn service(&self) -> ServiceKey {
        ServiceKey { customer_id: self.customer_id.clone(), service_id: self.service_id.clone() }
    }

    /// Reads `customer/service/machine`.
    ///
    /// # Errors
    /// When there are not three names, or one of them is not a name.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let parts: Vec<&str> = text.split('/').collect();
        let [customer, service, machine] = parts.as_slice() else {
            return Err(IdentityError::Path { kind: "machine", text: shown(text) });
        };
        Ok(Self {
            customer_id: CustomerId::parse(customer)?,
            service_id: ServiceId::parse(service)?,
            machine_id: MachineId::parse(machine)?,
        })
    }
}

impl fmt::Display for MachineKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.customer_id, self.service_id, self.machine_id)
    }
}

/// A fencing token: grows by one each time a machine's lease is taken, so that a stale holder can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub u64);

impl fmt::Display for Fence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A SHA-256 digest, written in 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(bytes)))
    }

    /// From a finished hash.
    pub fn from_hash(hash: [u8; 32]) -> Self {
        Self(hex::encode(hash))
    }

    /// Reads 64 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// For any other text.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let good = text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if good { Ok(Self(text.to_owned())) } else { Err(IdentityError::Digest { text: shown(text) }) }
    }

    /// The hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = IdentityError;
    fn try_from(text: String) -> Result<Self, IdentityError> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

/// A recovery plan, named by the digest of its content.
pub type PlanId = Digest;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot parse its own ids has failed")]
    use super::*;

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for text in ["", ".", "..", "a/b", "A", "-a", "a-", "a b", "a\0", &"a".repeat(64)] {
            assert!(CustomerId::parse(text).is_err(), "{text:?} was accepted");
        }
        assert!(CustomerId::parse("acme-2").is_ok());
    }

    #[test]
    fn a_successor_is_always_the_same_and_never_the_run_itself() {
        let run = RunId::mint();
        assert_eq!(run.successor(), run.successor());
        assert_ne!(run.successor(), run);
        assert_ne!(run.successor().successor(), run.successor());
        RunId::parse(run.successor().as_str()).unwrap();
    }

    #[test]
    fn a_machine_reads_back_as_it_is_written() {
        let key = MachineKey::parse("acme/orders/database").unwrap();
        assert_eq!(MachineKey::parse(&key.to_string()).unwrap(), key);
        assert!(MachineKey::parse("acme/orders").is_err());
        assert!(MachineKey::parse("acme/../orders").is_err());
    }

    #[test]
    fn a_digest_is_hexadecimal_and_nothing_else() {
        assert!(Digest::parse(&"g".repeat(64)).is_err());
        assert!(Digest::parse(&"A".repeat(64)).is_err());
        assert_eq!(Digest::parse(Digest::of(b"x").as_str()).unwrap(), Digest::of(b"x"));
    }
}
