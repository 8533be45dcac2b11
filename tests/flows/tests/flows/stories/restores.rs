//! The register's table is restored to an earlier time: what it has forgotten is there all the same.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rekindle_api::operator::{ClientToken, RebuildBody, RegisterView, Standing};
use rekindle_api::{Deployment, OperatorApi};
use rekindle_cloud::Resource;
use rekindle_cloud_sim::{Call, Fault as CloudFault, Occurrence, Operation, When};
use rekindle_cmdb::{EmbeddedRegister, Register};
use rekindle_domain::register_epoch::FENCES_PER_EPOCH;
use rekindle_domain::{
    BackupKind, Decision, Digest, EpochWitness, Fence, Flow, Image, ImageId, MachineKey, ObjectKey, Outcome,
    RebuildMode, RebuildState, RecoveryKind, RegisterEpoch, Report, Run, RunId, RunState,
};
use rekindle_flow_tests::agent::Disk;
use rekindle_flow_tests::invariants::{Before, violations};
use rekindle_flow_tests::matrix::{end_open_recoveries, in_virtual_time};
use rekindle_flow_tests::world::customer::{customer, machines, orders_database, shop_machines};
use rekindle_flow_tests::world::{Variation, World};
use rekindle_requests::approval::decide;
use rekindle_requests::recovery::Request;
use rekindle_requests::register_standing::{keep_witness, witness};
use rekindle_requests::reports::report_key;
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
    let run_id = world.living_host().start_recovery(&request).await.unwrap();
    minutes(1).await;
    (approved(world, &run_id).await, run_id)
}

/// Approves the one recovery that waits, and lets it end; the question.
async fn approved(world: &World, run_id: &RunId) -> String {
    let host = world.living_host();
    let task = world.register.open_human_tasks().await.unwrap().pop().unwrap();
    let yes = Decision {
        approved: true,
        decided_by: "Grace".to_owned(),
        decided_at: world.clock.now(),
        comment: None,
    };
    decide(&world.register, host.workflow().as_ref(), &task.human_task_id, &yes).await.unwrap();
    host.wait(Flow::Recover, run_id).await.unwrap();
    task.question
}

/// Lets the register believe that it was never restored: what would become of everything if nobody halted.
async fn believed(world: &World) {
    let recorded = world.register.epoch().await.unwrap().unwrap();
    let table_id = world.register.table_id().await.unwrap();
    // Ahead of what the bucket remembers.
    let current = RegisterEpoch { table_id, mark: 1_000_000, restored: None, ..recorded.clone() };
    assert!(world.register.put_epoch(&current, Some(&recorded)).await.unwrap());
    assert_eq!(view(world).await.standing, Standing::Current);
}

/// Lets the register turn out to be an older copy that was written over the same table, while the process lives on.
async fn written_over(world: &World) {
    let recorded = world.register.epoch().await.unwrap().unwrap();
    let ahead = EpochWitness { mark: recorded.mark + 1_000, ..recorded.progress() };
    world.store.place(&customer().epoch_key().unwrap(), serde_json::to_vec(&ahead).unwrap());
    assert!(sweep(world).await["restored"].is_string());
}

