use rekindle_cmdb::{EmbeddedRegister, Recorded, Register, RegisterError, Released};
use rekindle_domain::service::CurrentConfiguration;
use rekindle_domain::{
    Fence, Flow, Image, Outcome, QuarantinedImage, Rebuild, RebuildMode, RebuildState, RegisterEpoch, Run,
    RunId, RunState,
};

use crate::objects::{
    at, image, image_id, machine, recovery_run, refresh_run, revision, service, service_key, verdict,
};

fn epoch(table_id: &str, mark: u64) -> RegisterEpoch {
    RegisterEpoch { table_id: table_id.to_owned(), epoch: 1, mark, marked_at: at(0), restored: None }
}

pub async fn a_restored_copy_is_another_table_with_the_same_content(register: Register) {
    let machine = machine();
    let taken = register.take_lease(&refresh_run(&machine), None).await.unwrap();
    register.register_image(&image(&taken.run, "img-1", 1), taken.lease.fence).await.unwrap();
    let table_id = register.table_id().await.unwrap();
    assert_eq!(register.table_id().await.unwrap(), table_id);
    let restored = EmbeddedRegister::restored_from(&register).await.unwrap();
    assert_ne!(restored.table_id().await.unwrap(), table_id);
    assert_eq!(restored.images(&machine).await.unwrap(), register.images(&machine).await.unwrap());
    assert_eq!(restored.run(&taken.run.run_id).await.unwrap(), Some(taken.run.clone()));
    let open = |runs: Vec<Run>| runs.iter().any(|run| run.run_id == taken.run.run_id);
    assert!(open(restored.unfinished_runs().await.unwrap()), "the index came along");
    assert!(restored.has_a_past().await.unwrap());
}

pub async fn an_image_is_taken_back_with_its_run_and_without_a_lease(register: Register) {
    let machine = machine();
    let run = refresh_run(&machine);
    let value = image(&run, "img-1", 1);
    assert_eq!(register.adopt_image(&value, at(5), true).await.unwrap(), Recorded::New);
    assert_eq!(register.adopt_image(&value, at(6), true).await.unwrap(), Recorded::Known);
    assert_eq!(register.latest_image(&machine).await.unwrap(), Some(value.clone()));
    assert_eq!(register.images_page(&machine, 5, None).await.unwrap().items, std::slice::from_ref(&value));
    let stored = register.run(&run.run_id).await.unwrap().unwrap();
    assert_eq!(
        (stored.state, stored.outcome, stored.reported),
        (RunState::Ended, Some(Outcome::Refreshed), true)
    );
    assert_eq!((stored.flow, stored.opened_at), (Flow::RefreshImage, at(5)));
    assert!(!register.unfinished_runs().await.unwrap().iter().any(|open| open.run_id == run.run_id));
    // An older one comes beside it, and the newest stays the newest.
    let older = Image { run_id: RunId::mint(), ..image(&run, "img-0", 0) };
    assert_eq!(register.adopt_image(&older, at(1), true).await.unwrap(), Recorded::New);
    assert_eq!(register.latest_image(&machine).await.unwrap(), Some(value.clone()));
    assert_eq!(register.images(&machine).await.unwrap(), [value.clone(), older.clone()]);
    for image in [value, older] {
        assert_eq!(register.image_of_run(&machine, &image.run_id).await.unwrap(), Some(image));
    }
    assert_eq!(register.image_of_run(&machine, &RunId::mint()).await.unwrap(), None);
}

/// It is over, and in the index all the same, so that the sweep writes its report.
pub async fn an_image_whose_report_was_not_kept_is_taken_back_with_a_run_that_owes_it(register: Register) {
    let run = refresh_run(&machine());
    register.adopt_image(&image(&run, "img-1", 1), at(5), false).await.unwrap();
    let unfinished = register.unfinished_runs().await.unwrap();
    let owing = unfinished.iter().find(|open| open.run_id == run.run_id).unwrap();
    assert_eq!((owing.state, owing.reported), (RunState::Ended, false));
}

