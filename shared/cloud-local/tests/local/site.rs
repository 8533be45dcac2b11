//! A cloud in a folder of its own, with a base image.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rekindle_cloud::{
    CloudImage, CloudProvider as _, CreateImageRequest, ImageState, Instance, InstanceState, LaunchRequest,
    Purpose,
};
use rekindle_cloud_local::{
    BaseImageFile, BaseImageSpec, FileSource, InstanceProfile, LocalCloud, LocalCloudOptions, RunOutput,
    leftovers, network_interfaces, probe,
};
use rekindle_domain::{ImageId, InstanceId, MachineKey, RunId};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;

pub const PROGRAM: &str = "/opt/test/instance-program";
pub const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGpnZWJyYXVjaHRlcnNjaGx1ZXNzZWwxMjM0NTY someone@home";

/// A program that was built with this test: beside it when it was copied elsewhere, in the build's folder otherwise.
pub fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().unwrap();
    let beside = [folder.join(name), folder.join("../examples").join(name)];
    let found = beside.into_iter().find(|path| path.exists());
    found.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_rekindle-local-helper")))
}

pub struct Site {
    pub cloud: LocalCloud,
    pub image: ImageId,
    pub run_id: RunId,
    pub folder: TempDir,
    pub interfaces: BTreeSet<String>,
}

impl Site {
    pub async fn open() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut LocalCloudOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::inside(folder, change).await
    }

    pub async fn inside(folder: TempDir, change: impl FnOnce(&mut LocalCloudOptions)) -> Self {
        if let Err(unsupported) = probe() {
            panic!("{unsupported}");
        }
        let interfaces = network_interfaces();
        let mut options = options(&folder);
        change(&mut options);
        let cloud = LocalCloud::open(options).await.unwrap();
        let image = cloud.build_base_image(base("main")).await.unwrap();
        Self { cloud, image, run_id: RunId::mint(), folder, interfaces }
    }

    pub fn request(&self, token: &str) -> LaunchRequest {
        LaunchRequest {
            client_token: token.into(),
            run_id: self.run_id.clone(),
            machine: machine(),
            image_id: self.image.clone(),
            instance_type: "small".into(),
            zone: "here".into(),
            purpose: Purpose::Replica,
            ssh_key_name: String::new(),
            isolated_network: false,
        }
    }

    pub async fn launch(&self, token: &str) -> InstanceId {
        self.launch_as(token, |_| {}).await
    }

    pub async fn launch_as(&self, token: &str, change: impl FnOnce(&mut LaunchRequest)) -> InstanceId {
        let mut request = self.request(token);
        change(&mut request);
        let instance = self.cloud.launch(&request).await.unwrap();
        assert_eq!(instance.state, InstanceState::Running);
        instance.instance_id
    }

    pub async fn run(&self, id: &InstanceId, command: &[&str]) -> RunOutput {
        let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        self.cloud.run_inside(id, &command, b"").await.unwrap()
    }

    /// What a shell line writes; it has to succeed.
    pub async fn shell(&self, id: &InstanceId, line: &str) -> String {
        let output = self.run(id, &["/bin/sh", "-c", line]).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.exit_code, 0, "{line}: {errors}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Powers the instance off from inside.
    pub async fn power_off(&self, id: &InstanceId) {
        // It may well be ended by what it asks for.
        self.run(id, &["touch", "/run/please-power-off"]).await;
        self.wait_for(id, InstanceState::Stopped).await;
    }

    pub async fn wait_for(&self, id: &InstanceId, state: InstanceState) -> Instance {
        for _ in 0..1000 {
            let instance = self.cloud.describe_instance(id).await.unwrap();
            if instance.state == state {
                return instance;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{id} did not become {state:?}");
    }

    pub fn image_request(&self, id: &InstanceId, name: &str) -> CreateImageRequest {
        CreateImageRequest {
            name: name.into(),
            run_id: self.run_id.clone(),
            machine: machine(),
            instance_id: id.clone(),
        }
    }

    pub async fn image_of(&self, id: &InstanceId, name: &str) -> CloudImage {
        let image = self.cloud.create_image(&self.image_request(id, name)).await.unwrap();
        assert_eq!(image.state, ImageState::Pending);
        self.available(&image.image_id).await
    }

    pub async fn available(&self, id: &ImageId) -> CloudImage {
        for _ in 0..2000 {
            let image = self.cloud.describe_image(id).await.unwrap();
            match image.state {
                ImageState::Pending => tokio::time::sleep(Duration::from_millis(10)).await,
                ImageState::Available => return image,
                ImageState::Failed => panic!("image {id} failed"),
            }
        }
        panic!("image {id} did not become available");
    }

    pub fn address(&self, id: &InstanceId) -> SocketAddr {
        SocketAddr::new(self.cloud.address(id).unwrap(), 7000)
    }

    /// What the instance's program says to the host.
    pub async fn greeting(&self, id: &InstanceId) -> String {
        let address = self.address(id);
        for _ in 0..100 {
            if let Ok(mut stream) = self.cloud.connect(address).await {
                let mut text = String::new();
                stream.read_to_string(&mut text).await.unwrap();
                return text;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{id} does not answer");
    }

    pub fn state(&self) -> PathBuf {
        state(&self.folder)
    }

    /// Closes the cloud; nothing of it may run after that.
    pub fn close(self) -> TempDir {
        let Self { cloud, folder, interfaces, .. } = self;
        drop(cloud);
        let left = leftovers(&state(&folder), &interfaces);
        let running: Vec<_> = left.iter().filter(|line| !line.starts_with("folder")).collect();
        assert!(running.is_empty(), "{running:#?}");
        folder
    }
}

pub fn machine() -> MachineKey {
    MachineKey::parse("acme/orders/database").unwrap()
}

pub fn state(folder: &TempDir) -> PathBuf {
    folder.path().join("state")
}

pub fn base(word: &str) -> BaseImageSpec {
    BaseImageSpec {
        name: "test".into(),
        files: vec![BaseImageFile {
            path: PROGRAM.into(),
            mode: 0o755,
            source: FileSource::CopyOf(built("instance-program")),
        }],
        init_command: vec![PROGRAM.into(), word.into()],
    }
}

pub fn options(folder: &TempDir) -> LocalCloudOptions {
    LocalCloudOptions {
        state_directory: state(folder),
        helper_command: vec![built("rekindle-local-helper").into(), "instance-init".into()],
        profiles: BTreeMap::from([(machine().customer_id, profile(folder.path()))]),
        ssh_keys: BTreeMap::from([("acme-key".to_owned(), KEY.to_owned())]),
        console: true,
        on_launch: Arc::new(serve_agent_api),
    }
}

fn profile(folder: &Path) -> InstanceProfile {
    let profile = InstanceProfile {
        control_directory: folder.join("control"),
        data_directory: folder.join("data"),
        identity_file: Some(folder.join("identity")),
        writable: false,
    };
    std::fs::create_dir_all(&profile.control_directory).unwrap();
    std::fs::create_dir_all(&profile.data_directory).unwrap();
    std::fs::write(profile.data_directory.join("backup"), "backed up").unwrap();
    std::fs::write(folder.join("identity"), "AGE-SECRET-KEY-FOR-TESTS").unwrap();
    profile
}

/// Tells every instance its own id; ends when the instance does.
fn serve_agent_api(id: InstanceId, listener: UnixListener) {
    std::thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            drop(write!(client, "you are {id}"));
        }
    });
}
