//! What a task has made, or was to take away, and what may be left of it.

use std::fmt;

use crate::error::TaskError;

/// Something that may still be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remnant {
    /// What it is: `the snapshot snap-1`.
    pub(crate) what: String,
    /// Why it was not taken away.
    pub(crate) why: String,
    /// The command that takes it away, or shows it.
    pub(crate) command: String,
}

impl fmt::Display for Remnant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: `{}` ({})", self.what, self.command, self.why)
    }
}

/// What a task ends with: how it went, and what may be left of it. Neither hides the other.
pub(crate) fn told<T>(
    outcome: Result<T, TaskError>,
    left: &[Remnant],
    in_words: impl FnOnce(&T) -> String,
) -> Result<T, TaskError> {
    if left.is_empty() {
        return outcome;
    }
    let why = match outcome {
        Ok(done) => in_words(&done),
        // Its own words would say that nothing is left.
        Err(TaskError::Interrupted) => "interrupted".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(TaskError::Leftovers { why, left: left.iter().map(Remnant::to_string).collect() })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use super::*;

    fn told_of(outcome: Result<u8, TaskError>, left: &[Remnant]) -> Result<u8, TaskError> {
        told(outcome, left, |number| format!("number {number} was made"))
    }

    #[test]
    fn what_went_wrong_and_what_is_left_are_both_told() {
        let left = [Remnant {
            what: "the snapshot snap-1".to_owned(),
            why: "UnauthorizedOperation".to_owned(),
            command: "aws ec2 delete-snapshot --snapshot-id snap-1".to_owned(),
        }];
        let error = || TaskError::CheckFailed("the disk is not encrypted".to_owned());
        let both = told_of(Err(error()), &left).unwrap_err().to_string();
        for part in
            ["the disk is not encrypted", "delete-snapshot --snapshot-id snap-1`", "UnauthorizedOperation"]
        {
            assert!(both.contains(part), "{both}");
        }
        assert!(told_of(Ok(7), &left).unwrap_err().to_string().starts_with("number 7 was made\n"));
        assert!(matches!(told_of(Err(TaskError::Interrupted), &[]), Err(TaskError::Interrupted)));
        assert_eq!(told_of(Ok(7), &[]).unwrap(), 7);
    }
}
