//! Production, and the site that recovers: two clouds on this machine that share nothing but the store.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use rekindle_api::AgentApi;
use rekindle_cloud::{CloudProvider, LaunchRequest, Purpose};
use rekindle_cloud_local::{InstanceProfile, LocalCloud, LocalCloudOptions, OnLaunch};
use rekindle_cmdb::{EmbeddedRegister, Register};
use rekindle_domain::{ImageId, InstanceId, RunId};
use rekindle_embedded_host::{EmbeddedHost, Options, Ports, serve_agent};
use rekindle_flow::HistoryObserver;
use rekindle_step::{Clock, StepError, SystemClock};
use rekindle_store::{FolderStore, StoreError};

use super::customer::{Customer, SSH_KEY_NAME, SSH_PUBLIC_KEY};
use crate::multi_call::INSTANCE_HELPER;

/// Where production's cloud keeps its state, in the demo's folder.
pub const PRODUCTION_FOLDER: &str = "production";
/// Where the cloud of the site that recovers keeps its state.
pub const RECOVERY_FOLDER: &str = "recovery";

/// The folders of the store's two buckets.
pub struct Buckets {
    /// Descriptions, signatures, configurations, reports.
    pub control: PathBuf,
    /// Encrypted data.
    pub data: PathBuf,
}

impl Buckets {
    /// Makes them in a folder.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn make(folder: &Path) -> Result<Self, StepError> {
        let buckets = Self { control: folder.join("control"), data: folder.join("data") };
        for path in [&buckets.control, &buckets.data] {
            std::fs::create_dir_all(path).map_err(|error| {
                StepError::permanent(format!("the folder {} could not be made", path.display()))
                    .because(error)
            })?;
        }
        Ok(buckets)
    }

    /// The control bucket as a store.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn control_store(&self) -> Result<FolderStore, StepError> {
        FolderStore::open(&self.control).map_err(unopened)
    }
}

fn unopened(error: StoreError) -> StepError {
    StepError::permanent("the store could not be opened").because(error)
}

/// The customer's own site.
pub struct Production {
    /// Its cloud, with a console: it is the customer's own.
    pub cloud: LocalCloud,
    /// The machine that serves.
    pub instance_id: InstanceId,
    /// Its address.
    pub address: IpAddr,
}

impl Production {
    /// Starts the production machine.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start(
        folder: &Path,
        buckets: &Buckets,
        customer: &Customer,
        engine: super::options::Engine,
    ) -> Result<Self, StepError> {
        let nobody: OnLaunch = Arc::new(|_, _| {}); // Production takes no jobs.
        let profile = profile(buckets, customer, true);
        let cloud = open_cloud(folder.join(PRODUCTION_FOLDER), customer, profile, true, nobody).await?;
        let image =
            cloud.build_base_image(customer.production_image(engine)?).await.map_err(StepError::from)?;
        let request = LaunchRequest {
            client_token: "production".to_owned(),
            run_id: RunId::mint(),
            machine: customer.machine.clone(),
            image_id: image,
            instance_type: "local".to_owned(),
            zone: String::new(),
            purpose: Purpose::Replica,
            ssh_key_name: SSH_KEY_NAME.to_owned(),
            isolated_network: false,
        };
        let instance = cloud.launch(&request).await.map_err(StepError::from)?;
        let address = cloud.address(&instance.instance_id).map_err(StepError::from)?;
        Ok(Self { cloud, instance_id: instance.instance_id, address })
    }
}

/// The site that recovers: the whole product.
pub struct Recovery {
    /// Its cloud.
    pub cloud: Arc<LocalCloud>,
    /// The product.
    pub host: EmbeddedHost,
    /// What the first builder starts from.
    pub base_image: ImageId,
    /// Keeps the agent API alive for the cloud, which itself does not: it is part of the host that holds the cloud.
    _agents: Arc<OnceLock<AgentApi>>,
}

impl Recovery {
    /// Opens cloud and register and starts the product.
    ///
    /// # Errors
    /// When something of it cannot be opened.
    pub async fn open(
        folder: &Path,
        buckets: &Buckets,
        customer: &Customer,
        engine: super::options::Engine,
        observer: Arc<dyn HistoryObserver>,
    ) -> Result<Self, StepError> {
        let agents: Arc<OnceLock<AgentApi>> = Arc::default();
        let profile = profile(buckets, customer, false);
        let serve = serve_agents(Arc::downgrade(&agents));
        let cloud =
            Arc::new(open_cloud(folder.join(RECOVERY_FOLDER), customer, profile, false, serve).await?);
        let base_image =
            cloud.build_base_image(customer.base_image(engine)?).await.map_err(StepError::from)?;
        let register = open_register(&folder.join("register.sqlite")).await?;
        let clock = Arc::new(SystemClock);
        let ports = Ports {
            register,
            control: Arc::new(buckets.control_store()?),
            customer: customer.machine.customer_id.clone(),
            cloud: cloud.clone(),
            epoch: clock.now(),
            clock,
        };
        let options = Options { observer: Some(observer), ..Options::default() };
        let host = EmbeddedHost::new(ports, options)
            .map_err(|error| StepError::permanent("the product could not be started").because(error))?;
        let _ = agents.set(host.agents().clone());
        Ok(Self { cloud, host, base_image, _agents: agents })
    }
}

async fn open_register(file: &Path) -> Result<Register, StepError> {
    EmbeddedRegister::open(file).await.map_err(StepError::from)
}

fn profile(buckets: &Buckets, customer: &Customer, writable: bool) -> InstanceProfile {
    InstanceProfile {
        control_directory: buckets.control.clone(),
        data_directory: buckets.data.clone(),
        // Production can write backups, and cannot read them.
        identity_file: (!writable).then(|| customer.identity_file.clone()),
        writable,
    }
}

async fn open_cloud(
    state_directory: PathBuf,
    customer: &Customer,
    profile: InstanceProfile,
    console: bool,
    on_launch: OnLaunch,
) -> Result<LocalCloud, StepError> {
    let program = std::env::current_exe()
        .map_err(|error| StepError::permanent("this program cannot find itself").because(error))?;
    let options = LocalCloudOptions {
        state_directory,
        helper_command: vec![program.into_os_string(), OsString::from(INSTANCE_HELPER)],
        profiles: BTreeMap::from([(customer.customer_id().clone(), profile)]),
        ssh_keys: BTreeMap::from([(SSH_KEY_NAME.to_owned(), SSH_PUBLIC_KEY.to_owned())]),
        console,
        on_launch,
    };
    LocalCloud::open(options).await.map_err(StepError::from)
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
