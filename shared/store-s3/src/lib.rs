//! The backup store on Amazon S3: one bucket.
//!
//! What the bucket decides, and no request of this crate does:
//!
//! * **Encryption.** No request names a key, so that the bucket's default key holds for every object and a writer
//!   cannot choose another one.
//! * **Versions.** In a bucket with versions a delete hides an object and a put in place of another one keeps that one.
//!   The bucket's life cycle rules say how long.
//! * **What a crash left.** Parts of an upload that was neither completed nor aborted are seen by nobody and cost
//!   money. A life cycle rule (`AbortIncompleteMultipartUpload`) removes them.
//!
//! Every object is sent with its SHA-256, which S3 compares before it keeps anything.

mod bucket;
mod failure;
mod listing;
mod multipart;
mod reading;
mod writing;

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use rekindle_domain::ObjectKey;
use rekindle_store::{ObjectBody, ObjectDescription, ObjectStore, StoreError};

use self::bucket::Bucket;
use self::writing::Condition;

/// One bucket of Amazon S3. Cheap to clone.
#[derive(Clone)]
pub struct S3Store {
    bucket: Bucket,
}

impl S3Store {
    /// The bucket of this name. Nothing is asked of S3 yet.
    ///
    /// The configuration is that of the whole program (`&SdkConfig`) or a builder of S3's own. It decides on
    /// credentials, region, endpoint and how often a request is repeated.
    pub fn new(config: impl Into<aws_sdk_s3::config::Builder>, bucket: impl Into<String>) -> Self {
        let client = aws_sdk_s3::Client::from_conf(config.into().build());
        Self { bucket: Bucket { client, name: bucket.into() } }
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket.name
    }
}

impl fmt::Debug for S3Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("S3Store").field("bucket", &self.bucket.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    async fn put_new(&self, key: &ObjectKey, body: ObjectBody) -> Result<ObjectDescription, StoreError> {
        self.bucket.write(key, body, Condition::Absent).await
    }

    async fn put(&self, key: &ObjectKey, body: ObjectBody) -> Result<ObjectDescription, StoreError> {
        self.bucket.write(key, body, Condition::None).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectDescription, StoreError> {
        let size_bytes = self.bucket.size_of(key).await?;
        Ok(ObjectDescription { key: key.clone(), size_bytes })
    }

    async fn get(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, StoreError> {
        self.bucket.read(key, limit_bytes).await
    }

    async fn get_range(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.bucket.read_range(key, range).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectDescription>, StoreError> {
        self.bucket.list(prefix).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.bucket.remove(key).await
    }
}
