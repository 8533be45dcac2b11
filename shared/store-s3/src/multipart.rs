//! Objects longer than a part: sent in parts that nobody sees until S3 is told to join them.
//!
//! Three parts are on their way while the next one is read, so that 64 MiB of an object are in memory at most.

use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use rekindle_domain::ObjectKey;
use rekindle_store::{ObjectBody, StoreError};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::bucket::Bucket;
use crate::failure::{Act, Kind, Refusal};
use crate::writing::{PART_BYTES, WRITER, Write, next_part};

const PARTS_AT_ONCE: usize = 3;
/// What S3 takes in one upload.
const MOST_PARTS: i32 = 10_000;

impl Bucket {
    /// Writes an object in parts; its length.
    pub(crate) async fn write_parts(
        &self,
        write: &Write,
        beginning: [Bytes; 2],
        body: ObjectBody,
    ) -> Result<u64, StoreError> {
        let upload = self.begin(write).await?;
        let mut sending = Sending { upload: &upload, parts: JoinSet::new(), sent: Vec::new(), size_bytes: 0 };
        let sent = sending.send_all(beginning, body).await;
        // What is still on its way would bring parts back after the abort.
        sending.parts.shutdown().await;
        let Sending { sent: parts, size_bytes, .. } = sending;
        let written = match sent {
            Ok(()) => self.complete(write, &upload, parts, size_bytes).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => upload.done(),
            Err(_) => upload.abort().await,
        }
        written.map(|()| size_bytes)
    }

    async fn begin(&self, write: &Write) -> Result<Upload, StoreError> {
        let request = self
            .client
            .create_multipart_upload()
            .bucket(&self.name)
            .key(write.key.as_str())
            .metadata(WRITER, &write.mark)
            .checksum_algorithm(ChecksumAlgorithm::Sha256);
        let answer = request.send().await.map_err(|error| Refusal::of(Act::Write, error));
        let answer = answer.map_err(|refusal| refusal.into_error(self, &write.key))?;
        let id = answer.upload_id.ok_or_else(|| self.incomplete(&write.key, "did not name the upload"))?;
        Ok(Upload { bucket: self.clone(), key: write.key.clone(), id, is_over: false })
    }

    /// Joins the parts. That is the moment in which the object appears and in which the condition is tested.
    async fn complete(
        &self,
        write: &Write,
        upload: &Upload,
        parts: Vec<CompletedPart>,
        size_bytes: u64,
    ) -> Result<(), StoreError> {
        let request = self
            .client
            .complete_multipart_upload()
            .bucket(&self.name)
            .key(write.key.as_str())
            .upload_id(&upload.id)
            .set_if_none_match(write.condition.if_none_match())
            .set_mpu_object_size(i64::try_from(size_bytes).ok())
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build());
        let Err(error) = request.send().await else { return Ok(()) };
        let refusal = Refusal::of(Act::Write, error);
        // Both are also what a repeated request is told when the first one had arrived and only its answer was lost.
        if matches!(refusal.kind, Kind::Present | Kind::UploadGone) && self.is_own(write).await? {
            return Ok(());
        }
        // After a conflict S3 wants the whole upload again, and the body has been read: the caller has to begin anew.
        Err(refusal.into_error(self, &write.key))
    }
}

/// An upload that S3 knows of. One that is neither done nor aborted aborts itself, for its future may be dropped at
/// any time.
struct Upload {
    bucket: Bucket,
    key: ObjectKey,
    id: String,
    is_over: bool,
}

impl Upload {
    fn done(mut self) {
        self.is_over = true;
    }

    async fn abort(mut self) {
        self.is_over = true;
        self.request_abort().await;
    }

    /// What cannot be aborted now is removed by the bucket's life cycle rule.
    fn request_abort(&self) -> impl Future<Output = ()> + Send + use<> {
        let request = self.bucket.client.abort_multipart_upload().bucket(&self.bucket.name);
        let request = request.key(self.key.as_str()).upload_id(&self.id);
        let key = self.key.clone();
        async move {
            let Err(error) = request.send().await else { return };
            let refusal = Refusal::of(Act::Write, error);
            if refusal.kind != Kind::UploadGone {
                tracing::warn!(%key, ?refusal, "parts of an upload stay until the bucket's rules remove them");
            }
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(self.request_abort());
        }
    }
}

/// The parts that are on their way, and those that have arrived.
struct Sending<'a> {
    upload: &'a Upload,
    parts: JoinSet<Result<CompletedPart, Refusal>>,
    sent: Vec<CompletedPart>,
    size_bytes: u64,
}

impl Sending<'_> {
    async fn send_all(&mut self, beginning: [Bytes; 2], mut body: ObjectBody) -> Result<(), StoreError> {
        let mut number = 0;
        let mut is_last = false;
        for part in beginning {
            is_last = part.len() < PART_BYTES;
            number += 1;
            self.send(number, part).await?;
        }
        while !is_last {
            let part = next_part(&self.upload.key, &mut body).await?;
            is_last = part.len() < PART_BYTES;
            if !part.is_empty() {
                number += 1;
                self.send(number, part).await?;
            }
        }
        while !self.parts.is_empty() {
            self.wait_for_one().await?;
        }
        self.sent.sort_by_key(CompletedPart::part_number);
        Ok(())
    }

    /// Sends a part as soon as there is room for it.
    async fn send(&mut self, number: i32, part: Bytes) -> Result<(), StoreError> {
        let Upload { bucket, key, id, .. } = self.upload;
        if number > MOST_PARTS {
            let reason = format!("it has more than {MOST_PARTS} parts of {PART_BYTES} bytes");
            return Err(StoreError::Refused { key: key.clone(), reason });
        }
        if self.parts.len() >= PARTS_AT_ONCE {
            self.wait_for_one().await?;
        }
        self.size_bytes += part.len() as u64;
        let request = bucket.client.upload_part().bucket(&bucket.name).key(key.as_str()).upload_id(id);
        let request = request.part_number(number).checksum_algorithm(ChecksumAlgorithm::Sha256);
        let sending = request.body(part.into()).send();
        self.parts.spawn(async move {
            let answer = sending.await.map_err(|error| Refusal::of(Act::Write, error))?;
            let part = CompletedPart::builder().part_number(number).set_e_tag(answer.e_tag);
            Ok(part.set_checksum_sha256(answer.checksum_sha256).build())
        });
        Ok(())
    }

    async fn wait_for_one(&mut self) -> Result<(), StoreError> {
        let Upload { bucket, key, .. } = self.upload;
        match self.parts.join_next().await {
            None => Ok(()),
            Some(Ok(Ok(part))) => {
                self.sent.push(part);
                Ok(())
            }
            Some(Ok(Err(refusal))) => Err(refusal.into_error(bucket, key)),
            Some(Err(error)) => Err(StoreError::Unavailable {
                what: format!("sending a part of the object {key} was broken off"),
                source: std::io::Error::other(error),
            }),
        }
    }
}
