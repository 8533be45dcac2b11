use rekindle_cmdb::{IntentResource, Recorded, Register, RegisterError};
use rekindle_domain::{Fence, Intent, IntentKind};

use crate::objects::{at, image_id, instance_id, intent, machine, recovery_run, refresh_run};

pub async fn an_intent_is_written_under_the_lease(register: Register) {
    let machine = machine();
    let taken = register.take_lease(&refresh_run(&machine), None).await.unwrap();
    let first = intent(&taken.run, &machine, "one");
    let fence = Some(taken.lease.fence);
    assert_eq!(register.write_intent(&first, fence).await.unwrap(), Recorded::New);
    let again = Intent { at: at(70), ..first.clone() };
    assert_eq!(register.write_intent(&again, fence).await.unwrap(), Recorded::Known);
    assert_eq!(register.intents(&taken.run.run_id).await.unwrap(), vec![first.clone()]);
    // Whoever writes it again is about to act again, so the settling time begins again.
    let run = register.run(&taken.run.run_id).await.unwrap().unwrap();
    assert_eq!(run.last_intent_at, Some(at(70)));
    let other = Intent { kind: IntentKind::Image, ..first };
    let error = register.write_intent(&other, fence).await.unwrap_err();
    assert!(matches!(error, RegisterError::Conflict { .. }), "{error:?}");
}

pub async fn a_closed_run_writes_no_intent_not_even_again(register: Register) {
    let machine = machine();
    let taken = register.take_lease(&refresh_run(&machine), None).await.unwrap();
    let fence = Some(taken.lease.fence);
    let first = intent(&taken.run, &machine, "one");
    register.write_intent(&first, fence).await.unwrap();
    register.close_run(&taken.run.run_id, None, None, at(1)).await.unwrap();
    for name in ["one", "two"] {
        let error = register.write_intent(&intent(&taken.run, &machine, name), fence).await.unwrap_err();
        assert!(matches!(error, RegisterError::RunClosed { .. }), "{error:?}");
    }
    assert_eq!(register.intents(&taken.run.run_id).await.unwrap().len(), 1);
    let unknown = intent(&refresh_run(&machine), &machine, "one");
    let error = register.write_intent(&unknown, None).await.unwrap_err();
    assert!(matches!(error, RegisterError::Unknown { .. }), "{error:?}");
}

pub async fn a_stale_fence_writes_no_intent(register: Register) {
    let machine = machine();
    let taken = register.take_lease(&refresh_run(&machine), None).await.unwrap();
    let value = intent(&taken.run, &machine, "one");
    let error = register.write_intent(&value, Some(Fence(7))).await.unwrap_err();
    assert!(matches!(error, RegisterError::FenceLost { .. }), "{error:?}");
    // Still open, but the lease is gone.
    register.release_lease(&taken.run.run_id, at(1)).await.unwrap();
    let error = register.write_intent(&value, Some(taken.lease.fence)).await.unwrap_err();
    assert!(matches!(error, RegisterError::FenceLost { holder: None, .. }), "{error:?}");
    let next = register.take_lease(&refresh_run(&machine), None).await.unwrap();
    let error = register.write_intent(&value, Some(taken.lease.fence)).await.unwrap_err();
    match error {
        RegisterError::FenceLost { holder: Some(holder), .. } => assert_eq!(*holder, next.lease),
        error => panic!("{error:?}"),
    }
    assert!(register.intents(&taken.run.run_id).await.unwrap().is_empty());
}

pub async fn a_run_with_a_lease_must_show_its_fence(register: Register) {
    let machine = machine();
    let taken = register.take_lease(&refresh_run(&machine), None).await.unwrap();
    let error = register.write_intent(&intent(&taken.run, &machine, "one"), None).await.unwrap_err();
    assert!(matches!(error, RegisterError::FenceLost { .. }), "{error:?}");
}

pub async fn a_recovery_writes_intents_without_a_lease(register: Register) {
    let run = register.open_run(&recovery_run()).await.unwrap();
    let value = intent(&run, &machine(), "one");
    assert_eq!(register.write_intent(&value, None).await.unwrap(), Recorded::New);
    assert_eq!(register.write_intent(&value, None).await.unwrap(), Recorded::Known);
}

pub async fn an_intent_is_named_once(register: Register) {
    let run = register.open_run(&recovery_run()).await.unwrap();
    let name = "one";
    let instance = IntentResource::Instance(instance_id());
    let error = register.name_intent(&run.run_id, name, &instance).await.unwrap_err();
    assert!(matches!(error, RegisterError::Unknown { .. }), "{error:?}");
    register.write_intent(&intent(&run, &machine(), name), None).await.unwrap();
    register.close_run(&run.run_id, None, None, at(1)).await.unwrap();
    let named = register.name_intent(&run.run_id, name, &instance).await.unwrap();
    assert_eq!(register.name_intent(&run.run_id, name, &instance).await.unwrap(), named);
    let other = IntentResource::Instance(instance_id());
    let error = register.name_intent(&run.run_id, name, &other).await.unwrap_err();
    assert!(matches!(error, RegisterError::Conflict { .. }), "{error:?}");
    let image = IntentResource::Image(image_id("img-1"));
    let named = register.name_intent(&run.run_id, name, &image).await.unwrap();
    assert_eq!(named.image_id, Some(image_id("img-1")));
    assert_eq!(register.intents(&run.run_id).await.unwrap(), vec![named]);
}

pub async fn many_intents_at_once_are_all_written(register: Register) {
    let run = register.open_run(&recovery_run()).await.unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let (register, value) = (register.clone(), intent(&run, &machine(), &format!("intent-{number}")));
            tokio::spawn(async move { register.write_intent(&value, None).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), Recorded::New);
    }
    assert_eq!(register.intents(&run.run_id).await.unwrap().len(), 20);
}
