//! Services, replaced by version.

use rekindle_domain::configuration::RevisionId;
use rekindle_domain::service::CurrentConfiguration;
use rekindle_domain::{CustomerId, Service, ServiceKey};

use crate::attributes::{Item, from_item, key_of, number, to_item};
use crate::error::RegisterError;
use crate::expression::Expression;
use crate::keys;
use crate::records::Versioned;
use crate::register::Register;

const VERSION: &str = "x_version";

impl Register {
    /// Stores a service: a new one, or in place of the version that was read. Answers with the new version; the same
    /// call again answers the same.
    ///
    /// # Errors
    /// [`RegisterError::VersionMoved`] when another version is stored than the one named.
    pub async fn put_service(&self, service: &Service, replaces: Option<u64>) -> Result<u64, RegisterError> {
        let key = keys::service(&service.key);
        let version = replaces.unwrap_or(0) + 1;
        let mut item = to_item(&key, service)?;
        item.insert(VERSION.to_owned(), number(version));
        let condition = match replaces {
            None => Expression::absent(),
            Some(replaced) => {
                Expression::condition("#x_version = :replaced").with_number("replaced", replaced)
            }
        };
        if self.table.put(item, condition).send().await? {
            return Ok(version);
        }
        match self.service(&service.key).await? {
            Some(stored) if stored.version == version && stored.value == *service => Ok(version),
            stored => Err(RegisterError::VersionMoved {
                what: format!("service {}", service.key),
                expected: replaces.unwrap_or(0),
                found: stored.map_or(0, |stored| stored.version),
            }),
        }
    }

    /// A service and its version.
    pub async fn service(&self, service: &ServiceKey) -> Result<Option<Versioned<Service>>, RegisterError> {
        self.table.get(&keys::service(service)).await?.map(versioned).transpose()
    }

    /// All services of a customer, by name.
    pub async fn services(&self, customer: &CustomerId) -> Result<Vec<Service>, RegisterError> {
        let items = self.table.query(&keys::services(customer)).await?;
        items.into_iter().map(|item| Ok(versioned(item)?.value)).collect()
    }

    /// Makes a configuration revision the current one, in the version of the service that was read. Its counter is one
    /// above the one before; publishing the current one again changes nothing.
    ///
    /// # Errors
    /// [`RegisterError::Unknown`] when there is no such service, and [`RegisterError::VersionMoved`] when another version
    /// is stored than the one named: a late second try must not undo what somebody else published since.
    pub async fn publish_configuration(
        &self,
        service: &ServiceKey,
        revision: &RevisionId,
        replaces: u64,
    ) -> Result<CurrentConfiguration, RegisterError> {
        let stored = self.service(service).await?;
        let Versioned { mut value, .. } =
            stored.ok_or_else(|| RegisterError::Unknown { kind: "service", id: service.to_string() })?;
        let counter = match value.configuration {
            Some(current) if current.revision == *revision => return Ok(current),
            Some(current) => current.counter + 1,
            None => 1,
        };
        let published = CurrentConfiguration { revision: revision.clone(), counter };
        value.configuration = Some(published.clone());
        self.put_service(&value, Some(replaces)).await?;
        Ok(published)
    }
}

fn versioned(item: Item) -> Result<Versioned<Service>, RegisterError> {
    let key = key_of(&item);
    let version = item.get(VERSION).and_then(|value| value.as_n().ok()).and_then(|value| value.parse().ok());
    Ok(Versioned { value: from_item(&key, item)?, version: version.unwrap_or(0) })
}
