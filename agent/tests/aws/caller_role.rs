//! An instance of an account of the customer's own: it calls the agent API with a role of the API's account.

use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use rekindle_agent::api_client::{ApiClient, LONGEST_WAIT};
use rekindle_agent::aws::{CallerRole, SignedApi};
use rekindle_domain::JobWork;
use rekindle_domain::job::{JobOutcome, JobResult};

use crate::instance::{agent, assert_says_no_secret, put_on_aws};
use crate::orchestrator::Orchestrator;
use crate::recorded::{INSTANCE, Log, answering, metadata};
use crate::verification::{ACCESS_KEY, REGION, SECRET_KEY, SESSION_TOKEN, verify};
use crate::world::World;

const ROLE: &str = "arn:aws:iam::111122223333:role/rekindle/rekindle-eu-west-1-agent-caller";
/// What the instance itself has: the API takes no signature of it.
const OWN_KEY: &str = "AKIDINSTANCEEXAMPLE0";

/// STS as it answers, with sessions that hold for so long; gives the names and values that it was asked with.
async fn sts(holds: Duration) -> (u16, Log<Vec<(String, String)>>) {
    let asked: Log<Vec<(String, String)>> = Log::default();
    let heard = asked.clone();
    let port = answering(move |parts, body| {
        let authorization = parts.headers["authorization"].to_str().unwrap();
        assert!(authorization.contains(&format!("Credential={OWN_KEY}/")), "{authorization}");
        let body = String::from_utf8(body.to_vec()).unwrap();
        let pairs = body.split('&').map(|pair| pair.split_once('=').unwrap());
        let plain = |text: &str| text.replace("%3A", ":").replace("%2F", "/");
        heard.lock().unwrap().push(pairs.map(|(name, value)| (plain(name), plain(value))).collect());
        let ends = jiff::Timestamp::now() + jiff::SignedDuration::try_from(holds).unwrap();
        let ends = ends.round(jiff::Unit::Second).unwrap();
        format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
             <AssumedRoleUser><AssumedRoleId>AROAEXAMPLE:{INSTANCE}</AssumedRoleId><Arn>arn:aws:sts::111122223333:\
             assumed-role/rekindle-eu-west-1-agent-caller/{INSTANCE}</Arn></AssumedRoleUser><Credentials>\
             <AccessKeyId>{ACCESS_KEY}</AccessKeyId><SecretAccessKey>{SECRET_KEY}</SecretAccessKey>\
             <SessionToken>{SESSION_TOKEN}</SessionToken><Expiration>{ends}</Expiration></Credentials>\
             </AssumeRoleResult></AssumeRoleResponse>"
        )
        .into_response()
    })
    .await;
    (port, asked)
}

fn role(external_id: Option<&str>) -> CallerRole {
    CallerRole {
        arn: ROLE.to_owned(),
        external_id: external_id.map(str::to_owned),
        instance_id: INSTANCE.to_owned(),
    }
}

async fn credentials(role: CallerRole, endpoint: &str) -> SharedCredentialsProvider {
    let own = Credentials::new(OWN_KEY, "own", Some("own-token".to_owned()), None, "test");
    let loader = aws_config::defaults(BehaviorVersion::latest()).region(REGION).endpoint_url(endpoint);
    role.credentials(&loader.credentials_provider(own).load().await).await
}

fn asked_for(asked: &[(String, String)], name: &str) -> Option<String> {
    asked.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
}

#[tokio::test]
async fn the_role_is_assumed_once_as_the_instance_and_signs_every_request() {
    let (port, asked) = sts(Duration::from_secs(3600)).await;
    let provider = credentials(role(Some("agreed")), &format!("http://127.0.0.1:{port}")).await;
    let api = answering(|parts, body| {
        verify(parts, body);
        assert_eq!(parts.headers["x-amz-security-token"], SESSION_TOKEN);
        StatusCode::NO_CONTENT.into_response()
    })
    .await;
    let address = format!("http://127.0.0.1:{api}");
    let api = ApiClient::signed(SignedApi::new(&address, REGION, provider).unwrap());
    for _ in 0..3 {
        assert_eq!(api.next_job(LONGEST_WAIT).await.unwrap(), None);
    }
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 1);
    let asked_for = |name: &str| asked_for(&asked[0], name);
    assert_eq!(asked_for("Action").as_deref(), Some("AssumeRole"));
    assert_eq!(asked_for("RoleArn").as_deref(), Some(ROLE));
    assert_eq!(asked_for("RoleSessionName").as_deref(), Some(INSTANCE));
    assert_eq!(asked_for("ExternalId").as_deref(), Some("agreed"));
}

#[tokio::test]
async fn a_session_that_ends_soon_is_renewed_and_no_external_id_is_made_up() {
    let (port, asked) = sts(Duration::from_secs(60)).await;
    let provider = credentials(role(None), &format!("http://127.0.0.1:{port}")).await;
    for _ in 0..2 {
        provider.provide_credentials().await.unwrap();
    }
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|asked| asked_for(asked, "ExternalId").is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_asks_the_metadata_who_it_is_and_calls_with_the_role() {
    let world = World::sqlite();
    let root = world.builder("builder").places.root().to_owned();
    let orchestrator = Orchestrator::start(&world.machine).await;
    let port = orchestrator.listen().await;
    put_on_aws(
        &root,
        &format!(
            "agent_api = \"http://a1b2.execute-api.localhost:{port}\"\nagent_api_role = \"{ROLE}\"\n\
             identity = \"etc/rekindle/identity.kms\""
        ),
    );
    let (sts, asked) = sts(Duration::from_secs(3600)).await;
    let metadata = metadata("acme-operators").await;
    let child = agent(&root)
        .args(["run", "--power-off", "/bin/true"])
        .env("AWS_ACCESS_KEY_ID", OWN_KEY)
        .env("AWS_SECRET_ACCESS_KEY", "own")
        .env("AWS_ENDPOINT_URL_STS", format!("http://127.0.0.1:{sts}"))
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://127.0.0.1:{metadata}"))
        .spawn()
        .unwrap();
    let ended = tokio::spawn(child.wait_with_output());
    let sealed = orchestrator.ask(JobWork::Seal).await;
    assert!(matches!(sealed, JobOutcome::Succeeded { result: JobResult::Sealed }), "{sealed:?}");
    let output = tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap().unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_says_no_secret(&output.stderr, &[SECRET_KEY, SESSION_TOKEN, "Signature="]);
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked_for(&asked[0], "RoleSessionName").as_deref(), Some(INSTANCE));
}

/// What the emulator cannot show: it lets everybody assume every role, whatever its trust policy says.
#[tokio::test]
#[ignore = "needs the emulators"]
async fn an_emulator_gives_a_session_that_ends() {
    let endpoint = std::env::var("AWS_ENDPOINT_URL").unwrap();
    let given = credentials(role(Some("agreed")), &endpoint).await.provide_credentials().await.unwrap();
    assert_ne!(given.access_key_id(), OWN_KEY);
    assert!(given.session_token().is_some_and(|token| !token.is_empty()));
    let left = given.expiry().unwrap().duration_since(SystemTime::now()).unwrap();
    assert!(left > Duration::from_secs(900) && left <= Duration::from_secs(3660), "{left:?}");
}
