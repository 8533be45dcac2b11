//! Lists that are read page by page: as long as they may become, one request reads at most one page of them.
//!
//! A page is continued from a *position*: text that says after which item. It comes back from callers who may have
//! changed it. In whatever way they did, what follows is of the same list, since the partition and the beginning of the
//! sort key are never taken from it.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use jiff::Timestamp;

use super::Table;
use crate::attributes::{Item, key_attributes, text, text_of};
use crate::error::RegisterError;
use crate::keys::{IndexKind, Key, OPEN_KIND, OPEN_SINCE, PARTITION, Range, SORT};

/// The longest position that is read; the longest that is written has half of it.
const LONGEST_POSITION: usize = 512;

/// Some items, and from where to go on.
pub(crate) struct ItemPage {
    pub(crate) items: Vec<Item>,
    pub(crate) next: Option<String>,
}

/// From which end a list is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Ascending,
    Descending,
}

impl Table {
    /// At most so many items of a range, read consistently.
    pub(crate) async fn query_page(
        &self,
        range: &Range,
        order: Order,
        limit: usize,
        after: Option<&str>,
    ) -> Result<ItemPage, RegisterError> {
        let start = after.map(|position| start_in(range, position)).transpose()?;
        let request = self.range_request(range).scan_index_forward(order == Order::Ascending);
        page(request.set_exclusive_start_key(start), limit, |item| position_in(range, item)).await
    }

    /// At most so many items of a kind, in the order of time. The index lags behind the table.
    pub(crate) async fn index_page(
        &self,
        kind: IndexKind,
        order: Order,
        limit: usize,
        after: Option<&str>,
    ) -> Result<ItemPage, RegisterError> {
        let start = after.map(|position| start_in_index(kind, position)).transpose()?;
        let request = self.index_request(kind).scan_index_forward(order == Order::Ascending);
        page(request.set_exclusive_start_key(start), limit, |item| position_in_index(kind, item)).await
    }
}

/// Reads one item more than is wanted: its presence says that there is a next page, so that none is ever empty.
async fn page(
    request: QueryFluentBuilder,
    limit: usize,
    position: impl Fn(&Item) -> Option<String>,
) -> Result<ItemPage, RegisterError> {
    let asked = i32::try_from(limit.saturating_add(1)).unwrap_or(i32::MAX);
    let answer = request.limit(asked).send().await;
    let answer = answer.map_err(|error| RegisterError::from_client("reading a page of a list", error))?;
    let mut items = answer.items.unwrap_or_default();
    if items.len() > limit {
        items.truncate(limit);
        let next = items.last().and_then(position);
        return Ok(ItemPage { items, next });
    }
    // The database ends a page early when it is full: at 1 MB.
    let next = answer.last_evaluated_key.as_ref().and_then(position);
    Ok(ItemPage { items, next })
}

fn invalid() -> RegisterError {
    RegisterError::Invalid("the place to go on from is not one of this list".to_owned())
}

fn position_in(range: &Range, item: &Item) -> Option<String> {
    text_of(item, SORT).and_then(|sort| sort.strip_prefix(&range.beginning)).map(str::to_owned)
}

fn start_in(range: &Range, position: &str) -> Result<Item, RegisterError> {
    if position.is_empty() || position.len() > LONGEST_POSITION {
        return Err(invalid());
    }
    let sort = format!("{}{position}", range.beginning);
    Ok(key_attributes(&Key { partition: range.partition.clone(), sort }))
}

/// An item of the index is known by when it was opened and by its partition; the rest of its key follows from its kind.
fn position_in_index(kind: IndexKind, item: &Item) -> Option<String> {
    let name = text_of(item, PARTITION)?.strip_prefix(&format!("{}#", kind.item()))?;
    Some(format!("{}#{name}", text_of(item, OPEN_SINCE)?))
}

fn start_in_index(kind: IndexKind, position: &str) -> Result<Item, RegisterError> {
    let (since, name) = position.split_once('#').ok_or_else(invalid)?;
    let named = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric());
    if since.len() > 40 || since.parse::<Timestamp>().is_err() || name.is_empty() || !named {
        return Err(invalid());
    }
    let partition = format!("{}#{name}", kind.item());
    let mut start = key_attributes(&Key { partition, sort: kind.item().to_owned() });
    let place = [(OPEN_KIND, kind.as_str()), (OPEN_SINCE, since)];
    start.extend(place.map(|(name, value)| (name.to_owned(), text(value))));
    Ok(start)
}
