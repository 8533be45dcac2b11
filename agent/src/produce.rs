//! Production: starts the engines and the programs of a host, keeps them running, and stops them cleanly.

use rekindle_step::StepError;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::system;
use crate::jobs::{Instance, engine_action};
use crate::programs::configured;
use crate::recipe::Action;

/// Serves until it is asked to stop.
///
/// # Errors
/// When an engine cannot be started or stopped.
pub async fn produce(instance: &Instance) -> Result<(), StepError> {
    let listening = |kind| signal(kind).map_err(|error| system("listening for signals failed", error));
    let (mut terminate, mut interrupt) =
        (listening(SignalKind::terminate())?, listening(SignalKind::interrupt())?);
    engine_action(instance, Action::Produce, Some(Action::Activate)).await?;
    let mut programs = configured(&instance.places)?;
    if programs.is_empty() {
        programs = instance.configuration()?.programs;
    }
    for program in &programs {
        instance.programs.start(program);
    }
    tracing::info!(programs = programs.len(), "in production");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    instance.programs.stop_all().await;
    engine_action(instance, Action::Stop, None).await?;
    rustix::fs::sync();
    Ok(())
}
