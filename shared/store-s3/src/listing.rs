//! All objects under a prefix.

use std::io;

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use rekindle_domain::ObjectKey;
use rekindle_store::{ObjectDescription, StoreError};

use crate::bucket::Bucket;
use crate::failure::{Act, Refusal};

impl Bucket {
    /// All objects under a prefix, in the order of their keys, which is the order in which S3 lists them.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<ObjectDescription>, StoreError> {
        if !is_prefix(prefix) {
            return Err(
                self.unlisted(prefix, "a prefix is empty, or ends with a slash and is otherwise a key")
            );
        }
        let mut objects = Vec::new();
        let mut next = None;
        loop {
            let request = self.client.list_objects_v2().bucket(&self.name).prefix(prefix);
            let page = request.set_continuation_token(next).send().await;
            let page = page.map_err(|error| Refusal::of(Act::List, error).into_list_error(self, prefix))?;
            objects.extend(described(&page));
            if !page.is_truncated.unwrap_or(false) {
                return Ok(objects);
            }
            // Without a token the same page would come for ever.
            next = page.next_continuation_token;
            if next.is_none() {
                return Err(self.unlisted(prefix, "S3 did not say where its list goes on"));
            }
        }
    }

    fn unlisted(&self, prefix: &str, reason: &'static str) -> StoreError {
        StoreError::Unavailable {
            what: format!("listing the objects under {prefix:?} in bucket {} failed", self.name),
            source: io::Error::new(io::ErrorKind::InvalidInput, reason),
        }
    }
}

/// What has a name that no key has was not put there by a store: folders that a console made, for one.
fn described(page: &ListObjectsV2Output) -> impl Iterator<Item = ObjectDescription> {
    page.contents().iter().filter_map(|object| {
        let key = ObjectKey::parse(object.key()?).ok()?;
        Some(ObjectDescription { key, size_bytes: u64::try_from(object.size()?).ok()? })
    })
}

/// A prefix that names folders of the bucket and nothing else.
fn is_prefix(prefix: &str) -> bool {
    prefix.is_empty() || prefix.strip_suffix('/').is_some_and(|folders| ObjectKey::parse(folders).is_ok())
}
