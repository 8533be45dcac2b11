//! Every check of every verdict: the proof that a restore is this backup, and that the application answers.

use maud::{Markup, html};
use rekindle_domain::{Check, CheckKind, Report, Verdict};

use super::words::{Foreign, Tone, fact, instant, result};

/// The section "What was checked".
pub(super) fn section(report: &Report) -> Markup {
    let verdicts = verdicts(report);
    html! {
        section aria-labelledby="checks" {
            h2 #checks { "What was checked" }
            @if verdicts.is_empty() {
                p { "Nothing was checked: the run did not get that far." }
            }
            @for checked in &verdicts { (verdict_table(checked)) }
        }
    }
}

struct Checked<'a> {
    subject: String,
    /// A restore needs the whole minimum proof; a replica comes from an image that has it already.
    is_restore: bool,
    verdict: &'a Verdict,
}

fn verdicts(report: &Report) -> Vec<Checked<'_>> {
    let restores = report.refresh.iter().filter_map(|facts| {
        let verdict = facts.verdict.as_ref()?;
        Some(Checked { subject: format!("Restore of {}", facts.machine), is_restore: true, verdict })
    });
    let replicas =
        report.recovery.iter().flat_map(|facts| &facts.services).flat_map(|service| &service.replicas);
    let replicated = replicas.filter_map(|replica| {
        let verdict = replica.verdict.as_ref()?;
        Some(Checked { subject: format!("Replica of {}", replica.machine), is_restore: false, verdict })
    });
    restores.chain(replicated).collect()
}

fn proof(verdict: &Verdict) -> Markup {
    let (tone, word) = if verdict.passed() {
        (Tone::Good, "The restore is proven")
    } else {
        (Tone::Bad, "The restore is not proven")
    };
    html! { (result(tone, word)) ": " (Foreign(&verdict.sentence())) }
}

fn verdict_table(checked: &Checked<'_>) -> Markup {
    let verdict = checked.verdict;
    html! {
        h3 { (checked.subject) }
        dl .facts {
            @if checked.is_restore { (fact("Verdict", Some(proof(verdict)))) }
            (fact("Checked", Some(instant(verdict.verified_at))))
            (fact("Recovery point read back", verdict.recovery_point.map(instant)))
        }
        @if verdict.checks.is_empty() {
            p { "No check was made, so nothing is proven." }
        } @else {
            div .wide {
                table .checks {
                    thead {
                        tr {
                            th scope="col" { "Check" }
                            th scope="col" { "What it proves" }
                            th scope="col" { "Finding" }
                            th scope="col" { "Result" }
                        }
                    }
                    tbody { @for check in &verdict.checks { (row(check)) } }
                }
            }
        }
    }
}

fn row(check: &Check) -> Markup {
    html! {
        tr {
            th scope="row" {
                (Foreign(&check.name))
                @if let Some(data_store) = &check.data_store {
                    span .under { "data store " (Foreign(data_store)) }
                }
            }
            td { (proves(check.kind)) }
            td { (Foreign(&check.explanation)) }
            td {
                @if check.passed { (result(Tone::Good, "held")) } @else { (result(Tone::Bad, "did not hold")) }
            }
        }
    }
}

fn proves(kind: CheckKind) -> &'static str {
    match kind {
        CheckKind::Transport => "Everything arrived, signed and unaltered",
        CheckKind::Position => "The engine stands where the backup ended",
        CheckKind::Heartbeat => "It is this backup and no older one",
        CheckKind::Probe => "A value is as it was at backup time",
        CheckKind::Structure => "The engine finds its files sound",
        CheckKind::Application => "The application answers",
    }
}
