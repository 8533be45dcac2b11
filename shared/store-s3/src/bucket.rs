//! The bucket, and the requests that need no more than a line.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use rekindle_domain::ObjectKey;
use rekindle_store::StoreError;

use crate::failure::{Act, Refusal};

/// A client and the one bucket that it is for.
#[derive(Clone)]
pub(crate) struct Bucket {
    pub(crate) client: Client,
    pub(crate) name: String,
}

impl Bucket {
    /// The length of an object.
    pub(crate) async fn size_of(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        let answer = self.describe(key).await.map_err(|refusal| refusal.into_error(self, key))?;
        let size_bytes = answer.content_length().and_then(|length| u64::try_from(length).ok());
        size_bytes.ok_or_else(|| self.incomplete(key, "did not say how long the object is"))
    }

    /// What S3 knows of an object.
    pub(crate) async fn describe(&self, key: &ObjectKey) -> Result<HeadObjectOutput, Refusal> {
        let request = self.client.head_object().bucket(&self.name).key(key.as_str());
        request.send().await.map_err(|error| Refusal::of(Act::Describe, error))
    }

    /// Removes an object. S3 answers the same when there is none.
    pub(crate) async fn remove(&self, key: &ObjectKey) -> Result<(), StoreError> {
        let request = self.client.delete_object().bucket(&self.name).key(key.as_str());
        match request.send().await.map_err(|error| Refusal::of(Act::Delete, error)) {
            // Only look-alikes of S3 say that there is none.
            Ok(_) | Err(Refusal { kind: crate::failure::Kind::Absent, .. }) => Ok(()),
            Err(refusal) => Err(refusal.into_error(self, key)),
        }
    }

    /// An answer that lacks what S3 always says.
    pub(crate) fn incomplete(&self, key: &ObjectKey, lack: &str) -> StoreError {
        StoreError::Unavailable {
            what: format!("the answer of bucket {} for {key} {lack}", self.name),
            source: std::io::ErrorKind::InvalidData.into(),
        }
    }
}

/// Waits before another try, longer each time, and not as long as anybody else who waits.
pub(crate) async fn back_off(tries: u32) {
    let longest = 50_u64 << tries.min(6);
    tokio::time::sleep(Duration::from_millis(rand::random_range(longest / 2..=longest))).await;
}
