//! Machines on which something is missing: it is said in a sentence that tells what to do, and nothing is pretended.

use std::process::{Command, Output};

use rekindle_end_to_end_tests::account::Account;
use rekindle_end_to_end_tests::contents::names;
use rekindle_end_to_end_tests::machine::Machine;
use rekindle_end_to_end_tests::program;

/// Runs the demo in namespaces of its own, after a preparation in the language of the shell.
fn demo_after(preparation: &str, account: &Account, options: &[&str]) -> Output {
    let script = format!("{preparation}; exec \"$0\" demo \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-e", "-c", &script]).arg(program::built());
    command.args(options).env("HOME", account.home()).env_remove("XDG_STATE_HOME").env_remove("RUST_LOG");
    command.output().unwrap()
}

fn only_sentence(output: &Output) -> &str {
    assert_eq!(output.stdout, b"", "nothing was done, and nothing is told as a result");
    let told = std::str::from_utf8(&output.stderr).unwrap().trim_end();
    assert_eq!(told.lines().count(), 1, "{told}");
    told
}

#[test]
fn without_user_namespaces_it_says_how_to_allow_them() {
    let account = Account::own();
    let machine = Machine::as_it_is();
    let output = demo_after("echo 0 > /proc/sys/user/max_user_namespaces", &account, &["--json"]);
    let told = only_sentence(&output);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("user namespaces"), "{told}");
    assert!(told.contains("sysctl user.max_user_namespaces="), "{told}");
    assert_eq!(names(account.home()), Vec::<String>::new(), "it has made something");
    assert_eq!(machine.traces(account.home()), Vec::<String>::new());
}

#[test]
fn without_a_database_server_it_says_what_to_install() {
    let account = Account::own();
    let machine = Machine::as_it_is();
    let cover = "if [ -d /usr/lib/postgresql ]; then mount -t tmpfs empty /usr/lib/postgresql; fi";
    let output = demo_after(cover, &account, &["--engine", "postgres", "--json"]);
    let told = only_sentence(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("PostgreSQL") && told.contains("apt-get install postgresql"), "{told}");
    assert!(told.contains("--engine sqlite"), "{told}");
    assert_eq!(names(&account.state_folder()), Vec::<String>::new());
    assert_eq!(machine.traces(account.home()), Vec::<String>::new());
}
