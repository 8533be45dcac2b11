//! The operations of DynamoDB that the register uses, each with its precondition.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, ConditionCheck, Delete, GlobalSecondaryIndex,
    KeySchemaElement, KeyType, Projection, ProjectionType, Put, ScalarAttributeType, TableStatus,
    TransactWriteItem, Update,
};

use crate::attributes::{Item, key_attributes, text};
use crate::error::RegisterError;
use crate::expression::Expression;
use crate::keys::{Key, OPEN_ITEMS, OPEN_KIND, OPEN_SINCE, OpenKind, PARTITION, Range, SORT};

/// How often a write is tried again when others were faster. Each round, at least one of them succeeds.
pub(crate) const MOST_TRIES: u32 = 40;
/// How often a new table is looked at until it is active.
const MOST_LOOKS: u32 = 120;
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// One table and the client for it.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    client: Client,
    name: String,
}

/// Which writes of a transaction had a precondition that did not hold. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unmet(Vec<usize>);

impl Unmet {
    /// Whether the write at this place, counted from 0, is one of them.
    pub(crate) fn at(&self, place: usize) -> bool {
        self.0.contains(&place)
    }

    /// Whether the write at this place is the only one of them.
    pub(crate) fn only(&self, place: usize) -> bool {
        self.0 == [place]
    }
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

    /// All items of a range in the order of their sort keys, read consistently.
    pub(crate) async fn query(&self, range: &Range) -> Result<Vec<Item>, RegisterError> {
        let request = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .key_condition_expression("#pk = :partition AND begins_with(#sk, :beginning)")
            .expression_attribute_names("#pk", PARTITION)
            .expression_attribute_names("#sk", SORT)
            .expression_attribute_values(":partition", text(&range.partition))
            .expression_attribute_values(":beginning", text(&range.beginning));
        let mut items = Vec::new();
        let mut start: Option<Item> = None;
        loop {
            let page = request.clone().set_exclusive_start_key(start).send().await;
            let page = page.map_err(|error| RegisterError::from_client("reading a list", error))?;
            items.extend(page.items.unwrap_or_default());
            match page.last_evaluated_key {
                Some(last) if !last.is_empty() => start = Some(last),
                _ => return Ok(items),
            }
        }
    }

    /// All open items of a kind, the oldest first. The index lags behind the table.
    pub(crate) async fn open_items(&self, kind: OpenKind) -> Result<Vec<Item>, RegisterError> {
        let request = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(OPEN_ITEMS)
            .key_condition_expression("#kind = :kind")
            .expression_attribute_names("#kind", OPEN_KIND)
            .expression_attribute_values(":kind", text(kind.as_str()));
        let mut items = Vec::new();
        let mut start: Option<Item> = None;
        loop {
            let page = request.clone().set_exclusive_start_key(start).send().await;
            let page = page.map_err(|error| RegisterError::from_client("reading the index", error))?;
            items.extend(page.items.unwrap_or_default());
            match page.last_evaluated_key {
                Some(last) if !last.is_empty() => start = Some(last),
                _ => return Ok(items),
            }
        }
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
        match request.send().await {
            Ok(answer) => Ok(Some(answer.attributes.unwrap_or_default())),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Ok(None)
            }
            Err(error) => Err(RegisterError::from_client("changing an item", error)),
        }
    }

    /// Several writes that are made together or not at all.
    pub(crate) fn transaction(&self) -> Transaction<'_> {
        Transaction { table: self, writes: Vec::new() }
    }

    /// Makes the table and its index where they are not there yet, and waits until it can be used.
    pub(crate) async fn ensure(&self) -> Result<(), RegisterError> {
        for look in 0..MOST_LOOKS {
            match self.status().await? {
                Some(TableStatus::Active) => return Ok(()),
                Some(_) => tokio::time::sleep(BETWEEN_LOOKS).await,
                None if look == 0 => self.create().await?,
                None => tokio::time::sleep(BETWEEN_LOOKS).await,
            }
        }
        Err(RegisterError::Contention { doing: "waiting for the table" })
    }

    async fn status(&self) -> Result<Option<TableStatus>, RegisterError> {
        match self.client.describe_table().table_name(&self.name).send().await {
            Ok(answer) => Ok(answer.table.and_then(|table| table.table_status)),
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) =>
            {
                Ok(None)
            }
            Err(error) => Err(RegisterError::from_client("describing the table", error)),
        }
    }

    async fn create(&self) -> Result<(), RegisterError> {
        let doing = "making the table";
        let mut request = self
            .client
            .create_table()
            .table_name(&self.name)
            .billing_mode(BillingMode::PayPerRequest)
            .global_secondary_indexes(open_items_index(doing)?);
        for name in [PARTITION, SORT, OPEN_KIND, OPEN_SINCE] {
            let definition = AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S)
                .build()
                .map_err(|error| RegisterError::from_build(doing, error))?;
            request = request.attribute_definitions(definition);
        }
        for element in key_schema(doing, PARTITION, SORT)? {
            request = request.key_schema(element);
        }
        match request.send().await {
            Ok(_) => Ok(()),
            // Somebody else makes it just now.
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception()) =>
            {
                Ok(())
            }
            Err(error) => Err(RegisterError::from_client(doing, error)),
        }
    }
}

