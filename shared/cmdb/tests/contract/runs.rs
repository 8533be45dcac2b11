use rekindle_cmdb::{Register, RegisterError};
use rekindle_domain::{MachineId, Outcome, Run, RunId, RunState};

use crate::objects::{at, intent, machine, recovery_run, refresh_run};

fn said(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub async fn a_run_is_opened_once(register: Register) {
    let machine = machine();
    let run = refresh_run(&machine);
    let opened = register.open_run(&run).await.unwrap();
    assert_eq!(opened.version, 1);
    let later = Run { opened_at: at(5), ..run.clone() };
    assert_eq!(register.open_run(&later).await.unwrap(), opened);
    let other = Run { machine: None, ..run.clone() };
    let error = register.open_run(&other).await.unwrap_err();
    assert!(matches!(error, RegisterError::Conflict { .. }), "{error:?}");
    register.close_run(&run.run_id, None, None, at(6)).await.unwrap();
    assert_eq!(register.open_run(&run).await.unwrap().state, RunState::Closed);
}

pub async fn a_run_that_is_not_open_is_not_opened(register: Register) {
    let run = Run { state: RunState::Closed, ..recovery_run() };
    let error = register.open_run(&run).await.unwrap_err();
    assert!(matches!(error, RegisterError::Invalid(_)), "{error:?}");
    assert_eq!(register.run(&run.run_id).await.unwrap(), None);
}

pub async fn the_first_close_and_the_first_outcome_win(register: Register) {
    let run = register.open_run(&recovery_run()).await.unwrap();
    let closed = register.close_run(&run.run_id, None, None, at(1)).await.unwrap();
    assert_eq!((closed.state, closed.closed_at, closed.outcome), (RunState::Closed, Some(at(1)), None));
    let again = register.close_run(&run.run_id, Some(Outcome::Failed), said("one"), at(2)).await.unwrap();
    assert_eq!(
        (again.closed_at, again.outcome, again.cause),
        (Some(at(1)), Some(Outcome::Failed), said("one"))
    );
    let third = register.close_run(&run.run_id, Some(Outcome::Recovered), said("two"), at(3)).await.unwrap();
    assert_eq!((third.outcome, third.cause), (Some(Outcome::Failed), said("one")));
    assert_eq!(third.version, again.version, "a call without effect must not write");
}

pub async fn an_outcome_is_set_where_there_is_none(register: Register) {
    let run = register.open_run(&recovery_run()).await.unwrap();
    let first = register.set_outcome(&run.run_id, Outcome::Declined, said("no")).await.unwrap();
    assert_eq!((first.state, first.outcome), (RunState::Open, Some(Outcome::Declined)));
    let second = register.set_outcome(&run.run_id, Outcome::Recovered, said("yes")).await.unwrap();
    assert_eq!(second, first);
}

pub async fn a_run_ends_only_after_it_was_closed_and_found_empty(register: Register) {
    let run = register.open_run(&recovery_run()).await.unwrap();
    register.write_intent(&intent(&run, &machine(), "one"), None).await.unwrap();
    let error = register.end_run(&run.run_id, at(1)).await.unwrap_err();
    assert!(matches!(error, RegisterError::WrongState { state: RunState::Open, .. }), "{error:?}");
    register.close_run(&run.run_id, None, None, at(1)).await.unwrap();
    let error = register.end_run(&run.run_id, at(2)).await.unwrap_err();
    assert!(matches!(error, RegisterError::WrongState { state: RunState::Closed, .. }), "{error:?}");
    let found = register.note_empty_find(&run.run_id, at(3)).await.unwrap();
    assert_eq!(register.note_empty_find(&run.run_id, at(4)).await.unwrap(), found);
    assert_eq!(register.note_not_empty(&run.run_id).await.unwrap().first_empty_at, None);
    register.end_run(&run.run_id, at(4)).await.unwrap_err();
    register.note_empty_find(&run.run_id, at(5)).await.unwrap();
    register.end_run(&run.run_id, at(4)).await.unwrap_err();
    let ended = register.end_run(&run.run_id, at(6)).await.unwrap();
    assert_eq!(ended.state, RunState::Ended);
    assert_eq!(register.end_run(&run.run_id, at(7)).await.unwrap(), ended);
}

pub async fn an_empty_find_does_not_count_while_open(register: Register) {
    let run = register.open_run(&recovery_run()).await.unwrap();
    let error = register.note_empty_find(&run.run_id, at(1)).await.unwrap_err();
    assert!(matches!(error, RegisterError::WrongState { .. }), "{error:?}");
    assert_eq!(register.run(&run.run_id).await.unwrap().unwrap().first_empty_at, None);
}

pub async fn an_ended_run_cannot_be_found_not_empty(register: Register) {
    let run = register.open_run(&recovery_run()).await.unwrap();
    register.close_run(&run.run_id, None, None, at(1)).await.unwrap();
    register.end_run(&run.run_id, at(2)).await.unwrap();
    let error = register.note_not_empty(&run.run_id).await.unwrap_err();
    assert!(matches!(error, RegisterError::WrongState { state: RunState::Ended, .. }), "{error:?}");
}

pub async fn what_is_unknown_is_said_so(register: Register) {
    let run = RunId::mint();
    assert_eq!(register.run(&run).await.unwrap(), None);
    let errors = [
        register.close_run(&run, None, None, at(1)).await.unwrap_err(),
        register.set_outcome(&run, Outcome::Failed, None).await.unwrap_err(),
        register.note_empty_find(&run, at(1)).await.unwrap_err(),
        register.note_not_empty(&run).await.unwrap_err(),
        register.end_run(&run, at(1)).await.unwrap_err(),
        register.mark_reported(&run).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, RegisterError::Unknown { kind: "run", .. }), "{error:?}");
    }
}

