//! How a run ended, from the name of the error that ended it.

use rekindle_domain::{Flow, Outcome};
use rekindle_step::ErrorName;

/// The ending that an error means; none while the run may still turn out well.
///
/// `error` is empty, a name of the contract, the name of an [`Outcome`], or a name of the workflow engine
/// (`States.Timeout`). A good ending of a refresh that had nothing to do is told by its cause, which begins with it.
pub fn outcome_of(flow: Flow, error: &str, cause: &str) -> Option<Outcome> {
    if error.is_empty() {
        return good_ending(flow, cause);
    }
    Some(named(error).or_else(|| ErrorName::parse(error).map(meaning)).unwrap_or(Outcome::Failed))
}

fn good_ending(flow: Flow, cause: &str) -> Option<Outcome> {
    let begins_with = |outcome: Outcome| cause.starts_with(outcome.name());
    match flow {
        Flow::RefreshImage if begins_with(Outcome::NothingToDo) => Some(Outcome::NothingToDo),
        Flow::RefreshImage if begins_with(Outcome::Coalesced) => Some(Outcome::Coalesced),
        Flow::RefreshImage => Some(Outcome::Refreshed),
        // How a recovery went is known only when its replicas are counted.
        Flow::Recover => None,
    }
}

fn named(error: &str) -> Option<Outcome> {
    const ENDINGS: [Outcome; 5] = [
        Outcome::BackingOff,
        Outcome::Quarantined,
        Outcome::LimitReached,
        Outcome::Refused,
        Outcome::LeftForSweep,
    ];
    ENDINGS.into_iter().find(|outcome| outcome.name() == error)
}

fn meaning(error: ErrorName) -> Outcome {
    match error {
        ErrorName::VerificationFailed => Outcome::VerificationFailed,
        ErrorName::Declined => Outcome::Declined,
        ErrorName::ApprovalTimedOut => Outcome::TimedOut,
        ErrorName::ObjectCorrupt
        | ErrorName::ObjectTruncated
        | ErrorName::ObjectMissing
        | ErrorName::SignatureInvalid
        | ErrorName::RecipeUnknown
        | ErrorName::SetRefused
        | ErrorName::SetOutOfOrder
        | ErrorName::ConfigurationRefused
        | ErrorName::DecryptionFailed
        | ErrorName::RegisterRestored
        | ErrorName::UnknownService => Outcome::Refused,
        _ => Outcome::Failed,
    }
}

/// What a failure is held against the work itself as (the set, the image, the configuration, the recipe), so that the
/// same work is tried again later and set aside after three times. None for what says nothing about the work: a
/// provider without capacity, a lost lease, a register that could not be reached.
pub fn held_against_the_work(error: &str) -> Option<ErrorName> {
    if matches!(error, "States.Timeout" | "States.HeartbeatTimeout") {
        return Some(ErrorName::AgentSilent);
    }
    let is_about_work = |name: &ErrorName| {
        matches!(name, ErrorName::VerificationFailed | ErrorName::ImageFailed)
            || name.as_str().starts_with("Agent.")
    };
    ErrorName::parse(error).filter(is_about_work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_has_its_own_outcome() {
        let refresh = |error, cause| outcome_of(Flow::RefreshImage, error, cause);
        assert_eq!(refresh("Register.Restored", "rebuild it"), Some(Outcome::Refused));
        assert_eq!(refresh("", ""), Some(Outcome::Refreshed));
        assert_eq!(refresh("", "NothingToDo: it is there"), Some(Outcome::NothingToDo));
        assert_eq!(refresh("", "Coalesced: another run"), Some(Outcome::Coalesced));
        assert_eq!(refresh("BackingOff", "later"), Some(Outcome::BackingOff));
        assert_eq!(refresh("Agent.ObjectCorrupt", "a byte"), Some(Outcome::Refused));
        assert_eq!(refresh("Refresh.VerificationFailed", "no"), Some(Outcome::VerificationFailed));
        assert_eq!(refresh("States.Timeout", "late"), Some(Outcome::Failed));
        assert_eq!(outcome_of(Flow::Recover, "", ""), None);
        assert_eq!(outcome_of(Flow::Recover, "Recovery.Declined", "no"), Some(Outcome::Declined));
        assert_eq!(outcome_of(Flow::Recover, "Recovery.ApprovalTimedOut", ""), Some(Outcome::TimedOut));
    }

    #[test]
    fn only_what_the_work_is_to_blame_for_counts_against_it() {
        assert_eq!(held_against_the_work("Agent.ObjectCorrupt"), Some(ErrorName::ObjectCorrupt));
        assert_eq!(held_against_the_work("States.HeartbeatTimeout"), Some(ErrorName::AgentSilent));
        assert_eq!(held_against_the_work("Cloud.NoCapacity"), None);
        assert_eq!(held_against_the_work("Register.FenceLost"), None);
        assert_eq!(held_against_the_work(""), None);
    }
}
