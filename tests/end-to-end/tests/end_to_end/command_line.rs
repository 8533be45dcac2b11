//! The command line as a contract with people and scripts.

use std::process::{Command, Output, Stdio};

use rekindle_end_to_end_tests::account::Account;
use rekindle_end_to_end_tests::contents::names;
use rekindle_end_to_end_tests::demo::Demo;
use rekindle_end_to_end_tests::program;
use rekindle_end_to_end_tests::terminal::Terminal;

/// What colours and bold type begin with.
const STYLE: [&str; 4] = ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[3"];

fn run(arguments: &[&str]) -> Output {
    program::command().args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_wrong_argument_is_told_with_the_usage() {
    for arguments in [
        &["demo", "--engine", "oracle"][..],
        &["demo", "--data-mb", "1"],
        &["demo", "--data-mb", "100001"],
        &["demo", "--data-mb", "many"],
        &["demo", "--no-such-option"],
        &["no-such-command"],
        &["completions", "no-such-shell"],
        &[],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        let told = text(&output.stderr);
        assert!(told.contains("Usage:") || told.contains("--help"), "{arguments:?}: {told}");
        assert!(!told.contains('\u{1b}'), "{arguments:?}: {told:?}");
    }
    let too_little = run(&["demo", "--data-mb", "1"]);
    assert!(text(&too_little.stderr).contains("10..=100000"), "{}", text(&too_little.stderr));
}

#[test]
fn help_shows_examples_and_exit_codes() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
    let help = text(&output.stdout);
    for part in
        ["Usage:", "Examples:", "rekindle demo --engine postgres", "Exit codes:", "\n  3  ", "\n  130  "]
    {
        assert!(help.contains(part), "no {part:?} in {help}");
    }
    let of_demo = run(&["demo", "--help"]);
    for option in ["--engine", "--data-mb", "--keep", "--json", "--state"] {
        assert!(text(&of_demo.stdout).contains(option), "no {option} in {}", text(&of_demo.stdout));
    }
}

#[test]
fn the_version_is_told() {
    let output = run(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).starts_with("rekindle "), "{}", text(&output.stdout));
}

#[test]
fn completions_are_understood_by_the_shell() {
    let output = run(&["completions", "bash"]);
    assert_eq!(output.status.code(), Some(0));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rekindle.bash");
    std::fs::write(&file, &output.stdout).unwrap();
    let read = Command::new("bash").arg("-n").arg(&file).output().unwrap();
    assert!(read.status.success(), "{}", text(&read.stderr));
    assert!(text(&output.stdout).contains("complete "), "{}", text(&output.stdout));
}

#[test]
fn a_log_in_a_file_has_no_escape_sequences() {
    let account = Account::own();
    let mut command = account.command(&["demo", "--data-mb", "10"]);
    command.env("RUST_LOG", "debug").env("TERM", "xterm-256color");
    let demo = Demo::spawn(command);
    demo.wait_until_it_says("DEBUG");
    demo.wait_until_it_says("orders come in");
    demo.interrupt();
    let ended = demo.end();
    assert_eq!(ended.output, "", "the log is not the result");
    let styled = ended.narration.lines().find(|line| line.contains('\u{1b}'));
    assert_eq!(styled, None);
}

#[test]
fn a_terminal_gets_colours_unless_it_wants_none() {
    let coloured = told_to_a_terminal(&[]);
    assert!(STYLE.iter().any(|style| coloured.contains(style)), "no style at all in {coloured:?}");
    let plain = told_to_a_terminal(&[("NO_COLOR", "1")]);
    for style in STYLE {
        assert!(!plain.contains(style), "{style:?} in {plain:?}");
    }
}

fn told_to_a_terminal(variables: &[(&str, &str)]) -> String {
    let account = Account::own();
    let (mut terminal, end) = Terminal::open();
    let mut command = account.command(&["demo", "--data-mb", "10"]);
    command.env("TERM", "xterm-256color").envs(variables.iter().copied());
    let mut demo = command.stdout(Stdio::null()).stderr(end).spawn().unwrap();
    drop(command); // It holds the terminal's other end.
    terminal.read_until("orders come in");
    let id = rustix::process::Pid::from_child(&demo);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(130));
    terminal.read_to_end();
    terminal.text
}

#[test]
fn a_place_that_cannot_be_written_is_told_in_one_sentence() {
    let account = Account::own();
    let in_the_way = account.home().join("in-the-way");
    std::fs::write(&in_the_way, "a file").unwrap();
    let state = in_the_way.join("state");
    let output = account.command(&["demo", "--state", state.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    let told = text(&output.stderr);
    assert!(told.lines().count() == 1 && told.contains("--state"), "{told}");
    assert_eq!(names(account.home()), ["in-the-way"]);
}
