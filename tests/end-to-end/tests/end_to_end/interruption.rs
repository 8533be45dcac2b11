//! Somebody stops the demo in the middle, politely and otherwise.

use rekindle_end_to_end_tests::account::Account;
use rekindle_end_to_end_tests::contents::names;
use rekindle_end_to_end_tests::demo::Demo;
use rekindle_end_to_end_tests::machine::Machine;

/// Moments by what the demo has said last.
const WHILE_PRODUCTION_IS_FILLED: &str = "machine, database and service start";
const IN_THE_FIRST_REFRESH: &str = "✓ start instance";
const IN_THE_RECOVERY: &str = "✓ recover  ";

#[test]
fn control_c_while_production_is_filled() {
    interrupted_by(Demo::press_control_c, &["--data-mb", "100"], WHILE_PRODUCTION_IS_FILLED, false);
}

#[test]
fn control_c_in_the_first_refresh() {
    interrupted_by(
        Demo::press_control_c,
        &["--engine", "postgres", "--data-mb", "10"],
        IN_THE_FIRST_REFRESH,
        false,
    );
}

#[test]
fn an_interrupt_of_the_command_alone_in_the_recovery() {
    interrupted_by(Demo::interrupt, &["--data-mb", "10"], IN_THE_RECOVERY, true);
}

fn interrupted_by(stop: impl Fn(&Demo), options: &[&str], moment: &str, reports_are_there: bool) {
    let account = Account::own();
    let machine = Machine::as_it_is();
    let demo = Demo::start(&account, &[options, &["--json"]].concat());
    demo.wait_until_it_says(moment);
    stop(&demo);
    let ended = demo.end();
    let traces = machine.traces(account.home());

    assert_eq!(ended.status.code(), Some(130), "{}", ended.narration);
    assert_eq!(ended.output, "", "a demo that was interrupted has no result");
    assert_eq!(traces, Vec::<String>::new(), "{}", ended.narration);
    assert!(ended.narration.contains("Interrupted: every instance was destroyed"), "{}", ended.narration);
    assert!(!ended.narration.contains(" left: "), "{}", ended.narration);
    let folders = names(&account.state_folder());
    assert_eq!(folders.len(), usize::from(reports_are_there), "{folders:?}");
    for folder in folders {
        assert_eq!(names(&account.state_folder().join(folder)), ["reports"]);
        assert!(
            ended.narration.contains("reports"),
            "it does not say that reports stay: {}",
            ended.narration
        );
    }
}

#[test]
fn a_kill_takes_the_instances_with_it() {
    for (options, moment) in [
        (["--engine", "postgres"], WHILE_PRODUCTION_IS_FILLED),
        (["--engine", "sqlite"], IN_THE_FIRST_REFRESH),
    ] {
        let account = Account::own();
        let machine = Machine::as_it_is();
        let demo = Demo::start(&account, &[&options[..], &["--data-mb", "10"]].concat());
        demo.wait_until_it_says(moment);
        assert_ne!(machine.traces(account.home()), Vec::<String>::new(), "instances are not to be seen");
        demo.kill();
        let ended = demo.end();
        assert_eq!(ended.status.code(), None, "it ended before it was killed: {}", ended.narration);
        assert_eq!(machine.lasting_traces(account.home()), Vec::<String>::new());
    }
}