async fn is_unfinished(register: &Register, run: &RunId) -> bool {
    register.unfinished_runs().await.unwrap().iter().any(|unfinished| unfinished.run_id == *run)
}

/// Tables of tests that share an emulator hold the runs of other tests too.
async fn is_listed_as_ended(register: &Register, run: &RunId) -> bool {
    let page = register.ended_runs_page(1_000, None).await.unwrap();
    page.items.iter().any(|ended| ended.run_id == *run)
}

pub async fn a_run_is_unfinished_until_it_is_ended_and_reported(register: Register) {
    let run = register.open_run(&recovery_run()).await.unwrap().run_id;
    assert!(is_unfinished(&register, &run).await);
    register.close_run(&run, None, None, at(1)).await.unwrap();
    register.end_run(&run, at(2)).await.unwrap();
    assert!(is_unfinished(&register, &run).await, "its report is still owed");
    assert!(!is_listed_as_ended(&register, &run).await, "its report is still owed");
    register.mark_reported(&run).await.unwrap();
    register.mark_reported(&run).await.unwrap();
    assert!(!is_unfinished(&register, &run).await);
    assert!(is_listed_as_ended(&register, &run).await);

    let other = register.open_run(&recovery_run()).await.unwrap().run_id;
    register.mark_reported(&other).await.unwrap();
    assert!(is_unfinished(&register, &other).await, "it has not ended");
    assert!(!is_listed_as_ended(&register, &other).await, "it has not ended");
}

pub async fn concurrent_changes_of_a_run_all_count(register: Register) {
    let run = register.open_run(&recovery_run()).await.unwrap().run_id;
    let close = tokio::spawn({
        let (register, run) = (register.clone(), run.clone());
        async move { register.close_run(&run, None, None, at(1)).await }
    });
    let outcome = tokio::spawn({
        let (register, run) = (register.clone(), run.clone());
        async move { register.set_outcome(&run, Outcome::Failed, None).await }
    });
    register.mark_reported(&run).await.unwrap();
    close.await.unwrap().unwrap();
    outcome.await.unwrap().unwrap();
    let stored = register.run(&run).await.unwrap().unwrap();
    assert_eq!((stored.state, stored.outcome), (RunState::Closed, Some(Outcome::Failed)));
    assert!(stored.reported);
    assert_eq!(stored.version, 4);
}

pub async fn builders_of_a_service_are_counted(register: Register) {
    let machine = machine();
    let mut other = machine.clone();
    other.machine_id = MachineId::parse("files").unwrap();
    let service = machine.service();
    assert_eq!(register.count_builders(&service).await.unwrap(), 0);
    let first = register.take_lease(&refresh_run(&machine), None).await.unwrap().run;
    for machine in [&other, &crate::objects::machine()] {
        register.take_lease(&refresh_run(machine), None).await.unwrap();
    }
    // Neither a recovery nor a refresh that found the lease held builds anything.
    register.open_run(&recovery_run()).await.unwrap();
    register.open_run(&refresh_run(&machine)).await.unwrap();
    assert_eq!(register.count_builders(&service).await.unwrap(), 2);
    register.close_run(&first.run_id, None, None, at(1)).await.unwrap();
    assert_eq!(register.count_builders(&service).await.unwrap(), 1);
}
