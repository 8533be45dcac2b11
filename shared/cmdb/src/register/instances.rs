//! What instances are for, and what their agents say of themselves.

use jiff::Timestamp;
use rekindle_domain::InstanceId;
use rekindle_domain::job::Hello;

use crate::attributes::{from_item, text, to_item};
use crate::error::RegisterError;
use crate::expression::Expression;
use crate::keys;
use crate::records::{HelloRecord, InstanceBinding, Recorded};
use crate::register::Register;

impl Register {
    /// Records what an instance is for, once.
    ///
    /// # Errors
    /// [`RegisterError::Conflict`] when it is bound to another run, machine, image or purpose.
    pub async fn bind_instance(&self, binding: &InstanceBinding) -> Result<Recorded, RegisterError> {
        let key = keys::instance(&binding.instance_id);
        if self.table.put(to_item(&key, binding)?, Expression::absent()).send().await? {
            return Ok(Recorded::New);
        }
        let stored = self.instance(&binding.instance_id).await?;
        let same =
            stored.is_some_and(|stored| InstanceBinding { bound_at: binding.bound_at, ..stored } == *binding);
        if same {
            Ok(Recorded::Known)
        } else {
            Err(RegisterError::Conflict { what: format!("instance {}", binding.instance_id) })
        }
    }

    /// What an instance is for; none for one that nobody bound.
    pub async fn instance(&self, instance: &InstanceId) -> Result<Option<InstanceBinding>, RegisterError> {
        let key = keys::instance(instance);
        self.table.get(&key).await?.map(|item| from_item(&key, item)).transpose()
    }

    /// Records what the agent of a bound instance says of itself. The latest wins.
    ///
    /// # Errors
    /// [`RegisterError::Unknown`] when the instance is not bound.
    pub async fn record_hello(
        &self,
        instance: &InstanceId,
        hello: &Hello,
        now: Timestamp,
    ) -> Result<(), RegisterError> {
        let key = keys::hello(instance);
        let at = keys::sortable_time(now);
        let mut item = to_item(&key, &HelloRecord { hello: hello.clone(), at: now })?;
        item.insert("x_at".to_owned(), text(&at));
        let not_older =
            Expression::condition("attribute_not_exists(#x_at) OR #x_at <= :at").with_text("at", at);
        let sent = self
            .table
            .transaction()
            .check(&keys::instance(instance), Expression::present())
            .put(item, not_older)
            .send()
            .await?;
        match sent {
            Err(unmet) if unmet.at(0) => {
                Err(RegisterError::Unknown { kind: "instance", id: instance.to_string() })
            }
            // A later one is stored already.
            _ => Ok(()),
        }
    }

    /// What the agent last said of itself.
    pub async fn hello(&self, instance: &InstanceId) -> Result<Option<HelloRecord>, RegisterError> {
        let key = keys::hello(instance);
        self.table.get(&key).await?.map(|item| from_item(&key, item)).transpose()
    }
}