pub async fn what_is_not_proven_or_belongs_to_another_run_is_not_taken_back(register: Register) {
    let machine = machine();
    let good = image(&refresh_run(&machine), "img-1", 1);
    let unproven = Image { evidence: verdict(false), ..good.clone() };
    let error = register.adopt_image(&unproven, at(0), true).await.unwrap_err();
    assert!(matches!(error, RegisterError::NotProven { .. }), "{error:?}");
    register.adopt_image(&good, at(0), true).await.unwrap();
    let other = Image { run_id: RunId::mint(), ..good };
    let error = register.adopt_image(&other, at(0), true).await.unwrap_err();
    assert!(matches!(error, RegisterError::Conflict { .. }), "{error:?}");
}

/// A run that the register has keeps what it is: only the image is added.
pub async fn an_image_of_a_run_that_is_open_is_taken_back_too(register: Register) {
    let machine = machine();
    let taken = register.take_lease(&refresh_run(&machine), None).await.unwrap();
    register.adopt_image(&image(&taken.run, "img-1", 1), at(0), true).await.unwrap();
    assert_eq!(register.run(&taken.run.run_id).await.unwrap(), Some(taken.run));
}

pub async fn a_lease_is_revoked_once_and_fences_go_on_above_it(register: Register) {
    let machine = machine();
    let stale = register.take_lease(&refresh_run(&machine), None).await.unwrap();
    let error = register.revoke_lease(&machine, None, Fence(1_000)).await.unwrap_err();
    assert!(matches!(error, RegisterError::LeaseHeld { .. }), "{error:?}");
    for _ in 0..2 {
        register.revoke_lease(&machine, Some(&stale.run.run_id), Fence(1_000)).await.unwrap();
        let state = register.machine_state(&machine).await.unwrap();
        assert_eq!((state.lease, state.fence), (None, Fence(1_000)));
    }
    let next = register.take_lease(&refresh_run(&machine), None).await.unwrap();
    assert_eq!(next.lease.fence, Fence(1_001));
    // The builder of the past can register nothing, whoever has the lease, and releases nothing.
    let error = register.register_image(&image(&stale.run, "img-1", 1), stale.lease.fence).await.unwrap_err();
    assert!(matches!(error, RegisterError::FenceLost { .. }), "{error:?}");
    assert_eq!(register.release_lease(&stale.run.run_id, at(1)).await.unwrap(), Released::NotHeld);
    // Never downwards, and a machine that nothing is known of has its fence too.
    register.release_lease(&next.run.run_id, at(1)).await.unwrap();
    register.revoke_lease(&machine, None, Fence(7)).await.unwrap();
    assert_eq!(register.machine_state(&machine).await.unwrap().fence, Fence(1_001));
    let untouched = crate::objects::machine();
    register.revoke_lease(&untouched, None, Fence(1_000)).await.unwrap();
    let first = register.take_lease(&refresh_run(&untouched), None).await.unwrap();
    assert_eq!(first.lease.fence, Fence(1_001));
}

pub async fn what_nobody_vouches_for_is_recorded_once(register: Register) {
    let machine = machine();
    let doubtful = QuarantinedImage {
        machine: machine.clone(),
        image_id: image_id("img-9"),
        run_id: RunId::mint(),
        cause: "no manifest".to_owned(),
        found_at: at(0),
        until: at(100),
        deleted_at: None,
    };
    assert_eq!(register.quarantine_image(&doubtful).await.unwrap(), Recorded::New);
    let later = QuarantinedImage { found_at: at(50), until: at(150), ..doubtful.clone() };
    assert_eq!(register.quarantine_image(&later).await.unwrap(), Recorded::Known);
    assert_eq!(register.quarantined_images(&machine).await.unwrap(), std::slice::from_ref(&doubtful));
    assert!(register.images(&machine).await.unwrap().is_empty(), "it is offered");
    let unknown = register.note_quarantined_image_deleted(&machine, &image_id("img-8"), at(1)).await;
    assert!(matches!(unknown, Err(RegisterError::Unknown { .. })), "{unknown:?}");
    register.note_quarantined_image_deleted(&machine, &doubtful.image_id, at(101)).await.unwrap();
    assert!(!register.quarantined_images(&machine).await.unwrap()[0].is_kept());
}