fn key_schema(doing: &'static str, hash: &str, range: &str) -> Result<[KeySchemaElement; 2], RegisterError> {
    let element = |name: &str, kind: KeyType| {
        let element = KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
        element.map_err(|error| RegisterError::from_build(doing, error))
    };
    Ok([element(hash, KeyType::Hash)?, element(range, KeyType::Range)?])
}

fn open_items_index(doing: &'static str) -> Result<GlobalSecondaryIndex, RegisterError> {
    GlobalSecondaryIndex::builder()
        .index_name(OPEN_ITEMS)
        .set_key_schema(Some(key_schema(doing, OPEN_KIND, OPEN_SINCE)?.to_vec()))
        .projection(Projection::builder().projection_type(ProjectionType::All).build())
        .build()
        .map_err(|error| RegisterError::from_build(doing, error))
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
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Ok(false)
            }
            Err(error) => Err(RegisterError::from_client("writing an item", error)),
        }
    }
}

enum Write {
    Check(Key, Expression),
    Put(Item, Expression),
    Update(Key, Expression),
    Delete(Key, Expression),
}

/// Several writes that are made together or not at all: at most 100, and here never more than four.
pub(crate) struct Transaction<'a> {
    table: &'a Table,
    writes: Vec<Write>,
}

impl Transaction<'_> {
    /// The condition must hold on the item; nothing is written there.
    pub(crate) fn check(mut self, key: &Key, condition: Expression) -> Self {
        self.writes.push(Write::Check(key.clone(), condition));
        self
    }

    /// Writes an item.
    pub(crate) fn put(mut self, item: Item, condition: Expression) -> Self {
        self.writes.push(Write::Put(item, condition));
        self
    }

    /// Changes an item.
    pub(crate) fn update(mut self, key: &Key, expression: Expression) -> Self {
        self.writes.push(Write::Update(key.clone(), expression));
        self
    }

    /// Removes an item.
    pub(crate) fn delete(mut self, key: &Key, condition: Expression) -> Self {
        self.writes.push(Write::Delete(key.clone(), condition));
        self
    }

    /// Sends it. A transaction that only met another one on its way is sent again.
    pub(crate) async fn send(self) -> Result<Result<(), Unmet>, RegisterError> {
        let doing = "writing a transaction";
        let mut writes = Vec::with_capacity(self.writes.len());
        for write in self.writes {
            writes.push(
                built(write, &self.table.name).map_err(|error| RegisterError::from_build(doing, error))?,
            );
        }
        for tries in 0..MOST_TRIES {
            let request = self.table.client.transact_write_items().set_transact_items(Some(writes.clone()));
            let Err(error) = request.send().await else {
                return Ok(Ok(()));
            };
            match cancelled(&error) {
                Cancelled::Unmet(unmet) => return Ok(Err(unmet)),
                Cancelled::Conflict => pause(tries).await,
                Cancelled::Otherwise => return Err(RegisterError::from_client(doing, error)),
            }
        }
        Err(RegisterError::Contention { doing })
    }
}

