//! The register's table is restored to an earlier time: what it has forgotten is there all the same.

use std::sync::Arc;
use std::time::Duration;

use rekindle_api::operator::{ClientToken, RebuildBody, RegisterView, Standing};
use rekindle_api::{Deployment, OperatorApi};
use rekindle_cloud::Resource;
use rekindle_cloud_sim::{Call, Fault as CloudFault, Occurrence, Operation, When};
use rekindle_cmdb::Register;
use rekindle_domain::register_epoch::FENCES_PER_EPOCH;
use rekindle_domain::{
    BackupKind, Decision, Digest, Fence, Flow, Image, MachineKey, ObjectKey, Outcome, RebuildMode,
    RebuildState, RecoveryKind, RunId, RunState,
};
use rekindle_flow_tests::matrix::{end_open_recoveries, in_virtual_time};
use rekindle_flow_tests::world::customer::{customer, machines, orders_database};
use rekindle_flow_tests::world::{Variation, World};
use rekindle_requests::approval::decide;
use rekindle_requests::recovery::Request;
use rekindle_step::Clock as _;
use serde_json::Value;

use super::{images, minutes, refreshed, report, settled};

/// A world with one image of the machine, the register as it was then, and a second image that came later.
async fn two_images(machine: &MachineKey) -> (World, Register) {
    let world = World::new(Variation::default()).await;
    world.back_up(machine, BackupKind::Full);
    assert_eq!(refreshed(&world, machine).await.1.outcome, Outcome::Refreshed);
    world.settle().await;
    let saved = world.save_register().await;
    world.back_up(machine, BackupKind::Incremental);
    assert_eq!(refreshed(&world, machine).await.1.outcome, Outcome::Refreshed);
    world.settle().await;
    (world, saved)
}

fn api(world: &World) -> OperatorApi {
    OperatorApi::new(
        world.register.clone(),
        world.store.clone(),
        world.living_host().workflow(),
        world.clock.clone(),
        Deployment {
            stack: "rekindle".to_owned(),
            region: "eu-west-1".to_owned(),
            customer: Some(customer()),
        },
    )
}

async fn view(world: &World) -> RegisterView {
    api(world).register_view().await.unwrap()
}

fn asking(token: &str, mode: RebuildMode, confirm: Option<Digest>) -> RebuildBody {
    RebuildBody { client_token: ClientToken::try_from(token.to_owned()).unwrap(), mode, confirm }
}

async fn sweep(world: &World) -> Value {
    world.living_host().sweep().await.unwrap()
}

/// What a dry run finds, by its digest.
async fn looked_at(world: &World) -> Digest {
    api(world).ask_for_rebuild("Ada", &asking("look", RebuildMode::DryRun, None)).await.unwrap();
    sweep(world).await;
    let rebuild = view(world).await.rebuild.unwrap();
    assert_eq!(rebuild.state, RebuildState::Shown, "{}", rebuild.note);
    rebuild.findings_digest.unwrap()
}

/// Looks, confirms, and lets the sweep do it.
async fn rebuilt(world: &World) {
    let digest = looked_at(world).await;
    let act = asking("act", RebuildMode::Act, Some(digest));
    api(world).ask_for_rebuild("Ada", &act).await.unwrap();
    sweep(world).await;
    let view = view(world).await;
    assert_eq!(view.standing, Standing::Current, "{view:?}");
    assert_eq!(view.rebuild.unwrap().state, RebuildState::Done);
}

fn destroys(world: &World) -> usize {
    let is_end = |call: &Call| {
        [Operation::Terminate, Operation::DeleteImage, Operation::DeleteOther].contains(&call.operation())
    };
    world.cloud.call_log().iter().filter(|record| is_end(&record.call)).count()
}

fn ids(images: &[Image]) -> Vec<&str> {
    images.iter().map(|image| image.image_id.as_str()).collect()
}

