//! The operations of DynamoDB that the register uses, each with its precondition.

mod creation;
mod page;
mod retry;
mod transaction;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;

use crate::attributes::{Item, key_attributes, text};
use crate::error::RegisterError;
use crate::expression::Expression;
use crate::keys::{IndexKind, Key, OPEN_ITEMS, OPEN_KIND, OPEN_SINCE, PARTITION, Range, SORT};

pub(crate) use page::{ItemPage, Order};
pub(crate) use transaction::{Transaction, Unmet};

use self::retry::write;

/// How often a write is tried again when others were faster. Each round, at least one of them succeeds.
pub(crate) const MOST_TRIES: u32 = 40;

/// One table and the client for it.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) client: Client,
    name: String,
}

/// Waits before another try, longer each time. The first try again is made at once.
pub(crate) async fn pause(tries: u32) {
    if tries > 0 {
        tokio::time::sleep(Duration::from_millis(1 << tries.min(7))).await;
    }
}

impl Table {
    pub(crate) fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// The item under a key, read consistently.
    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Item>, RegisterError> {
        let request = self.client.get_item().table_name(&self.name).consistent_read(true);
        let answer = request.set_key(Some(key_attributes(key))).send().await;
        Ok(answer.map_err(|error| RegisterError::from_client("reading an item", error))?.item)
    }

    /// Everything that the table holds. For copies of small tables only.
    #[cfg(feature = "faults")]
    pub(crate) async fn everything(&self) -> Result<Vec<Item>, RegisterError> {
        let pages = self.client.scan().table_name(&self.name).consistent_read(true).into_paginator();
        let items = pages.items().send().try_collect().await;
        items.map_err(|error| RegisterError::from_client("reading the table", error))
    }

    /// All items of a range in the order of their sort keys, read consistently.
    pub(crate) async fn query(&self, range: &Range) -> Result<Vec<Item>, RegisterError> {
        all_pages(self.range_request(range), "reading a list").await
    }

    /// All items of a kind, the oldest first. The index lags behind the table.
    pub(crate) async fn index_items(&self, kind: IndexKind) -> Result<Vec<Item>, RegisterError> {
        all_pages(self.index_request(kind), "reading the index").await
    }

    /// Asks for the items of a range, consistently.
    fn range_request(&self, range: &Range) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .key_condition_expression("#pk = :partition AND begins_with(#sk, :beginning)")
            .expression_attribute_names("#pk", PARTITION)
            .expression_attribute_names("#sk", SORT)
            .expression_attribute_values(":partition", text(&range.partition))
            .expression_attribute_values(":beginning", text(&range.beginning))
    }

    /// Asks the index for the items of a kind.
    fn index_request(&self, kind: IndexKind) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.name)
            .index_name(OPEN_ITEMS)
            .key_condition_expression("#kind = :kind")
            .expression_attribute_names("#kind", OPEN_KIND)
            .expression_attribute_values(":kind", text(kind.as_str()))
    }

    /// Writes an item where the condition holds; answers whether it did.
    #[must_use = "a write whose condition did not hold was not made"]
    pub(crate) fn put(&self, item: Item, condition: Expression) -> PutItem<'_> {
        PutItem { table: self, item, condition }
    }

    /// Changes an item where the condition holds; answers with the item after the change, or nothing where it did not.
    pub(crate) async fn update(
        &self,
        key: &Key,
        expression: &Expression,
    ) -> Result<Option<Item>, RegisterError> {
        let request = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(key_attributes(key)))
            .set_update_expression(expression.update_text())
            .condition_expression(expression.condition_text())
            .set_expression_attribute_names(expression.names())
            .set_expression_attribute_values(expression.values())
            .return_values(aws_sdk_dynamodb::types::ReturnValue::AllNew);
        let answer = write("changing an item", || request.clone().send()).await?;
        Ok(answer.map(|answer| answer.attributes.unwrap_or_default()))
    }

    /// Several writes that are made together or not at all.
    pub(crate) fn transaction(&self) -> Transaction<'_> {
        Transaction::on(self)
    }
}

/// What is on all pages of a list.
async fn all_pages(request: QueryFluentBuilder, doing: &'static str) -> Result<Vec<Item>, RegisterError> {
    let items = request.into_paginator().items().send().try_collect().await;
    items.map_err(|error| RegisterError::from_client(doing, error))
}

/// A write of one item that has not been sent yet.
pub(crate) struct PutItem<'a> {
    table: &'a Table,
    item: Item,
    condition: Expression,
}

impl PutItem<'_> {
    /// Sends it; false where the condition did not hold.
    pub(crate) async fn send(self) -> Result<bool, RegisterError> {
        let request = self
            .table
            .client
            .put_item()
            .table_name(&self.table.name)
            .set_item(Some(self.item))
            .condition_expression(self.condition.condition_text())
            .set_expression_attribute_names(self.condition.names())
            .set_expression_attribute_values(self.condition.values());
        Ok(write("writing an item", || request.clone().send()).await?.is_some())
    }
}

/// Names for attributes that put an item into the index.
pub(crate) fn index_attributes(kind: IndexKind, since: String) -> HashMap<String, AttributeValue> {
    HashMap::from([(OPEN_KIND.to_owned(), text(kind.as_str())), (OPEN_SINCE.to_owned(), text(since))])
}
