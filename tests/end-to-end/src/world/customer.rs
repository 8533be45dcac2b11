//! The customer: names, keys, and what is signed with them.

use std::path::{Path, PathBuf};

use rekindle_agent::builtin_recipes;
use rekindle_agent::keys::{DataIdentity, SigningKey};
use rekindle_domain::{
    ApprovalPolicy, ImageId, Machine, MachineKey, Objectives, RecoveryKind, Seconds, Service,
};

/// The name under which the customer's SSH key is known.
pub const SSH_KEY_NAME: &str = "acme-operations";

/// Who owns the data.
pub struct Customer {
    /// The one protected machine.
    pub machine: MachineKey,
    /// Signs backups and recipes.
    pub signing_key_file: PathBuf,
    /// Opens backups.
    pub identity_file: PathBuf,
    /// Whom backups are encrypted to.
    pub recipient: String,
    signing_key: SigningKey,
}

impl Customer {
    /// Makes keys in a folder.
    pub fn new(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let signing_key = SigningKey::generate().unwrap();
        let identity = DataIdentity::generate();
        let (signing_key_file, identity_file) = (folder.join("signing.key"), folder.join("data.identity"));
        signing_key.write(&signing_key_file).unwrap();
        identity.write(&identity_file).unwrap();
        Self {
            machine: MachineKey::parse("acme/orders/database").unwrap(),
            signing_key_file,
            identity_file,
            recipient: identity.recipient().text(),
            signing_key,
        }
    }

    /// A detached signature.
    pub fn sign(&self, bytes: &[u8]) -> String {
        self.signing_key.sign(bytes, "for the tests").unwrap()
    }

    /// The files below the root that make an agent obey this customer, for a database at this path.
    pub fn agent_files(&self, database: &Path) -> Vec<(String, Vec<u8>)> {
        let public_key = self.signing_key.public_text().unwrap();
        let mut files = vec![
            ("etc/rekindle/agent.toml".to_owned(), self.agent_configuration(database).into_bytes()),
            ("etc/rekindle/trusted-keys/acme.pub".to_owned(), public_key.into_bytes()),
        ];
        for recipe in builtin_recipes() {
            files.extend(self.recipe_files(recipe.name, recipe.text));
        }
        files
    }

    /// A recipe and its signature.
    pub fn recipe_files(&self, name: &str, text: &str) -> [(String, Vec<u8>); 2] {
        let path = format!("etc/rekindle/recipes/{name}.toml");
        let signature = self.sign(text.as_bytes());
        [(format!("{path}.minisig"), signature.into_bytes()), (path, text.as_bytes().to_vec())]
    }

    fn agent_configuration(&self, database: &Path) -> String {
        format!(
            "machine = \"{}\"\n\n[[data_stores]]\nname = \"orders\"\nrecipe = \"sqlite\"\nparams = {{ database = {database:?} }}\n\
             probes = [{{ name = \"orders\", query = \"select count(*), sum(amount) from orders\" }}]\n",
            self.machine
        )
    }

    /// What the register knows of the service.
    pub fn service(&self, base_image: ImageId) -> Service {
        Service {
            key: self.machine.service(),
            display_name: "Orders of Acme".to_owned(),
            objectives: Objectives { recovery_time: Seconds(60.0), recovery_point: Seconds(86_400.0) },
            depends_on: Vec::new(),
            machines: vec![Machine {
                machine_id: self.machine.machine_id.clone(),
                base_image: Some(base_image),
                instance_types: vec!["local".to_owned()],
                zones: Vec::new(),
            }],
            ssh_key_name: SSH_KEY_NAME.to_owned(),
            signing_keys: vec![self.signing_key.public_text().unwrap()],
            configuration: None,
            approval: ApprovalPolicy {
                name: "tests".to_owned(),
                approved_beforehand: vec![RecoveryKind::Disaster],
                deadline: Seconds(900.0),
            },
            concurrent_builders: 1,
        }
    }
}
