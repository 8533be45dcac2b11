//! One owner at a time, and nothing outlives it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rekindle_cloud::{CloudErrorKind, CloudProvider as _, ImageState, InstanceState};
use rekindle_cloud_local::{LocalCloud, leftovers, network_interfaces};
use rekindle_domain::InstanceId;
use tempfile::TempDir;

use crate::site::{Site, built, options, state};

/// Another process that owns a cloud with two instances.
struct Owner {
    process: Child,
    instances: Vec<InstanceId>,
}

impl Owner {
    fn start(state: &Path) -> Self {
        let mut process = Command::new(built("owner"))
            .args([state, &built("rekindle-local-helper"), &built("instance-program")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let lines: Vec<_> = lines.map(Result::unwrap).take_while(|line| line != "ready").collect();
        assert_eq!(lines.len(), 2, "the owner has not come up");
        Self { process, instances: lines.iter().map(|line| line.parse().unwrap()).collect() }
    }

    fn kill(mut self) -> Vec<InstanceId> {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.instances
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the kernel needs a moment, and there is no runtime")]
fn a_killed_owner_leaves_nothing_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    let before = network_interfaces();
    let owner = Owner::start(&state(&folder));
    let during = leftovers(&state(&folder), &before);
    let processes = during.iter().filter(|line| line.starts_with("process")).count();
    // The owner, the network, and for each instance a supervisor, a first process and a program.
    assert!(processes >= 8, "{during:#?}");
    owner.kill();
    let running = || {
        let left = leftovers(&state(&folder), &before);
        // Folders stay: disks of instances, and perhaps a copy that was broken off.
        let folder = |line: &String| line.starts_with("folder") || line.starts_with("half-made");
        left.into_iter().filter(|line| !folder(line)).collect::<Vec<_>>()
    };
    let since = Instant::now();
    while !running().is_empty() {
        assert!(since.elapsed() < Duration::from_secs(5), "{:#?}", running());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_disks_are_kept_and_half_made_things_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let instances = Owner::start(&state(&folder)).kill();
    half_made(&state(&folder), &instances);

    // At once: whatever still ends is waited for.
    let site = Site::inside(folder, |_| {}).await;
    for id in &instances {
        assert_eq!(site.cloud.describe_instance(id).await.unwrap().state, InstanceState::Stopped);
        let kept = fs::read_to_string(instance(&site.state(), id).join("tree/root/kept"));
        assert_eq!(kept.unwrap(), "kept\n");
    }
    let unknown: InstanceId = "i-00000000000000001".parse().unwrap();
    assert_eq!(site.cloud.describe_instance(&unknown).await.unwrap_err().kind, CloudErrorKind::NotFound);
    assert!(!instance(&site.state(), &unknown).exists());
    assert!(site.cloud.find_image("half-made").await.unwrap().is_none());
    assert!(!site.state().join("images/img-half").exists());

    // The launch is repeated with the token of before, and the image is made after all.
    let image = site.image_of(&instances[0], "half-made").await;
    assert_eq!(image.state, ImageState::Available);
    let next = site.launch_as("next", |request| request.image_id = image.image_id.clone()).await;
    assert_eq!(site.shell(&next, "cat /root/kept").await, "kept");
    site.close();
}

fn instance(state: &Path, id: &InstanceId) -> std::path::PathBuf {
    state.join("instances").join(id.as_str())
}

/// As if the owner had been killed while it launched, and while it made an image of the first instance.
fn half_made(state: &Path, instances: &[InstanceId]) {
    let record = fs::read_to_string(instance(state, &instances[0]).join("instance.json")).unwrap();
    let launching = state.join("instances/i-00000000000000001");
    fs::create_dir_all(launching.join("tree/etc")).unwrap();
    let making = record
        .replace(instances[0].as_str(), "i-00000000000000001")
        .replace("token-0", "token-9")
        .replace("\"running\"", "\"making\"");
    fs::write(launching.join("instance.json"), making).unwrap();
    fs::create_dir_all(state.join("instances/i-00000000000000002/tree")).unwrap();

    let image = state.join("images/img-half");
    fs::create_dir_all(image.join("unfinished/etc")).unwrap();
    fs::write(
        image.join("image.json"),
        format!(
            r#"{{"image_id":"img-half","name":"half-made","tags":{{}},"progress":"making","made_from":"{}","size_bytes":null}}"#,
            instances[0]
        ),
    )
    .unwrap();
    fs::rename(instance(state, &instances[0]).join("tree"), image.join("tree")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_the_terminated_are_remembered() {
    let site = Site::open().await;
    let (kept, gone) = (site.launch("kept").await, site.launch("gone").await);
    site.cloud.terminate(&gone).await.unwrap();
    let run_id = site.run_id.clone();
    let folder = site.close();

    let mut site = Site::inside(folder, |_| {}).await;
    site.run_id = run_id;
    assert_eq!(site.cloud.describe_instance(&kept).await.unwrap().state, InstanceState::Stopped);
    assert_eq!(site.cloud.launch(&site.request("kept")).await.unwrap().instance_id, kept);
    assert_eq!(site.cloud.launch(&site.request("gone")).await.unwrap_err().kind, CloudErrorKind::Refused);
    assert_eq!(site.cloud.describe_instance(&gone).await.unwrap().state, InstanceState::Terminated);
    site.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_has_one_owner() {
    let site = Site::open().await;
    let again: &TempDir = &site.folder;
    let error = LocalCloud::open(options(again)).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Refused);
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    let folder = site.close();
    drop(LocalCloud::open(options(&folder)).await.unwrap());
}
