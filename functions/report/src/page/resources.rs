//! What the run made, and what became of each: the proof that nothing was left behind.

use maud::{Markup, html};
use rekindle_domain::Report;
use rekindle_domain::report::ResourceRecord;

use super::words::{Foreign, Tone, code, count, result};

/// The section "What was made".
pub(super) fn section(report: &Report) -> Markup {
    html! {
        section aria-labelledby="resources" {
            h2 #resources { "What was made, and what became of it" }
            p { (sentence(&report.resources)) }
            @if !report.resources.is_empty() {
                div .wide {
                    table .resources {
                        thead {
                            tr {
                                th scope="col" { "Resource" }
                                th scope="col" { "Kind" }
                                th scope="col" { "Fate" }
                            }
                        }
                        tbody { @for resource in &report.resources { (row(resource)) } }
                    }
                }
            }
        }
    }
}

fn sentence(resources: &[ResourceRecord]) -> String {
    if resources.is_empty() {
        return "The run made nothing, so nothing had to be cleaned up.".to_owned();
    }
    let of_fate = |fate: &str| resources.iter().filter(|resource| resource.fate == fate).count();
    let parts: Vec<String> = ["destroyed", "registered", "kept", "left-for-sweep"]
        .into_iter()
        .filter(|fate| of_fate(fate) > 0)
        .map(|fate| format!("{} {}", of_fate(fate), fate_words(fate)))
        .collect();
    let known: usize = ["destroyed", "registered", "kept", "left-for-sweep"].into_iter().map(of_fate).sum();
    let made = count(resources.len(), "resource was made", "resources were made");
    match resources.len() - known {
        0 => format!("{made}: {}.", parts.join(", ")),
        unknown => format!("{made}; the fate of {unknown} is not one that this page knows."),
    }
}

fn fate_words(fate: &str) -> &str {
    if fate == "left-for-sweep" { "left for the sweep" } else { fate }
}

fn fate_tone(fate: &str) -> Tone {
    match fate {
        "destroyed" | "registered" => Tone::Good,
        "kept" => Tone::Neutral,
        _ => Tone::Attention,
    }
}

fn row(resource: &ResourceRecord) -> Markup {
    html! {
        tr {
            th scope="row" { (code(&resource.id)) }
            td { (Foreign(&resource.kind)) }
            td { (result(fate_tone(&resource.fate), fate_words(&resource.fate))) }
        }
    }
}
