//! The site that recovers: the whole product on a real local cloud, as the command builds it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use rekindle_api::AgentApi;
use rekindle_cloud::{CloudProvider, Resource};
use rekindle_cloud_local::{
    BaseImageFile, BaseImageSpec, FileSource, InstanceProfile, LocalCloud, LocalCloudOptions, OnLaunch,
};
use rekindle_cmdb::{EmbeddedRegister, Register};
use rekindle_domain::report::ReplicaFacts;
use rekindle_domain::{Flow, HumanTask, Image, ImageId, MachineKey, RecoveryKind, Report, RunId};
use rekindle_embedded_host::{EmbeddedHost, Options, Ports, serve_agent};
use rekindle_flow::Execution;
use rekindle_requests::recovery::Request;
use rekindle_step::Clock as _;
use rekindle_store::FolderStore;

use super::customer::SSH_KEY_NAME;
use super::{Customer, MovableClock, Store};
use crate::program;

const AGENT: &str = "/opt/rekindle/rekindle-agent";
const DATABASE: &str = "/srv/orders.db";
const SSH_PUBLIC_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtqJ7zOtqQtYqOkbJlnJQh9yQtMLyNjLZ5K6bB0n9qX";

/// The site.
pub struct Site {
    /// The time that the product goes by.
    pub clock: Arc<MovableClock>,
    cloud: Arc<LocalCloud>,
    cloud_folder: PathBuf,
    host: EmbeddedHost,
    machine: MachineKey,
    /// The cloud does not keep it alive.
    _agents: Arc<OnceLock<AgentApi>>,
}

/// A run that has ended.
pub struct Ended {
    /// Which run.
    pub run_id: RunId,
    /// How its execution ended.
    pub execution: Execution,
    /// What it told.
    pub report: Option<Report>,
}

impl Ended {
    /// The name that the execution ended under; none when it ended well.
    pub fn error(&self) -> Option<&str> {
        self.execution.error.as_deref()
    }

    /// What the report says; without one, what the execution says.
    pub fn cause(&self) -> &str {
        let told = self.report.as_ref().map(|report| report.cause.as_str());
        told.or(self.execution.cause.as_deref()).unwrap_or("nothing was told")
    }
}

impl Site {
    /// Opens cloud and register, starts the product, and makes the service known to it.
    pub async fn open(folder: &Path, customer: &Customer, store: &Store) -> Self {
        let agents: Arc<OnceLock<AgentApi>> = Arc::default();
        let cloud_folder = folder.join("cloud");
        let options = cloud_options(&cloud_folder, customer, store, serve_agents(Arc::downgrade(&agents)));
        let cloud = Arc::new(LocalCloud::open(options).await.unwrap());
        let base_image = cloud.build_base_image(base_image(customer)).await.unwrap();
        let register = EmbeddedRegister::open(folder.join("register.sqlite")).await.unwrap();
        introduce(&register, customer, base_image).await;
        let clock = Arc::<MovableClock>::default();
        let ports = Ports {
            register,
            control: Arc::new(FolderStore::open(&store.control).unwrap()),
            customer: customer.machine.customer_id.clone(),
            cloud: cloud.clone(),
            epoch: clock.now(),
            clock: clock.clone(),
        };
        let host = EmbeddedHost::new(ports, Options::default()).unwrap();
        let _ = agents.set(host.agents().clone());
        Self { clock, cloud, cloud_folder, host, machine: customer.machine.clone(), _agents: agents }
    }

    /// Refreshes the machine's image.
    pub async fn refresh(&self) -> Ended {
        self.refresh_of(&self.machine).await
    }

    /// Refreshes the image of any machine.
    pub async fn refresh_of(&self, machine: &MachineKey) -> Ended {
        let run_id = self.host.start_refresh(machine).await.unwrap();
        self.ended(Flow::RefreshImage, run_id).await
    }

    /// Recovers the service from its newest image. It serves until the recovery is ended.
    pub async fn recover(&self) -> Ended {
        let request = Request {
            kind: RecoveryKind::Disaster,
            customer_id: self.machine.customer_id.clone(),
            services: Vec::new(),
            requested_by: "the tests".to_owned(),
            reason: "to see whether the image still recovers".to_owned(),
            declared_at: self.clock.now(),
            at_or_before: None,
            target: None,
        };
        let run_id = self.host.start_recovery(&request).await.unwrap();
        self.ended(Flow::Recover, run_id).await
    }

