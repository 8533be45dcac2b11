//! The imaginary customer of the demo: its keys, its signed recipes and configuration, and the files of its images.

use std::path::{Path, PathBuf};

use rekindle_agent::builtin_recipes;
use rekindle_agent::keys::{DataIdentity, SigningKey};
use rekindle_agent::publish_configuration::publish;
use rekindle_cloud_local::{BaseImageFile, BaseImageSpec, FileSource};
use rekindle_domain::configuration::{ConfigurationFile, RevisionId};
use rekindle_domain::{
    ApprovalPolicy, ConfigurationDocument, CustomerId, ImageId, Machine, MachineKey, Objectives,
    RecoveryKind, Seconds, Service,
};
use rekindle_step::StepError;
use rekindle_store::FolderStore;

use super::engine::{AGENT, orders_service_path};
use super::options::Engine;

/// The name under which the customer's SSH key is known.
pub const SSH_KEY_NAME: &str = "acme-recovery";
/// A public key whose private half was thrown away when it was made: the demo shows that a key is installed, and
/// nobody can log in with it.
pub const SSH_PUBLIC_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBpA2Dqm0Ta3ZHZrXS1VYwHc8Yf2sI9w6a6m6x2m0l0E";
/// The demo's objectives: what a small firm might ask for.
pub const OBJECTIVES: Objectives =
    Objectives { recovery_time: Seconds(60.0), recovery_point: Seconds(3600.0) };

/// Keys and names of the customer.
pub struct Customer {
    /// The one protected machine.
    pub machine: MachineKey,
    /// Where the data identity lies, for builders.
    pub identity_file: PathBuf,
    /// Who can read backups: the identity's public half.
    pub recipient: String,
    signing_key: SigningKey,
    signing_key_file: PathBuf,
    public_key: String,
}

impl Customer {
    /// Makes new keys in a folder.
    ///
    /// # Errors
    /// When they cannot be made or written.
    pub fn new(folder: &Path) -> Result<Self, StepError> {
        let unusable = |error| StepError::permanent("the names of the demo cannot be used").because(error);
        std::fs::create_dir_all(folder).map_err(|error| {
            StepError::permanent(format!("the folder {} could not be made", folder.display())).because(error)
        })?;
        let signing_key = SigningKey::generate()?;
        let signing_key_file = folder.join("signing.key");
        signing_key.write(&signing_key_file)?;
        let identity = DataIdentity::generate();
        let identity_file = folder.join("data.identity");
        identity.write(&identity_file)?;
        Ok(Self {
            machine: MachineKey::parse("acme/orders/database").map_err(unusable)?,
            recipient: identity.recipient().text(),
            identity_file,
            public_key: signing_key.public_text()?,
            signing_key,
            signing_key_file,
        })
    }

    /// Who it is.
    pub fn customer_id(&self) -> &CustomerId {
        &self.machine.customer_id
    }

    /// What the register knows of the service.
    pub fn service(&self, base_image: ImageId) -> Service {
        let machine = Machine {
            machine_id: self.machine.machine_id.clone(),
            base_image: Some(base_image),
            instance_types: vec!["local".to_owned()],
            zones: Vec::new(),
        };
        Service {
            key: self.machine.service(),
            display_name: "Orders of Acme".to_owned(),
            objectives: OBJECTIVES,
            depends_on: Vec::new(),
            machines: vec![machine],
            ssh_key_name: SSH_KEY_NAME.to_owned(),
            signing_keys: vec![self.public_key.clone()],
            configuration: None,
            approval: ApprovalPolicy {
                name: "demo".to_owned(),
                approved_beforehand: vec![RecoveryKind::Disaster, RecoveryKind::Rehearsal],
                deadline: Seconds(900.0),
            },
            concurrent_builders: 1,
        }
    }

    /// Publishes the service's configuration: signed, under its digest, in the control bucket.
    ///
    /// # Errors
    /// When it cannot be signed or stored.
    pub async fn publish_configuration(
        &self,
        engine: Engine,
        control: &FolderStore,
    ) -> Result<RevisionId, StepError> {
        let document = ConfigurationDocument {
            schema_version: 1,
            service: self.machine.service(),
            counter: 1,
            files: vec![ConfigurationFile {
                path: "/etc/orders/service.conf".to_owned(),
                mode: 0o644,
                content: format!("# The orders service of Acme.\nengine = {}\n", engine.name()),
            }],
            programs: vec![engine.program()],
        };
        let bytes = serde_json::to_vec_pretty(&document)
            .map_err(|error| StepError::permanent("the configuration cannot be written").because(error))?;
        publish(control, &self.signing_key, &document.service, bytes).await
    }

