//! The agent's program as an instance on AWS, without emulators: the API is real, the metadata are recorded.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rekindle_agent::api_client::ApiClient;
use rekindle_agent::aws::SignedApi;
use rekindle_agent::jobs::serve;
use rekindle_domain::job::JobResult;
use rekindle_domain::{JobOutcome, JobWork};
use tokio::process::Command;

use crate::orchestrator::Orchestrator;
use crate::recorded::metadata;
use crate::verification::{ACCESS_KEY, REGION, SECRET_KEY, SESSION_TOKEN};
use crate::world::{AGENT, World, write};

/// Adds the table `[aws]` to the configuration under this root.
pub fn put_on_aws(root: &Path, more: &str) {
    let path = root.join("etc/rekindle/agent.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let table = format!(
        "{text}\n[aws]\nregion = \"{REGION}\"\ncontrol_bucket = \"acme-control\"\ndata_bucket = \"acme-data\"\n{more}\n"
    );
    write(&path, table.as_bytes());
}

/// The agent's program under this root, with credentials of an instance's session and everything it can say.
pub fn agent(root: &Path) -> Command {
    let mut command = Command::new(AGENT);
    command
        .arg("--root")
        .arg(root)
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .env("AWS_SESSION_TOKEN", SESSION_TOKEN)
        .env("AWS_CONFIG_FILE", "/nonexistent")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        .env("RUST_LOG", "trace,aws_sigv4::http_request=trace,hyper::proto=trace")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub fn assert_says_no_secret(said: &[u8], secrets: &[&str]) {
    let said = String::from_utf8_lossy(said);
    for secret in secrets {
        assert!(!said.contains(secret), "{secret} was said: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_come_and_results_go_through_signatures_and_the_real_api() {
    let world = World::sqlite();
    world.fill(100);
    let full = world.backup_id("full");
    let builder = world.builder("builder");
    let orchestrator = Orchestrator::start(&world.machine).await;
    let address = format!("http://a1b2.execute-api.localhost:{}", orchestrator.listen().await);
    let credentials = aws_credential_types::Credentials::new(
        ACCESS_KEY,
        SECRET_KEY,
        Some(SESSION_TOKEN.to_owned()),
        None,
        "test",
    );
    let provider = aws_credential_types::provider::SharedCredentialsProvider::new(credentials);
    let api = ApiClient::signed(SignedApi::new(&address, REGION, provider).unwrap());
    let asking = async {
        let sets = vec![full.clone()];
        let restored = orchestrator.ask(JobWork::TransferAndRestore { sets, applied: None }).await;
        assert!(
            matches!(restored, JobOutcome::Succeeded { result: JobResult::Restored { .. } }),
            "{restored:?}"
        );
        let verified = orchestrator.ask(JobWork::Verify { backup_id: full }).await;
        let JobOutcome::Succeeded { result: JobResult::Verified { verdict } } = verified else {
            panic!("{verified:?}")
        };
        assert!(verdict.passed(), "{verdict:?}");
        let sealed = orchestrator.ask(JobWork::Seal).await;
        assert!(matches!(sealed, JobOutcome::Succeeded { result: JobResult::Sealed }), "{sealed:?}");
    };
    let both = async { tokio::join!(serve(&builder, &api), asking) };
    tokio::time::timeout(Duration::from_secs(60), both).await.unwrap().0.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_greets_with_its_keys_is_sealed_and_leaves_the_tests_machine_on() {
    let world = World::sqlite();
    let root = world.builder("builder").places.root().to_owned();
    let orchestrator = Orchestrator::start(&world.machine).await;
    let port = orchestrator.listen().await;
    put_on_aws(
        &root,
        &format!(
            "agent_api = \"http://a1b2.execute-api.localhost:{port}\"\nidentity = \"etc/rekindle/identity.kms\""
        ),
    );
    let metadata = metadata("acme-operators").await;
    // Were it started, this test would end in a file and not in a machine that is off.
    let off = root.join("powered-off");
    let child = agent(&root)
        .args(["run", "--power-off", "/usr/bin/touch"])
        .arg(&off)
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://127.0.0.1:{metadata}"))
        .spawn()
        .unwrap();
    let arguments = std::fs::read(format!("/proc/{}/cmdline", child.id().unwrap())).unwrap();
    assert_says_no_secret(&arguments, &[ACCESS_KEY, SECRET_KEY, SESSION_TOKEN]);
    let ended = tokio::spawn(child.wait_with_output());
    let sealed = orchestrator.ask(JobWork::Seal).await;
    assert!(matches!(sealed, JobOutcome::Succeeded { result: JobResult::Sealed }), "{sealed:?}");
    let output = tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap().unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!off.exists(), "the machine of this test would be off");
    assert!(root.join("run/rekindle/power-off").exists());
    let greeting = orchestrator.greeting().await;
    assert_eq!(greeting.ssh_key_names, ["acme-operators"]);
    assert!(greeting.ip_address.parse::<std::net::Ipv4Addr>().is_ok(), "{greeting:?}");
    let installed = std::fs::read_to_string(root.join("root/.ssh/authorized_keys")).unwrap();
    assert!(installed.contains("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 acme-operators"), "{installed}");
    assert_says_no_secret(&output.stderr, &[SECRET_KEY, SESSION_TOKEN, "Signature=", "a-metadata-token"]);
    assert!(!output.stderr.is_empty(), "the agent said nothing, so this test proves nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_of_ec2_no_key_is_reported_and_an_incomplete_table_is_said() {
    let world = World::sqlite();
    let root = world.builder("builder").places.root().to_owned();
    write(&root.join("root/.ssh/authorized_keys"), b"ssh-ed25519 AAAA somebody\n");
    let orchestrator = Orchestrator::start(&world.machine).await;
    let port = orchestrator.listen().await;
    let plain = std::fs::read(root.join("etc/rekindle/agent.toml")).unwrap();
    put_on_aws(&root, "");
    let output = agent(&root).arg("run").output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("has no agent_api, which an instance needs"), "{said}");
    write(&root.join("etc/rekindle/agent.toml"), &plain);
    put_on_aws(&root, &format!("agent_api = \"http://localhost:{port}\"\nidentity = \"etc/identity.kms\""));
    let child = agent(&root).arg("run").env("AWS_EC2_METADATA_DISABLED", "true").spawn().unwrap();
    let ended = tokio::spawn(child.wait_with_output());
    orchestrator.ask(JobWork::Seal).await;
    assert!(ended.await.unwrap().unwrap().status.success());
    assert!(orchestrator.greeting().await.ssh_key_names.is_empty());
}
