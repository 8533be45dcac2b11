//! The demo from beginning to end, by root and by an ordinary user, with both engines; and a look for ourselves at what
//! it leaves.

use std::path::Path;

use rekindle_domain::{BackupKind, Outcome, Report};
use rekindle_end_to_end_tests::account::Account;
use rekindle_end_to_end_tests::contents::names;
use rekindle_end_to_end_tests::demo::{Demo, Ended};
use rekindle_end_to_end_tests::machine::Machine;
use rekindle_end_to_end_tests::outcome::DemoOutcome;

#[test]
fn on_sqlite_with_a_hundred_megabytes() {
    holds(&Account::own(), "sqlite", 100);
}

#[test]
fn on_sqlite_by_an_ordinary_user() {
    holds(&Account::ordinary(), "sqlite", 10);
}

#[test]
fn on_postgres() {
    holds(&Account::own(), "postgres", 10);
}

#[test]
fn on_postgres_by_an_ordinary_user() {
    holds(&Account::ordinary(), "postgres", 10);
}

/// The demo's promises.
fn holds(account: &Account, engine: &str, megabytes: u32) {
    let machine = Machine::as_it_is();
    let data = megabytes.to_string();
    let ended = Demo::start(account, &["--engine", engine, "--data-mb", &data, "--json"]).end();
    let traces = machine.traces(account.home());

    assert_eq!(ended.status.code(), Some(0), "{}", ended.narration);
    let outcome = DemoOutcome::read(&ended.output);
    assert_eq!((outcome.engine.as_str(), outcome.data_bytes), (engine, u64::from(megabytes) * 1_000_000));
    backups_were_refreshed(&outcome, engine);
    production_came_back(&outcome);
    assert_eq!(outcome.leftovers, Vec::<String>::new());
    assert_eq!(traces, Vec::<String>::new(), "{}", ended.narration);
    only_reports_are_left(&account.state_folder(), &outcome);
    the_second_refresh_continued_the_first(&outcome);
    the_page_stands_alone(&outcome);
    the_story_is_told(&ended, &outcome);
}

fn backups_were_refreshed(outcome: &DemoOutcome, engine: &str) {
    let [first, second] = outcome.backups.as_slice() else { panic!("{:?}", outcome.backups) };
    assert_eq!(first.kind, BackupKind::Full);
    if engine == "sqlite" {
        assert_eq!(second.kind, BackupKind::Incremental);
        assert!(second.bytes * 4 < first.bytes, "an increment of {} after {}", second.bytes, first.bytes);
    }
    assert_eq!(outcome.refreshes.len(), 2);
    for (backup, refresh) in outcome.backups.iter().zip(&outcome.refreshes) {
        assert_eq!(refresh.outcome, Outcome::Refreshed);
        assert_eq!(refresh.backup_id.as_ref(), Some(&backup.backup_id));
        assert!(refresh.image_id.is_some() && refresh.seconds > 0.0);
    }
}

fn production_came_back(outcome: &DemoOutcome) {
    let recovery = &outcome.recovery;
    assert_eq!(recovery.outcome, Outcome::Recovered);
    assert!(recovery.content_matches);
    assert_eq!(recovery.rows_expected, outcome.data_bytes / 1_000);
    assert_eq!(recovery.rows_found, recovery.rows_expected);
    assert!(recovery.rto_seconds.is_some_and(|seconds| seconds > 0.0));
    assert!(recovery.rpo_seconds.is_some_and(|seconds| seconds > 0.0));
    assert!(outcome.cold_restore_seconds > 0.0);
    assert!(!recovery.hostname.is_empty() && !recovery.ssh_key_name.is_empty());
    assert!(recovery.ip_address.parse::<std::net::IpAddr>().is_ok());
}

fn only_reports_are_left(state: &Path, outcome: &DemoOutcome) {
    let reports = outcome.report.parent().unwrap();
    let folder = reports.parent().unwrap();
    assert_eq!(folder.parent().unwrap(), state);
    assert_eq!(names(state).len(), 1);
    assert_eq!(names(folder), ["reports"]);
    let expected = [
        "recovery.html",
        "recovery.json",
        "refresh-1.html",
        "refresh-1.json",
        "refresh-2.html",
        "refresh-2.json",
    ];
    assert_eq!(names(reports), expected);
}

fn the_second_refresh_continued_the_first(outcome: &DemoOutcome) {
    let report = std::fs::read(outcome.report.with_file_name("refresh-2.json")).unwrap();
    let report: Report = serde_json::from_slice(&report).unwrap();
    assert_eq!(report.refresh.unwrap().parent_image_id, outcome.refreshes[0].image_id);
}

fn the_page_stands_alone(outcome: &DemoOutcome) {
    let page = std::fs::read_to_string(&outcome.report).unwrap();
    assert!(page.to_ascii_lowercase().starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    assert!(page.contains(&outcome.recovery.hostname));
    let page = page.replace("url(#", "(#"); // A part of the page itself.
    for outside in ["<link", "<script", "<img", "<iframe", "src=", "href=\"http", "url(", "@import"] {
        assert!(!page.contains(outside), "the page fetches something: {outside}");
    }
}

/// On standard error, which is no terminal here: no escape sequences, and nothing that only a terminal could show.
fn the_story_is_told(ended: &Ended, outcome: &DemoOutcome) {
    let chapters = [
        "Production: the orders service of Acme",
        "Backup 1",
        "Refresh 1",
        "Backup 2",
        "Refresh 2",
        "Disaster",
        "The plan, before anything is started",
        "For comparison: a cold restore",
        "What is left",
        "Everything held.",
    ];
    let mut rest = ended.narration.as_str();
    for chapter in chapters {
        let at = rest.find(chapter).unwrap_or_else(|| panic!("no {chapter:?} in {}", ended.narration));
        rest = &rest[at..];
    }
    for fact in [&outcome.recovery.hostname, &outcome.recovery.ip_address, &outcome.recovery.ssh_key_name] {
        assert!(ended.narration.contains(fact.as_str()));
    }
    assert!(!ended.narration.contains('\u{1b}'), "{:?}", ended.narration);
    assert!(!ended.narration.contains("WARN") && !ended.narration.contains("ERROR"), "{}", ended.narration);
}
