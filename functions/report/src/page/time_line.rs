//! The time line: every step as a bar on one axis.
//!
//! It is drawn inside a table, one drawing per row. So each bar stands beside its name, its time and its error, a
//! reader who cannot see it hears the same facts, and on paper the axis is printed again at the top of every sheet.

use jiff::Timestamp;
use maud::{Markup, html};
use rekindle_domain::report::StepRecord;
use rekindle_domain::{MachineKey, Report, Seconds};

use super::words::{Foreign, Tone, clock, instant, result, span};

/// More ticks than this crowd the axis on an A4 sheet.
const MOST_TICKS: f64 = 6.0;

/// Distances between ticks that people count in, in seconds.
const TICK_DISTANCES: [f64; 32] = [
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
    15.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    900.0,
    1800.0,
    3600.0,
    7200.0,
    10_800.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    604_800.0,
    2_592_000.0,
    31_536_000.0,
    3_153_600_000.0,
];

/// The section "Time line".
pub(super) fn section(report: &Report) -> Markup {
    html! {
        section aria-labelledby="time-line" {
            h2 #time-line { "Time line" }
            @if report.steps.is_empty() {
                p { "No step was recorded." }
            } @else {
                (table(report, &Axis::over(report)))
            }
        }
    }
}

fn table(report: &Report, axis: &Axis) -> Markup {
    html! {
        p .note {
            "Zero is " (instant(axis.start)) ". A hatched bar with a cross is a step that failed; "
            "an open bar is one that never ended."
        }
        (hatching())
        div .wide {
            table .time-line {
                thead {
                    tr {
                        th scope="col" { "Step" }
                        th .drawing scope="col" { (axis.scale()) }
                        th .number scope="col" { "Began" }
                        th .number scope="col" { "Took" }
                        th scope="col" { "Result" }
                    }
                }
                tbody { @for step in &report.steps { (row(step, axis, report)) } }
            }
        }
    }
}

/// The pattern of failed bars, defined once for all drawings: seen without colour, and on a grey print.
fn hatching() -> Markup {
    html! {
        svg .definitions width="0" height="0" aria-hidden="true" {
            defs {
                pattern #hatching width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    rect .hatching-ground width="5" height="5" {}
                    line .hatching-line x1="1" y1="0" x2="1" y2="5" {}
                }
            }
        }
    }
}

fn row(step: &StepRecord, axis: &Axis, report: &Report) -> Markup {
    html! {
        tr {
            th scope="row" {
                (Foreign(&step.name))
                @if let Some(machine) = machine_to_name(step, report) { span .under { (machine.to_string()) } }
                @if let Some(detail) = &step.detail { span .under { (Foreign(detail)) } }
            }
            td .drawing { (bar(step, axis)) }
            td .number { (clock(step.started_at, report.started_at)) }
            td .number { (duration(step)) }
            td { (ending(step)) }
        }
    }
}

/// A refresh has one machine, which needs no naming in every row.
fn machine_to_name<'a>(step: &'a StepRecord, report: &Report) -> Option<&'a MachineKey> {
    let of_refresh = report.refresh.as_ref().map(|facts| &facts.machine);
    step.machine.as_ref().filter(|machine| Some(*machine) != of_refresh)
}

fn duration(step: &StepRecord) -> String {
    step.finished_at
        .map_or_else(|| "–".to_owned(), |finished_at| span(Seconds::between(step.started_at, finished_at)))
}

fn ending(step: &StepRecord) -> Markup {
    match (&step.error, step.finished_at) {
        (Some(error), _) => html! {
            (result(Tone::Bad, "failed"))
            span .under { (Foreign(error)) }
        },
        (None, Some(_)) => result(Tone::Good, "done"),
        (None, None) => result(Tone::Attention, "never ended"),
    }
}

