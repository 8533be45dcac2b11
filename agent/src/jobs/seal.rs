//! Leaves the instance as the image wants it: engines stopped cleanly, nothing secret, nothing half.

use rekindle_domain::job::JobResult;
use rekindle_step::StepError;

use super::{Instance, engine_action};
use crate::files::{remove_folder, wipe, write_atomically};
use crate::recipe::Action;
use crate::state::State;

pub(super) async fn run(instance: &Instance) -> Result<JobResult, StepError> {
    let places = &instance.places;
    State::read(places)?.refuse_half_applied()?;
    instance.programs.stop_all().await;
    engine_action(instance, Action::Stop, None).await?;
    remove_folder(&places.staging())?;
    wipe(&places.expectations())?;
    instance.identity.forget();
    rustix::fs::sync();
    write_atomically(&places.sealed(), b"", 0o600)?;
    tracing::info!("sealed");
    Ok(JobResult::Sealed)
}
