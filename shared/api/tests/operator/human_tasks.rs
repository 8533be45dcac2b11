//! Decisions.

use rekindle_domain::{Digest, HumanTask, RunId};
use serde_json::{Value, json};

use crate::workflow::Told;
use crate::world::{ADA, Answer, BOB, RUN, SUBJECT, TASK, TOKEN, World, question};

fn yes() -> Value {
    json!({ "approved": true, "comment": "the site is lost", "subject": SUBJECT })
}

async fn decide(world: &World, caller: &str, body: Value) -> Answer {
    world.call(caller, "POST", &format!("/v1/human-tasks/{TASK}/decision"), body.to_string()).await
}

fn told(world: &World) -> Vec<Told> {
    world.workflow.told.lock().unwrap().clone()
}

#[tokio::test]
async fn a_decision_reaches_the_run_that_waits() {
    let world = World::seeded().await;
    let task = decide(&world, ADA, yes()).await.good();
    assert_eq!((&task["status"], &task["decision"]["decided_by"]), (&json!("Completed"), &json!(ADA)));
    assert_eq!(told(&world), [Told::Success(TOKEN.to_owned(), json!({ "decided_by": ADA }))]);
    // Said again it is the same decision, and the run is told again: the first telling may have been lost.
    assert_eq!(decide(&world, ADA, yes()).await.good(), task);
    assert_eq!(told(&world).len(), 2);
    assert_eq!(world.get(&format!("/v1/human-tasks/{TASK}")).await.good(), task);
    assert_eq!(world.get("/v1/human-tasks").await.good()["items"], json!([]));
}

#[tokio::test]
async fn a_refusal_fails_the_run_with_what_was_said() {
    let world = World::seeded().await;
    let no = json!({ "approved": false, "comment": "it is\na drill\u{1b}[2J", "subject": SUBJECT });
    decide(&world, ADA, no).await.good();
    let told = told(&world);
    let [Told::Failure(token, error, cause)] = told.as_slice() else { unreachable!("{told:?}") };
    assert_eq!((token.as_str(), error.as_str()), (TOKEN, "Recovery.Declined"));
    assert!(cause.ends_with("it is a drill[2J"), "{cause}");
}

#[tokio::test]
async fn whoever_asked_cannot_decide() {
    let world = World::seeded().await;
    for caller in [BOB, &BOB.to_uppercase(), &format!(" {BOB} ")] {
        let answer = decide(&world, caller, yes()).await;
        assert_eq!(answer.refusal(), (403, "requester-cannot-decide".to_owned()), "{caller}");
    }
    assert!(told(&world).is_empty());
    decide(&world, ADA, yes()).await.good();
}

#[tokio::test]
async fn a_decision_is_about_what_was_read() {
    let world = World::seeded().await;
    for subject in [json!(TASK), json!(null)] {
        let answer = decide(&world, ADA, json!({ "approved": true, "subject": subject })).await;
        assert_eq!(answer.refusal(), (409, "subject-changed".to_owned()));
    }
    let answer = decide(&world, ADA, json!({ "approved": true })).await;
    assert_eq!(answer.refusal().1, "subject-changed");
    assert!(told(&world).is_empty());
}

#[tokio::test]
async fn a_question_about_nothing_is_decided_without_a_subject() {
    let world = World::seeded().await;
    let id = Digest::of(b"a question");
    let task = HumanTask { human_task_id: id.clone(), subject: None, ..question(&RunId::mint()) };
    world.register.ask(&task, None).await.unwrap();
    let address = format!("/v1/human-tasks/{id}/decision");
    let answer = world.post(&address, yes()).await;
    assert_eq!(answer.refusal().1, "subject-changed");
    assert_eq!(world.post(&address, json!({ "approved": true })).await.good()["status"], "Completed");
}

#[tokio::test]
async fn the_first_decision_stays() {
    let world = World::seeded().await;
    decide(&world, ADA, yes()).await.good();
    for (caller, body) in [("carol", yes()), (ADA, json!({ "approved": false, "subject": SUBJECT }))] {
        assert_eq!(decide(&world, caller, body).await.refusal(), (409, "already-decided".to_owned()));
    }
    assert_eq!(told(&world).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_decision_after_the_deadline_does_not_count() {
    let world = World::seeded().await;
    tokio::time::advance(std::time::Duration::from_secs(3_601)).await;
    assert_eq!(decide(&world, ADA, yes()).await.refusal(), (409, "deadline-passed".to_owned()));
}

#[tokio::test]
async fn a_question_of_a_run_that_was_ended_is_not_decided() {
    let world = World::seeded().await;
    world.post(&format!("/v1/recoveries/{RUN}/end"), json!({ "confirm": RUN })).await.good();
    assert_eq!(decide(&world, ADA, yes()).await.refusal(), (409, "task-exited".to_owned()));
}

/// What is stored is the truth; the sweep tells the run.
#[tokio::test]
async fn a_decision_counts_although_the_engine_is_away() {
    let world = World::seeded().await;
    world.workflow.set_reachable(false);
    assert_eq!(decide(&world, ADA, yes()).await.good()["status"], "Completed");
    assert!(told(&world).is_empty());
    world.workflow.set_reachable(true);
    decide(&world, ADA, yes()).await.good();
    assert_eq!(told(&world).len(), 1);
}
