//! The whole way through emulators of S3 and KMS: a backup of the production host, and an instance that restores it,
//! proves it and is sealed. `AWS_ENDPOINT_URL` says where they are.

use std::path::Path;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_credential_types::Credentials;
use aws_sdk_kms::Client;
use rekindle_domain::job::JobResult;
use rekindle_domain::{BackupId, JobOutcome, JobWork};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::instance::{agent, assert_says_no_secret};
use crate::orchestrator::Orchestrator;
use crate::recorded::metadata;
use crate::verification::{ACCESS_KEY, REGION, SECRET_KEY, SESSION_TOKEN};
use crate::world::{World, files_under, id_of, rows, write};

fn endpoint() -> String {
    std::env::var("AWS_ENDPOINT_URL").expect("AWS_ENDPOINT_URL names no emulator")
}

/// With credentials of its own: nobody else is asked for any.
async fn config() -> aws_config::SdkConfig {
    let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test");
    let loader = aws_config::defaults(BehaviorVersion::latest()).region(REGION);
    loader.credentials_provider(credentials).load().await
}

/// Two buckets and a key of this test alone.
struct Account {
    control: String,
    data: String,
    key_id: String,
}

impl Account {
    async fn new() -> Self {
        let unique = BackupId::mint().to_string().to_ascii_lowercase();
        let (control, data) = (format!("control-{unique}"), format!("data-{unique}"));
        create_bucket(&control).await;
        create_bucket(&data).await;
        let config = config().await;
        let key = Client::new(&config).create_key().send().await.unwrap().key_metadata.unwrap();
        Self { control, data, key_id: key.key_id }
    }

    fn put_into(&self, root: &Path, more: &str) {
        let path = root.join("etc/rekindle/agent.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let (control, data) = (&self.control, &self.data);
        let table = format!(
            "{text}\n[aws]\nregion = \"{REGION}\"\ncontrol_bucket = \"{control}\"\ndata_bucket = \"{data}\"\n{more}\n"
        );
        write(&path, table.as_bytes());
    }
}

/// One request without a client of S3: nothing else here needs one.
async fn create_bucket(name: &str) {
    let endpoint = endpoint();
    let address = endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let place = format!(
        "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>{REGION}\
         </LocationConstraint></CreateBucketConfiguration>"
    );
    let request = format!(
        "PUT /{name} HTTP/1.1\r\nhost: {address}\r\nauthorization: AWS4-HMAC-SHA256 Credential=test/20261122/{REGION}\
         /s3/aws4_request, SignedHeaders=host, Signature=0\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{place}",
        place.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

async fn said_by(command: &mut tokio::process::Command, secrets: &[&str]) -> String {
    let output = command.env("AWS_EC2_METADATA_DISABLED", "true").output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_says_no_secret(&output.stderr, secrets);
    assert_says_no_secret(&output.stdout, secrets);
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the emulators"]
async fn a_backup_goes_through_s3_and_an_instance_with_a_wrapped_identity_proves_it() {
    let world = World::sqlite();
    world.fill(20_000);
    let account = Account::new().await;
    account.put_into(world.production().root(), "");
    let clear = world.folder.path().join("data.identity");
    world.identity.write(&clear).unwrap();
    let text = std::fs::read_to_string(&clear).unwrap();
    let secret = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY")).unwrap().to_owned();
    let secrets = [secret.as_str(), SECRET_KEY, SESSION_TOKEN, "Signature="];

    let summary = said_by(
        agent(world.production().root())
            .args(["backup", "--json", "--recipient", &world.identity.recipient().text(), "--signing-key"])
            .arg(world.folder.path().join("signing.key")),
        &secrets,
    )
    .await;
    let full = id_of(&serde_json::from_str(&summary).unwrap());

    let root = world.folder.path().join("instance");
    let places = rekindle_agent::places::Places::under(&root);
    world.furnish(&places);
    let wrapped = root.join("etc/rekindle/identity.kms");
    let machine = world.machine.to_string();
    said_by(
        agent(&root)
            .args(["wrap-identity", "--region", REGION, "--key-id", &account.key_id, "--machine", &machine])
            .arg("--identity")
            .arg(&clear)
            .arg("--out")
            .arg(&wrapped),
        &secrets,
    )
    .await;

    let orchestrator = Orchestrator::start(&world.machine).await;
    let port = orchestrator.listen().await;
    account.put_into(
        &root,
        &format!(
            "agent_api = \"http://a1b2.execute-api.localhost:{port}\"\nidentity = \"etc/rekindle/identity.kms\""
        ),
    );
    let metadata = metadata("acme-operators").await;
    let child = agent(&root)
        .arg("run")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://127.0.0.1:{metadata}"))
        .spawn()
        .unwrap();
    let draining = tokio::spawn(child.wait_with_output());
    let restored =
        orchestrator.ask(JobWork::TransferAndRestore { sets: vec![full.clone()], applied: None }).await;
    assert!(matches!(restored, JobOutcome::Succeeded { result: JobResult::Restored { .. } }), "{restored:?}");
    let verified = orchestrator.ask(JobWork::Verify { backup_id: full }).await;
    let JobOutcome::Succeeded { result: JobResult::Verified { verdict } } = verified else {
        panic!("{verified:?}")
    };
    assert!(verdict.passed(), "{verdict:?}");
    orchestrator.ask(JobWork::Seal).await;
    let output = tokio::time::timeout(Duration::from_secs(30), draining).await.unwrap().unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_says_no_secret(&output.stderr, &secrets);
    assert_eq!(rows(&world.database(&places)), rows(&world.database(&world.production())));
    for path in files_under(&root) {
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{} holds the identity", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the emulators"]
async fn an_identity_opens_for_its_own_machine_only() {
    let world = World::sqlite();
    let account = Account::new().await;
    let (clear, wrapped) = (world.folder.path().join("clear"), world.folder.path().join("wrapped"));
    world.identity.write(&clear).unwrap();
    let wrap = |machine: &str| {
        let mut command = agent(world.folder.path());
        command.args([
            "wrap-identity",
            "--region",
            REGION,
            "--key-id",
            &account.key_id,
            "--machine",
            machine,
        ]);
        command.arg("--identity").arg(&clear).arg("--out").arg(&wrapped);
        command
    };
    said_by(&mut wrap("acme/orders/database"), &[]).await;
    let again = wrap("acme/orders/database").output().await.unwrap();
    assert!(!again.status.success(), "a wrapped identity was overwritten");
    let config = config().await;
    let opened = |machine: &str| {
        let machine = rekindle_domain::MachineKey::parse(machine).unwrap();
        rekindle_agent::aws::KmsIdentity::new(Client::new(&config), wrapped.clone(), &machine)
    };
    let recipient = opened("acme/orders/database").obtain().await.unwrap().recipient().text();
    assert_eq!(recipient, world.identity.recipient().text());
    let refused = opened("acme/orders/other").obtain().await.unwrap_err();
    assert_eq!(refused.name, rekindle_step::ErrorName::DecryptionFailed, "{}", refused.chain());
}
