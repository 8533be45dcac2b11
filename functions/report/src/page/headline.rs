//! The first screen: how it ended, in words, and the few figures that everybody asks for.

use maud::{Markup, html};
use rekindle_domain::report::{RecoveryFacts, RefreshFacts};
use rekindle_domain::{Flow, Outcome, RecoveryKind, Report, Seconds, Verdict};

use super::objectives;
use super::words::{Sentence, Tone, count, fact, instant, result, span};

/// The title of the page, and of the browser's window.
pub(super) fn title(report: &Report) -> String {
    format!("{}: {}, {}", outcome_words(report.outcome), subject(report), report.started_at.strftime("%F"))
}

/// The head of the page.
pub(super) fn header(report: &Report) -> Markup {
    html! {
        header {
            p .masthead {
                span { strong { "Rekindle" } " · " (document_kind(report)) }
                span { "Run " code { (report.run_id) } }
            }
            p .outcome { (result(outcome_tone(report.outcome), outcome_words(report.outcome))) }
            h1 { (headline(report)) }
            p .cause { (Sentence(&report.cause)) }
            (when(report))
            @if report.recovery.is_some() || report.refresh.is_some() {
                dl .figures { (figures(report)) }
            }
        }
    }
}

fn document_kind(report: &Report) -> &'static str {
    match (report.flow, report.recovery.as_ref().map(|facts| facts.kind)) {
        (Flow::RefreshImage, _) => "Report of an image refresh",
        (Flow::Recover, Some(RecoveryKind::Rehearsal)) => "Report of a rehearsal",
        (Flow::Recover, Some(RecoveryKind::Disaster)) => "Report of a declared disaster",
        (Flow::Recover, None) => "Report of a recovery",
    }
}

/// The outcome in plain words.
fn outcome_words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Refreshed => "Refreshed",
        Outcome::NothingToDo => "Nothing to do",
        Outcome::Coalesced => "Coalesced",
        Outcome::BackingOff => "Backing off",
        Outcome::Quarantined => "Quarantined",
        Outcome::LimitReached => "Limit reached",
        Outcome::Refused => "Refused",
        Outcome::VerificationFailed => "Verification failed",
        Outcome::Recovered => "Recovered",
        Outcome::PartiallyRecovered => "Partially recovered",
        Outcome::Declined => "Declined",
        Outcome::TimedOut => "Timed out",
        Outcome::Failed => "Failed",
        Outcome::LeftForSweep => "Left for the sweep",
    }
}

fn outcome_tone(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Refreshed | Outcome::Recovered => Tone::Good,
        Outcome::NothingToDo | Outcome::Coalesced => Tone::Neutral,
        Outcome::BackingOff
        | Outcome::LimitReached
        | Outcome::PartiallyRecovered
        | Outcome::Declined
        | Outcome::TimedOut => Tone::Attention,
        Outcome::Quarantined
        | Outcome::Refused
        | Outcome::VerificationFailed
        | Outcome::Failed
        | Outcome::LeftForSweep => Tone::Bad,
    }
}

fn subject(report: &Report) -> String {
    if let Some(facts) = &report.refresh {
        return format!("image of {}", facts.machine);
    }
    let what = match report.recovery.as_ref().map(|facts| facts.kind) {
        Some(RecoveryKind::Rehearsal) => "rehearsal",
        Some(RecoveryKind::Disaster) => "disaster recovery",
        None if report.flow == Flow::Recover => "recovery",
        None => "refresh",
    };
    match &report.customer_id {
        Some(customer) => format!("{what} of {customer}"),
        None => what.to_owned(),
    }
}

/// One sentence: the outcome, and of what.
fn headline(report: &Report) -> String {
    let image = match &report.refresh {
        Some(facts) => format!("the image of {}", facts.machine),
        None => "the image".to_owned(),
    };
    match report.outcome {
        Outcome::Refreshed => format!("A new version of {image} is proven by a restore and registered."),
        Outcome::NothingToDo => format!("Nothing was to be done for {image}: it is up to date."),
        Outcome::Coalesced => format!("Another run is at work on {image} and takes this request along."),
        Outcome::BackingOff => format!("The refresh of {image} failed before and is tried again later."),
        Outcome::Quarantined => format!("The refresh of {image} failed three times: a person has to look."),
        Outcome::LimitReached => format!("The refresh of {image} waits: a limit is reached."),
        Outcome::Refused if report.refresh.is_none() => {
            "What arrived was refused, and nothing of it was used.".to_owned()
        }
        Outcome::Refused => format!("What arrived for {image} was refused, and nothing of it was used."),
        Outcome::VerificationFailed => {
            format!("The restore for {image} did not pass its verification and was not registered.")
        }
        Outcome::Recovered | Outcome::PartiallyRecovered => services_sentence(report.recovery.as_ref()),
        Outcome::Declined => "The recovery was declined: nothing was started.".to_owned(),
        Outcome::TimedOut => "Nobody decided before the deadline: nothing was started.".to_owned(),
        Outcome::Failed if report.flow == Flow::RefreshImage => format!("The refresh of {image} failed."),
        Outcome::Failed => format!("The {} failed.", subject(report)),
        Outcome::LeftForSweep => "The run could not clean up after itself; the sweep does.".to_owned(),
    }
}

