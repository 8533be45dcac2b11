//! Starts the engines and the programs for serving, and waits until they answer.

use rekindle_domain::job::JobResult;
use rekindle_step::StepError;

use super::{Instance, engine_action};
use crate::error::refused;
use crate::health;
use crate::programs::configured;
use crate::recipe::Action;
use crate::state::State;

pub(super) async fn run(instance: &Instance) -> Result<JobResult, StepError> {
    let state = State::read(&instance.places)?;
    state.refuse_half_applied()?;
    if state.applied.is_none() {
        return Err(refused("this image holds no backup set, so there is nothing to serve")
            .next_step("Recover from an image that was refreshed"));
    }
    engine_action(instance, Action::Activate, None).await?;
    let programs = configured(&instance.places)?;
    for program in &programs {
        instance.programs.start(program);
    }
    for program in &programs {
        if let Some(url) = &program.health_url {
            health::wait_until_healthy(url).await?;
        }
    }
    Ok(JobResult::Activated { programs: programs.into_iter().map(|program| program.name).collect() })
}
