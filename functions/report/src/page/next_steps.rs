//! What a person has to do now: one sentence for the outcome, then whatever in the report needs a look.

use maud::{Markup, html};
use rekindle_domain::report::{RecoveryFacts, ResourceRecord, ServiceFacts};
use rekindle_domain::{Flow, Outcome, RecoveryKind, Report};

use super::objectives::{self, Measure};
use super::recovery::policy_name;
use super::words::{Sentence, span};

/// The section "What to do next".
pub(super) fn section(report: &Report) -> Markup {
    let findings = findings(report);
    html! {
        section aria-labelledby="next" {
            h2 #next { "What to do next" }
            p { (standard_sentence(report)) }
            @if !findings.is_empty() {
                h3 { "Findings to follow up" }
                ol .findings {
                    @for finding in &findings { li { (Sentence(finding)) } }
                }
            }
        }
    }
}

fn standard_sentence(report: &Report) -> &'static str {
    let kind = report.recovery.as_ref().map(|facts| facts.kind);
    let is_rehearsal = kind == Some(RecoveryKind::Rehearsal);
    match report.outcome {
        Outcome::Refreshed => "Nothing needs to be done. The next recovery starts from the new image.",
        Outcome::NothingToDo => "Nothing needs to be done.",
        Outcome::Coalesced => "Nothing needs to be done: the run that is at work takes this request along.",
        Outcome::BackingOff => {
            "Nothing needs to be done now: the same work is tried again later, and a person is asked after three failures."
        }
        Outcome::Quarantined => {
            "Find out why this backup set cannot be restored, or take a full backup. Until then recoveries start from the last proven image."
        }
        Outcome::LimitReached => {
            "Nothing needs to be done now: the sweep tries again. If this happens often, raise the limit."
        }
        Outcome::Refused => {
            "Find out who wrote what was refused, and whether its source can still be trusted. Recoveries start from the last proven image."
        }
        Outcome::VerificationFailed => {
            "Look at the checks that did not hold. Recoveries start from the last proven image."
        }
        Outcome::Recovered if is_rehearsal => "Keep this report as evidence of the rehearsal.",
        Outcome::Recovered => {
            "Lead the users to the replicas below. They are kept, and cost money, until production has resumed."
        }
        Outcome::PartiallyRecovered if is_rehearsal => {
            "Repair what kept services from serving (each says why below), then rehearse again."
        }
        Outcome::PartiallyRecovered => {
            "Help the services that do not serve: each says why below. What serves is kept: lead its users there now."
        }
        Outcome::Declined => "Ask again when the reason for the refusal is gone.",
        Outcome::TimedOut => "Ask again, and make sure that somebody who may approve can be reached.",
        Outcome::Failed if report.flow == Flow::RefreshImage => {
            "Look at the step that failed. Recoveries start from the last proven image."
        }
        Outcome::Failed => "Look at the step that failed, and ask again when its cause is gone.",
        Outcome::LeftForSweep => {
            "See that the resources below are gone after the next sweep; until then they may cost money."
        }
    }
}

fn findings(report: &Report) -> Vec<String> {
    let mut findings = Vec::new();
    if let Some(facts) = &report.recovery {
        findings.extend(approval_finding(facts));
        for service in &facts.services {
            findings.extend(service_findings(service));
        }
    }
    findings.extend(leftovers(report));
    findings
}

fn approval_finding(facts: &RecoveryFacts) -> Option<String> {
    let decision = facts.decision.as_ref()?;
    let by_requester =
        policy_name(&decision.decided_by).is_none() && decision.decided_by == facts.requested_by;
    by_requester
        .then(|| format!("{} both requested and decided: these should be two people.", facts.requested_by))
}

fn service_findings(service: &ServiceFacts) -> Vec<String> {
    let mut findings = Vec::new();
    if let Some(cause) = &service.cause {
        findings.push(format!("{} does not serve: {cause}", service.service));
    }
    for measure in [Measure::RecoveryTime, Measure::RecoveryPoint] {
        if let Some(excess) = objectives::excess(service, measure) {
            findings.push(format!(
                "{} missed its {} objective by {}: {}, or change the objective.",
                service.service,
                measure.name(),
                span(excess),
                measure.advice()
            ));
        }
    }
    for replica in service.replicas.iter().filter(|replica| replica.fell_back) {
        findings.push(format!(
            "The planned image of {} did not boot, and the older {} was started: find out why.",
            replica.machine, replica.image_id
        ));
    }
    findings
}

/// Only a declared disaster keeps what it started.
fn leftovers(report: &Report) -> Vec<String> {
    let is_disaster = report.recovery.as_ref().is_some_and(|facts| facts.kind == RecoveryKind::Disaster);
    let finding = |resource: &ResourceRecord| match resource.fate.as_str() {
        "left-for-sweep" => {
            Some(format!("The {} {} is left for the sweep to destroy.", resource.kind, resource.id))
        }
        "kept" if !is_disaster => {
            Some(format!("The {} {} was kept, though no disaster was declared.", resource.kind, resource.id))
        }
        _ => None,
    };
    report.resources.iter().filter_map(finding).collect()
}
