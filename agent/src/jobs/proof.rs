//! Holds a data store against what a set promises. Explanations never hold a value.

use jiff::Timestamp;
use rekindle_domain::backup_set::Heartbeat;
use rekindle_domain::{Check, CheckKind};
use rekindle_step::StepError;

use super::Instance;
use crate::configuration::DataStore;
use crate::recipe::{Action, Recipe, Surroundings, Values, VerifyKind, VerifyStep, run};
use crate::transfer::ExpectedDataStore;

/// Where the checks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// In a builder, where nobody else uses the data.
    Verify,
    /// In a replica, beside the running service.
    Serving,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Serving => "serving",
        }
    }

    /// The engine's position and files move on as soon as a service writes.
    fn asks(self, kind: VerifyKind) -> bool {
        self == Self::Verify || matches!(kind, VerifyKind::Heartbeat | VerifyKind::Probe)
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) checks: Vec<Check>,
    /// The heartbeats that were read back, one for each data store that has one.
    pub(super) heartbeats: Vec<Heartbeat>,
}

impl Findings {
    /// Everything committed before this instant is there in all of so many data stores.
    pub(super) fn recovery_point(&self, data_stores: usize) -> Option<Timestamp> {
        let all = self.heartbeats.len() == data_stores;
        all.then(|| self.heartbeats.iter().map(|heartbeat| heartbeat.at).min()).flatten()
    }
}

pub(super) async fn prove(
    instance: &Instance,
    recipe: &Recipe,
    store: &DataStore,
    expected: &ExpectedDataStore,
    phase: Phase,
    findings: &mut Findings,
) -> Result<(), StepError> {
    for check in recipe.checks.iter().filter(|check| phase.asks(check.kind)) {
        if check.kind == VerifyKind::Probe {
            for index in 0..expected.expectations.probes.len() {
                let found = prove_probe(instance, recipe, store, expected, phase, check, index).await?;
                findings.checks.extend(found);
            }
        } else {
            let values: Values = [("phase", phase.name().to_owned())].into();
            let surroundings = instance.surroundings(recipe, store, Action::Verify, values)?;
            prove_one(&surroundings, check, expected, findings).await;
        }
    }
    Ok(())
}

async fn prove_probe(
    instance: &Instance,
    recipe: &Recipe,
    store: &DataStore,
    expected: &ExpectedDataStore,
    phase: Phase,
    check: &VerifyStep,
    index: usize,
) -> Result<Option<Check>, StepError> {
    let Some(probe) = expected.expectations.probes.get(index) else { return Ok(None) };
    let values: Values = [("phase", phase.name().to_owned()), ("query", probe.probe.query.clone())].into();
    let surroundings = instance.surroundings(recipe, store, Action::Verify, values)?;
    let result = run(&surroundings, &check.step).await.map(|answer| {
        match expected.expectations.agrees(probe, &answer.text()) {
            true => Ok("it gives the answer that it gave when the backup was taken"),
            false => Err("it gives another answer than when the backup was taken"),
        }
    });
    Ok(Some(check_of(CheckKind::Probe, &probe.probe.name, &store.name, result)))
}

async fn prove_one(
    surroundings: &Surroundings,
    check: &VerifyStep,
    expected: &ExpectedDataStore,
    findings: &mut Findings,
) {
    let answer = run(surroundings, &check.step).await.map(|answer| answer.text());
    let (kind, result) = match check.kind {
        VerifyKind::Position => (CheckKind::Position, answer.map(|text| position_verdict(&text, expected))),
        VerifyKind::Heartbeat => {
            let heartbeat = answer.map(|text| serde_json::from_str::<Heartbeat>(&text).ok());
            if let Ok(Some(heartbeat)) = &heartbeat {
                findings.heartbeats.push(*heartbeat);
            }
            (CheckKind::Heartbeat, heartbeat.map(|found| heartbeat_verdict(found, expected.heartbeat)))
        }
        VerifyKind::Structure | VerifyKind::Probe => {
            (CheckKind::Structure, answer.map(|_| Ok("the engine finds its files sound")))
        }
    };
    findings.checks.push(check_of(kind, &check.name, &surroundings.data_store, result));
}

type Finding = Result<&'static str, &'static str>;

fn position_verdict(found: &str, expected: &ExpectedDataStore) -> Finding {
    match found.trim() == expected.position {
        true => Ok("the engine stands at the position of the set"),
        false => Err("the engine stands at another position than the set"),
    }
}

fn heartbeat_verdict(found: Option<Heartbeat>, expected: Heartbeat) -> Finding {
    match found {
        Some(found) if found == expected => Ok("the heartbeat is the one of this set"),
        Some(found) if found.sequence < expected.sequence => {
            Err("the heartbeat is older than the set: the data is that of an earlier backup")
        }
        Some(_) => Err("the heartbeat is not the one of this set"),
        None => Err("the heartbeat could not be read back"),
    }
}

fn check_of(kind: CheckKind, name: &str, data_store: &str, result: Result<Finding, StepError>) -> Check {
    let (passed, explanation) = match result {
        Ok(Ok(explanation)) => (true, explanation.to_owned()),
        Ok(Err(explanation)) => (false, explanation.to_owned()),
        Err(error) => (false, format!("the check could not be made: {}", error.chain())),
    };
    Check { kind, name: name.to_owned(), data_store: Some(data_store.to_owned()), passed, explanation }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yesterdays_heartbeat_is_not_this_sets() {
        let at = Timestamp::UNIX_EPOCH;
        let expected = Heartbeat { sequence: 2, at };
        assert!(heartbeat_verdict(Some(expected), expected).is_ok());
        for found in [
            None,
            Some(Heartbeat { sequence: 1, at }),
            Some(Heartbeat { sequence: 3, at }),
            Some(Heartbeat { sequence: 2, at: Timestamp::MAX }),
        ] {
            assert!(heartbeat_verdict(found, expected).is_err(), "{found:?}");
        }
    }
}
