//! What is particular to a refresh: which backup went into which image, and how old the data in it is.

use jiff::Timestamp;
use maud::{Markup, html};
use rekindle_domain::Seconds;
use rekindle_domain::report::RefreshFacts;

use super::words::{Foreign, code, fact, instant, span};

/// The section "Backup and image".
pub(super) fn section(facts: &RefreshFacts, finished_at: Timestamp) -> Markup {
    html! {
        section aria-labelledby="refresh" {
            h2 #refresh { "From backup to image" }
            dl .facts {
                (fact("Machine", Some(html! { (facts.machine.to_string()) })))
                (fact("Backup set", Some(backup(facts))))
                (fact("Stored under", facts.backup_place.as_deref().map(code)))
                (fact("Stored size", facts.backup_bytes.map(|bytes| html! { (bytes) })))
                (fact("Image", Some(images(facts))))
                (fact("Recovery point", Some(recovery_point(facts, finished_at))))
            }
        }
    }
}

fn backup(facts: &RefreshFacts) -> Markup {
    html! {
        @match &facts.backup_id {
            Some(backup_id) => { (code(backup_id)) }
            None => { "none was applied" }
        }
        @if let Some(kind) = facts.backup_kind { " (" (kind) ")" }
    }
}

fn images(facts: &RefreshFacts) -> Markup {
    html! {
        @match (&facts.parent_image_id, &facts.image_id) {
            (Some(parent), Some(image)) => {
                (code(parent)) " → " strong { (code(image)) }
                span .under { "The builder started from the first; the second was registered." }
            }
            (Some(parent), None) => {
                (code(parent)) " → no new image"
                span .under { "The builder started from it; nothing was registered." }
            }
            (None, Some(image)) => { strong { (code(image)) } " was registered" }
            (None, None) => { "no builder was started, and nothing was registered" }
        }
    }
}

fn recovery_point(facts: &RefreshFacts, finished_at: Timestamp) -> Markup {
    html! {
        @match facts.recovery_point {
            Some(point) => {
                (instant(point))
                span .under {
                    "Everything committed before this instant is in the image. It was "
                    (Foreign(&span(Seconds::between(point, finished_at)))) " old when the run was reported."
                }
            }
            None => { "none was reached" }
        }
    }
}