    /// Destroys what a recovery started.
    pub async fn end_recovery(&self, run_id: &RunId) {
        self.host.end_recovery(run_id).await.unwrap();
    }

    async fn ended(&self, flow: Flow, run_id: RunId) -> Ended {
        let execution = self.host.wait(flow, &run_id).await.unwrap();
        let report = self.host.register().report(&run_id).await.unwrap();
        Ended { run_id, execution, report }
    }

    /// The image that a recovery would take.
    pub async fn newest_image(&self) -> Option<Image> {
        self.host.register().latest_image(&self.machine).await.unwrap()
    }

    /// All images that are registered.
    pub async fn images(&self) -> Vec<Image> {
        self.host.register().images(&self.machine).await.unwrap()
    }

    /// What a person is asked.
    pub async fn open_questions(&self) -> Vec<HumanTask> {
        self.host.register().open_human_tasks().await.unwrap()
    }

    /// Everything in the cloud that carries a run's tag.
    pub async fn resources_of(&self, run_id: &RunId) -> Vec<Resource> {
        self.cloud.find_by_run(run_id).await.unwrap()
    }

    /// The names of all folders of images and instances, for a look past the cloud's own answers.
    pub fn folders(&self) -> Vec<String> {
        ["images", "instances"]
            .iter()
            .flat_map(|kind| crate::contents::names(&self.cloud_folder.join(kind)))
            .collect()
    }

    /// A file of a replica that runs.
    pub fn file_in(&self, replica: &ReplicaFacts, path: &str) -> PathBuf {
        let instance = self.cloud_folder.join("instances").join(replica.instance_id.as_str());
        instance.join("tree").join(path.trim_start_matches('/'))
    }

    /// The database of a replica that runs.
    pub fn database_in(&self, replica: &ReplicaFacts) -> PathBuf {
        self.file_in(replica, DATABASE)
    }
}

async fn introduce(register: &Register, customer: &Customer, base_image: ImageId) {
    register.put_customer(&customer.machine.customer_id).await.unwrap();
    register.put_service(&customer.service(base_image), None).await.unwrap();
}

fn cloud_options(
    folder: &Path,
    customer: &Customer,
    store: &Store,
    on_launch: OnLaunch,
) -> LocalCloudOptions {
    let profile = InstanceProfile {
        control_directory: store.control.clone(),
        data_directory: store.data.clone(),
        identity_file: Some(customer.identity_file.clone()),
        writable: false,
    };
    LocalCloudOptions {
        state_directory: folder.to_owned(),
        helper_command: vec![program::built().into_os_string(), OsString::from("instance-helper")],
        profiles: BTreeMap::from([(customer.machine.customer_id.clone(), profile)]),
        ssh_keys: BTreeMap::from([(SSH_KEY_NAME.to_owned(), SSH_PUBLIC_KEY.to_owned())]),
        console: false,
        on_launch,
    }
}

fn base_image(customer: &Customer) -> BaseImageSpec {
    let program = BaseImageFile {
        path: PathBuf::from(AGENT),
        mode: 0o755,
        source: FileSource::CopyOf(program::built()),
    };
    let files = customer.agent_files(Path::new(DATABASE)).into_iter().map(|(path, bytes)| BaseImageFile {
        path: Path::new("/").join(path),
        mode: 0o644,
        source: FileSource::Bytes(bytes),
    });
    BaseImageSpec {
        name: "base".to_owned(),
        files: std::iter::once(program).chain(files).collect(),
        init_command: vec![AGENT.to_owned(), "run".to_owned()],
    }
}

/// Serves the agent API to each instance through the socket that is mounted into it.
fn serve_agents(agents: Weak<OnceLock<AgentApi>>) -> OnLaunch {
    Arc::new(move |instance_id, listener| {
        let Some(agents) = agents.upgrade().and_then(|agents| agents.get().cloned()) else { return };
        tokio::runtime::Handle::current().spawn(async move {
            // It ends when the instance is gone and its socket with it.
            let _ = serve_agent(agents, instance_id, listener).await;
        });
    })
}
