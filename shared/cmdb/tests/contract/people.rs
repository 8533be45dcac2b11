use rekindle_cmdb::{DecisionRefusal, Register, RegisterError};
use rekindle_domain::{HumanTask, HumanTaskId, HumanTaskStatus, RunId};

use crate::objects::{TOKEN, decision, human_task};

async fn asked(register: &Register) -> HumanTask {
    register.ask(&human_task(&RunId::mint()), Some(TOKEN)).await.unwrap()
}

async fn refused(register: &Register, id: &HumanTaskId, by: &str, seconds: i64) -> DecisionRefusal {
    match register.decide(id, &decision(by, seconds)).await.unwrap_err() {
        RegisterError::DecisionRefused { reason, .. } => reason,
        error => panic!("{error:?}"),
    }
}

pub async fn a_question_is_asked_once_and_its_token_is_replaced(register: Register) {
    let task = asked(&register).await;
    let other = HumanTask { question: "Really?".to_owned(), ..task.clone() };
    assert_eq!(register.ask(&other, None).await.unwrap(), task);
    assert_eq!(register.ask(&other, Some("newer")).await.unwrap(), task);
    let (decided, token) = register.decide(&task.human_task_id, &decision("bob", 5)).await.unwrap();
    assert_eq!(decided.status, HumanTaskStatus::Completed);
    assert_eq!(token.unwrap().as_str(), "newer");
    // Asked again after the decision: answered with it, and the token stays.
    assert_eq!(register.ask(&other, Some("newest")).await.unwrap(), decided);
    let (_, token) = register.decide(&task.human_task_id, &decision("bob", 5)).await.unwrap();
    assert_eq!(token.unwrap().as_str(), "newer");
}

pub async fn whoever_asked_cannot_decide(register: Register) {
    let id = asked(&register).await.human_task_id;
    for name in ["alice", "Alice", " ALICE "] {
        assert_eq!(refused(&register, &id, name, 5).await, DecisionRefusal::Requester);
    }
    assert_eq!(register.human_task(&id).await.unwrap().unwrap().status, HumanTaskStatus::Ready);
    let unknown = human_task(&RunId::mint()).human_task_id;
    let error = register.decide(&unknown, &decision("bob", 5)).await.unwrap_err();
    assert!(matches!(error, RegisterError::Unknown { .. }), "{error:?}");
}

pub async fn silence_until_the_deadline_is_final(register: Register) {
    let id = asked(&register).await.human_task_id;
    assert_eq!(refused(&register, &id, "bob", 3601).await, DecisionRefusal::Deadline);
    register.decide(&id, &decision("bob", 3600)).await.unwrap();
}

pub async fn the_first_decision_wins(register: Register) {
    let id = asked(&register).await.human_task_id;
    let tasks: Vec<_> = (0..10)
        .map(|number| {
            let (register, id) = (register.clone(), id.clone());
            tokio::spawn(async move { register.decide(&id, &decision(&format!("person-{number}"), 5)).await })
        })
        .collect();
    let mut counted = 0;
    for task in tasks {
        counted += usize::from(task.await.unwrap().is_ok());
    }
    assert_eq!(counted, 1);
    assert_eq!(refused(&register, &id, "carol", 5).await, DecisionRefusal::Decided);
}

pub async fn a_question_that_was_taken_back_is_not_decided(register: Register) {
    let id = asked(&register).await.human_task_id;
    for _ in 0..2 {
        let (exited, token) = register.exit_human_task(&id).await.unwrap();
        assert_eq!(exited.status, HumanTaskStatus::Exited);
        assert_eq!(token.unwrap().as_str(), TOKEN);
    }
    assert_eq!(refused(&register, &id, "bob", 5).await, DecisionRefusal::Exited);
    let decided = asked(&register).await.human_task_id;
    register.decide(&decided, &decision("bob", 5)).await.unwrap();
    let (task, _) = register.exit_human_task(&decided).await.unwrap();
    assert_eq!(task.status, HumanTaskStatus::Completed);
    let unknown = human_task(&RunId::mint()).human_task_id;
    let error = register.exit_human_task(&unknown).await.unwrap_err();
    assert!(matches!(error, RegisterError::Unknown { .. }), "{error:?}");
}

async fn is_open(register: &Register, id: &HumanTaskId) -> bool {
    register.open_human_tasks().await.unwrap().iter().any(|task| task.human_task_id == *id)
}

pub async fn open_questions_are_listed(register: Register) {
    let (decided, exited) = (asked(&register).await.human_task_id, asked(&register).await.human_task_id);
    assert!(is_open(&register, &decided).await && is_open(&register, &exited).await);
    register.decide(&decided, &decision("bob", 5)).await.unwrap();
    register.exit_human_task(&exited).await.unwrap();
    assert!(!is_open(&register, &decided).await && !is_open(&register, &exited).await);
}