fn bar(step: &StepRecord, axis: &Axis) -> Markup {
    let class = match (&step.error, step.finished_at) {
        (Some(_), _) => "bar failed",
        (None, Some(_)) => "bar",
        (None, None) => "bar open",
    };
    let from = axis.percent(step.started_at);
    let to = step.finished_at.map_or(100.0, |finished_at| axis.percent(finished_at)).max(from);
    html! {
        svg role="img" width="100%" height="100%" {
            title { (in_words(step, axis)) }
            @for tick in axis.ticks() {
                line .tick x1=(percent(tick.percent)) x2=(percent(tick.percent)) y1="0" y2="100%" {}
            }
            rect class=(class) x=(percent(from)) y="9" width=(percent(to - from)) height="12" {}
            // A step of a moment is still seen.
            rect class="bar-begin" x=(percent(from)) y="9" width="2" height="12" {}
            @if step.error.is_some() {
                svg .cross x=(percent(to)) y="15" width="1" height="1" { path d="M-5 -5 L5 5 M5 -5 L-5 5" {} }
            }
        }
    }
}

fn in_words(step: &StepRecord, axis: &Axis) -> String {
    let begins = span(Seconds::between(axis.start, step.started_at));
    match (&step.error, step.finished_at) {
        (Some(_), Some(_)) => format!("Begins at {begins}, fails after {}", duration(step)),
        (Some(_), None) => format!("Begins at {begins} and fails"),
        (None, Some(_)) => format!("Begins at {begins}, takes {}", duration(step)),
        (None, None) => format!("Begins at {begins} and never ends"),
    }
}

/// The common time axis. It spans the whole run, and steps outside of it too: an agent's clock may be wrong.
struct Axis {
    start: Timestamp,
    seconds: f64,
}

struct Tick {
    percent: f64,
    label: String,
}

impl Axis {
    fn over(report: &Report) -> Self {
        let begins = report.steps.iter().map(|step| step.started_at);
        let ends = report.steps.iter().map(|step| step.finished_at.unwrap_or(step.started_at));
        let start = begins.fold(report.started_at, Timestamp::min);
        let end = ends.fold(report.finished_at, Timestamp::max);
        Self { start, seconds: Seconds::between(start, end).0.max(0.001) }
    }

    fn percent(&self, at: Timestamp) -> f64 {
        (Seconds::between(self.start, at).0 / self.seconds * 100.0).clamp(0.0, 100.0)
    }

    fn ticks(&self) -> Vec<Tick> {
        let fits = |distance: &f64| self.seconds / distance <= MOST_TICKS;
        let distance = TICK_DISTANCES.into_iter().find(fits).unwrap_or(self.seconds);
        let mut ticks = Vec::new();
        let mut at = 0.0;
        while at <= self.seconds {
            ticks.push(Tick { percent: at / self.seconds * 100.0, label: label(at, distance) });
            at += distance;
        }
        ticks
    }

    fn scale(&self) -> Markup {
        html! {
            svg role="img" width="100%" height="18" {
                title { "Time axis over " (span(Seconds(self.seconds))) }
                @for tick in self.ticks() {
                    text x=(percent(tick.percent)) y="13" text-anchor=(anchor(tick.percent)) { (tick.label) }
                }
            }
        }
    }
}

/// All labels of an axis are in the unit of its ticks.
fn label(at: f64, distance: f64) -> String {
    let (unit, name) = match distance {
        _ if distance < 1.0 => (0.001, "ms"),
        _ if distance < 60.0 => (1.0, "s"),
        _ if distance < 3600.0 => (60.0, "min"),
        _ if distance < 86_400.0 => (3600.0, "h"),
        _ => (86_400.0, "d"),
    };
    if at == 0.0 { "0".to_owned() } else { format!("{:.0} {name}", at / unit) }
}

/// The first label begins at the edge, so that it does not reach into the column before.
fn anchor(percent: f64) -> &'static str {
    if percent < 2.0 { "start" } else { "middle" }
}

fn percent(value: f64) -> String {
    format!("{value:.2}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_of_any_length_has_few_ticks() {
        for seconds in [0.001, 0.9, 1.0, 7.0, 59.0, 61.0, 300.0, 5000.0, 90_000.0, 1e7, 6e11] {
            let axis = Axis { start: Timestamp::UNIX_EPOCH, seconds };
            let ticks = axis.ticks();
            assert!((2..=7).contains(&ticks.len()), "{seconds} s gave {} ticks", ticks.len());
            assert!(ticks.iter().all(|tick| tick.percent <= 100.0));
        }
    }
}
