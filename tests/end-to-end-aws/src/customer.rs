//! A customer: its keys, the disk of its production host, and the disk that its base image stands for.

use std::path::{Path, PathBuf};
use std::process::Command;

use rekindle_agent::builtin_recipes;
use rekindle_agent::keys::{DataIdentity, SigningKey};
use rekindle_agent::places::Places;
use rekindle_domain::MachineKey;
use serde_json::{Value, json};

use crate::deployment::Deployment;

/// The real agent, built for AWS.
const AGENT: &str = "REKINDLE_E2E_AGENT";

/// The program that instances and production hosts run.
///
/// # Panics
/// When these tests were not started by `cargo xtask e2e-aws`.
pub fn agent() -> PathBuf {
    PathBuf::from(std::env::var_os(AGENT).expect("run these tests with: cargo xtask e2e-aws"))
}

/// The customer that the stack serves.
const CUSTOMER_ID: &str = "acme";

/// What may be different from one test to the next.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// The service; its own for each test.
    pub service: &'static str,
    /// Instance types, the best one first.
    pub instance_types: Vec<&'static str>,
    /// What the database is asked when it is backed up, and again when it was restored.
    pub probe: &'static str,
    /// What no person has to approve.
    pub approved_beforehand: Vec<&'static str>,
}

impl Wishes {
    /// An ordinary service of this name.
    pub fn ordinary(service: &'static str) -> Self {
        Self {
            service,
            instance_types: vec!["t3.medium", "m5.large"],
            probe: PROBE,
            approved_beforehand: vec!["disaster", "rehearsal"],
        }
    }
}

/// A probe with the same answer as long as nobody writes.
const PROBE: &str = "SELECT count(*), sum(amount) FROM orders";

/// A probe that takes seconds, so that a test can come in between.
pub const SLOW_PROBE: &str = "WITH RECURSIVE counted(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM counted \
                              WHERE number < 20000000) SELECT count(*) FROM counted";

/// One customer with one machine.
pub struct Customer {
    /// Its machine.
    pub machine: MachineKey,
    wishes: Wishes,
    folder: PathBuf,
    signing: SigningKey,
    identity: DataIdentity,
}

impl Customer {
    /// With new keys, in a folder of its own.
    ///
    /// # Panics
    /// When the folder cannot be used.
    pub fn new(folder: &Path, wishes: Wishes) -> Self {
        let folder = folder.join(CUSTOMER_ID);
        std::fs::create_dir_all(&folder).unwrap();
        let signing = SigningKey::generate().unwrap();
        signing.write(&folder.join("signing.key")).unwrap();
        let identity = DataIdentity::generate();
        identity.write(&folder.join("data.identity")).unwrap();
        let machine = MachineKey::parse(&format!("{CUSTOMER_ID}/{}/database", wishes.service)).unwrap();
        Self { machine, wishes, folder, signing, identity }
    }

    /// What is sent to `POST /services`.
    ///
    /// # Panics
    /// When the public key cannot be written as text.
    pub fn service(&self, base_image: &str) -> Value {
        json!({
            "customer_id": self.machine.customer_id,
            "service_id": self.machine.service_id,
            "display_name": format!("Orders of {}", self.machine),
            "objectives": {"recovery_time": 120.0, "recovery_point": 86400.0},
            "depends_on": [],
            "machines": [{
                "machine_id": self.machine.machine_id,
                "base_image": base_image,
                "instance_types": self.wishes.instance_types,
                "zones": [zone()],
            }],
            "ssh_key_name": SSH_KEY_NAME,
            "signing_keys": [self.signing.public_text().unwrap().lines().last().unwrap()],
            "approval": {
                "name": "small-firm",
                "approved_beforehand": self.wishes.approved_beforehand,
                "deadline": 900.0,
            },
            "concurrent_builders": 1,
        })
    }

    /// Where production's disk is.
    pub fn production(&self) -> Places {
        Places::under(self.folder.join("production"))
    }

    /// Puts onto a disk what its image brings: keys, recipes, the wrapped identity.
    ///
    /// # Panics
    /// When the disk cannot be written.
    pub fn furnish(&self, disk: &Path, wrapped_identity: Option<&Path>) {
        let places = Places::under(disk);
        std::fs::create_dir_all(places.inside("/srv")).unwrap();
        write(&places.trusted_keys().join("customer.pub"), self.signing.public_text().unwrap().as_bytes());
        for recipe in builtin_recipes() {
            let path = places.recipes().join(format!("{}.toml", recipe.name));
            let signature = self.signing.sign(recipe.text.as_bytes(), "a recipe").unwrap();
            write(&path, recipe.text.as_bytes());
            write(&places.recipes().join(format!("{}.toml.minisig", recipe.name)), signature.as_bytes());
        }
        if let Some(wrapped) = wrapped_identity {
            std::fs::copy(wrapped, places.inside("/etc/rekindle/identity.kms")).unwrap();
        }
    }

