//! What is particular to a recovery: who asked, who decided, and how to reach what was started.

use maud::{Markup, html};
use rekindle_domain::report::{RecoveryFacts, ReplicaFacts, ServiceFacts};
use rekindle_domain::{Decision, RecoveryKind};

use super::words::{Foreign, Sentence, Tone, code, count, fact, instant, result, span};

/// The name of the policy that decided, where it was not a person.
pub(super) fn policy_name(decided_by: &str) -> Option<&str> {
    decided_by.strip_prefix("policy:")
}

/// The section "What was asked".
pub(super) fn request(facts: &RecoveryFacts) -> Markup {
    html! {
        section aria-labelledby="request" {
            h2 #request { "What was asked, and who decided" }
            dl .facts {
                (fact("Kind", Some(html! { (kind_words(facts.kind)) })))
                (fact("Requested by", Some(html! { (Foreign(&facts.requested_by)) })))
                (fact("Reason", Some(html! { (Foreign(&facts.reason)) })))
                (fact("Declared", Some(instant(facts.declared_at))))
                (fact("Decision", Some(decision(facts.decision.as_ref()))))
                (fact("Plan", Some(plan(facts))))
                (fact("Predicted recovery time", facts.predicted_recovery_time.map(|time| html! { (span(time)) })))
            }
        }
    }
}

fn kind_words(kind: RecoveryKind) -> &'static str {
    match kind {
        RecoveryKind::Disaster => "Declared disaster: what serves is kept",
        RecoveryKind::Rehearsal => "Rehearsal: everything is destroyed afterwards",
    }
}

fn plan(facts: &RecoveryFacts) -> Markup {
    match &facts.plan_id {
        Some(plan_id) => html! { (code(plan_id)) },
        None => html! { "none could be made" },
    }
}

fn decision(decision: Option<&Decision>) -> Markup {
    let Some(decision) = decision else {
        return html! { "None was recorded" };
    };
    let (tone, word) = if decision.approved { (Tone::Good, "Approved") } else { (Tone::Bad, "Declined") };
    html! {
        (result(tone, word))
        @match policy_name(&decision.decided_by) {
            Some(policy) if decision.approved => {
                " beforehand by the policy “" (Foreign(policy)) "”; no person was asked"
            }
            Some(policy) => { " by the policy “" (Foreign(policy)) "”; no person decided" }
            None => { " by " (Foreign(&decision.decided_by)) }
        }
        ", " (instant(decision.decided_at))
        @if let Some(comment) = &decision.comment {
            br;
            q { (Foreign(comment)) }
        }
    }
}

/// The section "Replicas".
pub(super) fn replicas(facts: &RecoveryFacts) -> Markup {
    let number = facts.services.iter().map(|service| service.replicas.len()).sum();
    html! {
        section aria-labelledby="replicas" {
            h2 #replicas { "What was started" }
            @if number == 0 {
                p { "No replica was started." }
            } @else {
                p .note { (sentence(number, facts.kind)) }
            }
            @for service in &facts.services { (replicas_of(service)) }
        }
    }
}

fn sentence(number: usize, kind: RecoveryKind) -> String {
    let replicas = count(number, "replica was", "replicas were");
    match kind {
        RecoveryKind::Disaster => format!("{replicas} started. The SSH key is the customer's own."),
        RecoveryKind::Rehearsal => {
            format!("{replicas} started for the rehearsal. The addresses were valid while it lasted.")
        }
    }
}

fn replicas_of(service: &ServiceFacts) -> Markup {
    html! {
        @if !service.replicas.is_empty() || service.cause.is_some() {
            h3 { (service.service.to_string()) }
        }
        @if let Some(cause) = &service.cause {
            p { (result(Tone::Bad, "Does not serve:")) " " (Sentence(cause)) }
        }
        @if !service.replicas.is_empty() {
            div .wide {
                table .replicas {
                    thead {
                        tr {
                            th scope="col" { "Machine" }
                            th scope="col" { "Reached at" }
                            th scope="col" { "Started from" }
                            th scope="col" { "Serving" }
                        }
                    }
                    tbody { @for replica in &service.replicas { (row(replica)) } }
                }
            }
        }
    }
}

fn row(replica: &ReplicaFacts) -> Markup {
    html! {
        tr {
            th scope="row" {
                (replica.machine.machine_id)
                span .under { "instance " (code(&replica.instance_id)) }
            }
            td {
                (code_or_none(&replica.hostname))
                span .under { "address " (code_or_none(&replica.ip_address)) }
                span .under { "SSH key " (code_or_none(&replica.ssh_key_name)) }
            }
            td {
                "image " (code(&replica.image_id))
                span .under { "data until " (instant(replica.recovery_point)) }
                @if replica.fell_back {
                    span .under { (result(Tone::Attention, "fell back: the planned image did not boot")) }
                } @else {
                    span .under { "as planned" }
                }
            }
            td { (serving(replica)) }
        }
    }
}

/// A replica that never came up has told no name and no address.
fn code_or_none(text: &str) -> Markup {
    if text.is_empty() {
        html! { "none known" }
    } else {
        code(text)
    }
}

fn serving(replica: &ReplicaFacts) -> Markup {
    html! {
        @match replica.serving_since {
            Some(since) => {
                (result(Tone::Good, "serving since"))
                span .under { (instant(since)) }
            }
            None => { (result(Tone::Bad, "never answered correctly")) }
        }
        @if let Some(verdict) = &replica.verdict {
            @let held = verdict.checks.len() - verdict.failures().count();
            span .under { (held) " of " (count(verdict.checks.len(), "check", "checks")) " held" }
        }
    }
}
