//! A report as one page: for the founder who reads the first sentence, the operator who needs the next step, and the
//! auditor who needs the evidence.
//!
//! The page stands alone: no script, no font, no picture from elsewhere, so that it can be mailed, printed and kept
//! for years. Whatever it says with a colour, it also says with a word. Every text in a report may come from a
//! stranger (the cause of a failure quotes what arrived), so nothing reaches the page unescaped.

mod checks;
mod headline;
mod next_steps;
mod objectives;
mod recovery;
mod refresh;
mod resources;
mod time_line;
mod words;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use rekindle_domain::Report;

/// Forbids everything that the page does not need, should the escaping ever have a hole.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The report as a self-contained HTML page.
pub fn render(report: &Report) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(report))
            body {
                (headline::header(report))
                main { (sections(report)) }
                (footer(report))
            }
        }
    }
    .into_string()
}

fn head(report: &Report) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(CONTENT_SECURITY_POLICY);
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (headline::title(report)) }
            style { (PreEscaped(include_str!("page/style.css"))) }
        }
    }
}

fn sections(report: &Report) -> Markup {
    html! {
        (next_steps::section(report))
        @if let Some(facts) = &report.recovery {
            (recovery::request(facts))
            (objectives::section(facts))
            (recovery::replicas(facts))
        }
        @if let Some(facts) = &report.refresh {
            (refresh::section(facts, report.finished_at))
        }
        (time_line::section(report))
        (checks::section(report))
        (resources::section(report))
        @if report.recovery.is_some() {
            (sign_off())
        }
    }
}

/// An exercise counts for an auditor when somebody answerable has read its report.
fn sign_off() -> Markup {
    html! {
        section .sign-off aria-labelledby="sign-off" {
            h2 #sign-off { "Sign-off" }
            dl {
                div { dt { "Read by (name, role)" } dd {} }
                div { dt { "Findings are followed up in" } dd {} }
                div { dt { "Date, signature" } dd {} }
            }
        }
    }
}

fn footer(report: &Report) -> Markup {
    html! {
        footer {
            p {
                "All times are in UTC. This page was made by Rekindle from the report of run "
                code { (report.run_id) } " (report format " (report.schema_version) "), which lies beside it as JSON where it was stored."
            }
        }
    }
}
