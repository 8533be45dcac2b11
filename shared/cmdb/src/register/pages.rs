//! Lists for people, page by page: services, images and runs grow for years.

use rekindle_domain::{CustomerId, HumanTask, Image, ImageId, MachineKey, Run, Service};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::attributes::{from_item, key_of};
use crate::error::RegisterError;
use crate::keys::{self, IndexKind};
use crate::register::Register;
use crate::table::{ItemPage, Order};

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// From where the next one goes on; none on the last one.
    pub next: Option<String>,
}

/// What lies in the order of a machine's images.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImagePlace {
    pub(super) image_id: ImageId,
}

fn read<T: DeserializeOwned>(page: ItemPage) -> Result<Page<T>, RegisterError> {
    let items = page.items.into_iter().map(|item| from_item(&key_of(&item), item));
    Ok(Page { items: items.collect::<Result<_, _>>()?, next: page.next })
}

impl Register {
    /// Whether a customer is recorded.
    ///
    /// # Errors
    /// When the register cannot be reached.
    pub async fn is_customer(&self, customer: &CustomerId) -> Result<bool, RegisterError> {
        Ok(self.table.get(&keys::customer(customer)).await?.is_some())
    }

    /// Services of a customer by name, at most `limit`, going on where another page ended.
    ///
    /// # Errors
    /// [`RegisterError::Invalid`] for an `after` that no page of this list gave.
    pub async fn services_page(
        &self,
        customer: &CustomerId,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Service>, RegisterError> {
        read(self.table.query_page(&keys::services(customer), Order::Ascending, limit, after).await?)
    }

    /// Images of a machine, the newest first, at most `limit`, going on where another page ended.
    ///
    /// # Errors
    /// [`RegisterError::Invalid`] for an `after` that no page of this list gave.
    pub async fn images_page(
        &self,
        machine: &MachineKey,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Image>, RegisterError> {
        let places = keys::image_places(machine);
        let places: Page<ImagePlace> =
            read(self.table.query_page(&places, Order::Descending, limit, after).await?)?;
        let mut items = Vec::with_capacity(places.items.len());
        for place in places.items {
            items.extend(self.image(machine, &place.image_id).await?);
        }
        Ok(Page { items, next: places.next })
    }

    /// Runs that are not Ended or not reported, the oldest first, at most `limit`, going on where another page ended.
    /// Read from the index, which lags behind.
    ///
    /// # Errors
    /// [`RegisterError::Invalid`] for an `after` that no page of this list gave.
    pub async fn unfinished_runs_page(
        &self,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Run>, RegisterError> {
        read(self.table.index_page(IndexKind::UnfinishedRun, Order::Ascending, limit, after).await?)
    }

    /// Runs that are Ended and reported, the one that was opened last first, at most `limit`, going on where another
    /// page ended. Read from the index, which lags behind.
    ///
    /// # Errors
    /// [`RegisterError::Invalid`] for an `after` that no page of this list gave.
    pub async fn ended_runs_page(
        &self,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<Run>, RegisterError> {
        read(self.table.index_page(IndexKind::EndedRun, Order::Descending, limit, after).await?)
    }

    /// What waits for a person, the oldest first, at most `limit`, going on where another page ended. Read from the
    /// index, which lags behind.
    ///
    /// # Errors
    /// [`RegisterError::Invalid`] for an `after` that no page of this list gave.
    pub async fn open_human_tasks_page(
        &self,
        limit: usize,
        after: Option<&str>,
    ) -> Result<Page<HumanTask>, RegisterError> {
        read(self.table.index_page(IndexKind::HumanTask, Order::Ascending, limit, after).await?)
    }
}
