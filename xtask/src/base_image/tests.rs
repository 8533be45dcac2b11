//! The command, and the whole way on emulators. No emulator runs an instance, so the test plays the machine: it takes
//! the user data from EC2, runs that very script on a folder, and stops the instance.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rekindle_domain::MachineKey;
use serde_json::{Value, json};

use super::name as name_of;
use super::*;
use crate::aws::tests::Played;
use crate::command_line::tests::parsed;
use crate::interruption::pause;

#[test]
fn a_machine_has_three_ids() {
    assert!(machine_key("acme/orders/database-1").is_ok());
    for bad in ["", "acme/orders", "acme/orders/", "acme/orders/data base", "Acme/orders/database", "a/b/c/d"]
    {
        assert!(machine_key(bad).is_err(), "{bad}");
    }
}

/// The register and the agent would refuse the configuration of any other machine.
#[test]
fn a_machine_is_what_the_agent_takes_for_one() {
    let longest = "a".repeat(63);
    for part in
        ["a", "-a", "a-", "-", "a-b", "0", "A", "", longest.as_str(), &format!("{longest}a"), "ä", "a.b"]
    {
        let machine = format!("acme/orders/{part}");
        assert_eq!(machine_key(&machine).is_ok(), MachineKey::parse(&machine).is_ok(), "{machine}");
    }
}

#[test]
fn the_name_follows_from_everything_and_ec2_takes_it() {
    let stack = "a".repeat(27);
    let content = Content { machine: "a/b/c", parent: "ami-1", bundle: "digest", disk_key: "key-1" };
    let name = name_of(&stack, &content);
    assert_eq!(name, name_of(&stack, &content.clone()));
    for other in [
        Content { machine: "a/b/d", ..content },
        Content { parent: "ami-2", ..content },
        Content { bundle: "other", ..content },
        Content { disk_key: "key-2", ..content },
    ] {
        assert_ne!(name, name_of(&stack, &other), "{other:?}");
    }
    assert_ne!(name, name_of("rekindle", &content));
    assert!((3..=128).contains(&name.len()));
}

/// A customer's account as a script plays it. Its machine has the other processor: then no agent runs here beforehand.
struct PlayedAccount {
    folder: tempfile::TempDir,
    played: Played,
}

