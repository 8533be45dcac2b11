//! Sets that are not what they say, or not there.

use rekindle_domain::backup_set::LONGEST_DESCRIPTION_BYTES;
use rekindle_domain::{BackupKind, MachineKey, Outcome, SetPosition};
use rekindle_flow_tests::matrix::in_virtual_time;
use rekindle_flow_tests::scenario::prepare_image;
use rekindle_flow_tests::world::World;
use rekindle_flow_tests::world::backups::signature;
use rekindle_flow_tests::world::customer::{orders_database, signing_keys};
use rekindle_step::Clock as _;
use serde_json::Value;

use super::{images, refreshed, settled, world};

/// What is offered in place of a good set after a good image; how the refresh ends, and under which name.
async fn refused(offer: impl AsyncFnOnce(&World, &MachineKey)) -> (Outcome, String) {
    let world = world().await;
    let machine = orders_database();
    prepare_image(&world, &machine).await;
    let good = images(&world, &machine).await;
    offer(&world, &machine).await;
    let (execution, report) = refreshed(&world, &machine).await;
    assert_eq!(images(&world, &machine).await, good, "the previous image stays");
    settled(&world).await;
    (report.outcome, execution.error.unwrap_or_default())
}

/// A set whose description says something else than it should, under a signature that fits.
async fn forged(world: &World, machine: &MachineKey, forge: impl FnOnce(&mut Value)) {
    let taken = world.backups.take(machine, BackupKind::Full, None, world.clock.now());
    let mut description = serde_json::to_value(&taken.set).unwrap();
    forge(&mut description);
    let bytes = serde_json::to_vec(&description).unwrap();
    world.store.place(&machine.set_signature_key(&taken.set.backup_id), world.backups.sign(&bytes));
    world.store.place(&machine.set_description_key(&taken.set.backup_id), bytes);
}

#[test]
fn a_key_that_climbs_out_of_its_folder_is_refused() {
    let keys =
        ["../../../shadow", "/etc/shadow", "customers/other/services/orders/machines/database/sets/x/y"];
    for key in keys {
        let ended = in_virtual_time(refused(async |world, machine| {
            forged(world, machine, |set| set["data_stores"][0]["objects"][0]["key"] = key.into()).await;
        }));
        assert_eq!(ended, (Outcome::Refused, "Agent.SetRefused".to_owned()), "{key}");
    }
}

#[test]
fn a_set_that_somebody_else_signed_is_refused() {
    let ended = in_virtual_time(refused(async |world, machine| {
        let taken = world.backups.take(machine, BackupKind::Full, None, world.clock.now());
        let bytes = serde_json::to_vec(&taken.set).unwrap();
        let stranger = signature(&signing_keys(), &bytes);
        world.store.place(&machine.set_signature_key(&taken.set.backup_id), stranger);
        world.store.place(&machine.set_description_key(&taken.set.backup_id), bytes);
    }));
    assert_eq!(ended, (Outcome::Refused, "Agent.SignatureInvalid".to_owned()));
}

#[test]
fn a_description_of_a_hundred_megabytes_is_not_read() {
    let ended = in_virtual_time(refused(async |world, machine| {
        let backup_id = world.backups.mint(world.clock.now());
        let size = 100_000_000;
        assert!(size > LONGEST_DESCRIPTION_BYTES);
        world.store.place_unreadable(&machine.set_description_key(&backup_id), size);
    }));
    assert_eq!(ended, (Outcome::Refused, "Agent.SetRefused".to_owned()));
}

#[test]
fn an_event_for_a_set_that_is_gone_changes_nothing() {
    let ended = in_virtual_time(refused(async |world, machine| {
        let taken = world.back_up(machine, BackupKind::Full);
        world.store.remove(&machine.set_description_key(&taken.set.backup_id));
    }));
    assert_eq!(ended, (Outcome::NothingToDo, String::new()));
}

#[test]
fn a_set_that_is_older_than_the_image_changes_nothing() {
    let ended = in_virtual_time(refused(async |world, machine| {
        let position = SetPosition { incarnation: 1, sequence: 0 };
        let old = world.backups.take_at(machine, BackupKind::Full, None, world.clock.now(), position);
        world.backups.publish(&world.store, &old.set);
    }));
    assert_eq!(ended, (Outcome::NothingToDo, String::new()));
}

#[test]
fn a_set_whose_objects_are_gone_is_refused_by_the_agent() {
    let ended = in_virtual_time(refused(async |world, machine| {
        let mut set = world.backups.newest(machine).unwrap().set;
        set.backup_id = world.backups.mint(world.clock.now());
        set.position.sequence += 1;
        let prefix = machine.set_prefix(&set.backup_id);
        for (number, object) in set.data_stores[0].objects.iter_mut().enumerate() {
            object.key = rekindle_domain::ObjectKey::parse(&format!("{prefix}orders/{number}")).unwrap();
        }
        world.backups.publish(&world.store, &set);
    }));
    assert_eq!(ended, (Outcome::Refused, "Agent.ObjectMissing".to_owned()));
}

#[test]
fn a_machine_that_nobody_knows_is_refused_and_reported() {
    in_virtual_time(async {
        let world = world().await;
        let (execution, report) =
            refreshed(&world, &MachineKey::parse("acme/nowhere/database").unwrap()).await;
        assert_eq!(execution.error.as_deref(), Some("Register.UnknownService"));
        assert_eq!(report.outcome, Outcome::Refused);
        settled(&world).await;
    });
}
