//! Compares every row of the replica with what production held at the recovery point.

use std::collections::BTreeMap;

use rekindle_step::StepError;

use super::orders_client::OrdersClient;

/// What a service holds: each row's digest by its id.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contents(BTreeMap<i64, [u8; 32]>);

impl Contents {
    /// Reads every row of a service.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn of(client: &mut OrdersClient) -> Result<Self, StepError> {
        let mut rows = BTreeMap::new();
        let mut after = 0;
        loop {
            let page = client.page(after).await?;
            let Some(last) = page.last() else { return Ok(Self(rows)) };
            after = last.id;
            rows.extend(page.iter().map(|order| (order.id, order.fingerprint())));
        }
    }

    /// How many rows.
    pub fn rows(&self) -> u64 {
        self.0.len() as u64
    }

    /// Ids of rows that are missing, too many, or different.
    pub fn differences(&self, other: &Self) -> Vec<i64> {
        let changed = self.0.iter().filter(|(id, digest)| other.0.get(id) != Some(digest)).map(|(id, _)| *id);
        let extra = other.0.keys().filter(|id| !self.0.contains_key(id)).copied();
        changed.chain(extra).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(rows: &[(i64, u8)]) -> Contents {
        Contents(rows.iter().map(|(id, byte)| (*id, [*byte; 32])).collect())
    }

    #[test]
    fn a_row_that_is_missing_extra_or_different_is_found() {
        let expected = contents(&[(1, 1), (2, 2), (3, 3)]);
        assert!(expected.differences(&contents(&[(1, 1), (2, 2), (3, 3)])).is_empty());
        assert_eq!(expected.differences(&contents(&[(1, 1), (3, 3)])), vec![2]);
        assert_eq!(expected.differences(&contents(&[(1, 1), (2, 9), (3, 3), (4, 4)])), vec![2, 4]);
    }
}