/// Declares a disaster of the machine's service and approves it; the question, and the run.
async fn recovered(world: &World, machine: &MachineKey) -> (String, RunId) {
    let services = vec![machine.service_id.clone()];
    let request = Request { services, ..world.request(RecoveryKind::Disaster) };
    let host = world.living_host();
    let run_id = host.start_recovery(&request).await.unwrap();
    minutes(1).await;
    let task = world.register.open_human_tasks().await.unwrap().pop().unwrap();
    let yes = Decision {
        approved: true,
        decided_by: "Grace".to_owned(),
        decided_at: world.clock.now(),
        comment: None,
    };
    decide(&world.register, host.workflow().as_ref(), &task.human_task_id, &yes).await.unwrap();
    host.wait(Flow::Recover, &run_id).await.unwrap();
    (task.question, run_id)
}

#[test]
fn a_restored_register_halts_recovers_and_takes_back_what_it_has_forgotten() {
    in_virtual_time(async {
        let machine = orders_database();
        let (mut world, saved) = two_images(&machine).await;
        let before = images(&world, &machine).await;
        let (second, first) = (&before[0], &before[1]);
        world.restore(saved);
        let destroyed = destroys(&world);

        // The sweep halts, and says so.
        let swept = sweep(&world).await;
        assert!(swept["restored"].as_str().unwrap().contains("another table"), "{swept}");
        assert!(swept["failed"][0].as_str().unwrap().contains("POST /v1/register/rebuild"), "{swept}");
        assert_eq!(view(&world).await.standing, Standing::Restored);

        // A refresh is refused under a name of its own.
        let (execution, told) = refreshed(&world, &machine).await;
        assert_eq!(execution.error.as_deref(), Some("Register.Restored"));
        assert_eq!(told.outcome, Outcome::Refused, "{}", told.cause);

        // A declared disaster is recovered from what is registered, and whoever approves is told.
        let (question, recovery) = recovered(&world, &machine).await;
        assert!(question.contains("restored to an earlier time"), "{question}");
        let told = report(&world, &recovery).await;
        assert_eq!(told.outcome, Outcome::Recovered, "{}", told.cause);
        let services = told.recovery.unwrap().services;
        assert_eq!(services[0].replicas[0].image_id, first.image_id);

        // Hours of sweeps end nothing.
        world.sweep_for(Duration::from_hours(3)).await;
        assert_eq!(destroys(&world), destroyed, "something was destroyed by a register that was restored");
        assert_eq!(images(&world, &machine).await, std::slice::from_ref(first));

        // It is rebuilt, and has what it had.
        rebuilt(&world).await;
        assert_eq!(images(&world, &machine).await, before);
        assert_eq!(world.register.latest_image(&machine).await.unwrap().as_ref(), Some(second));
        let fence = world.register.machine_state(&machine).await.unwrap().fence;
        assert_eq!(fence, Fence(2 * FENCES_PER_EPOCH), "as high as no builder of the past can have");
        assert_eq!(view(&world).await.epoch, Some(2));

        // The next refresh goes on from the newest image, and nothing meets anything of the past.
        world.back_up(&machine, BackupKind::Incremental);
        let (_, told) = refreshed(&world, &machine).await;
        assert_eq!(told.outcome, Outcome::Refreshed, "{}", told.cause);
        let after = images(&world, &machine).await;
        assert_eq!(ids(&after)[1..], ids(&before)[..]);
        assert_eq!(after[0].lineage.parent_image_id, second.image_id);
        end_open_recoveries(&world).await;
        settled(&world).await;
    });
}

#[test]
fn what_is_not_what_was_looked_at_is_not_done() {
    in_virtual_time(async {
        let machine = orders_database();
        let (mut world, saved) = two_images(&machine).await;
        world.restore(saved);
        let digest = looked_at(&world).await;
        let refused = |confirm| async {
            let body = asking("other", RebuildMode::Act, confirm);
            api(&world).ask_for_rebuild("Ada", &body).await.unwrap_err().code.as_str()
        };
        assert_eq!(refused(None).await, "not-confirmed");
        assert_eq!(refused(Some(Digest::of(b"something else"))).await, "not-confirmed");
        // Its manifest goes in between: now the image would be kept apart.
        let act = asking("act", RebuildMode::Act, Some(digest));
        api(&world).ask_for_rebuild("Ada", &act).await.unwrap();
        remove_manifests(&world, &machine).await;
        sweep(&world).await;
        let view = view(&world).await;
        assert_eq!((view.standing, view.rebuild.unwrap().state), (Standing::Restored, RebuildState::Changed));
        assert_eq!(images(&world, &machine).await.len(), 1);
    });
}

