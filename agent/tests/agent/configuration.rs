//! Published configurations.

use std::os::unix::fs::PermissionsExt as _;

use rekindle_agent::jobs::Instance;
use rekindle_agent::keys::SigningKey;
use rekindle_agent::state::State;
use rekindle_domain::configuration::ConfigurationFile;
use rekindle_domain::job::JobResult;
use rekindle_domain::{
    ConfigurationDocument, Digest, JobWork, MachineKey, ObjectKey, RevisionId, ServiceKey,
};
use rekindle_step::ErrorName;

use crate::world::{World, perform_work};

async fn publish(world: &World, counter: u64, content: &str, key: &SigningKey) -> RevisionId {
    let file =
        |path: &str, mode| ConfigurationFile { path: path.to_owned(), mode, content: content.to_owned() };
    let document = ConfigurationDocument {
        schema_version: 1,
        service: world.machine.service(),
        counter,
        files: vec![file("/etc/orders/shop.conf", 0o640), file("/srv/start", 0o755)],
        programs: vec![],
    };
    let bytes = serde_json::to_vec(&document).unwrap();
    let revision = Digest::of(&bytes);
    let place = world.machine.service().configuration_key(&revision);
    world.put("control", &ObjectKey::parse(&place).unwrap(), &bytes).await;
    let signature = key.sign(&bytes, "a configuration").unwrap();
    world.put("control", &ObjectKey::parse(&format!("{place}.minisig")).unwrap(), signature.as_bytes()).await;
    revision
}

async fn update(instance: &Instance, revision: &RevisionId) -> Result<u32, ErrorName> {
    match perform_work(instance, JobWork::UpdateConfiguration { revision: revision.clone() }).await {
        Ok(JobResult::ConfigurationUpdated { revision: applied, files_written }) => {
            assert_eq!(applied, *revision);
            Ok(files_written)
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.name),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_configuration_is_applied_once_and_never_goes_back() {
    let world = World::sqlite();
    let builder = world.builder("builder");
    let first = publish(&world, 1, "one", &world.signing).await;
    let second = publish(&world, 2, "two", &world.signing).await;
    assert_eq!(update(&builder, &first).await, Ok(2));
    assert_eq!(update(&builder, &first).await, Ok(0), "an applied configuration was written again");
    let path = builder.places.inside("/etc/orders/shop.conf");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(update(&builder, &first).await, Ok(1), "a changed mode was left");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(update(&builder, &second).await, Ok(2));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
    assert_eq!(update(&builder, &first).await, Err(ErrorName::ConfigurationRefused));
    assert_eq!(State::read(&builder.places).unwrap().configuration.unwrap().revision, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untrusted_changed_or_missing_configuration_is_refused() {
    let world = World::sqlite();
    let builder = world.builder("builder");
    let foreign = publish(&world, 1, "one", &SigningKey::generate().unwrap()).await;
    assert_eq!(update(&builder, &foreign).await, Err(ErrorName::SignatureInvalid));
    assert_eq!(update(&builder, &Digest::of(b"nothing")).await, Err(ErrorName::ObjectMissing));
    // A good document with its good signature, under another revision's name.
    let good = publish(&world, 1, "two", &world.signing).await;
    let other = Digest::of(b"other");
    for suffix in ["", ".minisig"] {
        let key = |revision| format!("{}{suffix}", world.machine.service().configuration_key(revision));
        let (from, to) = (ObjectKey::parse(&key(&good)).unwrap(), ObjectKey::parse(&key(&other)).unwrap());
        let bytes = rekindle_store::ObjectStore::get(&world.bucket("control"), &from, 1 << 20).await.unwrap();
        world.put("control", &to, &bytes).await;
    }
    assert_eq!(update(&builder, &other).await, Err(ErrorName::ConfigurationRefused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_publishes_what_an_instance_applies() {
    let world = World::sqlite();
    let document = |service: &ServiceKey| {
        let file =
            serde_json::json!({ "path": "/etc/orders/shop.conf", "mode": 0o644, "content": "open = true\n" });
        serde_json::json!({ "schema_version": 1, "service": service, "counter": 1, "files": [file] })
            .to_string()
    };
    let published = world.publish_configuration(&document(&world.machine.service()));
    assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));
    let published: serde_json::Value = serde_json::from_slice(&published.stdout).unwrap();
    let revision = RevisionId::parse(published["revision"].as_str().unwrap()).unwrap();
    let builder = world.builder("builder");
    assert_eq!(update(&builder, &revision).await, Ok(1));
    let path = builder.places.inside("/etc/orders/shop.conf");
    assert_eq!(std::fs::read_to_string(path).unwrap(), "open = true\n");

    let foreign = world
        .publish_configuration(&document(&MachineKey::parse("acme/payroll/database").unwrap().service()));
    assert_eq!(foreign.status.code(), Some(4));
    let said = String::from_utf8(foreign.stderr).unwrap();
    assert!(said.contains("it belongs to another service"), "{said}");
}