/// The register as it was in the middle of a refresh that has ended since: it believes that the run is open, holds the
/// lease, and has no image. The run, and the image that it registered in the life that was forgotten.
async fn mid_refresh(machine: &MachineKey) -> (World, RunId, Image) {
    let mut world = World::new(Variation::default()).await;
    world.back_up(machine, BackupKind::Full);
    let host = world.living_host();
    let run_id = host.start_refresh(machine).await.unwrap();
    minutes(2).await;
    let saved = world.save_register().await;
    assert_eq!(saved.run(&run_id).await.unwrap().unwrap().state, RunState::Open);
    assert!(saved.machine_state(machine).await.unwrap().lease.is_some());
    host.wait(Flow::RefreshImage, &run_id).await.unwrap();
    world.settle().await;
    let made = images(&world, machine).await.pop().unwrap();
    world.restore(saved);
    (world, run_id, made)
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

/// The same register, once halted and once believed.
#[test]
fn without_the_halt_a_run_is_ended_its_image_destroyed_and_its_lease_released() {
    for halts in [true, false] {
        in_virtual_time(async {
            let machine = orders_database();
            let (world, run_id, made) = mid_refresh(&machine).await;
            if !halts {
                believed(&world).await;
            }
            world.sweep_for(Duration::from_hours(3)).await;
            let run = world.register.run(&run_id).await.unwrap().unwrap();
            let lease = world.register.machine_state(&machine).await.unwrap().lease;
            assert_eq!(run.state == RunState::Open, halts, "{run:?}");
            assert_eq!(world.cloud.truth_image(&made.image_id).is_some(), halts, "{}", made.image_id);
            assert_eq!(lease.is_some_and(|lease| lease.run_id == run_id), halts);
        });
    }
}

#[test]
fn without_the_halt_what_is_restored_already_is_restored_once_more() {
    for halts in [true, false] {
        in_virtual_time(async {
            let machine = orders_database();
            let (mut world, saved) = two_images(&machine).await;
            world.restore(saved);
            if !halts {
                believed(&world).await;
            }
            let (_, told) = refreshed(&world, &machine).await;
            let expected = if halts { Outcome::Refused } else { Outcome::Refreshed };
            assert_eq!(told.outcome, expected, "{}", told.cause);
        });
    }
}

#[test]
fn without_the_halt_an_image_that_is_kept_apart_is_deleted_in_time() {
    for halts in [true, false] {
        in_virtual_time(async {
            let machine = orders_database();
            let (mut world, saved) = two_images(&machine).await;
            world.restore(saved);
            remove_manifests(&world, &machine).await;
            rebuilt(&world).await;
            let kept = world.register.quarantined_images(&machine).await.unwrap().remove(0);
            if halts {
                written_over(&world).await;
            }
            tokio::time::sleep(Duration::from_hours(24 * 15)).await;
            sweep(&world).await;
            assert_eq!(world.cloud.truth_image(&kept.image_id).is_some(), halts);
        });
    }
}

/// A flow that was at work when the register turned out to be restored destroys what it started, and nothing else.
#[test]
fn without_the_halt_destroy_deletes_an_image_and_ends_the_run() {
    for halts in [true, false] {
        in_virtual_time(async {
            let machine = orders_database();
            let world = World::new(Variation::default()).await;
            world.back_up(&machine, BackupKind::Full);
            let host = world.living_host();
            let run_id = host.start_refresh(&machine).await.unwrap();
            let kinds = || -> BTreeSet<String> {
                world.cloud.truth_resources(&run_id).iter().map(|left| left.kind().to_owned()).collect()
            };
            while !kinds().contains("image") {
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
            if halts {
                written_over(&world).await;
            }
            let machine_name = Flow::RefreshImage.state_machine();
            host.workflow().stop_execution(machine_name, run_id.as_str(), "by hand").await.unwrap();
            for _ in 0..3 {
                host.end_recovery(&run_id).await.unwrap();
                tokio::time::sleep(Duration::from_hours(1)).await;
            }
            assert!(!kinds().contains("instance"), "{:?}", kinds());
            assert_eq!(kinds().contains("image"), halts, "{:?}", kinds());
            let expected = if halts { RunState::Closed } else { RunState::Ended };
            assert_eq!(world.register.run(&run_id).await.unwrap().unwrap().state, expected);
        });
    }
}

/// What the table says of customers is in doubt too: one that is empty has forgotten its customer.
#[test]
fn a_table_that_has_forgotten_its_customer_is_known_as_restored() {
    in_virtual_time(async {
        let machine = orders_database();
        let mut world = World::new(Variation::default()).await;
        world.back_up(&machine, BackupKind::Full);
        refreshed(&world, &machine).await;
        world.sweep_for(Duration::from_mins(30)).await;
        world.restore(EmbeddedRegister::in_memory().await.unwrap());
        let swept = sweep(&world).await;
        assert!(swept["restored"].as_str().unwrap().contains("the control bucket remembers"), "{swept}");
        // Its machines have manifests: they are named, and nothing is done until they are onboarded again.
        let digest = looked_at(&world).await;
        minutes(1).await;
        let act = asking("act", RebuildMode::Act, Some(digest));
        api(&world).ask_for_rebuild("Ada", &act).await.unwrap();
        sweep(&world).await;
        let view = view(&world).await;
        let rebuild = view.rebuild.unwrap();
        assert_eq!((view.standing, rebuild.state), (Standing::Restored, RebuildState::Changed));
        assert!(rebuild.note.contains("acme/orders/database"), "{}", rebuild.note);
        assert_eq!(rebuild.findings.unwrap().unknown_machines, [machine]);
    });
}

#[test]
fn the_bucket_remembers_the_furthest_that_anybody_has_seen() {
    in_virtual_time(async {
        let world = World::new(Variation::default()).await;
        let at = |epoch, mark| EpochWitness { epoch, mark };
        for (seen, kept) in
            [(at(1, 7), at(1, 7)), (at(1, 6), at(1, 7)), (at(2, 0), at(2, 0)), (at(1, 9), at(2, 0))]
        {
            keep_witness(world.store.as_ref(), &customer(), seen).await.unwrap();
            assert_eq!(witness(world.store.as_ref(), &customer()).await.unwrap(), Some(kept));
        }
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

#[test]
fn a_run_of_the_past_is_closed_and_its_image_stays() {
    in_virtual_time(async {
        let machine = orders_database();
        let (world, _, made) = mid_refresh(&machine).await;
        sweep(&world).await;
        rebuilt(&world).await;
        assert_eq!(world.register.machine_state(&machine).await.unwrap().lease, None);
        assert_eq!(images(&world, &machine).await, std::slice::from_ref(&made));
        world.back_up(&machine, BackupKind::Incremental);
        assert_eq!(refreshed(&world, &machine).await.1.outcome, Outcome::Refreshed);
        settled(&world).await;
        assert_eq!(ids(&images(&world, &machine).await)[1..], [made.image_id.as_str()]);
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

/// A register that was restored to before almost everything, so that a rebuild has all to do that it can have.
struct Forgotten {
    world: World,
    /// The images of each machine that are registered in the end.
    images: Vec<(MachineKey, Vec<Image>)>,
    /// The runs of those that the register has forgotten.
    adopted: Vec<RunId>,
    /// The image that has lost its manifest.
    doubtful: Image,
    /// A refresh that the register believes open, with a lease.
    open: RunId,
    /// A refresh that it does not know, and that has left a builder.
    left: RunId,
    /// A recovery that it believes to have made nothing.
    recovery: RunId,
}

async fn much_forgotten() -> Forgotten {
    let (orders, [cache, web]) = (orders_database(), shop_machines());
    let mut world = World::new(Variation::default()).await;
    for machine in [&orders, &web] {
        world.remember_image(&world.back_up(machine, BackupKind::Full)).await;
    }
    let host = world.living_host();
    let services = vec![orders.service_id.clone()];
    let disaster = Request { services, ..world.request(RecoveryKind::Disaster) };
    let recovery = host.start_recovery(&disaster).await.unwrap();
    world.back_up(&cache, BackupKind::Full);
    let open = host.start_refresh(&cache).await.unwrap();
    minutes(2).await;
    let saved = world.save_register().await;

    approved(&world, &recovery).await;
    host.wait(Flow::RefreshImage, &open).await.unwrap();
    world.publish_configuration(&orders.service(), "configuration 2").await;
    for machine in [&orders, &web] {
        world.back_up(machine, BackupKind::Incremental);
        assert_eq!(refreshed(&world, machine).await.1.outcome, Outcome::Refreshed);
    }
    let mut remembered = Vec::new();
    for machine in machines() {
        remembered.push((machine.clone(), images(&world, &machine).await));
    }
    let adopted = remembered.iter().filter(|(machine, _)| *machine != web);
    let adopted = adopted.map(|(_, images)| images[0].run_id.clone()).collect();
    let (_, images_of_web) = remembered.iter_mut().find(|(machine, _)| *machine == web).unwrap();
    let doubtful = images_of_web.remove(0);
    world.store.remove(&web.manifest_key(&doubtful.run_id).unwrap());
    world.back_up(&web, BackupKind::Incremental);
    let left = host.start_refresh(&web).await.unwrap();
    minutes(1).await;
    world.restore(saved);
    Forgotten { world, images: remembered, adopted, doubtful, open, left, recovery }
}

impl Forgotten {
    /// What is not yet as a rebuild leaves it.
    async fn missing(&self) -> Vec<String> {
        let register = &self.world.register;
        let mut missing = Vec::new();
        let mut hold = |what: String, holds: bool| {
            if !holds {
                missing.push(what);
            }
        };
        for (machine, expected) in &self.images {
            hold(format!("the images of {machine}"), images(&self.world, machine).await == *expected);
            let state = register.machine_state(machine).await.unwrap();
            // Whoever has it by now has got it after the rebuild.
            let lowest = Fence(2 * FENCES_PER_EPOCH);
            let is_new = state.lease.is_none_or(|lease| lease.fence > lowest);
            hold(format!("the lease of {machine}"), is_new && state.fence >= lowest);
        }
        for run_id in &self.adopted {
            let run = register.run(run_id).await.unwrap();
            hold(format!("the run {run_id}"), run.is_some_and(|run| run.outcome == Some(Outcome::Refreshed)));
            hold(format!("the report of {run_id}"), register.report(run_id).await.unwrap().is_some());
        }
        let apart = register.quarantined_images(&self.doubtful.machine).await.unwrap();
        let is_apart = apart.iter().any(|image| image.image_id == self.doubtful.image_id);
        hold("the doubtful image".to_owned(), is_apart);
        for run_id in [&self.open, &self.left] {
            let run = register.run(run_id).await.unwrap();
            hold(format!("the end of {run_id}"), run.is_some_and(|run| run.state != RunState::Open));
        }
        let recovery = register.run(&self.recovery).await.unwrap().unwrap();
        hold("the replicas".to_owned(), recovery.last_intent_at.is_some());
        hold("the recovery's ending".to_owned(), recovery.outcome == Some(Outcome::Recovered));
        let service = register.service(&orders_database().service()).await.unwrap().unwrap().value;
        hold("the configuration".to_owned(), service.configuration.unwrap().counter == 2);
        missing
    }

    /// How many of those there are when nothing is done: a configuration, replicas, how their recovery ended, two runs,
    /// an image apart, three leases and their fences, and, for two machines, an image, its run and its report.
    const ALL: usize = 15;

    async fn ask_to_act(&self) {
        let digest = looked_at(&self.world).await;
        let act = asking("act", RebuildMode::Act, Some(digest));
        api(&self.world).ask_for_rebuild("Ada", &act).await.unwrap();
    }

    /// One sweep, which may be cut off; answers whether it was. Then the process is there again, on the whole table.
    async fn sweep_that_may_die(&mut self, whole: Register) -> bool {
        let swept = tokio::time::timeout(Duration::from_mins(5), self.world.living_host().sweep()).await;
        self.world.cloud.clear_faults();
        self.world.store.take_nothing(false);
        self.world.restart_on(whole);
        swept.is_err()
    }

    /// The next sweep brings it to its end.
    async fn assert_gone_on_with(&self) {
        sweep(&self.world).await;
        let view = view(&self.world).await;
        assert_eq!((view.standing, view.epoch), (Standing::Current, Some(2)));
        assert_eq!(view.rebuild.unwrap().state, RebuildState::Done);
        assert_eq!(self.missing().await, Vec::<String>::new());
        let remembered = witness(self.world.store.as_ref(), &customer()).await.unwrap().unwrap();
        assert_eq!(remembered.epoch, 2);
    }
}

/// Whether the sweep that acts died before it made more than so many writes; what it left is looked at, and gone on with.
async fn dies_after(writes: u64) -> bool {
    let mut forgotten = much_forgotten().await;
    forgotten.ask_to_act().await;
    assert_eq!(forgotten.missing().await.len(), Forgotten::ALL);
    let destroyed = destroys(&forgotten.world);
    let whole = forgotten.world.register.clone();
    forgotten.world.restart_on(EmbeddedRegister::dying_after(writes, &whole));
    let died = forgotten.sweep_that_may_die(whole).await;
    let missing = forgotten.missing().await;
    if writes == 0 {
        assert_eq!(missing.len(), Forgotten::ALL, "something was done before the rebuild began");
    }
    let has_ended = view(&forgotten.world).await.standing == Standing::Current;
    if has_ended {
        assert_eq!(missing, Vec::<String>::new(), "the halt ended before it was done, after {writes} writes");
    }
    forgotten.assert_gone_on_with().await;
    // A register that was the current one before this sweep has cleaned up in it.
    assert!(has_ended || destroys(&forgotten.world) == destroyed, "after {writes} writes");
    died
}

/// Wherever the rebuild is cut off between two writes of the register, the next sweep brings it to the same end.
#[test]
fn a_rebuild_that_is_cut_off_at_any_write_is_gone_on_with() {
    let writes = (0..).take_while(|writes| in_virtual_time(dies_after(*writes))).count();
    // Its own state twice, the epoch, and at least one for each thing that is to be done.
    assert!(writes >= 3 + Forgotten::ALL, "{writes} writes are not all of them");
}

/// What is at the end of a rebuild is a world like any other.
#[test]
fn after_a_rebuild_that_was_cut_off_nothing_is_left() {
    in_virtual_time(async {
        let mut forgotten = much_forgotten().await;
        forgotten.ask_to_act().await;
        let whole = forgotten.world.register.clone();
        forgotten.world.restart_on(EmbeddedRegister::dying_after(9, &whole));
        assert!(forgotten.sweep_that_may_die(whole).await);
        forgotten.assert_gone_on_with().await;
        end_open_recoveries(&forgotten.world).await;
        tokio::time::sleep(Duration::from_hours(24 * 15)).await;
        forgotten.world.settle().await;
        let mut found = violations(&forgotten.world, &Before::default()).await;
        // Its image was kept apart because nobody vouches for it; the register does not know it any more.
        let unknown = format!("{} was never recorded", forgotten.doubtful.run_id);
        found.retain(|violation| !violation.contains(&unknown));
        assert!(found.is_empty(), "{}", found.join("\n"));
        assert_eq!(forgotten.world.cloud.truth_resources(&forgotten.left), []);
        assert!(forgotten.world.cloud.truth_image(&forgotten.doubtful.image_id).is_none());
    });
}

#[test]
fn a_rebuild_that_is_cut_off_while_it_looks_begins_again() {
    let of_machines = (1..=machines().len() as u64).map(|nth| (Operation::FindByMachine, nth));
    for (operation, nth) in of_machines.chain([(Operation::FindByRun, 1)]) {
        in_virtual_time(async {
            let mut forgotten = much_forgotten().await;
            forgotten.ask_to_act().await;
            forgotten.world.cloud.inject(CloudFault {
                operation,
                occurrence: Occurrence::Nth(nth),
                when: When::Hang,
                error: rekindle_cloud::CloudErrorKind::Uncertain,
            });
            let whole = forgotten.world.register.clone();
            assert!(forgotten.sweep_that_may_die(whole).await, "{operation:?} {nth} was not called");
            assert_eq!(forgotten.missing().await.len(), Forgotten::ALL);
            forgotten.assert_gone_on_with().await;
        });
    }
}

/// The register is the current one by then, and the bucket does not know it.
#[test]
fn a_rebuild_that_is_cut_off_before_the_bucket_knows_is_gone_on_with() {
    in_virtual_time(async {
        let mut forgotten = much_forgotten().await;
        forgotten.ask_to_act().await;
        forgotten.world.store.take_nothing(true);
        let whole = forgotten.world.register.clone();
        assert!(forgotten.sweep_that_may_die(whole).await, "nothing was written into the bucket");
        assert_eq!(view(&forgotten.world).await.standing, Standing::Current);
        let remembered = witness(forgotten.world.store.as_ref(), &customer()).await.unwrap();
        assert!(remembered.is_none_or(|seen| seen.epoch < 2), "{remembered:?}");
        forgotten.assert_gone_on_with().await;
    });
}

/// What a person confirmed is done, whatever shows up after it was begun.
#[test]
fn a_rebuild_that_is_gone_on_with_does_what_was_confirmed() {
    in_virtual_time(async {
        let mut forgotten = much_forgotten().await;
        forgotten.ask_to_act().await;
        let whole = forgotten.world.register.clone();
        forgotten.world.restart_on(EmbeddedRegister::dying_after(1, &whole));
        assert!(forgotten.sweep_that_may_die(whole).await);
        let machine = orders_database();
        let (late, nobody) = (ImageId::parse("ami-late").unwrap(), RunId::mint());
        forgotten.world.cloud.add_image(late, &nobody, &machine, Disk::default().written());
        forgotten.assert_gone_on_with().await;
        assert!(forgotten.world.register.quarantined_images(&machine).await.unwrap().is_empty());
    });
}

/// Nobody gets a lease while the register stands restored; if somebody does, the rebuild does not wait for ever.
#[test]
fn a_rebuild_whose_lease_somebody_took_is_broken_off_and_asked_for_again() {
    in_virtual_time(async {
        let mut forgotten = much_forgotten().await;
        forgotten.ask_to_act().await;
        let whole = forgotten.world.register.clone();
        forgotten.world.restart_on(EmbeddedRegister::dying_after(1, &whole));
        assert!(forgotten.sweep_that_may_die(whole).await);
        let (machine, now) = (orders_database(), forgotten.world.clock.now());
        let thief = Run::open(RunId::mint(), Flow::RefreshImage, Some(machine.clone()), now, now);
        forgotten.world.register.take_lease(&thief, None).await.unwrap();
        sweep(&forgotten.world).await;
        let broken_off = view(&forgotten.world).await;
        let rebuild = broken_off.rebuild.unwrap();
        assert_eq!((broken_off.standing, rebuild.state), (Standing::Restored, RebuildState::Changed));
        assert!(rebuild.note.contains(thief.run_id.as_str()), "{}", rebuild.note);
        let again = asking("look-again", RebuildMode::DryRun, None);
        api(&forgotten.world).ask_for_rebuild("Ada", &again).await.unwrap();
        sweep(&forgotten.world).await;
        let digest = view(&forgotten.world).await.rebuild.unwrap().findings_digest;
        let act = asking("act-again", RebuildMode::Act, digest);
        api(&forgotten.world).ask_for_rebuild("Ada", &act).await.unwrap();
        forgotten.assert_gone_on_with().await;
    });
}

/// Restored while a refresh is at work, by a copy that was written over the same table.
#[test]
fn a_rebuild_waits_for_a_refresh_and_then_has_to_be_confirmed_again() {
    in_virtual_time(async {
        let machine = orders_database();
        let world = World::new(Variation::default()).await;
        world.back_up(&machine, BackupKind::Full);
        let host = world.living_host();
        let run_id = host.start_refresh(&machine).await.unwrap();
        minutes(1).await;
        written_over(&world).await;
        let digest = looked_at(&world).await;
        let act = asking("act", RebuildMode::Act, Some(digest));
        api(&world).ask_for_rebuild("Ada", &act).await.unwrap();
        sweep(&world).await;
        let waiting = view(&world).await.rebuild.unwrap();
        assert_eq!(waiting.state, RebuildState::Requested);
        assert!(waiting.note.contains(run_id.as_str()), "{}", waiting.note);
        host.wait(Flow::RefreshImage, &run_id).await.unwrap();
        sweep(&world).await;
        assert_eq!(view(&world).await.rebuild.unwrap().state, RebuildState::Changed);
        assert_eq!(view(&world).await.standing, Standing::Restored);
    });
}

/// What is too long to be read is there all the same.
#[test]
fn a_report_that_cannot_be_read_is_written_anew_and_a_manifest_proves_nothing() {
    const TOO_LONG: u64 = 6 * 1024 * 1024;
    in_virtual_time(async {
        let machine = orders_database();
        let (mut world, saved) = two_images(&machine).await;
        let second = images(&world, &machine).await.remove(0);
        let report_key = report_key(customer().as_str(), &second.run_id, "json").unwrap();
        world.restore(saved);
        world.store.place_unreadable(&report_key, TOO_LONG);
        rebuilt(&world).await;
        let owing = world.register.run(&second.run_id).await.unwrap().unwrap();
        assert!(!owing.reported, "nothing says how it ended");
        world.settle().await;
        assert_eq!(report(&world, &second.run_id).await.outcome, Outcome::Refreshed);
        assert!(world.register.run(&second.run_id).await.unwrap().unwrap().reported);
        let kept = world.store.writes(&report_key).pop().unwrap();
        assert_eq!(serde_json::from_slice::<Report>(&kept).unwrap().run_id, second.run_id);
    });
    in_virtual_time(async {
        let machine = orders_database();
        let (mut world, saved) = two_images(&machine).await;
        let second = images(&world, &machine).await.remove(0);
        world.restore(saved);
        world.store.place_unreadable(&machine.manifest_key(&second.run_id).unwrap(), TOO_LONG);
        rebuilt(&world).await;
        let apart = world.register.quarantined_images(&machine).await.unwrap();
        assert_eq!(apart[0].image_id, second.image_id);
        assert!(apart[0].cause.contains("cannot be read"), "{}", apart[0].cause);
    });
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
