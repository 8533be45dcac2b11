//! Objective against measured, for each service: in numbers, in a word, and drawn.
//!
//! Every bar is scaled to its own objective, so that a service with an objective of minutes and one with an
//! objective of hours can be compared at a glance: whatever crosses the line is late.

use maud::{Markup, html};
use rekindle_domain::Seconds;
use rekindle_domain::report::{RecoveryFacts, ServiceFacts};

use super::words::{Tone, result, span};

/// Where the line of the objective is drawn, in percent of the drawing's width.
const OBJECTIVE_AT_PERCENT: f64 = 64.0;

/// What has an objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    RecoveryTime,
    RecoveryPoint,
}

impl Measure {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RecoveryTime => "recovery time",
            Self::RecoveryPoint => "recovery point",
        }
    }

    /// What helps when its objective was missed.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::RecoveryTime => "shorten the step that took longest",
            Self::RecoveryPoint => "back up more often",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::RecoveryTime => "Recovery time",
            Self::RecoveryPoint => "Recovery point",
        }
    }

    fn objective(self, service: &ServiceFacts) -> Option<Seconds> {
        match self {
            Self::RecoveryTime => service.recovery_time_objective,
            Self::RecoveryPoint => service.recovery_point_objective,
        }
    }

    fn measured(self, service: &ServiceFacts) -> Option<Seconds> {
        match self {
            Self::RecoveryTime => service.recovery_time,
            Self::RecoveryPoint => service.recovery_point,
        }
    }
}

/// How many objectives were met, of those that are set.
pub(super) fn met_of_set(facts: &RecoveryFacts) -> (usize, usize) {
    let measures = || {
        facts.services.iter().flat_map(|service| {
            [Measure::RecoveryTime, Measure::RecoveryPoint].map(|measure| (service, measure))
        })
    };
    let set = measures().filter(|(service, measure)| measure.objective(service).is_some()).count();
    let met = measures().filter(|(service, measure)| is_met(service, *measure) == Some(true)).count();
    (met, set)
}

/// By how much an objective was missed, where it was missed and measured.
pub(super) fn excess(service: &ServiceFacts, measure: Measure) -> Option<Seconds> {
    let (objective, measured) = (measure.objective(service)?, measure.measured(service)?);
    (measured.0 > objective.0).then_some(Seconds(measured.0 - objective.0))
}

fn is_met(service: &ServiceFacts, measure: Measure) -> Option<bool> {
    let objective = measure.objective(service)?;
    Some(measure.measured(service).is_some_and(|measured| measured.0 <= objective.0))
}

/// The section "Objectives".
pub(super) fn section(facts: &RecoveryFacts) -> Markup {
    html! {
        section aria-labelledby="objectives" {
            h2 #objectives { "Objective against measured" }
            @if facts.services.is_empty() {
                p { "No service was to be recovered, so nothing was measured." }
            } @else {
                p .note {
                    "Recovery time counts from the declaration to the first checked answer of the application. "
                    "Recovery point is the age, at the declaration, of the oldest data that came back. "
                    "Each bar is scaled to its objective."
                }
                div .wide { (table(facts)) }
            }
        }
    }
}

fn table(facts: &RecoveryFacts) -> Markup {
    html! {
        table .objectives {
            thead {
                tr {
                    th scope="col" { "Service" }
                    th scope="col" { "Measure" }
                    th .number scope="col" { "Objective" }
                    th .number scope="col" { "Measured" }
                    th .drawing scope="col" { (scale()) }
                    th scope="col" { "Result" }
                }
            }
            @for service in &facts.services {
                tbody {
                    tr {
                        th scope="rowgroup" rowspan="2" { (service.service.to_string()) }
                        (cells(service, Measure::RecoveryTime))
                    }
                    tr { (cells(service, Measure::RecoveryPoint)) }
                }
            }
        }
    }
}

fn scale() -> Markup {
    html! {
        svg role="img" width="100%" height="18" {
            title { "Scale of the bars: from zero to the objective, and beyond" }
            text x="0" y="13" { "0" }
            text x=(percent(OBJECTIVE_AT_PERCENT)) y="13" text-anchor="middle" { "objective" }
        }
    }
}

fn cells(service: &ServiceFacts, measure: Measure) -> Markup {
    let (objective, measured) = (measure.objective(service), measure.measured(service));
    html! {
        td { (measure.label()) }
        td .number { (objective.map_or_else(|| "none".to_owned(), span)) }
        td .number { (measured.map_or_else(|| "–".to_owned(), span)) }
        td .drawing { (bar(objective, measured)) }
        td { (judgement(objective, measured, measure)) }
    }
}

fn judgement(objective: Option<Seconds>, measured: Option<Seconds>, measure: Measure) -> Markup {
    match (objective, measured) {
        (Some(objective), Some(measured)) if measured.0 <= objective.0 => result(Tone::Good, "met"),
        (Some(objective), Some(measured)) => {
            result(Tone::Bad, &format!("missed by {}", span(Seconds(measured.0 - objective.0))))
        }
        (Some(_), None) => result(
            Tone::Bad,
            match measure {
                Measure::RecoveryTime => "not reached: does not serve",
                Measure::RecoveryPoint => "not measured",
            },
        ),
        (None, _) => result(Tone::Neutral, "no objective"),
    }
}

fn bar(objective: Option<Seconds>, measured: Option<Seconds>) -> Markup {
    let line = percent(OBJECTIVE_AT_PERCENT);
    html! {
        svg role="img" width="100%" height="100%" {
            title { (in_words(objective, measured)) }
            @if let (Some(objective), Some(measured)) = (objective, measured) {
                @let length = length_percent(objective, measured);
                rect class=(if measured.0 <= objective.0 { "bar" } else { "bar bad" })
                    x="0" y="9" width=(percent(length)) height="12" {}
                rect class=(if measured.0 <= objective.0 { "bar" } else { "bar bad" })
                    x="0" y="9" width="2" height="12" {}
                @if length >= 100.0 { (break_mark()) }
            }
            @if objective.is_some() {
                line .objective-line x1=(line) x2=(line) y1="10%" y2="90%" {}
            }
        }
    }
}

/// A bar that would leave the drawing is cut, and says so.
fn break_mark() -> Markup {
    html! {
        svg x="92%" y="5" width="14" height="20" { path .break-mark d="M1 19 L6 1 M7 19 L12 1" {} }
    }
}

fn length_percent(objective: Seconds, measured: Seconds) -> f64 {
    let ratio = measured.0 / objective.0;
    // Nothing measured against an objective of nothing is no length; something against nothing is beyond any scale.
    if ratio.is_nan() { 0.0 } else { (ratio * OBJECTIVE_AT_PERCENT).clamp(0.0, 100.0) }
}

fn in_words(objective: Option<Seconds>, measured: Option<Seconds>) -> String {
    match (objective, measured) {
        (Some(objective), Some(measured)) => format!("{} of {} allowed", span(measured), span(objective)),
        (Some(objective), None) => format!("nothing measured, {} allowed", span(objective)),
        (None, Some(measured)) => format!("{}, without an objective", span(measured)),
        (None, None) => "nothing measured, and no objective".to_owned(),
    }
}

fn percent(value: f64) -> String {
    format!("{value:.2}%")
}