fn services_sentence(facts: Option<&RecoveryFacts>) -> String {
    let Some(facts) = facts else {
        return "Services serve from proven images.".to_owned();
    };
    let all = facts.services.len();
    let serving = serving_services(facts);
    let verb = match facts.kind {
        RecoveryKind::Disaster if serving == 1 => "serves",
        RecoveryKind::Disaster => "serve",
        RecoveryKind::Rehearsal => "served",
    };
    let place = match facts.kind {
        RecoveryKind::Disaster => "from proven images",
        RecoveryKind::Rehearsal => "from proven images in this rehearsal",
    };
    let objectives = objectives_sentence(facts);
    if serving < all {
        return format!("{serving} of {} {verb} {place}{objectives}.", count(all, "service", "services"));
    }
    match all {
        1 => format!("The service {verb} {place}{objectives}."),
        _ => format!("All {all} services {verb} {place}{objectives}."),
    }
}

/// "Recovered" alone would hide that it took too long.
fn objectives_sentence(facts: &RecoveryFacts) -> String {
    match objectives::met_of_set(facts) {
        (_, 0) => String::new(),
        (met, set) if met == set => ", within all objectives".to_owned(),
        (met, set) => format!("; {} of {set} objectives missed", set - met),
    }
}

fn serving_services(facts: &RecoveryFacts) -> usize {
    facts.services.iter().filter(|service| service.recovery_time.is_some()).count()
}

fn when(report: &Report) -> Markup {
    let took = span(Seconds::between(report.started_at, report.finished_at));
    html! {
        dl .when {
            (fact("Customer", report.customer_id.as_ref().map(|customer| html! { (customer) })))
            (fact("Begun", Some(instant(report.started_at))))
            (fact("Reported", Some(instant(report.finished_at))))
            (fact("Took", Some(html! { (took) })))
        }
    }
}

fn figures(report: &Report) -> Markup {
    html! {
        @if let Some(facts) = &report.recovery { (recovery_figures(facts)) }
        @if let Some(facts) = &report.refresh { (refresh_figures(facts, report)) }
        (left_behind_figure(report))
    }
}

fn recovery_figures(facts: &RecoveryFacts) -> Markup {
    let serving = format!("{} of {}", serving_services(facts), facts.services.len());
    let (met, set) = objectives::met_of_set(facts);
    let slowest = longest(facts.services.iter().map(|service| service.recovery_time));
    let oldest = longest(facts.services.iter().map(|service| service.recovery_point));
    html! {
        (figure(&serving, "services serve"))
        (figure(&slowest, "longest recovery time"))
        (figure(&oldest, "largest loss of data"))
        (figure(&format!("{met} of {set}"), "objectives met"))
    }
}

fn longest(spans: impl Iterator<Item = Option<Seconds>>) -> String {
    let longest = spans.flatten().fold(None, |longest: Option<Seconds>, next| match longest {
        Some(seconds) if seconds.0 >= next.0 => Some(seconds),
        _ => Some(next),
    });
    longest.map_or_else(|| "none measured".to_owned(), span)
}

fn refresh_figures(facts: &RefreshFacts, report: &Report) -> Markup {
    let checks = facts.verdict.as_ref().map(checks_held);
    let age = facts.recovery_point.map(|point| span(Seconds::between(point, report.finished_at)));
    let size = facts.backup_bytes.map(|bytes| bytes.to_string());
    html! {
        (figure(age.as_deref().unwrap_or("not known"), "age of the data at the end"))
        (figure(checks.as_deref().unwrap_or("none made"), "checks held"))
        (figure(size.as_deref().unwrap_or("none"), "backup applied last"))
    }
}

fn checks_held(verdict: &Verdict) -> String {
    format!("{} of {}", verdict.checks.len() - verdict.failures().count(), verdict.checks.len())
}

fn left_behind_figure(report: &Report) -> Markup {
    let left = report.resources.iter().filter(|resource| resource.fate == "left-for-sweep").count();
    figure(&if left == 0 { "nothing".to_owned() } else { left.to_string() }, "left for the sweep")
}

fn figure(value: &str, name: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}
