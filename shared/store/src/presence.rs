//! Whether an object is there at all, where a refusal does not say.

use bytes::Bytes;
use rekindle_domain::ObjectKey;

use crate::{ObjectStore, StoreError};

/// A whole object of at most `limit_bytes`, as [`ObjectStore::get`]. S3 refuses to read an object that is not there from
/// whoever may not list the bucket, and a right to list that is bound to a prefix may not count for a request that has
/// none. So the folder of a refused object is listed: one that is not in the list is not in the store.
///
/// # Errors
/// As [`ObjectStore::get`]. A refusal stands where the object is listed, and where its folder cannot be listed.
pub async fn get_or_not_found(
    store: &dyn ObjectStore,
    key: &ObjectKey,
    limit_bytes: u64,
) -> Result<Bytes, StoreError> {
    let refusal = match store.get(key, limit_bytes).await {
        Err(refusal @ StoreError::Refused { .. }) => refusal,
        answer => return answer,
    };
    match store.list(folder_of(key)).await {
        Ok(objects) if objects.iter().all(|object| object.key != *key) => {
            Err(StoreError::NotFound { key: key.clone() })
        }
        Ok(_) | Err(_) => Err(refusal),
    }
}

/// Everything up to the last slash, with it.
fn folder_of(key: &ObjectKey) -> &str {
    let key = key.as_str();
    key.rfind('/').map_or("", |slash| &key[..=slash])
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test whose keys do not parse has failed")]
    use std::ops::Range;

    use async_trait::async_trait;

    use super::*;
    use crate::{ObjectBody, ObjectDescription};

    /// A store that denies every reading, and lists what it holds to whoever names the folder, or nothing to anybody.
    struct Denying {
        holds: Vec<&'static str>,
        may_be_listed: bool,
    }

    fn denied<T>(key: &ObjectKey) -> Result<T, StoreError> {
        Err(StoreError::Refused { key: key.clone(), reason: "denied".to_owned() })
    }

    fn key(text: &str) -> ObjectKey {
        ObjectKey::parse(text).unwrap()
    }

    #[async_trait]
    impl ObjectStore for Denying {
        async fn put_new(&self, key: &ObjectKey, _: ObjectBody) -> Result<ObjectDescription, StoreError> {
            denied(key)
        }

        async fn put(&self, key: &ObjectKey, _: ObjectBody) -> Result<ObjectDescription, StoreError> {
            denied(key)
        }

        async fn head(&self, key: &ObjectKey) -> Result<ObjectDescription, StoreError> {
            denied(key)
        }

        async fn get(&self, key: &ObjectKey, _: u64) -> Result<Bytes, StoreError> {
            denied(key)
        }

        async fn get_range(&self, key: &ObjectKey, _: Range<u64>) -> Result<Bytes, StoreError> {
            denied(key)
        }

        async fn list(&self, prefix: &str) -> Result<Vec<ObjectDescription>, StoreError> {
            if !self.may_be_listed || prefix != "customers/acme/register/" {
                let source = std::io::ErrorKind::PermissionDenied.into();
                return Err(StoreError::Unavailable { what: "listing was denied".to_owned(), source });
            }
            Ok(self.holds.iter().map(|text| ObjectDescription { key: key(text), size_bytes: 1 }).collect())
        }

        async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
            denied(key)
        }
    }

    #[tokio::test]
    async fn what_is_denied_and_not_listed_is_not_there() {
        let epoch = key("customers/acme/register/epoch.json");
        let other = "customers/acme/register/epoch.json.old";
        let read = |holds, may_be_listed| {
            let epoch = epoch.clone();
            async move { get_or_not_found(&Denying { holds, may_be_listed }, &epoch, 9).await.unwrap_err() }
        };
        assert!(matches!(read(vec![other], true).await, StoreError::NotFound { .. }));
        assert!(matches!(read(vec![], true).await, StoreError::NotFound { .. }));
        let there = read(vec![other, "customers/acme/register/epoch.json"], true).await;
        assert!(matches!(there, StoreError::Refused { .. }), "{there}");
        let unknown = read(vec![], false).await;
        assert!(matches!(unknown, StoreError::Refused { .. }), "{unknown}");
    }
}
