//! Whether the register is the one it was: what every function asks before it destroys or builds by what it says.

use std::io::Cursor;

use jiff::Timestamp;
use rekindle_cmdb::{Register, RegisterError};
use rekindle_domain::{CustomerId, EpochWitness, ObjectKeyError, RegisterEpoch};
use rekindle_planning::register_epoch::first_epoch;
use rekindle_planning::{RegisterStanding, standing};
use rekindle_step::{ErrorName, StepError};
use rekindle_store::{ObjectStore, StoreError, get_or_not_found};

/// A witness has two numbers.
const LONGEST_WITNESS_BYTES: u64 = 4096;

/// How the register stands, as far as it can be known without the control bucket: from the table's identity, and from
/// what the sweep has found out.
///
/// # Errors
/// When the register cannot be reached.
pub async fn by_the_table(register: &Register) -> Result<RegisterStanding, RegisterError> {
    let table_id = register.table_id().await?;
    Ok(standing(register.epoch().await?.as_ref(), &table_id, None))
}

/// How the register stands once everything was looked at: one that was new has its first epoch by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownStanding {
    /// It is the one it was.
    Current(RegisterEpoch),
    /// It was restored to an earlier time, and not rebuilt since.
    Restored {
        /// One sentence: by what that is known.
        sentence: String,
    },
}

/// How the register stands, from all that there is. A register that is new gets its first epoch; one that turns out to
/// be restored says so itself from now on, for those who cannot read the bucket. `customer` is the deployment's own: what
/// the table says of customers is in doubt like everything else in it.
///
/// # Errors
/// When the register or the control bucket cannot be reached.
pub async fn by_table_and_bucket(
    register: &Register,
    control: &dyn ObjectStore,
    customer: &CustomerId,
    now: Timestamp,
) -> Result<KnownStanding, StepError> {
    // The bucket first: the table's mark grows before the bucket's, so that one which lives is never behind.
    let witness = witness(control, customer).await?;
    let table_id = register.table_id().await.map_err(StepError::from)?;
    let recorded = register.epoch().await.map_err(StepError::from)?;
    match standing(recorded.as_ref(), &table_id, witness) {
        RegisterStanding::New => found(register, &table_id, now).await,
        RegisterStanding::Restored { sentence } => {
            tell(register, recorded.as_ref(), &table_id, &sentence, now).await?;
            Ok(KnownStanding::Restored { sentence })
        }
        RegisterStanding::Current(epoch) => Ok(KnownStanding::Current(epoch)),
    }
}

/// Gives a new register its first epoch. One that has a past is not new: it was restored to before it had an epoch.
async fn found(register: &Register, table_id: &str, now: Timestamp) -> Result<KnownStanding, StepError> {
    if !register.has_a_past().await.map_err(StepError::from)? {
        // Refused means that somebody else was faster: what they wrote is read below.
        register.put_epoch(&first_epoch(table_id, now), None).await.map_err(StepError::from)?;
    }
    let recorded = register.epoch().await.map_err(StepError::from)?;
    match standing(recorded.as_ref(), table_id, None) {
        RegisterStanding::New => {
            let sentence = "it holds images or runs, and no epoch".to_owned();
            tell(register, None, table_id, &sentence, now).await?;
            Ok(KnownStanding::Restored { sentence })
        }
        RegisterStanding::Restored { sentence } => Ok(KnownStanding::Restored { sentence }),
        RegisterStanding::Current(epoch) => Ok(KnownStanding::Current(epoch)),
    }
}

/// Notes that the register was restored, where the table does not show it by itself.
async fn tell(
    register: &Register,
    recorded: Option<&RegisterEpoch>,
    table_id: &str,
    sentence: &str,
    now: Timestamp,
) -> Result<(), StepError> {
    let shows_by_itself =
        recorded.is_some_and(|recorded| recorded.table_id != table_id || recorded.restored.is_some());
    if shows_by_itself {
        return Ok(());
    }
    let unknown = RegisterEpoch { epoch: 0, ..first_epoch(table_id, now) };
    let told = RegisterEpoch { restored: Some(sentence.to_owned()), ..recorded.cloned().unwrap_or(unknown) };
    // Refused means that somebody else has told it, or that a rebuild has come to its end: the next look says so.
    register.put_epoch(&told, recorded).await.map_err(StepError::from)?;
    Ok(())
}

/// How far the register of this customer's deployment had come, as the control bucket remembers it.
///
/// # Errors
/// When the control bucket cannot be read.
pub async fn witness(
    control: &dyn ObjectStore,
    customer: &CustomerId,
) -> Result<Option<EpochWitness>, StepError> {
    let key = customer.epoch_key().map_err(no_place)?;
    match get_or_not_found(control, &key, LONGEST_WITNESS_BYTES).await {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            StepError::permanent(format!("{key} in the control bucket cannot be read"))
                .because(error)
                .next_step("Restore the version of the object before this one")
        }),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => {
            let what = format!("how far the register had come could not be read from {key}");
            Err(StepError::transient(what).because(error))
        }
    }
}

/// Lets the control bucket remember how far the register has come. It comes after the register itself. What the bucket
/// remembers never goes back: one that is slow and writes last must not hide what another one has seen.
///
/// # Errors
/// When the control bucket cannot be read or written: the register is ahead of it then, which nobody minds.
pub async fn keep_witness(
    control: &dyn ObjectStore,
    customer: &CustomerId,
    seen: EpochWitness,
) -> Result<(), StepError> {
    let kept = witness(control, customer).await?;
    if kept.is_some_and(|kept| kept >= seen) {
        return Ok(());
    }
    let key = customer.epoch_key().map_err(no_place)?;
    let bytes = serde_json::to_vec(&seen)
        .map_err(|error| StepError::permanent("an epoch cannot be written as JSON").because(error))?;
    control.put(&key, Box::pin(Cursor::new(bytes))).await.map_err(|error| {
        StepError::transient(format!("how far the register has come could not be kept in {key}"))
            .because(error)
    })?;
    Ok(())
}

fn no_place(error: ObjectKeyError) -> StepError {
    StepError::permanent("the register's epoch has no place in the store").because(error)
}

/// What whoever approves a recovery has to know. A disaster must be recovered from whatever is registered, so nothing
/// here keeps it from its plan.
pub async fn warning(register: &Register) -> Option<String> {
    match by_the_table(register).await {
        Ok(RegisterStanding::Restored { sentence }) => Some(format!(
            "The register was restored to an earlier time ({sentence}) and may not know the newest images: what it \
             recovers is proven, and there may be newer data. GET /v1/register says more."
        )),
        Ok(_) => None,
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "it is not known whether the register was restored: planned all the same");
            None
        }
    }
}

/// That something is not done because the register was restored.
pub fn refusal(what: &str, sentence: &str) -> StepError {
    let what = format!("{what}: the register was restored to an earlier time ({sentence})");
    StepError::new(ErrorName::RegisterRestored, what)
        .next_step("Rebuild it: POST /v1/register/rebuild, see docs/OPERATIONS.md")
}
