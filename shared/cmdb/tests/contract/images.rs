use rekindle_cmdb::{Recorded, Register, RegisterError, Taken};
use rekindle_domain::{Fence, Image, MachineKey};

use crate::objects::{at, image, image_id, machine, refresh_run, verdict};

async fn take(register: &Register, machine: &MachineKey) -> Taken {
    register.take_lease(&refresh_run(machine), None).await.unwrap()
}

pub async fn a_proven_image_becomes_the_newest(register: Register) {
    let machine = machine();
    let taken = take(&register, &machine).await;
    assert_eq!(register.latest_image(&machine).await.unwrap(), None);
    let value = image(&taken.run, "img-1", 1);
    assert_eq!(register.register_image(&value, taken.lease.fence).await.unwrap(), Recorded::New);
    assert_eq!(register.register_image(&value, taken.lease.fence).await.unwrap(), Recorded::Known);
    assert_eq!(register.latest_image(&machine).await.unwrap(), Some(value.clone()));
    assert_eq!(register.image(&machine, &value.image_id).await.unwrap(), Some(value.clone()));
    let newest = register.machine_state(&machine).await.unwrap().newest.unwrap();
    assert_eq!((newest.order(), newest.image_id), (value.order(), value.image_id.clone()));
    // The answer was lost, the run was closed meanwhile, and the same write comes again.
    register.close_run(&taken.run.run_id, None, None, at(1)).await.unwrap();
    assert_eq!(register.register_image(&value, taken.lease.fence).await.unwrap(), Recorded::Known);
}

pub async fn an_image_that_is_not_proven_is_not_registered(register: Register) {
    let machine = machine();
    let taken = take(&register, &machine).await;
    let good = image(&taken.run, "img-1", 1);
    let mut nothing_checked = verdict(true);
    nothing_checked.checks.clear();
    let mut no_recovery_point = verdict(true);
    no_recovery_point.recovery_point = None;
    for evidence in [verdict(false), nothing_checked, no_recovery_point] {
        let value = Image { evidence, ..good.clone() };
        let error = register.register_image(&value, taken.lease.fence).await.unwrap_err();
        assert!(matches!(error, RegisterError::NotProven { .. }), "{error:?}");
    }
    assert!(register.images(&machine).await.unwrap().is_empty());
}

pub async fn a_closed_run_registers_nothing(register: Register) {
    let machine = machine();
    let taken = take(&register, &machine).await;
    register.close_run(&taken.run.run_id, None, None, at(1)).await.unwrap();
    let error = register.register_image(&image(&taken.run, "img-1", 1), taken.lease.fence).await.unwrap_err();
    assert!(matches!(error, RegisterError::RunClosed { .. }), "{error:?}");
    assert_eq!(register.latest_image(&machine).await.unwrap(), None);
    let unknown = image(&refresh_run(&machine), "img-1", 1);
    let error = register.register_image(&unknown, Fence(1)).await.unwrap_err();
    assert!(matches!(error, RegisterError::Unknown { .. }), "{error:?}");
}

pub async fn a_stale_fence_registers_nothing(register: Register) {
    let machine = machine();
    let stale = take(&register, &machine).await;
    register.release_lease(&stale.run.run_id, at(1)).await.unwrap();
    let value = image(&stale.run, "img-1", 1);
    let error = register.register_image(&value, stale.lease.fence).await.unwrap_err();
    assert!(matches!(error, RegisterError::FenceLost { .. }), "{error:?}");
    let current = take(&register, &machine).await;
    for fence in [stale.lease.fence, current.lease.fence] {
        let error = register.register_image(&value, fence).await.unwrap_err();
        assert!(matches!(error, RegisterError::FenceLost { .. }), "{error:?}");
    }
    assert!(register.images(&machine).await.unwrap().is_empty());
}

pub async fn the_register_never_moves_backwards(register: Register) {
    let machine = machine();
    let taken = take(&register, &machine).await;
    let fence = taken.lease.fence;
    register.register_image(&image(&taken.run, "img-10", 10), fence).await.unwrap();
    let error = register.register_image(&image(&taken.run, "img-9", 9), fence).await.unwrap_err();
    assert!(
        matches!(&error, RegisterError::Superseded { newest, .. } if *newest == image_id("img-10")),
        "{error:?}"
    );
    let error = register.image(&machine, &image_id("img-9")).await.unwrap();
    assert_eq!(error, None);
    // A new incarnation begins at sequence 1 and is newer all the same.
    let mut next = image(&taken.run, "img-next", 1);
    next.position.incarnation = 2;
    register.register_image(&next, fence).await.unwrap();
    let error = register.register_image(&image(&taken.run, "img-11", 11), fence).await.unwrap_err();
    assert!(matches!(error, RegisterError::Superseded { .. }), "{error:?}");
    assert_eq!(register.latest_image(&machine).await.unwrap(), Some(next));
}

pub async fn the_same_place_with_newer_configuration_is_newer(register: Register) {
    let machine = machine();
    let taken = take(&register, &machine).await;
    let fence = taken.lease.fence;
    let older = image(&taken.run, "img-1", 1);
    let newer = Image { image_id: image_id("img-2"), configuration_counter: 12, ..older.clone() };
    register.register_image(&newer, fence).await.unwrap();
    let between = Image { image_id: image_id("img-3"), configuration_counter: 9, ..older.clone() };
    let error = register.register_image(&between, fence).await.unwrap_err();
    assert!(matches!(error, RegisterError::Superseded { .. }), "{error:?}");
    // As new as the newest is not older.
    let rebuilt = Image { image_id: image_id("img-4"), ..newer.clone() };
    assert_eq!(register.register_image(&rebuilt, fence).await.unwrap(), Recorded::New);
    assert_eq!(register.latest_image(&machine).await.unwrap(), Some(rebuilt));
}

pub async fn an_id_of_another_run_is_a_conflict(register: Register) {
    let machine = machine();
    let first = take(&register, &machine).await;
    register.register_image(&image(&first.run, "img-1", 1), first.lease.fence).await.unwrap();
    register.release_lease(&first.run.run_id, at(1)).await.unwrap();
    let second = take(&register, &machine).await;
    let error =
        register.register_image(&image(&second.run, "img-1", 2), second.lease.fence).await.unwrap_err();
    assert!(matches!(error, RegisterError::Conflict { .. }), "{error:?}");
}

pub async fn images_are_listed_newest_first(register: Register) {
    let machine = machine();
    let taken = take(&register, &machine).await;
    for sequence in [1, 2, 10] {
        let value = image(&taken.run, &format!("img-{sequence}"), sequence);
        register.register_image(&value, taken.lease.fence).await.unwrap();
    }
    let ids = |images: Vec<Image>| images.into_iter().map(|i| i.image_id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(register.images(&machine).await.unwrap()), ["img-10", "img-2", "img-1"]);
}