async fn remove_manifests(world: &World, machine: &MachineKey) {
    for (flow, run_id) in world.executions.runs() {
        if flow == Flow::RefreshImage {
            world.store.remove(&machine.manifest_key(&run_id).unwrap());
        }
    }
}

#[test]
fn an_image_that_nobody_vouches_for_is_kept_for_days_and_never_offered() {
    in_virtual_time(async {
        let machine = orders_database();
        let (mut world, saved) = two_images(&machine).await;
        let before = images(&world, &machine).await;
        let (second, first) = (&before[0], &before[1]);
        world.restore(saved);
        remove_manifests(&world, &machine).await;
        rebuilt(&world).await;
        let kept = world.register.quarantined_images(&machine).await.unwrap();
        assert_eq!(kept[0].image_id, second.image_id);
        assert!(kept[0].cause.contains("no manifest"), "{}", kept[0].cause);
        assert_eq!(ids(&images(&world, &machine).await)[..], [first.image_id.as_str()]);

        // The set that it held is not lost: the sweep has it restored once more.
        world.sweep_for(Duration::from_hours(2)).await;
        assert_eq!(images(&world, &machine).await[0].backup_id, second.backup_id);
        tokio::time::sleep(Duration::from_hours(24 * 13)).await;
        world.settle().await;
        assert!(world.cloud.truth_image(&second.image_id).is_some(), "deleted within 14 days");
        tokio::time::sleep(Duration::from_hours(48)).await;
        world.settle().await;
        assert!(world.cloud.truth_image(&second.image_id).is_none(), "kept for ever");
        let kept = world.register.quarantined_images(&machine).await.unwrap();
        assert!(kept[0].deleted_at.is_some());
        assert!(world.cloud.truth_image(&first.image_id).is_some());
    });
}

/// Restored to the middle of a refresh: the register believes that its run is open, holds the lease, and has no image.
#[test]
fn a_run_of_the_past_is_closed_and_its_image_stays() {
    in_virtual_time(async {
        let machine = orders_database();
        let mut world = World::new(Variation::default()).await;
        world.back_up(&machine, BackupKind::Full);
        let host = world.living_host();
        let run_id = host.start_refresh(&machine).await.unwrap();
        minutes(2).await;
        let saved = world.save_register().await;
        assert_eq!(saved.run(&run_id).await.unwrap().unwrap().state, RunState::Open);
        assert!(saved.machine_state(&machine).await.unwrap().lease.is_some());
        host.wait(Flow::RefreshImage, &run_id).await.unwrap();
        world.settle().await;
        let made = images(&world, &machine).await;
        world.restore(saved);
        sweep(&world).await;
        rebuilt(&world).await;
        assert_eq!(world.register.machine_state(&machine).await.unwrap().lease, None);
        assert_eq!(images(&world, &machine).await, made);
        world.back_up(&machine, BackupKind::Incremental);
        assert_eq!(refreshed(&world, &machine).await.1.outcome, Outcome::Refreshed);
        settled(&world).await;
        assert_eq!(ids(&images(&world, &machine).await)[1..], ids(&made)[..]);
    });
}

