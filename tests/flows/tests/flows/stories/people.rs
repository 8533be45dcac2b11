//! People who may not decide, say no, or say nothing.

use rekindle_cmdb::RegisterError;
use rekindle_domain::{Decision, Outcome, RecoveryKind, RunId};
use rekindle_flow_tests::matrix::{finish, in_virtual_time};
use rekindle_flow_tests::scenario::{Scenario, prepare_images};
use rekindle_flow_tests::world::World;
use rekindle_step::Clock as _;

use super::{minutes, report, settled, world};

async fn declared(world: &World) -> RunId {
    prepare_images(world, rekindle_domain::BackupKind::Full).await;
    world.settle().await;
    let request = world.request(RecoveryKind::Disaster);
    world.living_host().start_recovery(&request).await.unwrap()
}

fn yes(world: &World, who: &str) -> Decision {
    Decision { approved: true, decided_by: who.to_owned(), decided_at: world.clock.now(), comment: None }
}

#[test]
fn who_asks_cannot_approve() {
    in_virtual_time(async {
        let world = world().await;
        let run_id = declared(&world).await;
        minutes(1).await;
        let question = world.register.open_human_tasks().await.unwrap().remove(0);
        for who in ["Ada", " ada "] {
            let refused = world.register.decide(&question.human_task_id, &yes(&world, who)).await;
            assert!(matches!(refused, Err(RegisterError::DecisionRefused { .. })), "{who}");
        }
        minutes(30).await;
        assert!(world.cloud.truth_resources(&run_id).is_empty(), "nothing starts before somebody approved");
    });
}

#[test]
fn a_question_that_nobody_answers_is_taken_back_by_the_sweep() {
    in_virtual_time(async {
        let world = world().await;
        let run_id = declared(&world).await;
        minutes(1).await;
        let asked_at = world.clock.now();
        assert_eq!(world.living_host().sweep().await.unwrap()["waiting_for_people"], 1);
        settled(&world).await;
        assert_eq!(world.living_host().sweep().await.unwrap()["waiting_for_people"], 0);
        let told = report(&world, &run_id).await;
        assert_eq!(told.outcome, Outcome::TimedOut, "{}", told.cause);
        let waited = told.finished_at.duration_since(asked_at);
        assert!(waited.as_hours() == 3 || waited.as_hours() == 2, "{waited}");
        let execution = world.execution(&run_id).unwrap();
        assert_eq!(execution.error.as_deref(), Some("Recovery.ApprovalTimedOut"));
        assert!(world.register.open_human_tasks().await.unwrap().is_empty());
    });
}

/// What the sweep says of waiting questions becomes an alarm by the name of its field.
#[test]
fn the_alarm_reads_what_the_sweep_says() {
    let template = include_str!("../../../../../infra/template.yaml");
    assert!(template.contains(r#"FilterPattern: "{ $.waiting_for_people > 0 }""#));
    assert!(template.contains("MetricValue: $.waiting_for_people\n"));
}

#[test]
fn no_means_no() {
    in_virtual_time(async {
        let world = world().await;
        Scenario::DeclinedDisaster.prepare(&world).await;
        let run_id = Scenario::DeclinedDisaster.begin(&world).await;
        finish(&world).await;
        let told = report(&world, &run_id).await;
        assert_eq!(told.outcome, Outcome::Declined);
        assert!(told.cause.contains("Grace declined"), "{}", told.cause);
        assert_eq!(world.execution(&run_id).unwrap().error.as_deref(), Some("Recovery.Declined"));
        settled(&world).await;
    });
}
