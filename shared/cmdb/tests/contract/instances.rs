use rekindle_cmdb::{HelloRecord, InstanceBinding, Recorded, Register, RegisterError};
use rekindle_domain::RunId;

use crate::objects::{at, binding, hello, instance_id, machine};

pub async fn an_instance_is_bound_once(register: Register) {
    let instance = instance_id();
    assert_eq!(register.instance(&instance).await.unwrap(), None);
    let value = binding(&instance, &RunId::mint(), &machine());
    assert_eq!(register.bind_instance(&value).await.unwrap(), Recorded::New);
    let later = InstanceBinding { bound_at: at(99), ..value.clone() };
    assert_eq!(register.bind_instance(&later).await.unwrap(), Recorded::Known);
    let other = InstanceBinding { run_id: RunId::mint(), ..value.clone() };
    let error = register.bind_instance(&other).await.unwrap_err();
    assert!(matches!(error, RegisterError::Conflict { .. }), "{error:?}");
    assert_eq!(register.instance(&instance).await.unwrap(), Some(value));
}

pub async fn only_a_bound_instance_says_hello(register: Register) {
    let instance = instance_id();
    let error = register.record_hello(&instance, &hello("a"), at(1)).await.unwrap_err();
    assert!(matches!(error, RegisterError::Unknown { kind: "instance", .. }), "{error:?}");
    assert_eq!(register.hello(&instance).await.unwrap(), None);
}

pub async fn the_latest_hello_wins(register: Register) {
    let instance = instance_id();
    register.bind_instance(&binding(&instance, &RunId::mint(), &machine())).await.unwrap();
    for (name, seconds) in [("first", 1), ("third", 3), ("second", 2)] {
        register.record_hello(&instance, &hello(name), at(seconds)).await.unwrap();
    }
    let expected = HelloRecord { hello: hello("third"), at: at(3) };
    assert_eq!(register.hello(&instance).await.unwrap(), Some(expected));
}