fn built(write: Write, table: &str) -> Result<TransactWriteItem, aws_sdk_dynamodb::error::BuildError> {
    let item = TransactWriteItem::builder();
    let item = match write {
        Write::Check(key, condition) => item.condition_check(
            ConditionCheck::builder()
                .table_name(table)
                .set_key(Some(key_attributes(&key)))
                .condition_expression(condition.condition_text())
                .set_expression_attribute_names(condition.names())
                .set_expression_attribute_values(condition.values())
                .build()?,
        ),
        Write::Put(content, condition) => item.put(
            Put::builder()
                .table_name(table)
                .set_item(Some(content))
                .condition_expression(condition.condition_text())
                .set_expression_attribute_names(condition.names())
                .set_expression_attribute_values(condition.values())
                .build()?,
        ),
        Write::Update(key, expression) => item.update(
            Update::builder()
                .table_name(table)
                .set_key(Some(key_attributes(&key)))
                .set_update_expression(expression.update_text())
                .condition_expression(expression.condition_text())
                .set_expression_attribute_names(expression.names())
                .set_expression_attribute_values(expression.values())
                .build()?,
        ),
        Write::Delete(key, condition) => item.delete(
            Delete::builder()
                .table_name(table)
                .set_key(Some(key_attributes(&key)))
                .condition_expression(condition.condition_text())
                .set_expression_attribute_names(condition.names())
                .set_expression_attribute_values(condition.values())
                .build()?,
        ),
    };
    Ok(item.build())
}

enum Cancelled {
    Unmet(Unmet),
    Conflict,
    Otherwise,
}

/// Why a transaction was not made. A precondition that did not hold is an answer; meeting another transaction, or
/// throttling of one item, is a reason to try again; anything else is an error.
fn cancelled<R>(error: &SdkError<TransactWriteItemsError, R>) -> Cancelled {
    let Some(TransactWriteItemsError::TransactionCanceledException(exception)) = error.as_service_error()
    else {
        return Cancelled::Otherwise;
    };
    let codes: Vec<&str> =
        exception.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or("None")).collect();
    let unmet: Vec<usize> =
        (0..codes.len()).filter(|place| codes[*place] == "ConditionalCheckFailed").collect();
    if !unmet.is_empty() {
        return Cancelled::Unmet(Unmet(unmet));
    }
    let passing = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];
    let conflict = codes.iter().any(|code| passing.contains(code))
        && codes.iter().all(|code| *code == "None" || passing.contains(code));
    if conflict { Cancelled::Conflict } else { Cancelled::Otherwise }
}

/// Names for attributes that put an item into the index.
pub(crate) fn open_attributes(kind: OpenKind, since: String) -> HashMap<String, AttributeValue> {
    HashMap::from([(OPEN_KIND.to_owned(), text(kind.as_str())), (OPEN_SINCE.to_owned(), text(since))])
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::CancellationReason;
    use aws_sdk_dynamodb::types::error::TransactionCanceledException;

    use super::*;

    fn cancelled_for(codes: &[&str]) -> Cancelled {
        let reasons = codes.iter().map(|code| CancellationReason::builder().code(*code).build());
        let exception =
            TransactionCanceledException::builder().set_cancellation_reasons(Some(reasons.collect())).build();
        let error = TransactWriteItemsError::TransactionCanceledException(exception);
        cancelled(&SdkError::service_error(error, ()))
    }

    /// The embedded register never says that two transactions met, so this is the only place where it is tried.
    #[test]
    fn a_transaction_that_met_another_one_is_sent_again() {
        for codes in [["TransactionConflict", "None"], ["None", "ThrottlingError"]] {
            assert!(matches!(cancelled_for(&codes), Cancelled::Conflict), "{codes:?}");
        }
    }

    #[test]
    fn a_precondition_that_did_not_hold_is_an_answer_whatever_else_happened() {
        for (codes, place) in [
            (["None", "ConditionalCheckFailed", "None"], 1),
            (["TransactionConflict", "None", "ConditionalCheckFailed"], 2),
        ] {
            match cancelled_for(&codes) {
                Cancelled::Unmet(unmet) => assert!(unmet.only(place), "{codes:?}"),
                _ => unreachable!("{codes:?}"),
            }
        }
    }

    #[test]
    fn anything_else_is_an_error() {
        for codes in [["ValidationError", "None"], ["TransactionConflict", "ItemCollectionSizeLimitExceeded"]]
        {
            assert!(matches!(cancelled_for(&codes), Cancelled::Otherwise), "{codes:?}");
        }
    }
}
