//! Proves that the restored data is the set.

use jiff::Timestamp;
use rekindle_domain::job::JobResult;
use rekindle_domain::{BackupId, Check, CheckKind, Verdict};
use rekindle_step::StepError;

use super::Instance;
use super::proof::{Findings, Phase, prove};
use crate::buckets::Bucket;
use crate::error::{failed, refused};
use crate::files::{read_json, remove, write_json};
use crate::recipe::{Action, Values, run_all};
use crate::state::{AppliedSet, State};
use crate::transfer::{ExpectedSet, fetch_expectations, read_description};

pub(super) async fn run(instance: &Instance, backup_id: &BackupId) -> Result<JobResult, StepError> {
    let state = State::read(&instance.places)?;
    state.refuse_half_applied()?;
    let Some(applied) = state.applied.filter(|applied| applied.backup_id == *backup_id) else {
        return Err(refused(format!("the set {backup_id} is not the one that is applied"))
            .next_step("Apply the set first, or plan the refresh anew"));
    };
    let expected = expected_of(instance, backup_id).await?;
    let mut findings = Findings { checks: vec![transport_check(&applied)], heartbeats: Vec::new() };
    prove_all(instance, &applied, &expected, &mut findings).await?;
    let verdict = Verdict {
        recovery_point: findings.recovery_point(expected.data_stores.len()),
        checks: findings.checks,
        verified_at: Timestamp::now(),
    };
    keep(instance, &expected, &verdict)?;
    tracing::info!(passed = verdict.passed(), sentence = verdict.sentence(), "verified");
    Ok(JobResult::Verified { verdict })
}

/// What this boot's transfer left in memory, or else the signed set itself, read again.
async fn expected_of(instance: &Instance, backup_id: &BackupId) -> Result<ExpectedSet, StepError> {
    let kept: Option<ExpectedSet> = read_json(&instance.places.expectations())?;
    if let Some(kept) = kept.filter(|kept| kept.backup_id == *backup_id) {
        return Ok(kept);
    }
    let (control, data) = (instance.bucket(Bucket::Control)?, instance.bucket(Bucket::Data)?);
    let machine = instance.configuration()?.machine;
    let set = read_description(control.as_ref(), &instance.trusted_keys()?, &machine, backup_id).await?;
    let expected = fetch_expectations(data.as_ref(), &set, &instance.identity().await?).await?;
    write_json(&instance.places.expectations(), &expected)?;
    Ok(expected)
}

fn transport_check(applied: &AppliedSet) -> Check {
    Check {
        kind: CheckKind::Transport,
        name: "transport".to_owned(),
        data_store: None,
        passed: true,
        explanation: format!(
            "the description was signed by a trusted key, and its {} objects had their signed sizes and digests",
            applied.objects
        ),
    }
}

async fn prove_all(
    instance: &Instance,
    applied: &AppliedSet,
    expected: &ExpectedSet,
    findings: &mut Findings,
) -> Result<(), StepError> {
    let configuration = instance.configuration()?;
    let recipes = instance.recipes(&instance.trusted_keys()?)?;
    for (name, expected) in &expected.data_stores {
        let (Some(store), Some(restored)) = (configuration.data_store(name), applied.data_stores.get(name))
        else {
            return Err(failed(format!("the data store {name} of the set is not in this instance")));
        };
        let recipe = &recipes.pinned(&restored.recipe)?.recipe;
        let starting = instance.surroundings(recipe, store, Action::Start, Values::new())?;
        run_all(&starting, recipe.steps(Action::Start)).await?;
        prove(instance, recipe, store, expected, Phase::Verify, findings).await?;
    }
    Ok(())
}

/// A replica is held against what a passed verification found, so that only is kept on the disk.
fn keep(instance: &Instance, expected: &ExpectedSet, verdict: &Verdict) -> Result<(), StepError> {
    match verdict.passed() {
        true => write_json(&instance.places.verified(), expected),
        false => remove(&instance.places.verified()),
    }
}
