//! Bad input with the real agent in real instances. After each case the previous good image is current, recovers, and
//! nothing of the failed run is left.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

use jiff::SignedDuration;
use rekindle_agent::builtin_recipes;
use rekindle_agent::keys::SigningKey;
use rekindle_domain::report::ReplicaFacts;
use rekindle_domain::{BackupId, Image, MachineKey, Outcome};
use rekindle_end_to_end_tests::world::{Ended, Kind, World};
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

/// A world with a good image, before anything bad comes.
struct Scene {
    world: World,
    good: Image,
    good_rows: u32,
    folders: Vec<String>,
}

/// How a run has to end, and what it has to say.
struct Expected {
    outcome: Outcome,
    error: Option<&'static str>,
    /// Parts of the sentence: what is wrong, and what to do.
    says: &'static [&'static str],
}

fn refused(error: &'static str, says: &'static [&'static str]) -> Expected {
    Expected { outcome: Outcome::Refused, error: Some(error), says }
}

const TAKE_A_FULL_BACKUP: &str = "take a new full backup";
const TAKE_A_BACKUP: &str = "take a new backup";

impl Scene {
    async fn open() -> Self {
        let world = World::with_a_good_image().await;
        let good = world.site.newest_image().await.unwrap();
        let good_rows = rows_in(&world.production.database());
        let folders = world.site.folders();
        let scene = Self { world, good, good_rows, folders };
        scene.the_good_image_recovers().await;
        scene
    }

    fn full_backup(&self) -> BackupId {
        self.world.production.back_up(Kind::Full)
    }

    async fn refresh_ends(&self, case: &str, expected: &Expected) {
        let ended = self.world.site.refresh().await;
        self.ended_as(case, &ended, expected).await;
    }

    async fn ended_as(&self, case: &str, ended: &Ended, expected: &Expected) {
        println!("{case}: {} ({})", ended.cause(), ended.error().unwrap_or("no error"));
        assert_eq!(ended.error(), expected.error, "{case}");
        let report = ended.report.as_ref().unwrap_or_else(|| panic!("{case}: there is no report"));
        assert_eq!(report.outcome, expected.outcome, "{case}");
        is_a_sentence_for_people(case, &report.cause);
        for part in expected.says {
            assert!(report.cause.contains(part), "{case}: {part:?} is not in {:?}", report.cause);
        }
        self.nothing_is_left_of(case, ended).await;
        self.the_good_image_recovers().await;
    }

    async fn nothing_is_left_of(&self, case: &str, ended: &Ended) {
        assert_eq!(self.world.site.resources_of(&ended.run_id).await, [], "{case}");
        assert_eq!(self.world.site.folders(), self.folders, "{case}");
        assert_eq!(self.world.site.images().await, std::slice::from_ref(&self.good), "{case}");
    }

    async fn the_good_image_recovers(&self) {
        let site = &self.world.site;
        assert_eq!(site.newest_image().await.as_ref(), Some(&self.good));
        let recovered = site.recover().await;
        assert_eq!(recovered.error(), None, "{}", recovered.cause());
        let replica = only_replica(&recovered);
        assert_eq!(replica.image_id, self.good.image_id);
        assert_eq!(rows_in(&site.database_in(&replica)), self.good_rows);
        let keys = fs::read_to_string(site.file_in(&replica, "/root/.ssh/authorized_keys")).unwrap();
        assert!(keys.contains(&replica.ssh_key_name) && !replica.ssh_key_name.is_empty(), "{keys}");
        site.end_recovery(&recovered.run_id).await;
        assert_eq!(site.resources_of(&recovered.run_id).await, []);
    }

    /// The last word: what is good is still taken.
    async fn a_good_set_is_refreshed(&self) {
        self.full_backup();
        let refreshed = self.world.site.refresh().await;
        assert_eq!(refreshed.error(), None, "{}", refreshed.cause());
        let newest = self.world.site.newest_image().await.unwrap();
        assert!(newest.position > self.good.position);
    }
}

fn only_replica(recovered: &Ended) -> ReplicaFacts {
    let facts = recovered.report.as_ref().unwrap().recovery.as_ref().unwrap();
    let [replica] = facts.services[0].replicas.as_slice() else { panic!("{facts:?}") };
    replica.clone()
}

fn rows_in(database: &std::path::Path) -> u32 {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    connection.query_row("select count(*) from orders", [], |row| row.get(0)).unwrap()
}

fn is_a_sentence_for_people(case: &str, cause: &str) {
    assert!((20..700).contains(&cause.len()), "{case}: {cause:?}");
    for debris in ["panicked", "Error {", "Os {", "Some(", "::", "\n", "\"}"] {
        assert!(!cause.contains(debris), "{case}: {debris:?} in {cause:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_are_not_the_signed_ones_are_refused() {
    let scene = Scene::open().await;

    let object = scene.world.data_object(&scene.full_backup());
    flip_a_bit(&object);
    let expected = refused("Agent.ObjectCorrupt", &["are not the ones that were signed", TAKE_A_FULL_BACKUP]);
    scene.refresh_ends("one flipped bit", &expected).await;

    let object = scene.world.data_object(&scene.full_backup());
    let file = File::options().write(true).open(object).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let expected = refused("Agent.ObjectTruncated", &["bytes", TAKE_A_FULL_BACKUP]);
    scene.refresh_ends("a truncated object", &expected).await;

    let object = scene.world.data_object(&scene.full_backup());
    fs::remove_file(object).unwrap();
    let expected = refused("Agent.ObjectMissing", &["is not in the store", TAKE_A_FULL_BACKUP]);
    scene.refresh_ends("a missing object", &expected).await;

    scene.a_good_set_is_refreshed().await;
}

fn flip_a_bit(file: &std::path::Path) {
    let file = File::options().read(true).write(true).open(file).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 1], middle).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn descriptions_that_cannot_be_believed_are_refused() {
    let scene = Scene::open().await;
    let world = &scene.world;

    let backup = scene.full_backup();
    let description = fs::read(world.store.description_file(&backup)).unwrap();
    let stranger = SigningKey::generate().unwrap().sign(&description, "backup set").unwrap();
    world.store.publish(&backup, &description, &stranger);
    let expected = refused("Agent.SignatureInvalid", &["signature does not fit", TAKE_A_BACKUP]);
    scene.refresh_ends("the signature of a stranger", &expected).await;

    for (case, key, reason) in [
        ("a key that climbs", "customers/../../etc/passwd", &["climbs out of its folder", TAKE_A_BACKUP]),
        ("an absolute key", "/etc/passwd", &["it is absolute", TAKE_A_BACKUP]),
    ] {
        let backup = scene.full_backup();
        world.forge(&backup, |set| set["data_stores"][0]["objects"][0]["key"] = json!(key));
        scene.refresh_ends(case, &refused("Agent.SetRefused", reason)).await;
    }

    let backup = scene.full_backup();
    let description = File::options().write(true).open(world.store.description_file(&backup)).unwrap();
    description.set_len(100_000_000).unwrap();
    let expected = refused("Agent.SetRefused", &["100000000", TAKE_A_BACKUP]);
    scene.refresh_ends("a description of 100 MB", &expected).await;

    let backup = scene.full_backup();
    let mut description = File::options().write(true).open(world.store.description_file(&backup)).unwrap();
    description.write_all(b"no JSON").unwrap();
    let bytes = fs::read(world.store.description_file(&backup)).unwrap();
    world.store.publish(&backup, &bytes, &world.customer.sign(&bytes));
    let expected = refused("Agent.SetRefused", &["cannot be read", TAKE_A_BACKUP]);
    scene.refresh_ends("a signed description that is no JSON", &expected).await;

    let replayed = BackupId::mint();
    let description = fs::read(world.store.description_file(&scene.good.backup_id)).unwrap();
    let signature = fs::read_to_string(world.store.signature_file(&scene.good.backup_id)).unwrap();
    world.store.publish(&replayed, &description, &signature);
    let expected = refused("Agent.SetRefused", &["but lies under", TAKE_A_BACKUP]);
    scene.refresh_ends("an old set under a new name", &expected).await;

    scene.a_good_set_is_refreshed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_that_do_not_fit_the_image_are_not_applied() {
    let scene = Scene::open().await;
    let world = &scene.world;

    let stranger = MachineKey::parse("acme/nobody-knows/database").unwrap();
    let ended = world.site.refresh_of(&stranger).await;
    let expected =
        refused("Register.UnknownService", &["the register knows no such machine", "Add the service"]);
    scene.ended_as("a service that nobody knows", &ended, &expected).await;

    let old = scene.full_backup();
    world.forge(&old, |set| set["position"] = json!({ "incarnation": 0, "sequence": 9 }));
    let nothing =
        Expected { outcome: Outcome::NothingToDo, error: None, says: &["already holds the newest usable"] };
    scene.refresh_ends("a set that is older than the applied one", &nothing).await;

    let parent = scene.full_backup();
    world.production.back_up(Kind::Incremental);
    fs::remove_file(world.store.description_file(&parent)).unwrap();
    let expected = refused("Agent.SetOutOfOrder", &["no complete chain", "take a new full backup"]);
    scene.refresh_ends("a set whose parent is missing", &expected).await;

    scene.full_backup();
    let gap = world.production.back_up(Kind::Incremental);
    world.forge(&gap, |set| {
        set["data_stores"][0]["recovery_point"]["from_position"] = json!("another generation");
    });
    let expected =
        refused("Agent.SetOutOfOrder", &["does not begin where", "Rebuild from the newest full set"]);
    scene.refresh_ends("an increment with a gap before it", &expected).await;

    let sqlite = builtin_recipes().into_iter().find(|recipe| recipe.name == "sqlite").unwrap();
    let changed = format!("{}# Changed on the source only.\n", sqlite.text);
    world.production.put_files(&world.customer.recipe_files("sqlite", &changed));
    scene.full_backup();
    let expected = refused("Agent.RecipeUnknown", &["recipe", "sqlite"]);
    scene.refresh_ends("a recipe with other content", &expected).await;

    world.production.put_files(&world.customer.recipe_files("sqlite", sqlite.text));
    scene.a_good_set_is_refreshed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_fails_three_times_is_set_aside_until_a_person_decides() {
    let scene = Scene::open().await;
    let clock = &scene.world.site.clock;
    flip_a_bit(&scene.world.data_object(&scene.full_backup()));
    let corrupt = refused("Agent.ObjectCorrupt", &[TAKE_A_FULL_BACKUP]);
    let waiting = Expected {
        outcome: Outcome::BackingOff,
        error: Some("BackingOff"),
        says: &["this set failed", "It is tried again after"],
    };

    scene.refresh_ends("the first time", &corrupt).await;
    scene.refresh_ends("at once again", &waiting).await;
    clock.advance(SignedDuration::from_mins(6));
    scene.refresh_ends("the second time", &corrupt).await;
    clock.advance(SignedDuration::from_mins(6));
    scene.refresh_ends("too soon again", &waiting).await;
    clock.advance(SignedDuration::from_mins(31));
    scene.refresh_ends("the third time", &corrupt).await;

    clock.advance(SignedDuration::from_hours(25));
    let set_aside = Expected {
        outcome: Outcome::Quarantined,
        error: Some("Quarantined"),
        says: &[
            "failed 3 times and is set aside",
            "The previous image stays current",
            "Take a new full backup",
        ],
    };
    scene.refresh_ends("after that", &set_aside).await;
    let questions = scene.world.site.open_questions().await;
    assert_eq!(questions.len(), 1, "a person is asked once: {questions:?}");

    scene.a_good_set_is_refreshed().await;
}
