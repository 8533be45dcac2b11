//! An agent without AWS says so.

use rekindle_step::StepError;

use super::{AwsSettings, not_built};
use crate::buckets::Buckets;
use crate::configuration::AgentConfiguration;
use crate::jobs::Instance;
use crate::run::RunArguments;

pub(crate) async fn open_buckets(_: &AwsSettings) -> Result<Buckets, StepError> {
    Err(not_built())
}

pub(crate) async fn serve(
    _: Instance,
    _: &AgentConfiguration,
    _: &AwsSettings,
    _: RunArguments,
) -> Result<(), StepError> {
    Err(not_built())
}
