//! Whether the register is the one it was, or was restored to an earlier time.

use jiff::{SignedDuration, Timestamp};
use rekindle_domain::register_epoch::FENCES_PER_EPOCH;
use rekindle_domain::{EpochWitness, Fence, RegisterEpoch};

/// How often a living register makes its mark grow. An older copy that is written over the table is noticed when it is
/// older than this; a table of another identity is noticed at once.
pub const MARK_INTERVAL: SignedDuration = SignedDuration::from_mins(10);

/// How the register stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisterStanding {
    /// It is the one it was.
    Current(RegisterEpoch),
    /// It says nothing of itself, and nobody remembers anything of it: it is new if it is empty.
    New,
    /// It was restored to an earlier time, and not rebuilt since.
    Restored {
        /// One sentence: by what that is known.
        sentence: String,
    },
}

/// How the register stands, from what it says of itself, which table it lies in, and what the control bucket remembers.
/// Who cannot read the bucket passes no witness, and relies on what others have found out.
pub fn standing(
    recorded: Option<&RegisterEpoch>,
    table_id: &str,
    witness: Option<EpochWitness>,
) -> RegisterStanding {
    let restored = |sentence: String| RegisterStanding::Restored { sentence };
    let Some(recorded) = recorded else {
        return match witness {
            None => RegisterStanding::New,
            Some(witness) => restored(format!(
                "it holds no epoch, and the control bucket remembers epoch {} of it",
                witness.epoch
            )),
        };
    };
    if recorded.table_id != table_id {
        let sentence = "its content was written into another table and restored into this one".to_owned();
        return restored(sentence);
    }
    if let Some(witness) = witness.filter(|witness| *witness > recorded.progress()) {
        return restored(format!(
            "it stands at mark {} of epoch {}, and the control bucket has seen mark {} of epoch {}",
            recorded.mark, recorded.epoch, witness.mark, witness.epoch
        ));
    }
    match &recorded.restored {
        Some(sentence) => restored(sentence.clone()),
        None => RegisterStanding::Current(recorded.clone()),
    }
}

/// What a new register says of itself.
pub fn first_epoch(table_id: &str, now: Timestamp) -> RegisterEpoch {
    RegisterEpoch { table_id: table_id.to_owned(), epoch: 1, mark: 0, marked_at: now, restored: None }
}

/// The next mark, when it is time for one.
pub fn next_mark(current: &RegisterEpoch, now: Timestamp) -> Option<RegisterEpoch> {
    let is_time = now.duration_since(current.marked_at) >= MARK_INTERVAL;
    is_time.then(|| RegisterEpoch { mark: current.mark + 1, marked_at: now, ..current.clone() })
}

/// What a rebuilt register says of itself: an epoch that nobody has seen yet. Asked again before it is written, it is
/// the same one.
pub fn next_epoch(
    recorded: Option<&RegisterEpoch>,
    table_id: &str,
    witness: Option<EpochWitness>,
    now: Timestamp,
) -> RegisterEpoch {
    let recorded = recorded.map_or(0, |recorded| recorded.epoch);
    let seen = recorded.max(witness.map_or(0, |witness| witness.epoch));
    RegisterEpoch { epoch: seen + 1, ..first_epoch(table_id, now) }
}

/// Below this no lease is taken in the epoch.
pub fn lowest_fence(epoch: u64) -> Fence {
    Fence(epoch.saturating_mul(FENCES_PER_EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITNESS: EpochWitness = EpochWitness { epoch: 3, mark: 7 };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn recorded(epoch: u64, mark: u64) -> RegisterEpoch {
        RegisterEpoch { epoch, mark, ..first_epoch("table-1", at(0)) }
    }

    fn is_restored(recorded: &RegisterEpoch, table: &str, witness: Option<EpochWitness>) -> bool {
        matches!(standing(Some(recorded), table, witness), RegisterStanding::Restored { .. })
    }

    #[test]
    fn another_table_with_the_same_content_is_a_restored_one() {
        assert!(!is_restored(&recorded(3, 7), "table-1", Some(WITNESS)));
        assert!(is_restored(&recorded(3, 7), "table-2", Some(WITNESS)));
        assert!(is_restored(&recorded(3, 7), "table-2", None), "noticed without the bucket too");
    }

    #[test]
    fn an_older_copy_in_the_same_table_is_known_by_the_bucket() {
        for (epoch, mark, is_older) in
            [(3, 6, true), (2, 9, true), (3, 7, false), (3, 8, false), (4, 0, false)]
        {
            assert_eq!(
                is_restored(&recorded(epoch, mark), "table-1", Some(WITNESS)),
                is_older,
                "{epoch} {mark}"
            );
        }
    }

    #[test]
    fn what_somebody_else_found_out_counts() {
        let told = RegisterEpoch { restored: Some("the bucket is ahead".to_owned()), ..recorded(3, 7) };
        let expected = RegisterStanding::Restored { sentence: "the bucket is ahead".to_owned() };
        assert_eq!(standing(Some(&told), "table-1", None), expected);
    }

    #[test]
    fn a_register_that_nobody_remembers_is_new_and_one_that_somebody_does_is_not() {
        assert_eq!(standing(None, "table-1", None), RegisterStanding::New);
        assert!(matches!(standing(None, "table-1", Some(WITNESS)), RegisterStanding::Restored { .. }));
    }

    #[test]
    fn the_mark_grows_when_it_is_time() {
        let current = recorded(1, 4);
        assert_eq!(next_mark(&current, at(599)), None);
        let expected = RegisterEpoch { mark: 5, marked_at: at(600), ..current.clone() };
        assert_eq!(next_mark(&current, at(600)), Some(expected));
    }

    #[test]
    fn a_rebuilt_register_has_an_epoch_that_nobody_has_seen_and_fences_above_all_of_them() {
        for (recorded_epoch, witness, expected) in [
            (Some(recorded(2, 9)), Some(WITNESS), 4),
            (Some(recorded(5, 0)), Some(WITNESS), 6),
            (None, None, 1),
        ] {
            let next = next_epoch(recorded_epoch.as_ref(), "table-2", witness, at(9));
            assert_eq!((next.epoch, next.mark, next.restored), (expected, 0, None));
        }
        assert!(lowest_fence(4) > Fence(3 * FENCES_PER_EPOCH + 1_000_000));
    }
}
