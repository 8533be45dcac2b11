//! Amazon S3's event *Object Created*, as EventBridge delivers it (AWS, "EventBridge event message structure" of the S3
//! user guide).

use jiff::Timestamp;
use rekindle_domain::RunId;
use rekindle_step::{ErrorName, StepError};
use serde::Deserialize;
use serde_json::Value;

const SOURCE: &str = "aws.s3";
const DETAIL_TYPE: &str = "Object Created";

#[derive(Deserialize)]
struct Envelope {
    source: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
    time: Timestamp,
    detail: Detail,
}

#[derive(Deserialize)]
struct Detail {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
    sequencer: String,
    #[serde(rename = "version-id", default)]
    version_id: String,
}

/// One object of the control bucket.
pub(crate) struct ObjectCreated {
    pub(crate) key: String,
    sequencer: String,
    version_id: String,
    time: Timestamp,
}

impl ObjectCreated {
    /// Reads an event, and refuses those of other buckets.
    pub(crate) fn read(event: &Value, control_bucket: &str) -> Result<Self, StepError> {
        let event = Envelope::deserialize(event)
            .map_err(|error| refused("it is no event of Amazon S3 through EventBridge").because(error))?;
        if event.source != SOURCE || event.detail_type != DETAIL_TYPE {
            return Err(refused("it is not about a created object"));
        }
        if event.detail.bucket.name != control_bucket {
            return Err(refused("it is about another bucket than the control bucket"));
        }
        let Object { key, sequencer, version_id } = event.detail.object;
        Ok(Self { key, sequencer, version_id, time: event.time })
    }

    /// The run that this event starts. The same object in the same version gives the same run, however often and under
    /// whatever event id it is announced; another version of it gives another run.
    pub(crate) fn run_id(&self) -> RunId {
        RunId::of_event(self.time, &format!("{}\n{}\n{}", self.key, self.version_id, self.sequencer))
    }
}

fn refused(why: &str) -> StepError {
    StepError::new(ErrorName::InputInvalid, format!("the event cannot be used: {why}"))
        .next_step("Correct the rule or the target that sends it; nothing was started")
}
