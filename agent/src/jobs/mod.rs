//! What an instance is asked to do, one file for each.
//!
//! Every job may run twice: the second run finds what the first one did and gives the same answer. A job that was cut
//! off while it changed data leaves a mark, and every later job refuses that instance.

mod activate;
mod check_replica;
mod instance;
mod progress;
mod proof;
mod seal;
mod serve;
mod transfer_and_restore;
mod update_configuration;
mod verify;

use rekindle_domain::JobWork;
use rekindle_domain::job::{Job, JobResult};
use rekindle_step::{ErrorName, StepError};

pub(crate) use instance::engine_action;
pub use instance::{Instance, KnownOutside};
pub use progress::Progress;
pub use serve::{hello, serve};
pub use update_configuration::admit_document;
pub(crate) use update_configuration::configuration_keys;

/// Does one job.
///
/// # Errors
/// With the stable name that state machines match; the sentence holds no business data.
pub async fn perform(instance: &Instance, job: &Job, progress: &Progress) -> Result<JobResult, StepError> {
    match &job.work {
        JobWork::Boot => Err(StepError::new(
            ErrorName::InputInvalid,
            "the job to boot is complete when the agent reports, and is never handed out",
        )),
        JobWork::UpdateConfiguration { revision } => update_configuration::run(instance, revision).await,
        JobWork::TransferAndRestore { sets, applied } => {
            transfer_and_restore::run(instance, sets, *applied, progress).await
        }
        JobWork::Verify { backup_id } => verify::run(instance, backup_id).await,
        JobWork::Seal => seal::run(instance).await,
        JobWork::Activate => activate::run(instance).await,
        JobWork::CheckReplica => check_replica::run(instance).await,
    }
}
