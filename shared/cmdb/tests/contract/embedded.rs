//! What is particular to the register inside this process.

use std::error::Error;
use std::time::Duration;

use rekindle_cmdb::{EmbeddedRegister, Register, RegisterError, Released};
use rekindle_domain::{Fence, JobWork};
use rekindle_step::{ErrorName, StepError};

use crate::objects::*;
use crate::{in_memory, suite};

#[tokio::test]
async fn all_cases_share_one_table() {
    suite(in_memory().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_cases_hold_on_a_file_with_several_threads() {
    let folder = tempfile::tempdir().unwrap();
    suite(EmbeddedRegister::open(folder.path().join("register.db")).await.unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn no_time_passes_while_time_is_paused() {
    let before = tokio::time::Instant::now();
    let register = in_memory().await;
    let machine = machine();
    let taken = register.take_lease(&refresh_run(&machine), None).await.unwrap();
    let beside = tokio::spawn(tokio::time::sleep(Duration::from_secs(3600)));
    register.register_image(&image(&taken.run, "img-1", 1), taken.lease.fence).await.unwrap();
    register.unfinished_runs().await.unwrap();
    assert_eq!(tokio::time::Instant::now(), before);
    beside.abort();
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("register.db");
    let machine = machine();
    let register = EmbeddedRegister::open(&path).await.unwrap();
    register.announce_work(&machine).await.unwrap();
    let taken = register.take_lease(&refresh_run(&machine), None).await.unwrap();
    let value = image(&taken.run, "img-1", 1);
    register.register_image(&value, taken.lease.fence).await.unwrap();
    drop(register);

    let register = EmbeddedRegister::open(&path).await.unwrap();
    assert_eq!(register.take_lease(&taken.run, None).await.unwrap(), taken);
    assert_eq!(register.latest_image(&machine).await.unwrap(), Some(value));
    assert_eq!(register.unfinished_runs().await.unwrap(), vec![taken.run.clone()]);
    register.announce_work(&machine).await.unwrap();
    drop(register);

    let register = EmbeddedRegister::open(&path).await.unwrap();
    let released = register.release_lease(&taken.run.run_id, at(1)).await.unwrap();
    assert!(matches!(released, Released::HandedOver { .. }));
    assert_eq!(register.machine_state(&machine).await.unwrap().fence, Fence(2));
}

#[tokio::test]
async fn a_file_keeps_its_identity_over_a_restart_and_a_new_one_has_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("register.db");
    let register = EmbeddedRegister::open(&path).await.unwrap();
    let table_id = register.table_id().await.unwrap();
    drop(register);
    let register = EmbeddedRegister::open(&path).await.unwrap();
    assert_eq!(register.table_id().await.unwrap(), table_id);
    assert_ne!(in_memory().await.table_id().await.unwrap(), table_id);
}

/// These are one item of the whole table, so they are no part of the suite that shares one.
#[tokio::test]
async fn epoch_and_rebuild_replace_only_what_was_read() {
    crate::epochs::an_epoch_replaces_only_what_was_read(in_memory().await).await;
    crate::epochs::a_rebuild_replaces_only_what_was_read(in_memory().await).await;
    crate::epochs::a_rebuild_of_another_table_is_of_the_past(in_memory().await).await;
}

#[tokio::test]
async fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("register.db");
    let first = EmbeddedRegister::open(&path).await.unwrap();
    let error = EmbeddedRegister::open(&path).await.unwrap_err();
    assert!(matches!(error, RegisterError::File { .. }), "{error:?}");
    drop(first);
    EmbeddedRegister::open(&path).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_register_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("register.db");
    std::fs::write(&path, "this is not a database, and it is long enough to be looked at".repeat(99))
        .unwrap();
    let error = EmbeddedRegister::open(&path).await.unwrap_err();
    assert!(matches!(error, RegisterError::File { .. }), "{error:?}");
    assert!(error.source().is_some());
    let text = StepError::from(error).chain();
    assert!(text.contains("register.db"), "{text}");
}

#[tokio::test]
async fn ensuring_the_table_twice_keeps_what_is_in_it() {
    let register = in_memory().await;
    let machine = machine();
    register.announce_work(&machine).await.unwrap();
    register.ensure_table().await.unwrap();
    assert_eq!(register.machine_state(&machine).await.unwrap().wanted, 1);
}

#[tokio::test]
async fn lists_longer_than_a_page_are_read_to_the_end() {
    let register = in_memory().await;
    let run = register.open_run(&recovery_run()).await.unwrap().run_id;
    for seconds in 0..150 {
        let mut value = step("verify", seconds);
        value.detail = Some("x".repeat(20_000));
        register.record_step(&run, &value).await.unwrap();
    }
    assert_eq!(register.steps(&run).await.unwrap().len(), 150);
}

#[tokio::test]
async fn an_item_that_is_too_long_is_refused_with_a_permanent_error() {
    let register = in_memory().await;
    let mut value = service(service_key());
    value.display_name = "x".repeat(500_000);
    let error = register.put_service(&value, None).await.unwrap_err();
    assert!(matches!(error, RegisterError::Refused { .. }), "{error:?}");
    assert_eq!(StepError::from(error).name, ErrorName::Permanent);
}

#[tokio::test]
async fn a_token_shows_nowhere() {
    let register = in_memory().await;
    let (run, instance) = (register.open_run(&recovery_run()).await.unwrap().run_id, instance_id());
    let new = new_job(job(&run, &machine(), "seal", JobWork::Seal), &instance, 1);
    let record = register.post_job(&new).await.unwrap();
    let task = register.ask(&human_task(&run), Some(TOKEN)).await.unwrap();
    let decided = register.decide(&task.human_task_id, &decision("bob", 1)).await.unwrap();
    let mut broken = new.clone();
    broken.job.id.step = "x".repeat(5000);
    let error = register.post_job(&broken).await.unwrap_err();
    let error_text = format!("{error:?} {error}");
    let step_text = StepError::from(error).chain();
    for shown in [
        format!("{new:?}"),
        format!("{record:?}"),
        format!("{decided:?}"),
        format!("{task:?}"),
        format!("{register:?}"),
        serde_json::to_string(&task).unwrap(),
        error_text,
        step_text,
    ] {
        assert!(!shown.contains(TOKEN), "{shown}");
    }
    assert!(format!("{record:?}").contains("withheld"));
}

#[tokio::test]
async fn errors_become_the_names_that_state_machines_match() {
    let register: Register = in_memory().await;
    let machine = machine();
    let taken = register.take_lease(&refresh_run(&machine), None).await.unwrap();
    let fence = taken.lease.fence;
    register.register_image(&image(&taken.run, "img-2", 2), fence).await.unwrap();
    let held = register.take_lease(&refresh_run(&machine), None).await.unwrap_err();
    let superseded = register.register_image(&image(&taken.run, "img-1", 1), fence).await.unwrap_err();
    let fence_lost = register.register_image(&image(&taken.run, "img-3", 3), Fence(9)).await.unwrap_err();
    register.close_run(&taken.run.run_id, None, None, at(1)).await.unwrap();
    let closed = register.register_image(&image(&taken.run, "img-3", 3), fence).await.unwrap_err();
    let unknown = register.publish_configuration(&machine.service(), &revision("1"), 1).await.unwrap_err();
    let contention = RegisterError::Contention { doing: "changing a run" };
    let unavailable =
        RegisterError::Unavailable { doing: "reading an item", source: "connection refused".into() };
    for (error, name) in [
        (held, ErrorName::FenceLost),
        (superseded, ErrorName::Superseded),
        (fence_lost, ErrorName::FenceLost),
        (closed, ErrorName::RunClosed),
        (unknown, ErrorName::UnknownService),
        (contention, ErrorName::Transient),
        (unavailable, ErrorName::Transient),
    ] {
        let step = StepError::from(error);
        assert_eq!(step.name, name, "{}", step.chain());
    }
}
