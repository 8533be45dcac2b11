//! Intents: written before the act, and refused once the run is closed or its lease is lost.

use rekindle_domain::{Fence, Intent, RunId};

use super::leases::LEASE_IS_MINE;
use crate::attributes::{attribute, from_item, key_of, to_item, unreadable};
use crate::error::RegisterError;
use crate::expression::Expression;
use crate::keys;
use crate::records::{IntentResource, Recorded};
use crate::register::Register;
use crate::table::Unmet;

impl Register {
    /// Records what a run is about to make, if the run is open and, with a fence, holds its machine's lease with it.
    /// Recorded again, the conditions must hold again: whoever is allowed to write is about to act.
    ///
    /// # Errors
    /// [`RegisterError::RunClosed`], [`RegisterError::FenceLost`], or [`RegisterError::Conflict`] when the name stands
    /// for something else already. A run that holds a lease must show its fence.
    pub async fn write_intent(
        &self,
        intent: &Intent,
        fence: Option<Fence>,
    ) -> Result<Recorded, RegisterError> {
        let key = keys::intent(&intent.run_id, &intent.name);
        let known = match self.table.get(&key).await? {
            None => match self.send_intent(intent, fence, true).await? {
                Ok(()) => return Ok(Recorded::New),
                Err(unmet) => self.table.get(&key).await?.ok_or(unmet),
            },
            Some(known) => Ok(known),
        };
        let known: Intent = match known {
            Ok(item) => from_item(&key, item)?,
            Err(_) => return Err(self.lost(&intent.run_id, &intent.machine).await?),
        };
        if known.kind != intent.kind || known.machine != intent.machine {
            return Err(RegisterError::Conflict { what: format!("intent {}", intent.name) });
        }
        match self.send_intent(intent, fence, false).await? {
            Ok(()) => Ok(Recorded::Known),
            Err(_) => Err(self.lost(&intent.run_id, &intent.machine).await?),
        }
    }

    /// Run and lease are conditions; the intent itself is put the first time only.
    async fn send_intent(
        &self,
        intent: &Intent,
        fence: Option<Fence>,
        put: bool,
    ) -> Result<Result<(), Unmet>, RegisterError> {
        let run_key = keys::run(&intent.run_id);
        let at = attribute(&intent.at).map_err(|error| unreadable(&run_key, error))?;
        let fenced = if fence.is_some() { "#fence = :fence" } else { "attribute_not_exists(#fence)" };
        let mut run = Expression::update(
            "SET #last_intent_at = :at, #version = #version + :one",
            format!("#state = :open AND {fenced}"),
        )
        .with("at", at)
        .with_number("one", 1)
        .with_text("open", "Open");
        if let Some(fence) = fence {
            run = run.with_number("fence", fence.0);
        }
        let mut transaction = self.table.transaction().update(&run_key, run);
        if let Some(fence) = fence {
            let mine = Expression::condition(LEASE_IS_MINE)
                .with_text("run", intent.run_id.as_str())
                .with_number("fence", fence.0);
            transaction = transaction.check(&keys::machine_state(&intent.machine), mine);
        }
        if put {
            let item = to_item(&keys::intent(&intent.run_id, &intent.name), intent)?;
            transaction = transaction.put(item, Expression::absent());
        }
        transaction.send().await
    }

    /// Adds what the provider called it. Allowed on a closed run too, since it helps to destroy.
    ///
    /// # Errors
    /// [`RegisterError::Unknown`] without an intent of that name, [`RegisterError::Conflict`] when it has another id.
    pub async fn name_intent(
        &self,
        run_id: &RunId,
        name: &str,
        resource: &IntentResource,
    ) -> Result<Intent, RegisterError> {
        let key = keys::intent(run_id, name);
        let (field, id) = match resource {
            IntentResource::Instance(id) => ("#instance_id", id.as_str()),
            IntentResource::Image(id) => ("#image_id", id.as_str()),
        };
        let naming = Expression::update(
            format!("SET {field} = :id"),
            format!("attribute_exists(#pk) AND (attribute_not_exists({field}) OR {field} = :id)"),
        )
        .with_text("id", id);
        match self.table.update(&key, &naming).await? {
            Some(item) => from_item(&key, item),
            None if self.table.get(&key).await?.is_some() => {
                Err(RegisterError::Conflict { what: format!("the resource of intent {name}") })
            }
            None => Err(RegisterError::Unknown { kind: "intent", id: name.to_owned() }),
        }
    }

    /// Everything that a run meant to make, the oldest first.
    pub async fn intents(&self, run_id: &RunId) -> Result<Vec<Intent>, RegisterError> {
        let items = self.table.query(&keys::intents(run_id)).await?;
        let intents = items.into_iter().map(|item| from_item(&key_of(&item), item));
        let mut intents: Vec<Intent> = intents.collect::<Result<_, _>>()?;
        intents.sort_by(|one, other| (one.at, &one.name).cmp(&(other.at, &other.name)));
        Ok(intents)
    }
}
