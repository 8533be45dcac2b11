//! Failed attempts at one piece of work, so that it is backed off and in the end quarantined.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use rekindle_domain::{Digest, MachineKey, RunId};
use rekindle_step::ErrorName;

use crate::attributes::{attribute, from_item, unreadable};
use crate::error::RegisterError;
use crate::expression::Expression;
use crate::keys::{self, Key};
use crate::records::{Attempts, FailedVerdict};
use crate::register::Register;

impl Register {
    /// How often one piece of work failed.
    pub async fn attempts(&self, machine: &MachineKey, work: &Digest) -> Result<Attempts, RegisterError> {
        let key = keys::attempts(machine, work);
        let item = self.table.get(&key).await?;
        item.map_or_else(|| Ok(Attempts::default()), |item| from_item(&key, item))
    }

    /// Counts a failed run, once however often it is told, and makes it the machine's newest failure.
    #[expect(clippy::too_many_arguments, reason = "each is a fact of its own, named by its type")]
    pub async fn record_failure(
        &self,
        machine: &MachineKey,
        work: &Digest,
        run_id: &RunId,
        error: ErrorName,
        cause: &str,
        now: Timestamp,
        next_try_at: Timestamp,
    ) -> Result<Attempts, RegisterError> {
        let key = keys::attempts(machine, work);
        let failure = FailedVerdict {
            run_id: run_id.clone(),
            error: error.as_str().to_owned(),
            cause: cause.to_owned(),
            at: now,
        };
        let counting = counting(&key, &failure, next_try_at)?;
        let sent = self
            .table
            .transaction()
            .update(&key, counting.clone())
            .update(&keys::machine_state(machine), newest_failure(machine, &failure)?)
            .send()
            .await?;
        if sent.is_err_and(|unmet| unmet.only(1)) {
            // The machine has a newer failure; this one still counts. Refused means that it is counted already.
            self.table.update(&key, &counting).await?;
        }
        self.attempts(machine, work).await
    }
}

fn counting(key: &Key, failure: &FailedVerdict, next_try_at: Timestamp) -> Result<Expression, RegisterError> {
    let time = |at: &Timestamp| attribute(at).map_err(|error| unreadable(key, error));
    let expression = Expression::update(
        "SET #count = if_not_exists(#count, :zero) + :one, #last_run = :run, #error = :error, #cause = :cause, \
         #last_at = :at, #next_try_at = :next ADD #x_runs :runs",
        "attribute_not_exists(#x_runs) OR NOT contains(#x_runs, :run)",
    );
    Ok(expression
        .with_number("zero", 0)
        .with_number("one", 1)
        .with_text("run", failure.run_id.as_str())
        .with_text("error", &failure.error)
        .with_text("cause", &failure.cause)
        .with("at", time(&failure.at)?)
        .with("next", time(&next_try_at)?)
        .with("runs", AttributeValue::Ss(vec![failure.run_id.to_string()])))
}

fn newest_failure(machine: &MachineKey, failure: &FailedVerdict) -> Result<Expression, RegisterError> {
    let key = keys::machine_state(machine);
    let expression = Expression::update(
        "SET #newest_failure = :failure, #x_newest_failure_at = :at",
        "attribute_not_exists(#x_newest_failure_at) OR #x_newest_failure_at <= :at",
    );
    Ok(expression
        .with("failure", attribute(failure).map_err(|error| unreadable(&key, error))?)
        .with_text("at", keys::sortable_time(failure.at)))
}
