//! Backups and keys by the command line.

use std::process::Command;

use rekindle_domain::BackupId;
use rekindle_store::ObjectStore as _;

use crate::world::{AGENT, World, id_of, restore, verify};

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_lost_its_memory_goes_on_with_a_full_set() {
    let world = World::sqlite();
    world.fill(100);
    world.backup("auto");
    let second = world.backup("auto");
    assert_eq!(second["position"], serde_json::json!({"incarnation": 1, "sequence": 2}));
    std::fs::remove_dir_all(world.production().backup_state()).unwrap();
    let third = world.backup("auto");
    assert_eq!(third["kind"], "full");
    assert_eq!(third["position"], serde_json::json!({"incarnation": 1, "sequence": 3}));
    let fork = world.backup_output(&["--new-incarnation"]);
    let fork: serde_json::Value = serde_json::from_slice(&fork.stdout).unwrap();
    assert_eq!(fork["position"], serde_json::json!({"incarnation": 2, "sequence": 1}));
    assert_eq!(fork["kind"], "full");
    let builder = world.builder("builder");
    restore(&builder, &[&id_of(&fork)], None).await.unwrap();
    assert!(verify(&builder, &id_of(&fork)).await.passed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cut_off_backup_left_is_removed_and_published_sets_stay() {
    let world = World::sqlite();
    world.fill(100);
    let first = world.backup_id("full");
    let leftover = BackupId::mint();
    let stray = format!("{}orders/data-00000.zst.age", world.machine.set_prefix(&leftover));
    let stray = rekindle_domain::ObjectKey::parse(&stray).unwrap();
    world.put("data", &stray, b"half").await;
    world.put("control", &world.machine.set_signature_key(&leftover), b"early").await;
    let history = world.production().backup_state().join("history.json");
    let mut remembered: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&history).unwrap()).unwrap();
    remembered["pending"] = serde_json::json!({"backup_id": leftover, "becomes": null});
    std::fs::write(&history, serde_json::to_vec(&remembered).unwrap()).unwrap();
    let second = world.backup("auto");
    assert_eq!(second["kind"], "incremental");
    assert_eq!(second["parent_id"], first.as_str());
    assert!(world.bucket("data").head(&stray).await.is_err(), "a leftover stayed");
    assert!(world.bucket("control").head(&world.machine.set_signature_key(&leftover)).await.is_err());
    world.set(&first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_was_published_before_the_cut_is_remembered() {
    let world = World::sqlite();
    world.fill(100);
    world.backup("full");
    let history = world.production().backup_state().join("history.json");
    let kept = world.production().backup_state().join("kept");
    let before = std::fs::read(&history).unwrap();
    let kept_before: Vec<_> =
        std::fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(kept_before.len(), 1);
    let second = world.backup("auto");
    // As if power was lost between publishing and remembering.
    let after: serde_json::Value = serde_json::from_slice(&std::fs::read(&history).unwrap()).unwrap();
    let mut cut: serde_json::Value = serde_json::from_slice(&before).unwrap();
    cut["pending"] = serde_json::json!({"backup_id": second["backup_id"], "becomes": after["last"]});
    std::fs::write(&history, serde_json::to_vec(&cut).unwrap()).unwrap();
    let third = world.backup("auto");
    assert_eq!(third["parent_id"], second["backup_id"]);
    assert_eq!(third["position"]["sequence"], 3);
}

#[test]
fn two_backups_do_not_run_at_once() {
    let world = World::sqlite();
    world.fill(10);
    let folder = world.production().backup_state();
    std::fs::create_dir_all(&folder).unwrap();
    let held = std::fs::File::create(folder.join("lock")).unwrap();
    held.lock().unwrap();
    let output = world.backup_output(&[]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    drop(held);
    assert!(world.backup_output(&[]).status.success());
}

#[test]
fn a_backup_without_its_database_or_with_an_unsigned_recipe_fails_with_a_sentence() {
    let world = World::sqlite();
    let output = world.backup_output(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("opening the database failed"));
    std::fs::remove_file(world.production().recipes().join("sqlite.toml.minisig")).unwrap();
    assert_eq!(world.backup_output(&[]).status.code(), Some(4));
    assert_eq!(world.backup_output(&["--kind", "incremental"]).status.code(), Some(4));
}

#[test]
fn keys_are_made_files_signed_and_signatures_checked() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let run = |arguments: &[&std::ffi::OsStr]| Command::new(AGENT).args(arguments).output().unwrap();
    let (signing, identity, document) = (at("signing.key"), at("identity"), at("document"));
    std::fs::write(&document, b"text").unwrap();
    let made = run(&[
        "keygen".as_ref(),
        "--signing-key".as_ref(),
        signing.as_ref(),
        "--identity".as_ref(),
        identity.as_ref(),
    ]);
    assert!(made.status.success());
    let said = String::from_utf8_lossy(&made.stdout).into_owned() + &String::from_utf8_lossy(&made.stderr);
    assert!(said.contains("recipient: age1") && !said.contains("SECRET"), "{said}");
    assert_eq!(run(&["keygen".as_ref(), "--identity".as_ref(), identity.as_ref()]).status.code(), Some(1));
    assert!(
        run(&["sign".as_ref(), document.as_ref(), "--signing-key".as_ref(), signing.as_ref()])
            .status
            .success()
    );
    let verify =
        || run(&["verify".as_ref(), document.as_ref(), "--trusted-keys".as_ref(), folder.path().as_ref()]);
    assert!(verify().status.success());
    std::fs::write(&document, b"other").unwrap();
    assert_eq!(verify().status.code(), Some(4));
}

#[test]
fn help_has_examples_and_a_wrong_command_is_told_apart() {
    let help = Command::new(AGENT).arg("--help").output().unwrap();
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(help.status.success() && text.contains("Examples:") && text.contains("Exit codes:"));
    assert_eq!(Command::new(AGENT).arg("nonsense").status().unwrap().code(), Some(2));
}

#[test]
fn a_program_believes_to_be_another_user() {
    let output = Command::new(AGENT).args(["run-as", "999", "998", "--", "/usr/bin/id"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("uid=999"), "{text} {}", String::from_utf8_lossy(&output.stderr));
    let failing = Command::new(AGENT).args(["run-as", "999", "999", "--", "/nonexistent"]).output().unwrap();
    assert_eq!(failing.status.code(), Some(1));
}

#[test]
fn production_serves_until_it_is_asked_to_stop() {
    let world = World::sqlite();
    world.fill(10);
    let places = world.production();
    let said = places.inside("/said");
    let programs = format!(
        r#"[{{"name":"shop","command":["/bin/sh","-c","trap 'echo stopped > {0}; exit' TERM; echo started > {0}; while :; do sleep 0.1; done"]}}]"#,
        said.display()
    );
    crate::world::write(&places.programs(), programs.as_bytes());
    let mut child = Command::new(AGENT).arg("--root").arg(places.root()).arg("produce").spawn().unwrap();
    let has_said = |wanted: &str| std::fs::read_to_string(&said).is_ok_and(|text| text.trim() == wanted);
    while !has_said("started") {
        assert!(child.try_wait().unwrap().is_none(), "production ended at once");
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(has_said("stopped"), "the program was not stopped cleanly");
}

#[test]
fn a_full_disk_is_told_apart() {
    let zeros = std::fs::File::open("/dev/zero").unwrap();
    let receive =
        Command::new(AGENT).args(["sqlite", "receive", "--into=/dev/full"]).stdin(zeros).output().unwrap();
    assert_eq!(receive.status.code(), Some(5));
    let said = String::from_utf8_lossy(&receive.stderr).into_owned();
    assert!(said.starts_with("rekindle-agent: Agent.DiskFull: "), "{said}");
}