    /// Writes `agent.toml`. It holds the one absolute path of a disk, so it is written anew where a disk was copied.
    ///
    /// # Panics
    /// When the disk cannot be written.
    pub fn configure(&self, disk: &Path, deployment: &Deployment, instance: bool) {
        let text = configuration(&self.machine, disk, deployment, instance, self.wishes.probe);
        write(&Places::under(disk).configuration(), text.as_bytes());
    }

    /// Encrypts the data identity with the stack's data key, as the customer does once.
    ///
    /// # Panics
    /// When the agent refuses.
    pub fn wrap_identity(&self, key_id: &str) -> PathBuf {
        let wrapped = self.folder.join("identity.kms");
        let output = Command::new(agent())
            .args(["wrap-identity", "--key-id", key_id, "--machine", &self.machine.to_string(), "--identity"])
            .arg(self.folder.join("data.identity"))
            .arg("--out")
            .arg(&wrapped)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        wrapped
    }

    /// Fills production's database.
    ///
    /// # Panics
    /// When the database cannot be written.
    pub fn write_orders(&self, orders: u32) {
        let connection = rusqlite::Connection::open(database(self.production().root())).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL;
                 CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL, note TEXT NOT NULL);
                 BEGIN;",
            )
            .unwrap();
        for _ in 0..orders {
            let insert =
                "INSERT INTO orders (amount, note) VALUES (abs(random() % 1000), hex(randomblob(200)))";
            connection.execute(insert, []).unwrap();
        }
        connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    }

    /// Takes a backup of production with the real agent.
    ///
    /// # Panics
    /// When it fails.
    pub fn back_up(&self, environment: &[(String, String)]) -> Value {
        self.sign_and_store(&["backup", "--recipient", &self.identity.recipient().text()], environment)
    }

    /// Lays the first configuration of the service, of one file, into the control bucket: its revision.
    ///
    /// # Panics
    /// When the agent refuses.
    pub fn publish_configuration(&self, content: &str, environment: &[(String, String)]) -> Value {
        let file = json!({ "path": CONFIGURED, "mode": 0o644, "content": content });
        let service = self.machine.service();
        let document = json!({ "schema_version": 1, "service": service, "counter": 1, "files": [file] });
        let path = self.folder.join("configuration.json");
        std::fs::write(&path, document.to_string()).unwrap();
        let path = path.display().to_string();
        self.sign_and_store(&["publish-configuration", &path], environment)["revision"].clone()
    }

    fn sign_and_store(&self, command: &[&str], environment: &[(String, String)]) -> Value {
        let output = Command::new(agent())
            .arg("--root")
            .arg(self.production().root())
            .args(command)
            .args(["--json", "--signing-key"])
            .arg(self.folder.join("signing.key"))
            .envs(environment.iter().cloned())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// The one file of the service's configuration.
const CONFIGURED: &str = "/etc/orders/shop.conf";

/// What a disk holds of the service's configuration.
///
/// # Panics
/// When it holds none.
pub fn configured(disk: &Path) -> String {
    std::fs::read_to_string(Places::under(disk).inside(CONFIGURED)).unwrap()
}

/// The name under which the cloud knows the customer's public SSH key.
pub const SSH_KEY_NAME: &str = "customer-recovery";

fn configuration(
    machine: &MachineKey,
    disk: &Path,
    deployment: &Deployment,
    instance: bool,
    probe: &str,
) -> String {
    let mut aws = format!(
        "[aws]\nregion = \"eu-west-1\"\ncontrol_bucket = \"{}\"\ndata_bucket = \"{}\"\n",
        deployment.output("ControlBucketName"),
        deployment.output("DataBucketName"),
    );
    if instance {
        aws.push_str(&format!(
            "agent_api = \"{}\"\n",
            deployment.output("AgentApiUrl").trim_end_matches('/')
        ));
        aws.push_str("identity = \"etc/rekindle/identity.kms\"\n");
    }
    format!(
        "machine = \"{machine}\"\n\
         [backup]\nobject_mebibytes = 1\n\
         {aws}\
         [[data_stores]]\nname = \"orders\"\nrecipe = \"sqlite\"\n\
         params = {{ database = \"{}\" }}\n\
         probes = [{{ name = \"count\", query = \"{probe}\" }}]\n",
        database(disk).display(),
    )
}

/// The zone that the stack's first subnet is in.
fn zone() -> String {
    let subnets = crate::command_line::aws(&["ec2", "describe-subnets"]);
    subnets["Subnets"][0]["AvailabilityZone"].as_str().unwrap().to_owned()
}

/// Where the database is on a disk.
fn database(disk: &Path) -> PathBuf {
    disk.join("srv/orders.db")
}

/// All rows of the database on a disk.
///
/// # Panics
/// When it cannot be read.
pub fn rows(disk: &Path) -> Vec<(i64, i64, String)> {
    let connection = rusqlite::Connection::open(database(disk)).unwrap();
    let mut statement = connection.prepare("SELECT id, amount, note FROM orders ORDER BY id").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}
