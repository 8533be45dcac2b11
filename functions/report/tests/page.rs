//! The report page: that it tells what the report tells, that nothing hostile gets through, and that it is whole
//! for runs of which next to nothing is known.
//!
//! Every page that is made here is also left in `target/tmp`, to be looked at in a browser.

#![expect(clippy::expect_used, reason = "a test that cannot read its own examples has failed")]

#[path = "page/examples.rs"]
mod examples;

use rekindle_domain::Report;
use rekindle_function_report::page::render;
use serde_json::{Value, json};

const HOSTILE: &str =
    "\"><script>alert('x')</script><img src=x onerror=alert(1)>' onload='alert(2)&amp;\u{202E}";
const ESCAPED: &str = "&quot;&gt;&lt;script&gt;alert('x')&lt;/script&gt;";

#[test]
fn a_refresh_is_told() {
    insta::assert_snapshot!("refresh", body_line_by_line(&page(&examples::refresh(), "refresh")));
}

#[test]
fn a_recovery_is_told() {
    insta::assert_snapshot!("recovery", body_line_by_line(&page(&examples::recovery(), "recovery")));
}

#[test]
fn nothing_hostile_gets_through_in_any_text() {
    for (name, report) in all_examples() {
        let (hostile, replaced) = with_every_text_hostile(&report);
        let page = page(&hostile, &format!("hostile-{name}"));
        assert!(replaced > 0 && page.contains(ESCAPED), "{name}: no hostile text was shown");
        assert!(!page.contains("<script") && !page.contains("<img"), "{name}: a tag got through");
        assert!(!page.contains('\u{202E}'), "{name}: the direction of writing was turned");
        assert_only_known_names(&page);
    }
}

#[test]
fn every_hostile_text_is_on_the_page_once_at_least() {
    // Each text gets a number, so that one which is forgotten on the page, or cut, is found by name.
    let mut value = serde_json::to_value(examples::recovery()).expect("a report can be written");
    let mut number = 0;
    replace_texts(&mut value, &mut |_| {
        number += 1;
        format!("<b{number}>")
    });
    let page = render(&examples::read(value));
    let lost: Vec<usize> = (1..=number).filter(|n| !page.contains(&format!("&lt;b{n}&gt;"))).collect();
    assert!(number > 40 && lost.is_empty(), "of {number} texts these are not on the page: {lost:?}");
}

#[test]
fn every_page_is_whole() {
    for (name, report) in all_examples() {
        let page = page(&report, name);
        assert_balanced(&page);
        assert_only_known_names(&page);
        assert!(page.contains("UTC"), "{name}: the time zone is not said");
    }
}

#[test]
fn every_outcome_has_its_own_words() {
    let outcomes = [
        "Refreshed",
        "NothingToDo",
        "Coalesced",
        "BackingOff",
        "Quarantined",
        "LimitReached",
        "Refused",
        "VerificationFailed",
        "Recovered",
        "PartiallyRecovered",
        "Declined",
        "TimedOut",
        "Failed",
        "LeftForSweep",
    ];
    let headlines: std::collections::BTreeSet<String> = outcomes
        .iter()
        .map(|outcome| {
            let mut value = serde_json::to_value(examples::recovery()).expect("a report can be written");
            value["outcome"] = json!(outcome);
            let page = render(&examples::read(value));
            between(&page, "<p class=\"outcome\">", "</p>").to_owned()
        })
        .collect();
    assert_eq!(headlines.len(), outcomes.len());
}

#[test]
fn an_approval_by_policy_is_never_shown_as_a_persons() {
    let page = render(&examples::rehearsal_without_a_plan());
    assert!(page.contains("beforehand by the policy “weekly-rehearsal”; no person was asked"));
}

#[test]
fn a_requester_who_approved_is_a_finding() {
    let mut report = examples::recovery();
    let facts = report.recovery.as_mut().expect("the example is a recovery");
    facts.decision.as_mut().expect("the example was decided").decided_by = facts.requested_by.clone();
    assert!(render(&report).contains("Martha Okafor both requested and decided"));
}

#[test]
fn numbers_that_make_no_sense_do_not_break_the_drawing() {
    let mut report = examples::recovery();
    let facts = report.recovery.as_mut().expect("the example is a recovery");
    for (service, number) in facts.services.iter_mut().zip([0.0, -5.0, 1e300]) {
        service.recovery_time_objective = Some(rekindle_domain::Seconds(number));
        service.recovery_point = Some(rekindle_domain::Seconds(number));
    }
    let page = page(&report, "senseless-numbers");
    assert_balanced(&page);
    assert!(!page.contains("NaN") && !page.contains("inf%"));
}

fn all_examples() -> [(&'static str, Report); 4] {
    [
        ("refresh", examples::refresh()),
        ("recovery", examples::recovery()),
        ("failed-at-once", examples::failed_at_once()),
        ("rehearsal-without-a-plan", examples::rehearsal_without_a_plan()),
    ]
}

fn page(report: &Report, name: &str) -> String {
    let page = render(report);
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("report-{name}.html"));
    std::fs::write(path, &page).expect("the folder for temporary files of tests can be written");
    page
}

