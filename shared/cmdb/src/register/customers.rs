//! Who is protected: the list that the sweep walks.

use rekindle_domain::{CustomerId, MachineKey};
use serde::{Deserialize, Serialize};

use crate::attributes::{from_item, key_of, to_item};
use crate::error::RegisterError;
use crate::expression::Expression;
use crate::keys;
use crate::records::Recorded;
use crate::register::Register;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Customer {
    customer_id: CustomerId,
}

impl Register {
    /// Records a customer, once. Written before the customer's first service, so that the sweep misses none.
    ///
    /// # Errors
    /// When the register cannot be reached.
    pub async fn put_customer(&self, customer_id: &CustomerId) -> Result<Recorded, RegisterError> {
        let customer = Customer { customer_id: customer_id.clone() };
        let item = to_item(&keys::customer(customer_id), &customer)?;
        let written = self.table.put(item, Expression::absent()).send().await?;
        Ok(if written { Recorded::New } else { Recorded::Known })
    }

    /// All customers, by name.
    ///
    /// # Errors
    /// When the register cannot be reached.
    pub async fn customers(&self) -> Result<Vec<CustomerId>, RegisterError> {
        let items = self.table.query(&keys::customers()).await?;
        items.into_iter().map(|item| Ok(from_item::<Customer>(&key_of(&item), item)?.customer_id)).collect()
    }

    /// Every machine of every service of every customer.
    ///
    /// # Errors
    /// When the register cannot be reached.
    pub async fn all_machines(&self) -> Result<Vec<MachineKey>, RegisterError> {
        let mut machines = Vec::new();
        for customer in self.customers().await? {
            for service in self.services(&customer).await? {
                machines.extend(
                    service.machines.iter().map(|machine| service.key.machine(machine.machine_id.clone())),
                );
            }
        }
        Ok(machines)
    }
}
