use rekindle_cmdb::{Register, RegisterError};
use rekindle_domain::ServiceId;

use crate::objects::{revision, service, service_key};

pub async fn a_service_is_replaced_by_version_only(register: Register) {
    let mut value = service(service_key());
    assert_eq!(register.put_service(&value, None).await.unwrap(), 1);
    value.display_name = "Orders and returns".to_owned();
    let error = register.put_service(&value, None).await.unwrap_err();
    assert!(matches!(error, RegisterError::VersionMoved { found: 1, .. }), "{error:?}");
    assert_eq!(register.put_service(&value, Some(1)).await.unwrap(), 2);
    value.concurrent_builders = 7;
    let error = register.put_service(&value, Some(1)).await.unwrap_err();
    assert!(matches!(error, RegisterError::VersionMoved { expected: 1, found: 2, .. }), "{error:?}");
    let stored = register.service(&value.key).await.unwrap().unwrap();
    assert_eq!((stored.version, stored.value.concurrent_builders), (2, 2));
    let error = register.put_service(&service(service_key()), Some(3)).await.unwrap_err();
    assert!(matches!(error, RegisterError::VersionMoved { found: 0, .. }), "{error:?}");
}

pub async fn a_service_is_stored_twice_with_one_effect(register: Register) {
    let value = service(service_key());
    assert_eq!(register.put_service(&value, None).await.unwrap(), 1);
    assert_eq!(register.put_service(&value, None).await.unwrap(), 1);
    let stored = register.service(&value.key).await.unwrap().unwrap();
    assert_eq!(stored.value, value);
}

pub async fn services_are_listed_for_their_customer_only(register: Register) {
    let mut key = service_key();
    for name in ["b", "a", "c"] {
        key.service_id = ServiceId::parse(name).unwrap();
        register.put_service(&service(key.clone()), None).await.unwrap();
    }
    register.put_service(&service(service_key()), None).await.unwrap();
    let names: Vec<String> = register
        .services(&key.customer_id)
        .await
        .unwrap()
        .into_iter()
        .map(|service| service.key.service_id.to_string())
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
}

pub async fn publishing_counts_up_and_is_a_no_op_for_the_current_revision(register: Register) {
    let key = service_key();
    let error = register.publish_configuration(&key, &revision("1"), 1).await.unwrap_err();
    assert!(matches!(error, RegisterError::Unknown { kind: "service", .. }), "{error:?}");
    register.put_service(&service(key.clone()), None).await.unwrap();
    // A publication that is sent again names the version that it read the first time.
    for (text, replaces, counter) in [("1", 1, 1), ("1", 1, 1), ("2", 2, 2), ("1", 3, 3)] {
        let current = register.publish_configuration(&key, &revision(text), replaces).await.unwrap();
        assert_eq!((current.revision, current.counter), (revision(text), counter));
    }
}

pub async fn a_late_publication_does_not_undo_a_newer_one(register: Register) {
    let key = service_key();
    register.put_service(&service(key.clone()), None).await.unwrap();
    register.publish_configuration(&key, &revision("1"), 1).await.unwrap();
    register.publish_configuration(&key, &revision("2"), 2).await.unwrap();
    let error = register.publish_configuration(&key, &revision("1"), 1).await.unwrap_err();
    assert!(matches!(error, RegisterError::VersionMoved { expected: 1, found: 3, .. }), "{error:?}");
    let stored = register.service(&key).await.unwrap().unwrap().value.configuration.unwrap();
    assert_eq!((stored.revision, stored.counter), (revision("2"), 2));
}

pub async fn of_concurrent_publications_one_becomes_current(register: Register) {
    let key = service_key();
    register.put_service(&service(key.clone()), None).await.unwrap();
    let tasks: Vec<_> = (0..10)
        .map(|number| {
            let (register, key) = (register.clone(), key.clone());
            tokio::spawn(async move {
                register.publish_configuration(&key, &revision(&number.to_string()), 1).await
            })
        })
        .collect();
    let mut published = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(current) => published.push(current),
            Err(error) => assert!(matches!(error, RegisterError::VersionMoved { .. }), "{error:?}"),
        }
    }
    let stored = register.service(&key).await.unwrap().unwrap();
    assert_eq!((stored.version, published), (2, vec![stored.value.configuration.unwrap()]));
}
