//! Where a list goes on: opaque to callers, and good for the list that gave it only.

use rekindle_cmdb::{Page, RegisterError};
use serde::{Deserialize, Serialize};

use super::code::Code;
use super::error::OperatorApiError;

/// How many entries a page has when nobody says.
const USUAL_LIMIT: usize = 50;
/// How many it has at most.
pub const LARGEST_LIMIT: usize = 100;
/// The longest cursor that is read.
const LONGEST_CURSOR: usize = 2_048;

/// Which page of a list is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// At most so many entries: 1 to [`LARGEST_LIMIT`].
    pub limit: Option<usize>,
    /// The `next` of the page before.
    pub next: Option<String>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct List<T> {
    /// The entries.
    pub items: Vec<T>,
    /// What to ask for the next page with; none on the last one.
    pub next: Option<String>,
}

impl PageQuery {
    pub(super) fn limit(&self) -> Result<usize, OperatorApiError> {
        match self.limit.unwrap_or(USUAL_LIMIT) {
            limit if (1..=LARGEST_LIMIT).contains(&limit) => Ok(limit),
            _ => Err(OperatorApiError::new(
                Code::QueryInvalid,
                format!("limit is a number from 1 to {LARGEST_LIMIT}."),
            )),
        }
    }

    /// The register's own position, where the cursor is one of this list.
    pub(super) fn position(&self, list: &str) -> Result<Option<String>, OperatorApiError> {
        let Some(cursor) = &self.next else { return Ok(None) };
        let bytes = if cursor.len() > LONGEST_CURSOR { None } else { hex::decode(cursor).ok() };
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let position = text.as_deref().and_then(|text| text.strip_prefix(list)?.strip_prefix('\n'));
        position.map(|position| Some(position.to_owned())).ok_or_else(invalid)
    }
}

fn invalid() -> OperatorApiError {
    OperatorApiError::new(Code::CursorInvalid, "Use the `next` of a page of this very list, as it was given.")
}

/// What the register answered, as a page with a cursor.
pub(super) fn list<T>(list: &str, page: Result<Page<T>, RegisterError>) -> Result<List<T>, OperatorApiError> {
    let page = page.map_err(|error| match error {
        RegisterError::Invalid(_) => invalid(),
        error => error.into(),
    })?;
    Ok(List { items: page.items, next: page.next.map(|position| hex::encode(format!("{list}\n{position}"))) })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_only() {
        let page = Page { items: vec![1], next: Some("a position".to_owned()) };
        let next = list("services acme", Ok(page)).unwrap().next;
        let query = PageQuery { limit: None, next };
        assert_eq!(query.position("services acme").unwrap().as_deref(), Some("a position"));
        for other in ["services", "services other", "runs"] {
            assert_eq!(
                query.position(other).map_err(|error| error.code),
                Err(Code::CursorInvalid),
                "{other}"
            );
        }
        for cursor in ["", "zz", "é", &"00".repeat(LONGEST_CURSOR)] {
            let query = PageQuery { limit: None, next: Some(cursor.to_owned()) };
            assert!(query.position("runs").is_err(), "{cursor}");
        }
    }
}