/// The style sheet is no part of a snapshot, and one element a line makes a readable difference.
fn body_line_by_line(page: &str) -> String {
    between(page, "<body>", "</body>").replace("><", ">\n<")
}

fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let begin = page.find(from).expect("the page has this element") + from.len();
    let end = page[begin..].find(to).expect("the element is closed") + begin;
    &page[begin..end]
}

/// Replaces every text of a report for which the report can still be read: typed names refuse it, and stay.
fn with_every_text_hostile(report: &Report) -> (Report, usize) {
    let mut value = serde_json::to_value(report).expect("a report can be written");
    let mut replaced = 0;
    replace_texts(&mut value, &mut |_| {
        replaced += 1;
        HOSTILE.to_owned()
    });
    (examples::read(value), replaced)
}

fn replace_texts(report: &mut Value, replacement: &mut impl FnMut(&str) -> String) {
    for pointer in text_pointers(report, String::new()) {
        let mut candidate = report.clone();
        let text = candidate.pointer_mut(&pointer).expect("the pointer comes from this value");
        *text = json!("<probe>");
        if serde_json::from_value::<Report>(candidate).is_ok() {
            let text = report.pointer_mut(&pointer).expect("the pointer comes from this value");
            *text = json!(replacement(text.as_str().unwrap_or_default()));
        }
    }
}

fn text_pointers(value: &Value, at: String) -> Vec<String> {
    match value {
        Value::String(_) => vec![at],
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(n, item)| text_pointers(item, format!("{at}/{n}"))).collect()
        }
        Value::Object(fields) => {
            fields.iter().flat_map(|(name, field)| text_pointers(field, format!("{at}/{name}"))).collect()
        }
        _ => Vec::new(),
    }
}

/// All that the page is made of. Neither a script nor an attribute that runs one is among it.
const ELEMENTS: &[&str] = &[
    "!doctype", "html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section",
    "h1", "h2", "h3", "p", "span", "strong", "code", "time", "q", "br", "dl", "dt", "dd", "div", "ol", "li",
    "table", "thead", "tbody", "tr", "th", "td", "svg", "defs", "pattern", "path", "rect", "line", "text",
];
const ATTRIBUTES: &[&str] = &[
    "lang",
    "charset",
    "http-equiv",
    "content",
    "name",
    "class",
    "id",
    "aria-labelledby",
    "aria-hidden",
    "role",
    "scope",
    "rowspan",
    "datetime",
    "width",
    "height",
    "viewbox",
    "d",
    "x",
    "y",
    "x1",
    "x2",
    "y1",
    "y2",
    "text-anchor",
    "patternunits",
    "patterntransform",
    "html",
];

fn assert_only_known_names(page: &str) {
    for tag in tags(page) {
        let name = tag.name.to_lowercase();
        assert!(ELEMENTS.contains(&name.as_str()), "the element {name:?} is not one of the page's");
        for attribute in &tag.attributes {
            let attribute = attribute.to_lowercase();
            assert!(ATTRIBUTES.contains(&attribute.as_str()), "the attribute {attribute:?} on {name}");
        }
    }
}

fn assert_balanced(page: &str) {
    let mut open: Vec<String> = Vec::new();
    for tag in tags(page).into_iter().filter(|tag| !["!DOCTYPE", "meta", "br"].contains(&tag.name.as_str())) {
        if tag.closes {
            assert_eq!(open.pop(), Some(tag.name), "an element is closed that was not open");
        } else {
            open.push(tag.name);
        }
    }
    assert!(open.is_empty(), "these elements are never closed: {open:?}");
}

struct Tag {
    name: String,
    closes: bool,
    attributes: Vec<String>,
}

/// The tags of a page, read as a browser does: a `<` outside of a tag opens one, quotes hide a `>`.
fn tags(page: &str) -> Vec<Tag> {
    let page = page.replace(between(page, "<style>", "</style>"), "");
    let mut tags = Vec::new();
    let mut rest = page.as_str();
    while let Some(begin) = rest.find('<') {
        rest = &rest[begin + 1..];
        let end = end_of_tag(rest);
        tags.push(read_tag(&rest[..end]));
        rest = &rest[end..];
    }
    tags
}

fn end_of_tag(text: &str) -> usize {
    let mut quoted = false;
    for (at, character) in text.char_indices() {
        match character {
            '"' => quoted = !quoted,
            '>' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

fn read_tag(text: &str) -> Tag {
    let outside_quotes: String = text.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let mut words = outside_quotes.split_whitespace().map(|word| word.trim_end_matches('=').to_owned());
    let name = words.next().unwrap_or_default();
    let closes = name.starts_with('/');
    Tag { name: name.trim_start_matches('/').to_owned(), closes, attributes: words.collect() }
}
