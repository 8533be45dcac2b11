//! Several writes that are made together or not at all.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, TransactWriteItem, Update};

use super::retry::{back_off, met_another};
use super::{MOST_TRIES, Table};
use crate::attributes::{Item, key_attributes};
use crate::error::RegisterError;
use crate::expression::Expression;
use crate::keys::Key;

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

enum Write {
    Check(Key, Expression),
    Put(Item, Expression),
    Update(Key, Expression),
    Delete(Key, Expression),
}

impl Write {
    /// The permission that it takes.
    fn operation(&self) -> &'static str {
        match self {
            Self::Check(..) => "ConditionCheckItem",
            Self::Put(..) => "PutItem",
            Self::Update(..) => "UpdateItem",
            Self::Delete(..) => "DeleteItem",
        }
    }
}

/// Several writes that are made together or not at all: at most 100, and here never more than four.
pub(crate) struct Transaction<'a> {
    table: &'a Table,
    writes: Vec<Write>,
}

impl<'a> Transaction<'a> {
    pub(super) fn on(table: &'a Table) -> Self {
        Self { table, writes: Vec::new() }
    }

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

    /// Sends it. A transaction that met another one on its way is sent again.
    ///
    /// The token says which request is the same one. It stays while it is not known what became of the request, so that
    /// a request that is still being worked on is waited for and not made twice. Once it was cancelled, nothing of it was
    /// written, and the next one is a new one.
    pub(crate) async fn send(self) -> Result<Result<(), Unmet>, RegisterError> {
        let doing = "writing a transaction";
        let mut writes = Vec::with_capacity(self.writes.len());
        for write in self.writes {
            rekindle_aws_calls::tell("DynamoDB", write.operation());
            writes.push(
                built(write, &self.table.name).map_err(|error| RegisterError::from_build(doing, error))?,
            );
        }
        let mut token = fresh_token();
        let mut waits = 0;
        for tries in 0..MOST_TRIES {
            let request = self.table.client.transact_write_items().client_request_token(&token);
            let Err(error) = request.set_transact_items(Some(writes.clone())).send().await else {
                return Ok(Ok(()));
            };
            match cancelled(&error) {
                Cancelled::Unmet(unmet) => return Ok(Err(unmet)),
                Cancelled::Conflict => token = fresh_token(),
                Cancelled::Otherwise if met_another(&error) && waits < MOST_WAITS => waits += 1,
                Cancelled::Otherwise => return Err(RegisterError::from_client(doing, error)),
            }
            back_off(tries).await;
        }
        Err(RegisterError::Contention { doing })
    }
}

/// How often a request is waited for that is being worked on. The client itself asks several times, seconds apart.
const MOST_WAITS: u32 = 2;

/// A name that no other request has.
fn fresh_token() -> String {
    format!("{:032x}", rand::random::<u128>())
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

/// Reasons that pass: other requests on the same items, and throttling of one of them.
const PASSING: [&str; 3] = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];

/// Why a transaction was not made. Preconditions that did not hold are an answer; meeting another transaction is a
/// reason to try again; anything else is an error.
///
/// Where one write met another transaction and the condition of a second one did not hold, the transaction is tried
/// again too: the condition of the first was not looked at, and callers conclude from which conditions *did* hold what
/// stood in their way.
fn cancelled<R>(error: &SdkError<TransactWriteItemsError, R>) -> Cancelled {
    let Some(TransactWriteItemsError::TransactionCanceledException(exception)) = error.as_service_error()
    else {
        return Cancelled::Otherwise;
    };
    let codes: Vec<&str> =
        exception.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or("None")).collect();
    let unmet: Vec<usize> =
        (0..codes.len()).filter(|place| codes[*place] == "ConditionalCheckFailed").collect();
    let may_pass = |code: &&str| PASSING.contains(code) || ["None", "ConditionalCheckFailed"].contains(code);
    if codes.iter().any(|code| PASSING.contains(code)) && codes.iter().all(may_pass) {
        return Cancelled::Conflict;
    }
    if unmet.is_empty() { Cancelled::Otherwise } else { Cancelled::Unmet(Unmet(unmet)) }
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

    /// The embedded register never says that two transactions met.
    #[test]
    fn a_transaction_that_met_another_one_is_sent_again() {
        for codes in [
            ["TransactionConflict", "None"],
            ["None", "ThrottlingError"],
            ["TransactionConflict", "ConditionalCheckFailed"],
        ] {
            assert!(matches!(cancelled_for(&codes), Cancelled::Conflict), "{codes:?}");
        }
    }

    #[test]
    fn a_precondition_that_did_not_hold_is_an_answer() {
        for (codes, place) in [
            (["None", "ConditionalCheckFailed", "None"], 1),
            (["ValidationError", "None", "ConditionalCheckFailed"], 2),
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
