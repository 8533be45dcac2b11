//! What EC2 would run: for each instance that its emulator reports as running, the real agent on a disk of its own.
//!
//! A disk is a folder. An instance gets a copy of its image's disk; an image's disk is the disk of the stopped instance
//! that it was made of. An agent that has sealed its instance ends, as the machine would by powering off, and the
//! emulator is told that the instance has stopped.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::command_line::{aws, try_aws};
use crate::customer::{Customer, agent};
use crate::deployment::Deployment;
use crate::metadata;

const PAUSE: Duration = Duration::from_millis(700);
const RUN_TAG: &str = "rekindle:run";
const MACHINE_TAG: &str = "rekindle:machine";

/// Watches one customer's instances.
pub struct Machines {
    shared: Arc<Shared>,
    watcher: Option<JoinHandle<()>>,
}

struct Shared {
    customer: Arc<Customer>,
    deployment: Deployment,
    folder: PathBuf,
    ended: AtomicBool,
    power: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    image_disks: BTreeMap<String, PathBuf>,
    run_disks: BTreeMap<String, PathBuf>,
    running: BTreeMap<String, Running>,
    seen: Vec<String>,
}

struct Running {
    agent: Child,
    disk: PathBuf,
}

/// An instance as the emulator describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its id.
    pub instance_id: String,
    /// For example `running`.
    pub state: String,
    /// What it was started from.
    pub image_id: String,
    /// Its run.
    pub run: String,
    /// The key pair that it was started with.
    pub key_name: Option<String>,
}

impl Machines {
    /// Begins to watch.
    pub fn watch(customer: Arc<Customer>, deployment: Deployment, folder: PathBuf) -> Self {
        let shared = Arc::new(Shared {
            customer,
            deployment,
            folder,
            ended: AtomicBool::new(false),
            power: AtomicBool::new(true),
            state: Mutex::new(State::default()),
        });
        let watched = shared.clone();
        let watcher = std::thread::spawn(move || {
            while !watched.ended.load(Ordering::Relaxed) {
                watched.look();
                std::thread::sleep(PAUSE);
            }
        });
        Self { shared, watcher: Some(watcher) }
    }

    /// Says what an image that was not made by a run holds: the base image.
    pub fn insert_image(&self, image_id: &str, disk: PathBuf) {
        self.shared.state().image_disks.insert(image_id.to_owned(), disk);
    }

    /// Kills all agents where they stand and boots nothing any more: machines that hang.
    pub fn hang(&self) {
        self.shared.power.store(false, Ordering::Relaxed);
        for running in self.shared.state().running.values_mut() {
            let _ = running.agent.kill();
        }
    }