pub async fn a_configuration_is_remembered_forwards_only(register: Register) {
    let key = service_key();
    register.put_service(&service(key.clone()), None).await.unwrap();
    let configuration =
        |counter: u64| CurrentConfiguration { revision: revision(&counter.to_string()), counter };
    for (counter, expected, current) in
        [(4, Recorded::New, 4), (4, Recorded::Known, 4), (3, Recorded::Known, 4)]
    {
        let given = configuration(counter);
        assert_eq!(register.remember_configuration(&key, &given).await.unwrap(), expected);
        let stored = register.service(&key).await.unwrap().unwrap().value.configuration.unwrap();
        assert_eq!(stored.counter, current);
    }
}

pub async fn a_forgotten_intent_is_remembered_once(register: Register) {
    let run = register.open_run(&recovery_run()).await.unwrap();
    register.remember_intent(&run.run_id, at(7)).await.unwrap();
    let stored = register.remember_intent(&run.run_id, at(9)).await.unwrap();
    assert_eq!(stored.last_intent_at, Some(at(7)));
}

pub async fn an_epoch_replaces_only_what_was_read(register: Register) {
    assert_eq!(register.epoch().await.unwrap(), None);
    let (first, second) = (epoch("table-1", 0), epoch("table-1", 1));
    assert!(register.put_epoch(&first, None).await.unwrap());
    assert!(!register.put_epoch(&second, None).await.unwrap());
    assert!(register.put_epoch(&second, Some(&first)).await.unwrap());
    assert!(!register.put_epoch(&second, Some(&first)).await.unwrap());
    assert_eq!(register.epoch().await.unwrap(), Some(second.clone()));
    // What somebody has found out meanwhile is not written over by one who does not know it.
    let told = RegisterEpoch { restored: Some("the bucket is ahead".to_owned()), ..second.clone() };
    let third = epoch("table-1", 2);
    assert!(register.put_epoch(&told, Some(&second)).await.unwrap());
    assert!(!register.put_epoch(&third, Some(&second)).await.unwrap());
    assert_eq!(register.epoch().await.unwrap(), Some(told.clone()));
    let elsewise = RegisterEpoch { restored: Some("another sentence".to_owned()), ..told.clone() };
    assert!(!register.put_epoch(&third, Some(&elsewise)).await.unwrap());
    assert!(register.put_epoch(&third, Some(&told)).await.unwrap());
    assert!(!register.has_a_past().await.unwrap());
}

fn a_rebuild(table_id: &str) -> Rebuild {
    Rebuild {
        rebuild_id: RunId::mint(),
        table_id: table_id.to_owned(),
        mode: RebuildMode::DryRun,
        confirmed: None,
        requested_by: "ada".to_owned(),
        requested_at: at(0),
        state: RebuildState::Requested,
        note: String::new(),
        at: at(0),
        findings: None,
        findings_digest: None,
    }
}

pub async fn a_rebuild_replaces_only_what_was_read(register: Register) {
    let asked = a_rebuild(&register.table_id().await.unwrap());
    assert!(register.put_rebuild(&asked, None).await.unwrap());
    assert!(register.put_rebuild(&asked, None).await.unwrap(), "the same again is the same");
    let other = Rebuild { rebuild_id: RunId::mint(), ..asked.clone() };
    assert!(!register.put_rebuild(&other, None).await.unwrap());
    let shown = Rebuild { state: RebuildState::Shown, at: at(1), ..asked.clone() };
    assert!(register.put_rebuild(&shown, Some(&asked)).await.unwrap());
    assert!(!register.put_rebuild(&other, Some(&asked)).await.unwrap());
    assert_eq!(register.rebuild().await.unwrap(), Some(shown));
}

pub async fn a_rebuild_of_another_table_is_of_the_past(register: Register) {
    let past = a_rebuild("the table before");
    assert!(register.put_rebuild(&past, None).await.unwrap());
    assert_eq!(register.rebuild().await.unwrap(), None, "it is of another table");
    let own = a_rebuild(&register.table_id().await.unwrap());
    assert!(register.put_rebuild(&own, None).await.unwrap());
    assert_eq!(register.rebuild().await.unwrap(), Some(own.clone()));
    let other = Rebuild { rebuild_id: RunId::mint(), ..own };
    assert!(!register.put_rebuild(&other, None).await.unwrap(), "one that is at work was written over");
}
