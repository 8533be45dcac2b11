//! That what is left is found.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rekindle_cloud_local::{leftovers, network_interfaces};

#[test]
#[expect(clippy::disallowed_methods, reason = "other programs need a moment, and there is no runtime")]
fn what_is_leaked_on_purpose_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    fs::create_dir_all(state.join("instances")).unwrap();
    let mut before = network_interfaces();
    assert!(leftovers(&state, &before).is_empty());

    // A process that works there, one that has it mounted where only it sees it, and one that is only marked.
    let mut inside = Command::new("sleep").arg("60").current_dir(&state).spawn().unwrap();
    let mount = "mount --bind . /mnt && cd / && exec sleep 60";
    let mut mounted = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "/bin/sh", "-c", mount])
        .current_dir(state.join("instances"))
        .spawn()
        .unwrap();
    let mut marked = Command::new("sleep").arg("60").env("REKINDLE_LOCAL_STATE", &state).spawn().unwrap();
    thread::sleep(Duration::from_millis(500));
    fs::create_dir_all(state.join("instances/i-1/tree")).unwrap();
    fs::create_dir_all(state.join("images/img-1/unfinished")).unwrap();
    before.remove("lo");

    let found = leftovers(&state, &before);
    for process in [&mut inside, &mut mounted, &mut marked] {
        process.kill().unwrap();
        process.wait().unwrap();
    }
    let has = |words: &[&str]| found.iter().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(has(&[&format!("process {} ", inside.id()), "is in the state directory"]), "{found:#?}");
    assert!(has(&[&format!("process {} ", mounted.id()), "mounted"]), "{found:#?}");
    assert!(has(&[&format!("process {} ", marked.id()), "started by the cloud"]), "{found:#?}");
    assert!(has(&["network interface lo"]), "{found:#?}");
    assert!(has(&["folder of an instance", "i-1"]), "{found:#?}");
    assert!(has(&["half-made image", "img-1"]), "{found:#?}");
}

/// In a mount namespace of its own, so that an ordinary user can leak a mount as well.
#[test]
fn a_mount_that_is_leaked_on_purpose_is_found() {
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "leavings::in_a_mount_namespace_a_leaked_mount_is_found"])
        .status();
    assert!(status.unwrap().success());
}

#[test]
#[ignore = "started by the test above"]
fn in_a_mount_namespace_a_leaked_mount_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let point = state.join("instances/mounted");
    fs::create_dir_all(&point).unwrap();
    assert!(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&point).status().unwrap().success());
    let found = leftovers(&state, &network_interfaces());
    assert!(Command::new("umount").arg(&point).status().unwrap().success());
    assert!(found.contains(&format!("mount {}", point.display())), "{found:#?}");
}
