//! Keys of objects in the backup store, and where each party may write.
//!
//! ```text
//! control/customers/<customer>/services/<service>/machines/<machine>/sets/<backup>/set.json
//! control/…/sets/<backup>/set.json.minisig
//! data/customers/<customer>/services/<service>/machines/<machine>/sets/<backup>/<data store>/<object>
//! ```
//!
//! `control` and `data` are two buckets with a key each: the orchestrator reads the first, never the second.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::identity::{BackupId, MachineKey};

/// The longest key that S3 takes, in bytes (Amazon S3 User Guide, "Naming Amazon S3 objects").
pub const LONGEST_KEY_BYTES: usize = 1024;

/// Why a text is not an object key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the object key {shown:?} is refused: {reason}")]
pub struct ObjectKeyError {
    /// The key, cut to 80 characters.
    pub shown: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A key that cannot leave the place it is used under: relative, without empty, `.` or `..` segments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectKey(String);

impl ObjectKey {
    /// Reads and checks a key.
    ///
    /// # Errors
    /// For an empty, absolute or too long key, for segments that are empty, `.` or `..`, and for characters other
    /// than letters, digits and `-_.=/`.
    pub fn parse(text: &str) -> Result<Self, ObjectKeyError> {
        match reason_against(text) {
            None => Ok(Self(text.to_owned())),
            Some(reason) => Err(ObjectKeyError { shown: text.chars().take(80).collect(), reason }),
        }
    }

    /// The key itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this key lies under the given prefix, which ends with a slash.
    pub fn is_under(&self, prefix: &str) -> bool {
        prefix.ends_with('/') && self.0.starts_with(prefix)
    }
}

fn reason_against(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("it is empty");
    }
    if text.len() > LONGEST_KEY_BYTES {
        return Some("it is longer than 1024 bytes");
    }
    if text.starts_with('/') {
        return Some("it is absolute");
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'=' | b'/');
    if !text.bytes().all(allowed) {
        return Some("it has characters other than letters, digits and - _ . = /");
    }
    if text.split('/').any(|segment| segment == "..") {
        return Some("it climbs out of its folder with '..'");
    }
    if text.split('/').any(|segment| segment.is_empty() || segment == ".") {
        return Some("it has an empty or '.' segment");
    }
    // A file system under the store takes names of 255 bytes at most.
    if text.split('/').any(|segment| segment.len() > 200) {
        return Some("a segment of it is longer than 200 bytes");
    }
    None
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for ObjectKey {
    type Error = ObjectKeyError;
    fn try_from(text: String) -> Result<Self, ObjectKeyError> {
        Self::parse(&text)
    }
}

impl From<ObjectKey> for String {
    fn from(key: ObjectKey) -> String {
        key.0
    }
}

impl MachineKey {
    /// Where the sets of this machine lie, in either bucket; ends with a slash.
    pub fn sets_prefix(&self) -> String {
        format!(
            "customers/{}/services/{}/machines/{}/sets/",
            self.customer_id, self.service_id, self.machine_id
        )
    }

    /// Where the objects of one backup set lie, in either bucket; ends with a slash.
    pub fn set_prefix(&self, backup_id: &BackupId) -> String {
        format!("{}{backup_id}/", self.sets_prefix())
    }

    /// The key of a set's description in the control bucket.
    pub fn set_description_key(&self, backup_id: &BackupId) -> ObjectKey {
        ObjectKey(format!("{}set.json", self.set_prefix(backup_id)))
    }

    /// The key of the description's detached signature in the control bucket.
    pub fn set_signature_key(&self, backup_id: &BackupId) -> ObjectKey {
        ObjectKey(format!("{}set.json.minisig", self.set_prefix(backup_id)))
    }

    /// The machine and the backup whose description has this key, if it is the key of a description.
    pub fn of_set_description(key: &ObjectKey) -> Option<(Self, BackupId)> {
        let segments: Vec<&str> = key.as_str().split('/').collect();
        let ["customers", customer, "services", service, "machines", machine, "sets", backup, "set.json"] =
            segments.as_slice()
        else {
            return None;
        };
        let machine = Self::parse(&format!("{customer}/{service}/{machine}")).ok()?;
        Some((machine, BackupId::parse(backup).ok()?))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot parse its own keys has failed")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_that_climb_or_start_at_the_root_are_refused() {
        for text in ["", "/etc/passwd", "a/../b", "..", "a//b", "./a", "a/.", "a\\b", "a\nb", "a/", "ä"] {
            assert!(ObjectKey::parse(text).is_err(), "{text:?} was accepted");
        }
        ObjectKey::parse("customers/a/set.json").unwrap();
    }

    #[test]
    fn a_description_key_names_its_machine_and_backup() {
        let machine = MachineKey::parse("acme/orders/database").unwrap();
        let backup = BackupId::mint();
        let key = machine.set_description_key(&backup);
        assert_eq!(MachineKey::of_set_description(&key), Some((machine.clone(), backup.clone())));
        assert_eq!(MachineKey::of_set_description(&machine.set_signature_key(&backup)), None);
    }

    proptest! {
        #[test]
        fn whatever_parses_stays_inside(text in ".{0,60}") {
            if let Ok(key) = ObjectKey::parse(&text) {
                let joined = std::path::Path::new("/store").join(key.as_str());
                prop_assert!(joined.components().all(|c| c != std::path::Component::ParentDir));
                prop_assert!(joined.starts_with("/store"));
            }
        }
    }
}