    /// The image that production runs on: serves, and has the key that signs backups.
    ///
    /// # Errors
    /// When this program or a key cannot be read.
    pub fn production_image(&self, engine: Engine) -> Result<BaseImageSpec, StepError> {
        let mut files = self.common_files(engine, &production_configuration(engine, &self.machine)?)?;
        files.push(BaseImageFile {
            path: PathBuf::from(PRODUCTION_SIGNING_KEY),
            mode: 0o600,
            source: FileSource::CopyOf(self.signing_key_file.clone()),
        });
        Ok(BaseImageSpec { name: "production".to_owned(), files, init_command: agent_command("produce") })
    }

    /// The image that the first builder starts from: an agent that obeys this customer, and no data.
    ///
    /// # Errors
    /// When this program cannot be read.
    pub fn base_image(&self, engine: Engine) -> Result<BaseImageSpec, StepError> {
        let files = self.common_files(engine, &engine.agent_configuration(&self.machine))?;
        Ok(BaseImageSpec { name: "base".to_owned(), files, init_command: agent_command("run") })
    }

    fn common_files(&self, engine: Engine, configuration: &str) -> Result<Vec<BaseImageFile>, StepError> {
        let program = std::env::current_exe()
            .map_err(|error| StepError::permanent("this program cannot find itself").because(error))?;
        let mut files = vec![
            file(AGENT, 0o755, FileSource::CopyOf(program)),
            file(&orders_service_path(), 0o777, FileSource::SymlinkTo(PathBuf::from(AGENT))),
            text("/etc/rekindle/agent.toml", configuration),
            text("/etc/rekindle/trusted-keys/acme.pub", &self.public_key),
            text(&engine.data_folder().join(".keep").display().to_string(), ""),
        ];
        for recipe in builtin_recipes() {
            let path = format!("/etc/rekindle/recipes/{}.toml", recipe.name);
            let signature =
                self.signing_key.sign(recipe.text.as_bytes(), &format!("recipe {}", recipe.name))?;
            files.push(text(&path, recipe.text));
            files.push(text(&format!("{path}.minisig"), &signature));
        }
        Ok(files)
    }

    /// The command that takes a backup on the production host.
    pub fn backup_command(&self) -> Vec<String> {
        let arguments = [
            AGENT,
            "backup",
            "--signing-key",
            PRODUCTION_SIGNING_KEY,
            "--recipient",
            &self.recipient,
            "--control",
            "/run/rekindle/store/control",
            "--data",
            "/run/rekindle/store/data",
            "--json",
        ];
        arguments.iter().map(|argument| (*argument).to_owned()).collect()
    }
}

/// Where the production host keeps its signing key.
const PRODUCTION_SIGNING_KEY: &str = "/etc/orders-secrets/signing.key";

/// Production has its programs in its own configuration; images get theirs from the published one.
fn production_configuration(engine: Engine, machine: &MachineKey) -> Result<String, StepError> {
    let program = engine.program();
    let command = serde_json::to_string(&program.command).map_err(|error| {
        StepError::permanent("the production configuration cannot be written").because(error)
    })?;
    let health_url = program.health_url.unwrap_or_default();
    Ok(format!(
        "{}\n[[programs]]\nname = \"{}\"\ncommand = {command}\nhealth_url = {health_url:?}\n",
        engine.agent_configuration(machine),
        program.name
    ))
}

fn agent_command(command: &str) -> Vec<String> {
    vec![AGENT.to_owned(), command.to_owned()]
}

fn file(path: &str, mode: u32, source: FileSource) -> BaseImageFile {
    BaseImageFile { path: PathBuf::from(path), mode, source }
}

fn text(path: &str, content: &str) -> BaseImageFile {
    file(path, 0o644, FileSource::Bytes(content.as_bytes().to_vec()))
}
