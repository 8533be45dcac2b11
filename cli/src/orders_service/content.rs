//! What orders look like: made from their id, so that the same data can be made again anywhere.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// One order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Counts from 1 without gaps.
    pub id: i64,
    /// Grows with each change.
    pub revision: i64,
    /// How many pieces.
    pub quantity: i64,
    /// About nine hundred characters, half of them incompressible, as real text and numbers are.
    pub note: String,
}

/// What a row takes in the database, roughly, in bytes; the demo turns megabytes into rows with it.
pub const ROW_BYTES: u64 = 1_000;

impl Order {
    /// The order with this id as of a revision.
    pub fn new(id: i64, revision: i64) -> Self {
        let mut note = String::with_capacity(900);
        let mut part = 0_u32;
        while note.len() < 870 {
            let hash = Sha256::digest(format!("order {id} revision {revision} part {part}"));
            note.push_str(&hex::encode(hash));
            note.push(' ');
            part += 1;
        }
        Self { id, revision, quantity: (id * 7 + revision) % 100, note }
    }

    /// The same order after a change.
    pub fn changed(&self) -> Self {
        Self::new(self.id, self.revision + 1)
    }

    /// What two rows are compared by.
    pub fn fingerprint(&self) -> [u8; 32] {
        let text = format!("{}\u{0}{}\u{0}{}\u{0}{}", self.id, self.revision, self.quantity, self.note);
        Sha256::digest(text).into()
    }
}
