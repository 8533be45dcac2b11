//! The command, and the whole way on emulators. No emulator runs an instance, so the test plays the machine: it takes
//! the user data from EC2, runs that very script on a folder, and stops the instance.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value, json};

use super::name as name_of;
use super::*;
use crate::interruption::pause;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

#[test]
fn a_machine_has_three_ids() {
    assert!(machine_key("acme/orders/database-1").is_ok());
    for bad in ["", "acme/orders", "acme/orders/", "acme/orders/data base", "Acme/orders/database", "a/b/c/d"]
    {
        assert!(machine_key(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_name_follows_from_everything_and_ec2_takes_it() {
    let stack = "a".repeat(27);
    let name = |machine: &str, parent: &str| name_of(&stack, machine, parent, "digest");
    assert_eq!(name("a/b/c", "ami-1"), name("a/b/c", "ami-1"));
    assert_ne!(name("a/b/c", "ami-1"), name("a/b/d", "ami-1"));
    assert_ne!(name("a/b/c", "ami-1"), name("a/b/c", "ami-2"));
    assert!((3..=128).contains(&name("a/b/c", "ami-1").len()));
}

fn ask(aws: &Aws<'_>, words: &str) -> Value {
    aws.ask(&words.split_whitespace().collect::<Vec<&str>>()).unwrap()
}

/// The program that the workspace's tests are built with.
fn agent() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap().parent().unwrap().join("rekindle-agent")
}

fn run_agent(arguments: &[&Path]) {
    let output = Command::new(agent()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A customer's account on the emulators, with what `cargo xtask deploy` would have made there.
struct Account {
    folder: tempfile::TempDir,
    stack: String,
    parent: String,
}

impl Account {
    fn new(aws: &Aws<'_>) -> Self {
        let stack = format!("base-{}", &random::word().unwrap()[..8]);
        let images = ask(aws, "ec2 describe-images --filters Name=architecture,Values=x86_64");
        let suits = |image: &&Value| {
            let device = image["RootDeviceName"].as_str().unwrap_or_default();
            place::unsuitable(image, device).is_none()
        };
        let parent = images["Images"].as_array().unwrap().iter().find(suits).unwrap();
        let (id, device) = (parent["ImageId"].as_str().unwrap(), parent["RootDeviceName"].as_str().unwrap());
        let account = Self { folder: tempfile::tempdir().unwrap(), stack, parent: id.to_owned() };
        account.deploy(aws, device);
        account.write_inputs();
        account
    }

    fn key() -> String {
        "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555".to_owned()
    }

    fn deploy(&self, aws: &Aws<'_>, device: &str) {
        let data = json!({"BlockDeviceMappings": [{
            // With a size, which EC2 takes from the image and the emulator does not.
            "DeviceName": device,
            "Ebs": {"Encrypted": true, "KmsKeyId": Self::key(), "DeleteOnTermination": true, "VolumeSize": 8}
        }]})
        .to_string();
        let made = aws
            .ask(&[
                "ec2",
                "create-launch-template",
                "--launch-template-name",
                &self.stack,
                "--launch-template-data",
                &data,
            ])
            .unwrap();
        let template = made["LaunchTemplate"]["LaunchTemplateId"].as_str().unwrap();
        let subnet = ask(aws, "ec2 describe-subnets")["Subnets"][0].clone();
        let group = ask(aws, "ec2 describe-security-groups")["SecurityGroups"][0]["GroupId"].clone();
        let profile = format!("{}-eu-west-1-base-image", self.stack);
        let ec2 = std::env::var("AWS_ENDPOINT_URL_EC2").unwrap();
        ask(
            aws,
            &format!("iam create-instance-profile --instance-profile-name {profile} --endpoint-url {ec2}"),
        );
        let launch = json!({
            "builder_launch_template": {"id": template, "version": "1"},
            "isolated": {"security_group": group, "subnets": {subnet["AvailabilityZone"].as_str().unwrap(): subnet["SubnetId"]}}
        });
        let outputs = [
            ("Launch", launch.to_string()),
            ("BaseImageProfileName", profile),
            ("ControlBucketName", "acme-control".to_owned()),
            ("DataBucketName", "acme-data".to_owned()),
            ("AgentApiUrl", "https://a1b2.execute-api.eu-west-1.amazonaws.com".to_owned()),
        ];
        let outputs: serde_json::Map<String, Value> =
            outputs.into_iter().map(|(name, value)| (name.to_owned(), json!({"Value": value}))).collect();
        let body =
            json!({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}, "Outputs": outputs}).to_string();
        aws.ask(&["cloudformation", "create-stack", "--stack-name", &self.stack, "--template-body", &body])
            .unwrap();
        aws.text(["cloudformation", "wait", "stack-create-complete", "--stack-name", &self.stack]).unwrap();
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_inputs(&self) {
        for folder in ["keys", "recipes"] {
            fs::create_dir(self.at(folder)).unwrap();
        }
        let recipe = Repository::find().unwrap().top().join("agent/recipes/sqlite.toml");
        fs::copy(recipe, self.at("recipes/sqlite.toml")).unwrap();
        let key = self.at("signing.key");
        run_agent(&[Path::new("keygen"), Path::new("--signing-key"), &key]);
        fs::copy(self.at("signing.key.pub"), self.at("keys/customer.pub")).unwrap();
        run_agent(&[Path::new("sign"), &self.at("recipes/sqlite.toml"), Path::new("--signing-key"), &key]);
        fs::write(self.at("identity.kms"), b"only the data key opens this").unwrap();
        let config = r#"
            machine = "acme/orders/database"
            [[data_stores]]
            name = "orders"
            recipe = "sqlite"
            params = { database = "/srv/orders.db" }
            probes = [{ name = "count", query = "SELECT count(*) FROM orders" }]
            [aws]
            region = "eu-west-1"
            agent_api = "https://a1b2.execute-api.eu-west-1.amazonaws.com"
            control_bucket = "acme-control"
            data_bucket = "acme-data"
            identity = "etc/rekindle/identity.kms"
        "#;
        fs::write(self.at("agent.toml"), config).unwrap();
    }

    fn arguments(&self) -> Arguments {
        let whole = |name: &str| self.at(name).display().to_string();
        let words = [
            "base-image",
            "--stack",
            &self.stack,
            "--machine",
            "acme/orders/database",
            "--parent",
            &self.parent,
            "--config",
            &whole("agent.toml"),
            "--trusted-keys",
            &whole("keys"),
            "--recipes",
            &whole("recipes"),
            "--wrapped-identity",
            &whole("identity.kms"),
            "--agent",
            &agent().display().to_string(),
            "--yes",
        ];
        Line::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).arguments
    }

    /// Instances of this account's stack that are not gone.
    fn alive(&self, aws: &Aws<'_>) -> Vec<String> {
        let filter = format!("Name=tag:rekindle:stack,Values={}", self.stack);
        let states = "Name=instance-state-name,Values=pending,running,stopping,stopped";
        let query = "Reservations[].Instances[].InstanceId";
        let found = ask(aws, &format!("ec2 describe-instances --filters {filter} {states} --query {query}"));
        found.as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    fn objects(&self, aws: &Aws<'_>) -> Value {
        let bucket = deploy::own_bucket(aws).unwrap();
        let prefix = format!("base-images/{}-eu-west-1-base-image", self.stack);
        ask(aws, &format!("s3api list-objects-v2 --bucket {bucket} --prefix {prefix}"))["Contents"].clone()
    }

    fn images(&self, aws: &Aws<'_>) -> Vec<Value> {
        let filter = format!("Name=tag:rekindle:stack,Values={}", self.stack);
        let found = ask(aws, &format!("ec2 describe-images --owners self --filters {filter}"));
        found["Images"].as_array().unwrap().clone()
    }

    /// A system as it looks after its first start.
    fn system(&self, name: &str) -> PathBuf {
        let root = self.at(name);
        let users = ["root", "home/admin"].map(|home| format!("somebody:x:0:0::/{home}:/bin/sh\n")).concat();
        for (place, content) in [
            ("etc/passwd", users.as_str()),
            ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
            ("etc/ssh/ssh_host_ed25519_key", "a host key"),
            ("etc/ssh/sshd_config", "kept"),
            ("etc/hostname", "kept"),
            ("root/.ssh/authorized_keys", "ssh-ed25519 AAAA"),
            ("root/.bash_history", "history"),
            ("home/admin/.ssh/authorized_keys", "ssh-ed25519 AAAA"),
            ("var/lib/cloud/instance/user-data.txt", "REKINDLE_SHA256"),
            ("var/log/cloud-init-output.log", "REKINDLE_SHA256"),
            ("var/log/journal/0123/system.journal", "journal"),
            ("var/lib/systemd/random-seed", "seed"),
            ("tmp/left", "left"),
        ] {
            let path = root.join(place);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }
}

/// What EC2 would do with the instance of this account that comes up next; gives the user data that it ran.
fn play_the_machine(account: &Account, root: &Path, before: impl FnOnce(&Aws<'_>)) -> String {
    let repository = Repository::find().unwrap();
    let aws = Aws::of_the_caller(&repository).unwrap();
    let until = Instant::now() + Duration::from_secs(240);
    let instance = loop {
        if let Some(id) = account.alive(&aws).pop() {
            break id;
        }
        assert!(Instant::now() < until, "no builder was started");
        pause(Duration::from_millis(500));
    };
    before(&aws);
    let told =
        ask(&aws, &format!("ec2 describe-instance-attribute --attribute userData --instance-id {instance}"));
    let script = decoded(told["UserData"]["Value"].as_str().unwrap());
    let path = account.at("user-data");
    fs::write(&path, &script).unwrap();
    // The answer is in the bucket; a real machine would say the rest on its console.
    let output = Command::new("sh").arg(&path).env("REKINDLE_ROOT", root).output().unwrap();
    if output.status.success() {
        ask(&aws, &format!("ec2 stop-instances --instance-ids {instance}"));
    }
    script
}

fn decoded(base64: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("encoded");
    fs::write(&path, base64).unwrap();
    let output = Command::new("base64").arg("--decode").arg(&path).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn read(root: &Path, place: &str) -> String {
    fs::read_to_string(root.join(place)).unwrap()
}

#[test]
#[ignore = "needs the emulators"]
fn an_image_is_made_once_with_the_agent_in_it_and_nothing_else_is_left() {
    let repository = Repository::find().unwrap();
    let aws = Aws::of_the_caller(&repository).unwrap();
    let account = Account::new(&aws);
    let root = account.system("root");
    let (image, script) = std::thread::scope(|scope| {
        let machine = scope.spawn(|| play_the_machine(&account, &root, |_| ()));
        let image = make(&repository, &aws, &account.arguments()).unwrap().unwrap();
        (image, machine.join().unwrap())
    });
    assert!(image.is_new);
    assert!(script.len() <= 16 * 1024 && !script.contains("only the data key opens this"));

    // What the agent boots from.
    assert_eq!(fs::read(root.join("usr/local/bin/rekindle-agent")).unwrap(), fs::read(agent()).unwrap());
    assert!(read(&root, "etc/rekindle/agent.toml").contains("acme/orders/database"));
    assert!(read(&root, "etc/systemd/system/rekindle-agent.service").contains("rekindle-agent run"));
    assert_eq!(read(&root, "etc/rekindle/identity.kms"), "only the data key opens this");
    assert!(read(&root, "etc/cloud/cloud.cfg.d/99-rekindle.cfg").contains("allow_userdata: false"));
    let enabled = "etc/systemd/system/multi-user.target.wants/rekindle-agent.service";
    assert!(root.join(enabled).exists());
    let verified = Command::new(root.join("usr/local/bin/rekindle-agent"))
        .args([
            Path::new("--root"),
            &root,
            Path::new("verify"),
            &root.join("etc/rekindle/recipes/sqlite.toml"),
        ])
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));

    // What only the builder was.
    assert_eq!(read(&root, "etc/machine-id"), "");
    for gone in [
        "etc/ssh/ssh_host_ed25519_key",
        "root/.ssh/authorized_keys",
        "root/.bash_history",
        "home/admin/.ssh/authorized_keys",
        "var/lib/cloud/instance",
        "var/log/cloud-init-output.log",
        "var/log/journal/0123",
        "var/lib/systemd/random-seed",
        "var/lib/rekindle-base-image",
        "tmp/left",
    ] {
        assert!(!root.join(gone).exists(), "{gone} is left");
    }
    for kept in ["etc/ssh/sshd_config", "etc/hostname", "var/log", "var/lib/cloud", "tmp"] {
        assert!(root.join(kept).exists(), "{kept} is gone");
    }

    // What the orchestrator may start, and what is left besides.
    let images = account.images(&aws);
    assert_eq!(images.len(), 1);
    assert_eq!((&images[0]["ImageId"], &images[0]["Name"]), (&json!(image.image_id), &json!(image.name)));
    let of_machine = json!({"Key": "rekindle:machine", "Value": "acme/orders/database"});
    assert!(images[0]["Tags"].as_array().unwrap().contains(&of_machine));
    let disk = images[0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"].as_str().unwrap();
    let snapshot =
        ask(&aws, &format!("ec2 describe-snapshots --snapshot-ids {disk}"))["Snapshots"][0].clone();
    assert!(snapshot["Tags"].as_array().unwrap().contains(&of_machine), "{snapshot}");
    // Not whether it is encrypted: the emulator makes images of an empty disk. The builder's own disk is looked at.
    assert_eq!((account.alive(&aws), account.objects(&aws)), (Vec::new(), Value::Null));

    let again = make(&repository, &aws, &account.arguments()).unwrap().unwrap();
    assert_eq!(again, BaseImage { is_new: false, ..image });
    assert_eq!((account.images(&aws).len(), account.alive(&aws)), (1, Vec::new()));
}

#[test]
#[ignore = "needs the emulators"]
fn a_bundle_that_was_changed_on_the_way_becomes_no_image_and_nothing_is_left() {
    let repository = Repository::find().unwrap();
    let aws = Aws::of_the_caller(&repository).unwrap();
    let account = Account::new(&aws);
    let root = account.system("root");
    let swap = |aws: &Aws<'_>| {
        let bucket = deploy::own_bucket(aws).unwrap();
        let objects = account.objects(aws);
        let key = objects[0]["Key"].as_str().unwrap();
        let other = account.at("other");
        fs::write(&other, "another bundle").unwrap();
        ask(aws, &format!("s3api put-object --bucket {bucket} --key {key} --body {}", other.display()));
    };
    let error = std::thread::scope(|scope| {
        let machine = scope.spawn(|| play_the_machine(&account, &root, swap));
        let error = make(&repository, &aws, &account.arguments()).unwrap_err();
        machine.join().unwrap();
        error
    });
    assert!(error.to_string().contains("failed while checking the bundle"), "{error}");
    assert!(!root.join("usr/local/bin/rekindle-agent").exists());
    assert_eq!(read(&root, "etc/ssh/ssh_host_ed25519_key"), "a host key");
    assert_eq!((account.alive(&aws), account.objects(&aws)), (Vec::new(), Value::Null));
    assert!(account.images(&aws).is_empty());
}

#[test]
#[ignore = "needs the emulators"]
fn a_recipe_that_nobody_signed_is_refused_before_anything_is_made() {
    let repository = Repository::find().unwrap();
    let aws = Aws::of_the_caller(&repository).unwrap();
    let account = Account::new(&aws);
    fs::write(account.at("recipes/sqlite.toml"), "changed = true").unwrap();
    let error = make(&repository, &aws, &account.arguments()).unwrap_err();
    assert!(error.to_string().contains("the agent refuses to be laid down"), "{error}");
    assert_eq!((account.alive(&aws), account.objects(&aws)), (Vec::new(), Value::Null));
}

/// Under nextest, where each test is a process of its own: whoever runs beside it would be interrupted too.
#[test]
#[ignore = "needs the emulators"]
fn whoever_interrupts_it_finds_nothing_left() {
    let repository = Repository::find().unwrap();
    let aws = Aws::of_the_caller(&repository).unwrap();
    let account = Account::new(&aws);
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            let aws = Aws::of_the_caller(&repository).unwrap();
            while account.alive(&aws).is_empty() {
                pause(Duration::from_millis(200));
            }
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT).unwrap();
        });
        make(&repository, &aws, &account.arguments()).unwrap_err()
    });
    assert!(matches!(error, TaskError::Interrupted), "{error}");
    assert_eq!((account.alive(&aws), account.objects(&aws)), (Vec::new(), Value::Null));
    assert!(account.images(&aws).is_empty());
}
