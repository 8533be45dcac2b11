//! What is going on when something goes wrong.

use std::sync::Arc;
use std::time::Duration;

use rekindle_domain::{BackupKind, Decision, Flow, HumanTask, MachineKey, Outcome, RecoveryKind, RunId};
use rekindle_requests::approval::decide;
use rekindle_step::Clock as _;

use crate::world::World;
use crate::world::customer::{machines, orders_database};

/// How often somebody looks whether something waits for a decision.
const GLANCE: Duration = Duration::from_mins(1);

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// The first image of a machine, from its base image.
    FirstRefresh,
    /// A set and a configuration, onto yesterday's image.
    Refresh,
    /// All services are started and destroyed again.
    Rehearsal,
    /// All services are started, and a person has approved.
    Disaster,
    /// A person said no.
    DeclinedDisaster,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::FirstRefresh, Self::Refresh, Self::Rehearsal, Self::Disaster, Self::DeclinedDisaster];

    /// The flow that it begins with.
    pub fn flow(self) -> Flow {
        match self {
            Self::FirstRefresh | Self::Refresh => Flow::RefreshImage,
            Self::Rehearsal | Self::Disaster | Self::DeclinedDisaster => Flow::Recover,
        }
    }

    /// How it ends when nothing goes wrong.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::FirstRefresh | Self::Refresh => Outcome::Refreshed,
            Self::Rehearsal | Self::Disaster => Outcome::Recovered,
            Self::DeclinedDisaster => Outcome::Declined,
        }
    }

    fn recovery_kind(self) -> RecoveryKind {
        if self == Self::Rehearsal { RecoveryKind::Rehearsal } else { RecoveryKind::Disaster }
    }

    /// Makes what was there before.
    pub async fn prepare(self, world: &World) {
        match self {
            Self::FirstRefresh => {
                world.back_up(&orders_database(), BackupKind::Full);
            }
            Self::Refresh => {
                prepare_image(world, &orders_database()).await;
                world.publish_configuration(&orders_database().service(), "configuration 2").await;
                world.back_up(&orders_database(), BackupKind::Incremental);
            }
            Self::Rehearsal | Self::Disaster | Self::DeclinedDisaster => {
                prepare_images(world, BackupKind::Full).await;
                prepare_images(world, BackupKind::Incremental).await;
            }
        }
    }

    /// Begins; the run, and whom it is about.
    pub async fn begin(self, world: &Arc<World>) -> RunId {
        let host = world.living_host();
        match self {
            Self::FirstRefresh | Self::Refresh => host.start_refresh(&orders_database()).await.unwrap(),
            Self::Rehearsal | Self::Disaster | Self::DeclinedDisaster => {
                let approves = self != Self::DeclinedDisaster;
                tokio::spawn(answer_questions(Arc::downgrade(world), approves));
                host.start_recovery(&world.request(self.recovery_kind())).await.unwrap()
            }
        }
    }
}

/// One proven image.
pub async fn prepare_image(world: &World, machine: &MachineKey) {
    let taken = world.back_up(machine, BackupKind::Full);
    world.remember_image(&taken).await;
}

/// One more proven image of every machine, all of one moment.
pub async fn prepare_images(world: &World, kind: BackupKind) {
    let group = world.backups.mint(world.clock.now());
    for machine in machines() {
        let taken = world.back_up_in_group(&machine, kind, Some(group.clone()));
        world.remember_image(&taken).await;
    }
}

/// Grace decides everything that waits, always the same way, for as long as there is a world.
async fn answer_questions(world: std::sync::Weak<World>, approves: bool) {
    loop {
        tokio::time::sleep(GLANCE).await;
        let Some(world) = world.upgrade() else { return };
        let Some(host) = world.host() else { continue };
        for task in world.register.open_human_tasks().await.unwrap() {
            let decision = decision(&world, &task, approves);
            // It may be too late, or the process may die of it; then the question waits or is gone.
            let _ = decide(&world.register, host.workflow().as_ref(), &task.human_task_id, &decision).await;
        }
    }
}

fn decision(world: &World, task: &HumanTask, approves: bool) -> Decision {
    Decision {
        approved: approves,
        decided_by: "Grace".to_owned(),
        decided_at: world.clock.now(),
        comment: Some(task.question.chars().take(20).collect()),
    }
}
