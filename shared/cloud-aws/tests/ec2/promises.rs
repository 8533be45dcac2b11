//! What this crate never asks for, held against its source.

use std::collections::BTreeSet;

use rekindle_cloud::CloudProvider as _;
use rekindle_cloud_aws::ACTIONS;

use crate::recorder::Recorder;

/// What would let the orchestrator read a disk, share an image or enter an instance.
const NEVER: [&str; 14] = [
    "AttachVolume",
    "CopyImage",
    "CopySnapshot",
    "CreateKeyPair",
    "CreateReplaceRootVolumeTask",
    "CreateSnapshot",
    "CreateVolume",
    "GetConsoleOutput",
    "GetPasswordData",
    "ImportKeyPair",
    "ModifyImageAttribute",
    "ModifyInstanceAttribute",
    "ModifySnapshotAttribute",
    "SendSSHPublicKey",
];

/// The actions of the client that the source calls: `ec2.describe_images()` and the like.
fn called() -> BTreeSet<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let source: String = files.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let source: String = source.split_whitespace().collect();
    let calls = source.split("self.ec2.").skip(1).map(|rest| rest.split_once('(').unwrap().0);
    calls.map(camel).collect()
}

fn camel(name: &str) -> String {
    let words = name.split('_').map(|word| word[..1].to_uppercase() + &word[1..]);
    words.collect()
}

#[test]
fn the_source_calls_what_is_listed_and_nothing_else() {
    let called = called();
    assert_eq!(called, ACTIONS.map(str::to_owned).into(), "left: the source, right: the list");
    for action in NEVER {
        assert!(!called.contains(action), "{action} is forbidden");
    }
}

#[test]
fn an_empty_find_is_a_proof_after_ten_minutes() {
    let characteristics = Recorder::default().cloud().characteristics();
    assert_eq!(characteristics.name, "ec2");
    assert_eq!(characteristics.settling_time.as_secs(), 600);
    assert_eq!(characteristics.poll_interval.as_secs(), 15);
}
