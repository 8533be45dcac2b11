//! What a demo leaves when it is asked to: a store, images and a register, and no secret in any of them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rekindle_domain::Report;
use rekindle_end_to_end_tests::account::Account;
use rekindle_end_to_end_tests::contents::{files_with, files_without, names};
use rekindle_end_to_end_tests::demo::{Demo, Ended};
use rekindle_end_to_end_tests::machine::Machine;
use rekindle_end_to_end_tests::outcome::DemoOutcome;
use rusqlite::{Connection, OpenFlags};

/// What every task token begins with.
const TASK_TOKEN: &str = "rekindle-task-token-";
/// What every object that is encrypted begins with.
const ENCRYPTED: &str = "age-encryption.org/v1";

#[test]
fn a_kept_demo_holds_no_secret_where_none_belongs() {
    let account = Account::own();
    let machine = Machine::as_it_is();
    let mut command = account.command(&["demo", "--data-mb", "10", "--json", "--keep"]);
    command.env("RUST_LOG", "debug"); // Whoever looks for a fault sends such a log to somebody else.
    let ended = Demo::spawn(command).end();
    assert_eq!(ended.status.code(), Some(0), "{}", last_lines(&ended.narration));
    assert_eq!(machine.traces(account.home()), Vec::<String>::new());
    let outcome = DemoOutcome::read(&ended.output);
    let kept = Kept { folder: outcome.report.parent().unwrap().parent().unwrap().to_owned() };

    kept.everything_is_there(&outcome);
    kept.images_and_register_hold_no_secret();
    kept.nobody_else_can_read_the_secrets();
    kept.stored_objects_are_not_plain(&outcome);
    kept.the_replica_had_the_key(&outcome);
    kept.no_secret_was_told(&ended);
    std::fs::remove_dir_all(&kept.folder).unwrap();
}

struct Kept {
    folder: PathBuf,
}

impl Kept {
    fn at(&self, place: &str) -> PathBuf {
        self.folder.join(place)
    }

    fn everything_is_there(&self, outcome: &DemoOutcome) {
        let images = names(&self.at("recovery/images"));
        assert_eq!(images.len(), 3, "the base image and one of each refresh: {images:?}");
        for refresh in &outcome.refreshes {
            assert!(images.contains(&refresh.image_id.as_ref().unwrap().to_string()));
        }
        assert!(self.at("register.sqlite").is_file());
        for instances in ["production/instances", "recovery/instances"] {
            assert_eq!(names(&self.at(instances)), Vec::<String>::new());
        }
    }

    /// Production itself signs, so its own image has that key; what recovers never has it.
    fn images_and_register_hold_no_secret(&self) {
        let nowhere = Vec::<PathBuf>::new();
        for secret in self.secrets() {
            for place in ["recovery", "register.sqlite", "store", "reports"] {
                assert_eq!(files_with(&self.at(place), &secret), nowhere, "a key in {place}");
            }
        }
        let identity = &self.secrets()[0];
        assert_eq!(files_with(&self.at("production"), identity), nowhere, "production can read its backups");
        for place in ["store", "reports"] {
            assert_eq!(files_with(&self.at(place), TASK_TOKEN), nowhere, "a token in {place}");
        }
        let with_token = files_with(&self.at("recovery"), TASK_TOKEN);
        let foreign: Vec<_> = with_token.iter().filter(|file| !file.ends_with("rekindle-agent")).collect();
        assert_eq!(foreign, Vec::<&PathBuf>::new(), "a token in an image");
    }

    /// The data identity and the signing key, each without the lines that anybody may know.
    fn secrets(&self) -> Vec<String> {
        let secret = |file: &str| {
            let text = std::fs::read_to_string(self.at("keys").join(file)).unwrap();
            let lines = text.lines().filter(|line| !line.contains(' '));
            lines.map(str::to_owned).max_by_key(String::len).unwrap()
        };
        let secrets = vec![secret("data.identity"), secret("signing.key")];
        assert!(secrets[0].starts_with("AGE-SECRET-KEY-1") && secrets[1].len() > 100, "not the secrets");
        secrets
    }

    fn nobody_else_can_read_the_secrets(&self) {
        for file in ["data.identity", "signing.key"] {
            let mode = std::fs::metadata(self.at("keys").join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{file} has mode {mode:o}");
        }
        for cloud in ["production", "recovery"] {
            let mode = std::fs::metadata(self.at(cloud)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{cloud} has mode {mode:o}");
        }
    }

    fn stored_objects_are_not_plain(&self, outcome: &DemoOutcome) {
        let note = self.some_note(outcome);
        assert_ne!(files_with(&self.at("recovery"), &note), Vec::<PathBuf>::new(), "not a note of an order");
        assert_eq!(files_with(&self.at("store"), &note), Vec::<PathBuf>::new());
        let objects = self.at("store/data/customers");
        assert_eq!(files_without(&objects, ENCRYPTED), Vec::<PathBuf>::new());
    }

    fn some_note(&self, outcome: &DemoOutcome) -> String {
        let image = outcome.refreshes[1].image_id.as_ref().unwrap();
        let database = self.at("recovery/images").join(image.as_str()).join("tree/var/lib/orders/orders.db");
        let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let note: String =
            connection.query_row("select note from orders where id = 7", [], |row| row.get(0)).unwrap();
        note.split(' ').next().unwrap().to_owned()
    }

    fn the_replica_had_the_key(&self, outcome: &DemoOutcome) {
        let report = read_report(&self.at("reports/recovery.json"));
        let replica = &report.recovery.unwrap().services[0].replicas[0];
        assert_eq!(replica.ssh_key_name, outcome.recovery.ssh_key_name);
        assert_eq!(replica.hostname, outcome.recovery.hostname);
        assert_eq!(Some(&replica.image_id), outcome.refreshes[1].image_id.as_ref());
        assert!(replica.verdict.as_ref().unwrap().passed());
    }

    fn no_secret_was_told(&self, ended: &Ended) {
        for secret in self.secrets() {
            assert!(!ended.narration.contains(&secret));
        }
        for beginning in ["AGE-SECRET-KEY-", TASK_TOKEN] {
            assert!(!ended.narration.contains(beginning) && !ended.output.contains(beginning));
        }
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

fn read_report(file: &Path) -> Report {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}
