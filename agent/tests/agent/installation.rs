//! Laying the agent down in the root folder of an image.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rekindle_agent::keys::SigningKey;

use crate::world::{AGENT, World, write};

const AWS: &str = "\n[aws]\nregion = \"eu-west-1\"\ncontrol_bucket = \"acme-control\"\ndata_bucket = \"acme-data\"\n\
                   identity = \"etc/rekindle/identity.kms\"\n";

fn install(world: &World, root: &Path, more: &[&std::ffi::OsStr]) -> Output {
    let from = world.production();
    Command::new(AGENT)
        .arg("--root")
        .arg(root)
        .arg("install")
        .arg("--config")
        .arg(from.configuration())
        .arg("--trusted-keys")
        .arg(from.trusted_keys())
        .arg("--recipes")
        .arg(from.recipes())
        .args(more)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

/// Every file and link under a folder, with what tells whether it was written again.
fn tree(folder: &Path) -> BTreeMap<PathBuf, (u32, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let about = std::fs::symlink_metadata(entry.path()).unwrap();
        if about.is_dir() {
            found.extend(tree(&entry.path()));
        } else {
            found.insert(entry.path(), (about.permissions().mode() & 0o7777, about.modified().unwrap()));
        }
    }
    found
}

#[test]
fn an_image_gets_everything_once_and_what_is_not_wanted_any_more_goes() {
    let world = World::sqlite();
    let root = world.folder.path().join("image");
    let first = install(&world, &root, &[]);
    assert!(first.status.success(), "{}", said(&first));
    let laid = tree(&root);
    for (place, mode) in [
        ("usr/local/bin/rekindle-agent", 0o755),
        ("etc/systemd/system/rekindle-agent.service", 0o644),
        ("etc/cloud/cloud.cfg.d/99-rekindle.cfg", 0o644),
        ("etc/rekindle/agent.toml", 0o644),
        ("etc/rekindle/trusted-keys/customer.pub", 0o644),
        ("etc/rekindle/recipes/sqlite.toml", 0o644),
        ("etc/rekindle/recipes/sqlite.toml.minisig", 0o644),
    ] {
        assert_eq!(laid.get(&root.join(place)).map(|(mode, _)| *mode), Some(mode), "{place}");
    }
    let enabled = root.join("etc/systemd/system/multi-user.target.wants/rekindle-agent.service");
    assert_eq!(
        std::fs::read_to_string(enabled).unwrap(),
        std::fs::read_to_string(root.join("etc/systemd/system/rekindle-agent.service")).unwrap()
    );
    let masked = root.join("etc/systemd/system/amazon-ssm-agent.service");
    assert_eq!(std::fs::read_link(masked).unwrap(), Path::new("/dev/null"));

    let second = install(&world, &root, &[]);
    assert!(said(&second).contains(": 0 places changed"), "{}", said(&second));
    assert_eq!(tree(&root), laid, "a second time changed something");

    let revoked = root.join("etc/rekindle/trusted-keys/revoked.pub");
    write(&revoked, b"a key of yesterday");
    write(&root.join("etc/rekindle/recipes/old.toml"), b"a recipe of yesterday");
    write(&root.join("etc/rekindle/agent.toml"), b"changed");
    let third = install(&world, &root, &[]);
    assert!(said(&third).contains(": 1 places changed"), "{}", said(&third));
    assert_eq!(tree(&root).keys().collect::<Vec<_>>(), laid.keys().collect::<Vec<_>>());
    // The program that was laid down runs.
    let runs = Command::new(root.join("usr/local/bin/rekindle-agent")).arg("--version").output().unwrap();
    assert!(runs.status.success());
}

#[test]
fn nothing_is_laid_down_that_an_instance_would_refuse() {
    let world = World::sqlite();
    let from = world.production();
    let root = world.folder.path().join("image");
    let recipe = from.recipes().join("sqlite.toml.minisig");
    let good = std::fs::read(&recipe).unwrap();
    write(&recipe, SigningKey::generate().unwrap().sign(b"other", "a recipe").unwrap().as_bytes());
    assert_eq!(install(&world, &root, &[]).status.code(), Some(4));
    write(&recipe, &good);
    let configuration = std::fs::read_to_string(from.configuration()).unwrap();
    write(
        &from.configuration(),
        configuration.replace("recipe = \"sqlite\"", "recipe = \"mysql\"").as_bytes(),
    );
    let unknown = install(&world, &root, &[]);
    assert!(said(&unknown).contains("the recipe mysql is not installed"), "{}", said(&unknown));
    write(&from.configuration(), b"machine = 1");
    assert_eq!(install(&world, &root, &[]).status.code(), Some(1));
    assert!(!root.exists(), "something was laid down");
}

#[test]
fn a_wrapped_identity_lies_where_the_configuration_says_and_never_in_clear() {
    let world = World::sqlite();
    let from = world.production();
    let root = world.folder.path().join("image");
    let configuration = std::fs::read_to_string(from.configuration()).unwrap();
    write(&from.configuration(), format!("{configuration}{AWS}").as_bytes());
    let program: [&std::ffi::OsStr; 2] = ["--program".as_ref(), AGENT.as_ref()];
    let missing = install(&world, &root, &program);
    assert!(said(&missing).contains("none is given"), "{}", said(&missing));
    let given = world.folder.path().join("given");
    world.identity.write(&given).unwrap();
    let install = |more: &[&std::ffi::OsStr]| install(&world, &root, &[more, &program].concat());
    let option: &std::ffi::OsStr = "--wrapped-identity".as_ref();
    let clear = install(&[option, given.as_os_str()]);
    assert!(said(&clear).contains("an identity in clear"), "{}", said(&clear));
    assert!(!root.exists());
    write(&given, b"\x01\x02wrapped");
    let laid = install(&[option, given.as_os_str()]);
    assert!(laid.status.success(), "{}", said(&laid));
    let place = root.join("etc/rekindle/identity.kms");
    assert_eq!(std::fs::read(&place).unwrap(), b"\x01\x02wrapped");
    assert_eq!(std::fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_backup_that_nobody_told_where_to_go_says_so() {
    let world = World::sqlite();
    let output = Command::new(AGENT)
        .arg("--root")
        .arg(world.production().root())
        .args(["backup", "--recipient", &world.identity.recipient().text(), "--signing-key"])
        .arg(world.folder.path().join("signing.key"))
        .output()
        .unwrap();
    assert!(said(&output).contains("add the table [aws]"), "{}", said(&output));
}

#[test]
fn cloud_init_runs_nothing_that_somebody_hands_over() {
    let world = World::sqlite();
    let root = world.folder.path().join("image");
    assert!(install(&world, &root, &[]).status.success());
    let text = std::fs::read_to_string(root.join("etc/cloud/cloud.cfg.d/99-rekindle.cfg")).unwrap();
    for wanted in ["allow_userdata: false", "vendor_data: {enabled: false}", "vendor_data2: {enabled: false}"]
    {
        assert!(text.lines().any(|line| line == wanted), "{wanted}");
    }
    for lists in ["cloud_init_modules:", "cloud_config_modules:", "cloud_final_modules:"] {
        assert!(text.lines().any(|line| line == lists), "{lists}");
    }
    let modules: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("  - ")).collect();
    let runs =
        ["bootcmd", "write_files", "runcmd", "package", "scripts", "phone_home", "power_state", "ansible"];
    assert!(modules.contains(&"ssh"));
    for module in modules {
        assert!(!runs.iter().any(|forbidden| module.contains(forbidden)), "{module}");
    }
}