/// A refresh that the register has forgotten was cut off when its image had just been made.
#[test]
fn what_a_forgotten_refresh_left_is_cleaned_up_after_the_rebuild() {
    in_virtual_time(async {
        let machine = orders_database();
        let mut world = World::new(Variation::default()).await;
        world.back_up(&machine, BackupKind::Full);
        assert_eq!(refreshed(&world, &machine).await.1.outcome, Outcome::Refreshed);
        world.settle().await;
        let saved = world.save_register().await;
        world.back_up(&machine, BackupKind::Incremental);
        let forgotten = world.living_host().start_refresh(&machine).await.unwrap();
        minutes(2).await;
        world.restore(saved);
        let left = world.cloud.truth_resources(&forgotten);
        assert!(left.iter().any(|resource| resource.kind() == "instance"), "{left:?}");
        world.sweep_for(Duration::from_hours(1)).await;
        assert_eq!(world.cloud.truth_resources(&forgotten).len(), left.len());
        rebuilt(&world).await;
        world.settle().await;
        // The builder goes; the image that was just made of it stays for days, since nobody knows what is in it.
        let stays = world.cloud.truth_resources(&forgotten);
        assert_eq!(stays.iter().map(Resource::kind).collect::<Vec<_>>(), ["image"]);
        assert_eq!(world.register.quarantined_images(&machine).await.unwrap()[0].run_id, forgotten);
        // What it was about is restored by another one.
        assert_eq!(images(&world, &machine).await.len(), 2);
        assert_eq!(report(&world, &forgotten).await.outcome, Outcome::LeftForSweep);
        tokio::time::sleep(Duration::from_hours(24 * 15)).await;
        settled(&world).await;
        assert_eq!(world.cloud.truth_resources(&forgotten), []);
    });
}

/// Wherever the rebuild is cut off, the next sweep brings it to the same end.
#[test]
fn a_rebuild_that_is_cut_off_is_gone_on_with() {
    for cut in 1..=4 {
        in_virtual_time(async {
            let machine = orders_database();
            let (mut world, saved) = two_images(&machine).await;
            let before = images(&world, &machine).await;
            world.restore(saved);
            let digest = looked_at(&world).await;
            let act = asking("act", RebuildMode::Act, Some(digest));
            api(&world).ask_for_rebuild("Ada", &act).await.unwrap();
            world.cloud.inject(CloudFault {
                operation: Operation::FindByMachine,
                occurrence: Occurrence::Nth(cut),
                when: When::HangAfterEffect,
                error: rekindle_cloud::CloudErrorKind::Uncertain,
            });
            let cut_off = tokio::time::timeout(Duration::from_mins(5), world.living_host().sweep()).await;
            let looks = machines().len() as u64;
            assert_eq!(cut_off.is_err(), cut <= looks, "the look {cut}");
            world.cloud.clear_faults();
            sweep(&world).await;
            assert_eq!(view(&world).await.rebuild.unwrap().state, RebuildState::Done);
            assert_eq!(images(&world, &machine).await, before);
            assert_eq!(view(&world).await.epoch, Some(2));
            settled(&world).await;
        });
    }
}

/// An older copy was written over the same table: its identity does not show it, and the control bucket does.
#[test]
fn an_older_copy_in_the_same_table_halts_too() {
    in_virtual_time(async {
        let world = Arc::new(World::new(Variation::default()).await);
        let machine = orders_database();
        world.back_up(&machine, BackupKind::Full);
        refreshed(&world, &machine).await;
        world.sweep_for(Duration::from_mins(30)).await;
        let key: ObjectKey = customer().epoch_key().unwrap();
        let marks = world.store.writes(&key).len();
        assert!((2..=4).contains(&marks), "{marks} marks in half an hour");
        assert_eq!(view(&world).await.standing, Standing::Current);

        let ahead = serde_json::json!({"epoch": 1, "mark": 1_000});
        world.store.place(&key, serde_json::to_vec(&ahead).unwrap());
        let swept = sweep(&world).await;
        assert!(swept["restored"].as_str().unwrap().contains("mark 1000"), "{swept}");
        // Who cannot read the bucket is told by the register itself.
        let (question, _) = recovered(&world, &machine).await;
        assert!(question.contains("mark 1000"), "{question}");
        rebuilt(&world).await;
        assert!(sweep(&world).await["restored"].is_null());
        end_open_recoveries(&world).await;
        settled(&world).await;
    });
}
