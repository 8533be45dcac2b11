//! Asks the serving replica: is it the verified data, and does the application answer?

use jiff::Timestamp;
use rekindle_domain::configuration::ConfiguredProgram;
use rekindle_domain::job::JobResult;
use rekindle_domain::{Check, CheckKind, Verdict};
use rekindle_step::StepError;

use super::Instance;
use super::proof::{Findings, Phase, prove};
use crate::error::{failed, refused};
use crate::files::read_json;
use crate::health;
use crate::programs::configured;
use crate::state::State;
use crate::transfer::ExpectedSet;

pub(super) async fn run(instance: &Instance) -> Result<JobResult, StepError> {
    let state = State::read(&instance.places)?;
    state.refuse_half_applied()?;
    let verified: ExpectedSet = read_json(&instance.places.verified())?.ok_or_else(|| {
        refused("this image holds no result of a passed verification")
            .next_step("Recover from an image that was verified")
    })?;
    let mut findings = Findings::default();
    for name in verified.data_stores.keys() {
        findings.checks.push(position_check(&state, &verified, name));
    }
    ask_databases(instance, &verified, &mut findings).await?;
    for program in configured(&instance.places)? {
        findings.checks.extend(ask_application(&program).await);
    }
    let verdict = Verdict {
        recovery_point: findings.recovery_point(verified.data_stores.len()),
        checks: findings.checks,
        verified_at: Timestamp::now(),
    };
    Ok(JobResult::ReplicaChecked { verdict })
}

/// The engine moves on as soon as the service writes, so this holds the records of the image against each other.
fn position_check(state: &State, verified: &ExpectedSet, name: &str) -> Check {
    let applied = state.applied.as_ref().filter(|applied| applied.backup_id == verified.backup_id);
    let recorded = applied.and_then(|applied| applied.data_stores.get(name));
    let passed = recorded.map(|store| &store.position)
        == verified.data_stores.get(name).map(|expected| &expected.position)
        && recorded.is_some();
    let explanation = match passed {
        true => "the set that the image holds is the one that was verified",
        false => "the set that the image holds is not the one that was verified",
    };
    Check {
        kind: CheckKind::Position,
        name: "position".to_owned(),
        data_store: Some(name.to_owned()),
        passed,
        explanation: explanation.to_owned(),
    }
}

async fn ask_databases(
    instance: &Instance,
    verified: &ExpectedSet,
    findings: &mut Findings,
) -> Result<(), StepError> {
    let configuration = instance.configuration()?;
    let recipes = instance.recipes(&instance.trusted_keys()?)?;
    for (name, expected) in &verified.data_stores {
        let Some(store) = configuration.data_store(name) else {
            return Err(failed(format!("the data store {name} that was verified is not in this instance")));
        };
        let recipe = &recipes.named(&store.recipe)?.recipe;
        prove(instance, recipe, store, expected, Phase::Serving, findings).await?;
    }
    Ok(())
}

async fn ask_application(program: &ConfiguredProgram) -> Option<Check> {
    let url = program.health_url.as_ref()?;
    let (passed, explanation) = match health::ask(url).await {
        Ok(()) => (true, "it answers 200".to_owned()),
        Err(error) => (false, error.chain()),
    };
    let name = program.name.clone();
    Some(Check { kind: CheckKind::Application, name, data_store: None, passed, explanation })
}
