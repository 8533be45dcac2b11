//! Rebuilds of the register after a restore, and what they write. Every write may be made twice.

use jiff::Timestamp;
use rekindle_domain::service::CurrentConfiguration;
use rekindle_domain::{Fence, ImageId, MachineKey, QuarantinedImage, Rebuild, RunId, ServiceKey};

use crate::attributes::{attribute, from_item, key_attributes, key_of, text, text_of, to_item, unreadable};
use crate::document;
use crate::error::RegisterError;
use crate::expression::Expression;
use crate::keys;
use crate::records::{Recorded, Versioned};
use crate::register::Register;
use crate::table::{MOST_TRIES, pause};

/// Which rebuild it is and how far: what a write replaces.
const STAND: &str = "x_stand";
/// Which table it is for: one that a restore has brought along is of the past, and may be written over.
const OF_TABLE: &str = "x_table";

fn stand(rebuild: &Rebuild) -> String {
    format!("{} {:?} {}", rebuild.rebuild_id, rebuild.state, rebuild.at)
}

impl Register {
    /// The newest rebuild of this table. One that a restored table has brought with it is of the past.
    ///
    /// # Errors
    /// When the register cannot be reached.
    pub async fn rebuild(&self) -> Result<Option<Rebuild>, RegisterError> {
        let Some(item) = self.table.get(&keys::rebuild()).await? else { return Ok(None) };
        let rebuild: Rebuild = document::load(&self.table, &item).await?;
        Ok((rebuild.table_id == self.table_id().await?).then_some(rebuild))
    }

    /// Records a rebuild, or how far it is, in place of what was read; where nothing was read, also in place of one that
    /// a restore has brought along. Answers whether that was still so; the same write again is still so.
    ///
    /// # Errors
    /// When the register cannot be reached.
    pub async fn put_rebuild(
        &self,
        rebuild: &Rebuild,
        replaces: Option<&Rebuild>,
    ) -> Result<bool, RegisterError> {
        let key = keys::rebuild();
        let mut item = key_attributes(&key);
        document::store(&self.table, &mut item, rebuild).await?;
        item.insert(STAND.to_owned(), text(stand(rebuild)));
        item.insert(OF_TABLE.to_owned(), text(&rebuild.table_id));
        let condition = match replaces {
            None => Expression::condition("attribute_not_exists(#x_table) OR #x_table <> :table")
                .with_text("table", &rebuild.table_id),
            Some(read) => Expression::condition("#x_stand = :read").with_text("read", stand(read)),
        };
        if self.table.put(item, condition).send().await? {
            return Ok(true);
        }
        let stored = self.table.get(&key).await?;
        Ok(stored.is_some_and(|item| text_of(&item, STAND) == Some(stand(rebuild).as_str())))
    }

    /// Keeps an image apart that nobody vouches for. The first time counts.
    ///
    /// # Errors
    /// When the register cannot be reached.
    pub async fn quarantine_image(&self, image: &QuarantinedImage) -> Result<Recorded, RegisterError> {
        let item = to_item(&keys::quarantined_image(&image.machine, &image.image_id), image)?;
        let written = self.table.put(item, Expression::absent()).send().await?;
        Ok(if written { Recorded::New } else { Recorded::Known })
    }

    /// The images of a machine that nobody vouches for, also those that were deleted since.
    ///
    /// # Errors
    /// When the register cannot be reached.
    pub async fn quarantined_images(
        &self,
        machine: &MachineKey,
    ) -> Result<Vec<QuarantinedImage>, RegisterError> {
        let items = self.table.query(&keys::quarantined_images(machine)).await?;
        items.into_iter().map(|item| from_item(&key_of(&item), item)).collect()
    }

    /// Records that an image that nobody vouched for was deleted.
    ///
    /// # Errors
    /// [`RegisterError::Unknown`] when it was never kept apart.
    pub async fn note_quarantined_image_deleted(
        &self,
        machine: &MachineKey,
        image_id: &ImageId,
        now: Timestamp,
    ) -> Result<(), RegisterError> {
        let key = keys::quarantined_image(machine, image_id);
        let at = attribute(&now).map_err(|error| unreadable(&key, error))?;
        let noting = Expression::update("SET #deleted_at = :at", "attribute_exists(#pk)").with("at", at);
        match self.table.update(&key, &noting).await? {
            Some(_) => Ok(()),
            None => Err(RegisterError::Unknown { kind: "quarantined image", id: image_id.to_string() }),
        }
    }

    /// Takes the machine's lease away from this run, if it is the one that holds it, and lets fences go on from here at
    /// the lowest: whoever built under an older one can never register.
    ///
    /// # Errors
    /// [`RegisterError::LeaseHeld`] when somebody else has the lease.
    pub async fn revoke_lease(
        &self,
        machine: &MachineKey,
        holder: Option<&RunId>,
        lowest: Fence,
    ) -> Result<(), RegisterError> {
        let key = keys::machine_state(machine);
        for tries in 0..MOST_TRIES {
            let state = self.machine_state(machine).await?;
            match &state.lease {
                Some(lease) if Some(&lease.run_id) != holder => {
                    return Err(RegisterError::LeaseHeld { lease: lease.clone() });
                }
                None if state.fence >= lowest => return Ok(()),
                _ => {}
            }
            let seen = if state.fence.0 == 0 { "attribute_not_exists(#fence)" } else { "#fence = :seen" };
            let (update, free) = match &state.lease {
                None => ("SET #fence = :next", "attribute_not_exists(#lease)"),
                Some(_) => ("SET #fence = :next REMOVE #lease", "#lease.#run_id = :holder"),
            };
            let mut revoking = Expression::update(update, format!("{free} AND {seen}"))
                .with_number("next", state.fence.max(lowest).0);
            if state.fence.0 > 0 {
                revoking = revoking.with_number("seen", state.fence.0);
            }
            if let Some(lease) = &state.lease {
                revoking = revoking.with_text("holder", lease.run_id.as_str());
            }
            if self.table.update(&key, &revoking).await?.is_some() {
                return Ok(());
            }
            pause(tries).await;
        }
        Err(RegisterError::Contention { doing: "revoking a lease" })
    }

    /// Lets a service have this configuration again, if it has forgotten it: one with a higher counter than its own.
    ///
    /// # Errors
    /// [`RegisterError::Unknown`] when there is no such service.
    pub async fn remember_configuration(
        &self,
        service: &ServiceKey,
        configuration: &CurrentConfiguration,
    ) -> Result<Recorded, RegisterError> {
        for tries in 0..MOST_TRIES {
            let stored = self.service(service).await?;
            let Versioned { mut value, version } =
                stored.ok_or_else(|| RegisterError::Unknown { kind: "service", id: service.to_string() })?;
            if value.configuration.as_ref().is_some_and(|known| known.counter >= configuration.counter) {
                return Ok(Recorded::Known);
            }
            value.configuration = Some(configuration.clone());
            match self.put_service(&value, Some(version)).await {
                Ok(_) => return Ok(Recorded::New),
                Err(RegisterError::VersionMoved { .. }) => pause(tries).await,
                Err(error) => return Err(error),
            }
        }
        Err(RegisterError::Contention { doing: "remembering a configuration" })
    }
}
