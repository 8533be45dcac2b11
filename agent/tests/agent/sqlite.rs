//! The whole way of an SQLite database: backed up, restored, proven, sealed, served.

use rekindle_agent::jobs::Instance;
use rekindle_agent::state::State;
use rekindle_domain::job::JobResult;
use rekindle_domain::{BackupKind, CheckKind, JobWork, SetPosition, Verdict};
use rekindle_step::ErrorName;

use crate::world::{World, files_under, id_of, perform_work, restore, rows, verify, write};

const FIRST: SetPosition = SetPosition { incarnation: 1, sequence: 1 };
const SECOND: SetPosition = SetPosition { incarnation: 1, sequence: 2 };

fn failed_kinds(verdict: &Verdict) -> Vec<CheckKind> {
    verdict.failures().map(|check| check.kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_arrives_by_a_full_set_and_by_increments() {
    let world = World::sqlite();
    world.fill(20_000);
    let full = world.backup_id("auto");
    let described = world.set(&full).await;
    assert_eq!((described.kind, described.position), (BackupKind::Full, FIRST));
    assert!(described.data_stores[0].objects.len() > 3, "the stream is one object");

    let builder = world.builder("builder");
    let first = restore(&builder, &[&full], None).await.unwrap();
    assert!(matches!(first, JobResult::Restored { applied: FIRST, .. }), "{first:?}");
    assert_eq!(restore(&builder, &[&full], None).await.unwrap(), first, "the same job gave another answer");
    let verdict = verify(&builder, &full).await;
    assert!(verdict.passed(), "{verdict:?}");
    assert_eq!(verdict.recovery_point, Some(described.recovery_point_time()));
    assert_eq!(rows(&world.database(&builder.places)), rows(&world.database(&world.production())));

    world.fill(50);
    let second = world.backup("auto");
    assert_eq!(second["kind"], "incremental");
    world.fill(1);
    let third = world.backup("incremental");
    let whole = world.set(&full).await.stored_bytes().0;
    assert!(second["stored_bytes"].as_u64().unwrap() * 5 < whole, "the increment is as large as everything");
    let chain = [&id_of(&second), &id_of(&third)];
    let twice = restore(&builder, &chain, Some(FIRST)).await.unwrap();
    assert!(
        matches!(twice, JobResult::Restored { applied: SetPosition { sequence: 3, .. }, .. }),
        "{twice:?}"
    );
    let verdict = verify(&builder, chain[1]).await;
    assert!(verdict.passed(), "{verdict:?}");
    assert_eq!(rows(&world.database(&builder.places)), rows(&world.database(&world.production())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_was_applied_in_part_goes_on_and_a_full_set_replaces_what_is_there() {
    let world = World::sqlite();
    world.fill(100);
    let full = world.backup_id("full");
    world.fill(10);
    let increment = world.backup_id("incremental");
    let builder = world.builder("builder");
    restore(&builder, &[&full], None).await.unwrap();
    // The plan still says that nothing is applied.
    restore(&builder, &[&full, &increment], None).await.unwrap();
    world.fill(10);
    let fresh = world.backup_id("full");
    restore(&builder, &[&fresh], Some(SECOND)).await.unwrap();
    assert!(verify(&builder, &fresh).await.passed());
    assert_eq!(rows(&world.database(&builder.places)).len(), 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn yesterdays_data_and_a_changed_row_do_not_pass() {
    let world = World::sqlite();
    world.fill(100);
    let full = world.backup_id("full");
    let builder = world.builder("builder");
    restore(&builder, &[&full], None).await.unwrap();
    let database = world.database(&builder.places);
    let yesterday = std::fs::read(&database).unwrap();
    let increment = world.backup_id("incremental");
    restore(&builder, &[&increment], Some(FIRST)).await.unwrap();
    let today = std::fs::read(&database).unwrap();

    std::fs::write(&database, &yesterday).unwrap();
    let verdict = verify(&builder, &increment).await;
    assert_eq!(failed_kinds(&verdict), [CheckKind::Position, CheckKind::Heartbeat]);
    assert!(!builder.places.verified().exists());

    std::fs::write(&database, &today).unwrap();
    let connection = rusqlite::Connection::open(&database).unwrap();
    let secret = "a value of the customer";
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = DELETE; UPDATE orders SET note = '{secret}' WHERE id = 99"
        ))
        .unwrap();
    drop(connection);
    let verdict = verify(&builder, &increment).await;
    assert_eq!(failed_kinds(&verdict), [CheckKind::Position, CheckKind::Probe]);
    assert!(!format!("{verdict:?}").contains(secret), "a verdict holds business data");

    std::fs::write(&database, &today).unwrap();
    assert!(verify(&builder, &increment).await.passed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_changes_no_byte_and_works_in_a_later_boot() {
    let world = World::sqlite();
    world.fill(100);
    let full = world.backup_id("full");
    let builder = world.builder("builder");
    restore(&builder, &[&full], None).await.unwrap();
    let database = world.database(&builder.places);
    let before = std::fs::read(&database).unwrap();
    assert!(verify(&builder, &full).await.passed());
    let next_boot = world.boot(builder.places.clone());
    assert!(verify(&next_boot, &full).await.passed());
    assert_eq!(std::fs::read(&database).unwrap(), before);
    assert_eq!(std::fs::read_dir(database.parent().unwrap()).unwrap().count(), 1, "a file was left beside");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_off_apply_is_never_verified_sealed_or_continued() {
    let world = World::sqlite();
    world.fill(100);
    let full = world.backup_id("full");
    let increment = world.backup_id("incremental");
    let builder = world.builder("builder");
    restore(&builder, &[&full], None).await.unwrap();
    // What a loss of power in the middle of an apply leaves.
    let mut state = State::read(&builder.places).unwrap();
    state.applying = Some(increment.clone());
    state.write(&builder.places).unwrap();
    for work in [
        JobWork::TransferAndRestore { sets: vec![increment.clone()], applied: Some(FIRST) },
        JobWork::Verify { backup_id: full },
        JobWork::Seal,
        JobWork::Activate,
        JobWork::CheckReplica,
    ] {
        let error = perform_work(&builder, work.clone()).await.expect_err("half a restore was used");
        assert_eq!(error.name, ErrorName::SetRefused, "{work:?}");
        assert!(error.chain().contains("start again from the image"), "{}", error.chain());
    }
    assert!(!builder.places.sealed().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_the_one_that_was_applied_takes_no_increment() {
    let world = World::sqlite();
    world.fill(100);
    let full = world.backup_id("full");
    let increment = world.backup_id("incremental");
    let builder = world.builder("builder");
    restore(&builder, &[&full], None).await.unwrap();
    let database = world.database(&builder.places);
    rusqlite::Connection::open(&database).unwrap().execute_batch("DELETE FROM orders WHERE id = 7").unwrap();
    let error = restore(&builder, &[&increment], Some(FIRST)).await.unwrap_err();
    assert_eq!(error.name, ErrorName::SetRefused, "{}", error.chain());
    assert!(State::read(&builder.places).unwrap().applying.is_some(), "a doubtful instance is not marked");
}

async fn sealed_image(world: &World) -> (Instance, rekindle_domain::BackupId) {
    world.fill(200);
    let full = world.backup_id("full");
    let builder = world.builder("builder");
    restore(&builder, &[&full], None).await.unwrap();
    assert!(verify(&builder, &full).await.passed());
    assert_eq!(perform_work(&builder, JobWork::Seal).await.unwrap(), JobResult::Sealed);
    (builder, full)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_image_holds_no_secret_and_no_leftover() {
    let world = World::sqlite();
    let (builder, _) = sealed_image(&world).await;
    let places = &builder.places;
    for gone in [places.identity(), places.expectations(), places.staging()] {
        assert!(!gone.exists(), "{} is left", gone.display());
    }
    let secrets = secrets_of(&world);
    for folder in [places.root(), world.production().root(), &world.folder.path().join("store")] {
        for path in files_under(folder) {
            let bytes = std::fs::read(&path).unwrap();
            for secret in &secrets {
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "{} holds a secret key", path.display());
            }
        }
    }
}

fn secrets_of(world: &World) -> Vec<String> {
    let scratch = tempfile::tempdir().unwrap();
    let (identity, signing) = (scratch.path().join("identity"), scratch.path().join("signing"));
    world.identity.write(&identity).unwrap();
    world.signing.write(&signing).unwrap();
    let text = std::fs::read_to_string(identity).unwrap() + &std::fs::read_to_string(signing).unwrap();
    let secrets: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with("AGE-SECRET-KEY-1") || line.len() > 100)
        .map(|line| line[20..80.min(line.len())].to_owned())
        .collect();
    assert_eq!(secrets.len(), 2, "the secrets were not found in their own files");
    secrets
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_serves_and_is_checked_through_its_application() {
    let world = World::sqlite();
    let (builder, _) = sealed_image(&world).await;
    let replica = world.boot(builder.places.clone());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for stream in listener.incoming().take(2) {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        }
    });
    let programs = format!(r#"[{{"name":"shop","command":["/bin/sleep","60"],"health_url":"{url}"}}]"#);
    write(&replica.places.programs(), programs.as_bytes());
    let activated = perform_work(&replica, JobWork::Activate).await.unwrap();
    assert_eq!(activated, JobResult::Activated { programs: vec!["shop".to_owned()] });
    let JobResult::ReplicaChecked { verdict } = perform_work(&replica, JobWork::CheckReplica).await.unwrap()
    else {
        panic!("another result");
    };
    assert!(verdict.passed(), "{verdict:?}");
    assert!(verdict.checks.iter().any(|check| check.kind == CheckKind::Application));
    answering.join().unwrap();

    let database = world.database(&replica.places);
    rusqlite::Connection::open(&database).unwrap().execute_batch("DELETE FROM orders WHERE id = 3").unwrap();
    let JobResult::ReplicaChecked { verdict } = perform_work(&replica, JobWork::CheckReplica).await.unwrap()
    else {
        panic!("another result");
    };
    assert_eq!(failed_kinds(&verdict), [CheckKind::Probe, CheckKind::Application]);
    replica.programs.stop_all().await;
}
