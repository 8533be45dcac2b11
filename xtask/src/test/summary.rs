//! The last thing on the screen: every step, how it went, how long it took.

use std::time::Duration;

use super::steps::Step;
use crate::speech;

/// How a step went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StepResult {
    Passed,
    Failed,
    /// Not checked, with the reason.
    Skipped(String),
}

impl StepResult {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped(_) => "skipped",
        }
    }
}

/// One line of the summary.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) result: StepResult,
    pub(super) duration: Option<Duration>,
}

impl Entry {
    /// For a step behind one that failed.
    pub(super) fn not_reached(step: &Step) -> Self {
        let reason = "a step before it failed; --keep-going runs it all the same".to_owned();
        Self { name: step.name, result: StepResult::Skipped(reason), duration: None }
    }
}

/// Says the table, and the counts alone on the last line, where people and programs look for them.
pub(super) fn say(entries: &[Entry]) {
    speech::headline("Summary");
    for entry in entries {
        speech::say(&line(entry));
    }
    let total = entries.iter().filter_map(|entry| entry.duration).sum();
    speech::say(&format!("{:<20} {:<8} {:>12}", "together", "", speech::duration(total)));
    speech::say("");
    speech::say(&counts(entries));
}

fn line(entry: &Entry) -> String {
    let duration = entry.duration.map(speech::duration).unwrap_or_default();
    let line = format!("{:<20} {:<8} {duration:>12}", entry.name, entry.result.word());
    match &entry.result {
        StepResult::Skipped(reason) => format!("{line}   {reason}"),
        _ => line,
    }
}

fn counts(entries: &[Entry]) -> String {
    let of = |word: &str| entries.iter().filter(|entry| entry.result.word() == word).count();
    let counts = format!("{} passed, {} failed", of("passed"), of("failed"));
    match of("skipped") {
        0 => counts,
        skipped => format!("{counts}, {skipped} skipped"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(result: StepResult) -> Entry {
        Entry { name: "clippy", result, duration: Some(Duration::from_secs(75)) }
    }

    #[test]
    fn the_counts_tell_what_was_skipped() {
        let skipped = entry(StepResult::Skipped("no network".to_owned()));
        assert_eq!(counts(&[entry(StepResult::Passed), entry(StepResult::Failed)]), "1 passed, 1 failed");
        assert_eq!(counts(&[entry(StepResult::Passed), skipped]), "1 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn a_line_has_a_duration_and_a_reason() {
        let passed = line(&entry(StepResult::Passed));
        assert!(
            passed.starts_with("clippy ") && passed.contains(" passed ") && passed.ends_with(" 1 min 15 s")
        );
        assert!(line(&entry(StepResult::Skipped("no network".to_owned()))).ends_with("no network"));
    }
}