    /// Stops all agents where they stand, without their knowing.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        for running in self.shared.state().running.values() {
            let told = Command::new("kill").args([signal, &running.agent.id().to_string()]).status();
            assert!(told.unwrap().success(), "an agent was not told {signal}");
        }
    }

    /// Boots what starts from now on.
    pub fn recover_from_hanging(&self) {
        self.shared.power.store(true, Ordering::Relaxed);
    }

    /// The disk of a running instance.
    pub fn disk(&self, instance_id: &str) -> Option<PathBuf> {
        self.shared.state().running.get(instance_id).map(|running| running.disk.clone())
    }

    /// A test that failed shows what its agents said; the functions' logs are shown by `cargo xtask e2e-aws`.
    fn show_logs(&self) {
        let logs = std::fs::read_dir(&self.shared.folder).into_iter().flatten().flatten();
        for log in
            logs.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "log"))
        {
            eprintln!("{}:\n{}", log.display(), std::fs::read_to_string(&log).unwrap_or_default());
        }
    }

    /// The customer's instances, whatever their state.
    pub fn described(&self) -> Vec<Described> {
        described(&self.shared.customer.machine.to_string())
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
        for running in self.shared.state().running.values_mut() {
            let _ = running.agent.kill();
            let _ = running.agent.wait();
        }
        if std::thread::panicking() {
            self.show_logs();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn look(&self) {
        let instances = described(&self.customer.machine.to_string());
        let mut state = self.state();
        for instance in &instances {
            match instance.state.as_str() {
                "running" if !state.seen.contains(&instance.instance_id) => self.boot(&mut state, instance),
                "running" => stop_if_powered_off(&mut state, instance),
                "shutting-down" | "terminated" => kill(&mut state, instance),
                _ => {}
            }
        }
    }

    fn boot(&self, state: &mut State, instance: &Described) {
        if !self.power.load(Ordering::Relaxed) {
            return;
        }
        let Some(image_disk) = image_disk(state, &instance.image_id) else {
            panic!("instance {} was started from an image that nobody made", instance.instance_id)
        };
        let disk = self.folder.join("disks").join(&instance.instance_id);
        copy(&image_disk, &disk);
        let _ = std::fs::remove_dir_all(disk.join("run"));
        self.customer.configure(&disk, &self.deployment, true);
        let log = File::create(self.folder.join(format!("{}.log", instance.instance_id))).unwrap();
        let agent = Command::new(agent())
            .arg("--root")
            .arg(&disk)
            .args(["run", "--login-user", "root"])
            .envs(session(self.deployment.output("InstanceRoleArn"), &instance.instance_id))
            .env_remove("AWS_EC2_METADATA_DISABLED")
            .env(
                "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                metadata::serve(&instance.instance_id, instance.key_name.clone()),
            )
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        eprintln!("{} boots from {}", instance.instance_id, instance.image_id);
        state.seen.push(instance.instance_id.clone());
        state.run_disks.insert(instance.run.clone(), disk.clone());
        state.running.insert(instance.instance_id.clone(), Running { agent, disk });
    }
}

fn stop_if_powered_off(state: &mut State, instance: &Described) {
    let Some(running) = state.running.get_mut(&instance.instance_id) else { return };
    if !running.agent.try_wait().unwrap().is_some_and(|status| status.success()) {
        return;
    }
    state.running.remove(&instance.instance_id);
    eprintln!("{} powers off", instance.instance_id);
    if let Err(error) = try_aws(&["ec2", "stop-instances", "--instance-ids", &instance.instance_id]) {
        eprintln!("{} was terminated at this very moment: {error}", instance.instance_id);
    }
}

fn kill(state: &mut State, instance: &Described) {
    if let Some(mut running) = state.running.remove(&instance.instance_id) {
        let _ = running.agent.kill();
        let _ = running.agent.wait();
    }
}

/// The disk of an image: known, or that of the instance which the image's run had.
fn image_disk(state: &mut State, image_id: &str) -> Option<PathBuf> {
    if let Some(disk) = state.image_disks.get(image_id) {
        return Some(disk.clone());
    }
    let answer = aws(&["ec2", "describe-images", "--image-ids", image_id]);
    let run = tag(&answer["Images"][0], RUN_TAG)?;
    let disk = state.run_disks.get(&run)?.clone();
    state.image_disks.insert(image_id.to_owned(), disk.clone());
    Some(disk)
}

fn described(machine: &str) -> Vec<Described> {
    let filter = format!("Name=tag:{MACHINE_TAG},Values={machine}");
    let answer = aws(&["ec2", "describe-instances", "--filters", &filter]);
    let reservations = answer["Reservations"].as_array().cloned().unwrap_or_default();
    let instances =
        reservations.iter().filter_map(|reservation| reservation["Instances"].as_array()).flatten();
    instances
        .map(|instance| Described {
            instance_id: text(&instance["InstanceId"]),
            state: text(&instance["State"]["Name"]),
            image_id: text(&instance["ImageId"]),
            run: tag(instance, RUN_TAG).unwrap_or_default(),
            key_name: instance["KeyName"].as_str().map(str::to_owned),
        })
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn tag(resource: &Value, name: &str) -> Option<String> {
    let tags = resource["Tags"].as_array()?;
    let tag = tags.iter().find(|tag| tag["Key"] == name)?;
    tag["Value"].as_str().map(str::to_owned)
}

/// Credentials of a role under a session name, as variables of the environment.
pub fn session(role_arn: &str, session_name: &str) -> Vec<(String, String)> {
    let arguments = ["sts", "assume-role", "--role-arn", role_arn, "--role-session-name", session_name];
    let answer = aws(&arguments);
    let credentials = &answer["Credentials"];
    [
        ("AWS_ACCESS_KEY_ID", "AccessKeyId"),
        ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"),
        ("AWS_SESSION_TOKEN", "SessionToken"),
    ]
    .map(|(variable, field)| (variable.to_owned(), text(&credentials[field])))
    .to_vec()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "the disk {} could not be copied", from.display());
}