impl PlayedAccount {
    /// With answers of a test's own before the others.
    fn new(cases: &str) -> Self {
        let (architecture, of_elf) = match Architecture::of_this_machine() {
            Architecture::Arm64 => ("x86_64", 0x3e),
            Architecture::X86_64 => ("arm64", 0xb7),
        };
        let output = |key: &str, value: &str| json!({"OutputKey": key, "OutputValue": value});
        let launch = json!({
            "builder_launch_template": {"id": "lt-1", "version": "1"},
            "isolated": {"security_group": "sg-1", "subnets": {"a": "subnet-1"}}
        });
        let outputs = [
            output("Launch", &launch.to_string()),
            output("BaseImageProfileName", "acme-base-image"),
            output("AgentApiUrl", "https://example.com"),
        ];
        let stack = json!({"Stacks": [{"Outputs": outputs}]});
        let root = json!({"DeviceName": "/dev/xvda", "Ebs": {"KmsKeyId": "key-1"}});
        let template =
            json!({"LaunchTemplateVersions": [{"LaunchTemplateData": {"BlockDeviceMappings": [root]}}]});
        let parent = json!({"Images": [{
            "State": "available", "RootDeviceType": "ebs", "VirtualizationType": "hvm",
            "Architecture": architecture, "RootDeviceName": "/dev/xvda"
        }]});
        let played = Played::answering(&format!(
            r#"{cases}
            *configure\ get*) echo eu-west-1 ;;
            *get-caller-identity*) echo 123456789012 ;;
            *describe-stacks*) echo '{stack}' ;;
            *describe-launch-template-versions*) echo '{template}' ;;
            *--image-ids\ ami-parent*) echo '{parent}' ;;
            *run-instances*) echo '{{"Instances": [{{"InstanceId": "i-1"}}]}}' ;;"#
        ));
        let account = Self { folder: tempfile::tempdir().unwrap(), played };
        account.write_inputs(of_elf);
        account
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_inputs(&self, of_elf: u8) {
        let mut agent = [0_u8; 20];
        agent[..4].copy_from_slice(b"\x7fELF");
        agent[18] = of_elf;
        fs::write(self.at("agent"), agent).unwrap();
        for folder in ["keys", "recipes"] {
            fs::create_dir(self.at(folder)).unwrap();
        }
        let region = self.played.aws(&Repository::find().unwrap()).region().unwrap();
        let config = format!(
            "# {}\nmachine = \"acme/orders/database\"\n[aws]\nregion = \"{region}\"\n\
             agent_api = \"https://example.com\"\n",
            self.folder.path().display()
        );
        fs::write(self.at("agent.toml"), config).unwrap();
    }

    fn make(&self, consent: &str) -> Result<Option<BaseImage>, TaskError> {
        let whole = |name: &str| self.at(name).display().to_string();
        let (config, keys, recipes, agent) =
            (whole("agent.toml"), whole("keys"), whole("recipes"), whole("agent"));
        let words = [
            ["base-image", "--stack", "acme", "--machine", "acme/orders/database", "--parent", "ami-parent"],
            ["--config", &config, "--trusted-keys", &keys, "--recipes", &recipes, consent],
        ]
        .concat();
        let arguments = parsed(&[&words[..], &["--agent", &agent]].concat());
        let arguments = arguments.unwrap_or_else(|error| panic!("{error}"));
        let repository = Repository::find().unwrap();
        make(&repository, &self.played.aws(&repository), &arguments)
    }

    /// Copies of this account's configuration that lie below target.
    fn copies_left(&self) -> usize {
        let own = self.folder.path().display().to_string();
        let runs = fs::read_dir(Repository::find().unwrap().target().join("base-image"));
        let copies = runs.into_iter().flatten().map(|run| run.unwrap().path().join("content/agent.toml"));
        copies.filter(|copy| fs::read_to_string(copy).is_ok_and(|text| text.contains(&own))).count()
    }
}

#[test]
fn a_failing_clean_up_hides_neither_the_failure_nor_what_is_left() {
    let account = PlayedAccount::new(
        r#"*s3\ cp*) echo "failed while checking the bundle: x" ;;
        *describe-instances*--filters*rekindle:base-image-run*) echo '["i-1"]' ;;
        *describe-snapshots*) refuse ExpiredToken ;;
        *terminate-instances*|*delete-object*bundle*) refuse UnauthorizedOperation ;;"#,
    );
    let error = account.make("--yes").unwrap_err();
    assert!(matches!(error, TaskError::Leftovers { .. }), "{error:?}");
    let told = error.to_string();
    for part in [
        "failed while checking the bundle: x",
        "`aws ec2 terminate-instances --instance-ids i-1` (",
        "snapshots, which could not be listed: `aws ec2 describe-snapshots",
        "/bundle.tar: `aws s3api delete-object",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("/answer:"), "{told}");
}

#[test]
fn a_builder_that_stays_does_not_hide_the_image_that_was_made() {
    let image = json!({"Images": [{
        "ImageId": "ami-new", "State": "available", "BlockDeviceMappings": [{"Ebs": {"SnapshotId": "snap-1"}}]
    }]});
    let account = PlayedAccount::new(&format!(
        r#"*s3\ cp*) grep -o 'REKINDLE_SHA256=.*' "$notes.user-data" | sed 's/.*=/built /' ;;
        *run-instances*) cp "$(printf '%s\n' "$*" | sed 's,.*file://\([^ ]*\).*,\1,')" "$notes.user-data"
            echo '{{"Instances": [{{"InstanceId": "i-1"}}]}}' ;;
        *describe-instances*--query*Ebs.VolumeId*) echo '["vol-1"]' ;;
        *describe-instances*i-1*) echo '{{"Reservations": [{{"Instances": [{{"State": {{"Name": "stopped"}}}}]}}]}}' ;;
        *describe-volumes*) echo '{{"Volumes": [{{"Encrypted": true, "KmsKeyId": "key-1"}}]}}' ;;
        *create-image*) echo '{{"ImageId": "ami-new"}}' ;;
        *--image-ids\ ami-new*) echo '{image}' ;;
        *terminate-instances*) refuse UnauthorizedOperation ;;"#
    ));
    let told = account.make("--yes").unwrap_err().to_string();
    assert!(told.starts_with("the image ami-new was made\n"), "{told}");
    assert!(told.contains("`aws ec2 terminate-instances --instance-ids i-1`"), "{told}");
    assert_eq!(account.played.times("ec2 deregister-image"), 0);
}

#[test]
fn a_dry_run_neither_waits_nor_writes() {
    let account = PlayedAccount::new("");
    assert_eq!(account.make("--dry-run").unwrap(), None);
    // Whoever waited for it would be refused.
    let pending = PlayedAccount::new(
        r#"*Name=name,*) echo '{"Images": [{"ImageId": "ami-old", "State": "pending"}]}' ;;
        *--image-ids\ ami-old*) refuse UnauthorizedOperation ;;"#,
    );
    let image = pending.make("--dry-run").unwrap().unwrap();
    assert_eq!((image.image_id.as_str(), image.is_new), ("ami-old", false));
    for account in [&account, &pending] {
        let asked = account.played.asked();
        let reads = ["configure get", "sts get-caller-identity", "cloudformation describe-", "ec2 describe-"];
        let is_read = |line: &String| reads.iter().any(|read| line.starts_with(read));
        assert!(asked.iter().all(is_read), "{asked:?}");
        assert!(!asked.iter().any(|line| line.contains("--image-ids ami-old")), "{asked:?}");
    }
}

#[test]
fn copies_of_what_is_packed_go_also_when_it_is_refused() {
    let account = PlayedAccount::new("");
    fs::write(account.at("keys/customer.pub"), "AGE-SECRET-KEY-1QQQ").unwrap();
    let error = account.make("--dry-run").unwrap_err();
    assert!(error.to_string().contains("holds a secret"), "{error}");
    assert_eq!(account.copies_left(), 0);
}

/// The builder's own script, on a folder, with an `aws` command that refuses the bundle.
#[test]
fn a_builder_that_gives_up_answers_and_powers_itself_off() {
    let played = Played::answering("*get-object*) refuse NoSuchKey ;;");
    let folder = tempfile::tempdir().unwrap();
    let order = Order {
        region: "eu-west-1".to_owned(),
        bucket: "bucket".to_owned(),
        folder: "folder".to_owned(),
        sha256: "0".repeat(64),
    };
    let script = folder.path().join("script");
    fs::write(&script, user_data::script(&order).unwrap()).unwrap();
    let programs = played.program().parent().unwrap().to_owned();
    let found = std::env::var("PATH").unwrap();
    let output = Command::new("sh")
        .arg(&script)
        .env("REKINDLE_ROOT", folder.path().join("root"))
        .env("PATH", format!("{}:{found}", programs.display()))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("failed while fetching the bundle: An error occurred (NoSuchKey)"), "{said}");
    assert!(said.ends_with("powering off\n"), "{said}");
    assert_eq!(played.times("s3api put-object --region eu-west-1 --bucket bucket --key folder/answer"), 1);
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
        parsed(&words).unwrap_or_else(|error| panic!("{error}"))
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
            ("var/lib/dbus/machine-id", "0123456789abcdef0123456789abcdef\n"),
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
    let script =
        String::from_utf8(BASE64_STANDARD.decode(told["UserData"]["Value"].as_str().unwrap()).unwrap())
            .unwrap();
    let path = account.at("user-data");
    fs::write(&path, &script).unwrap();
    // The answer is in the bucket; a real machine would say the rest on its console.
    let output = Command::new("sh").arg(&path).env("REKINDLE_ROOT", root).output().unwrap();
    if String::from_utf8_lossy(&output.stdout).contains("powering off") {
        ask(&aws, &format!("ec2 stop-instances --instance-ids {instance}"));
    }
    script
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
        "var/lib/dbus/machine-id",
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
