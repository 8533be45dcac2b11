use rekindle_cmdb::{JobRecord, NewJob, Progress, Register, RegisterError};
use rekindle_domain::job::JobResult;
use rekindle_domain::{InstanceId, JobOutcome, JobStatus, JobWork, MachineKey, RunId};

use crate::objects::{TOKEN, at, instance_id, job, machine, new_job, recovery_run};

async fn open_run(register: &Register) -> RunId {
    register.open_run(&recovery_run()).await.unwrap().run_id
}

fn sealed() -> JobOutcome {
    JobOutcome::Succeeded { result: JobResult::Sealed }
}

fn failed() -> JobOutcome {
    JobOutcome::Failed { error: "Agent.Failed".to_owned(), cause: "no reason".to_owned() }
}

async fn posted(register: &Register) -> (NewJob, InstanceId) {
    let (run, instance) = (open_run(register).await, instance_id());
    let new = new_job(job(&run, &machine(), "seal", JobWork::Seal), &instance, 1);
    register.post_job(&new).await.unwrap();
    (new, instance)
}

pub async fn a_job_is_posted_taken_and_finished(register: Register) {
    let (new, instance) = posted(&register).await;
    let record = register.job(&new.job.id).await.unwrap().unwrap();
    assert_eq!(
        (record.status, record.posted_at, record.token),
        (JobStatus::Posted, at(1), Some(TOKEN.into()))
    );
    assert_eq!(register.next_job(&instance_id(), at(2)).await.unwrap(), None);
    assert_eq!(register.next_job(&instance, at(2)).await.unwrap(), Some(new.job.clone()));
    let progress = Progress { done: 1, total: Some(2), unit: "bytes".to_owned() };
    let record = register.heartbeat_job(&instance, "seal", Some(progress.clone()), at(3)).await.unwrap();
    assert_eq!((record.status, record.taken_at), (JobStatus::Taken, Some(at(2))));
    assert_eq!((record.last_heartbeat_at, record.progress), (Some(at(3)), Some(progress.clone())));
    let record = register.heartbeat_job(&instance, "seal", None, at(4)).await.unwrap();
    assert_eq!(record.progress, Some(progress), "a heartbeat without progress takes none away");
    let record = register.finish_job(&new.job.id, &sealed(), at(5)).await.unwrap();
    assert_eq!((record.status, record.finished_at), (JobStatus::Finished, Some(at(5))));
    assert_eq!(register.next_job(&instance, at(6)).await.unwrap(), None);
}

pub async fn the_first_outcome_wins(register: Register) {
    let (new, _) = posted(&register).await;
    let first = register.finish_job(&new.job.id, &failed(), at(2)).await.unwrap();
    let second = register.finish_job(&new.job.id, &sealed(), at(3)).await.unwrap();
    assert_eq!(second, first);
    assert_eq!(second.outcome, Some(failed()));
    let unknown = job(&RunId::mint(), &machine(), "seal", JobWork::Seal).id;
    let error = register.finish_job(&unknown, &sealed(), at(3)).await.unwrap_err();
    assert!(matches!(error, RegisterError::UnknownJob(_)), "{error:?}");
}

pub async fn a_job_posted_again_gets_the_new_token(register: Register) {
    let (new, instance) = posted(&register).await;
    register.next_job(&instance, at(2)).await.unwrap();
    let mut again = NewJob { token: "newer".into(), now: at(9), ..new.clone() };
    again.job.deadline = at(900);
    let record = register.post_job(&again).await.unwrap();
    assert_eq!(record.token, Some("newer".into()));
    assert_eq!((record.status, record.posted_at), (JobStatus::Taken, at(1)));
    assert_eq!(record.job.deadline, at(900));
}

pub async fn a_finished_job_is_answered_as_it_is(register: Register) {
    let (new, _) = posted(&register).await;
    let finished = register.finish_job(&new.job.id, &sealed(), at(2)).await.unwrap();
    let again = NewJob { token: "newer".into(), instance_id: instance_id(), ..new };
    let answered = register.post_job(&again).await.unwrap();
    // The state that was entered again waits under its own token, and has to be answered until it was.
    assert_eq!(answered, JobRecord { token: Some("newer".into()), ..finished });
    assert_eq!(register.job(&again.job.id).await.unwrap(), Some(answered));
}

pub async fn a_token_is_forgotten_unless_a_newer_one_came(register: Register) {
    let (new, _) = posted(&register).await;
    let old = register.job(&new.job.id).await.unwrap().unwrap();
    assert_eq!(old.token.as_ref(), Some(&TOKEN.into()));
    let again = NewJob { token: "newer".into(), ..new.clone() };
    register.post_job(&again).await.unwrap();
    register.forget_token(&old).await.unwrap();
    let newer = register.job(&new.job.id).await.unwrap().unwrap();
    assert_eq!(newer.token.as_ref(), Some(&"newer".into()));

    register.forget_token(&newer).await.unwrap();
    let finished = register.finish_job(&new.job.id, &sealed(), at(2)).await.unwrap();
    assert_eq!((finished.token.as_ref(), &finished.outcome), (None, &Some(sealed())));
    let again = NewJob { token: "newest".into(), ..new };
    assert_eq!(register.post_job(&again).await.unwrap().token.as_ref(), Some(&"newest".into()));
}

pub async fn a_job_moves_to_another_instance(register: Register) {
    let (new, before) = posted(&register).await;
    let after = instance_id();
    let moved = NewJob { instance_id: after.clone(), now: at(5), ..new.clone() };
    let record = register.post_job(&moved).await.unwrap();
    assert_eq!((record.instance_id, record.status), (after.clone(), JobStatus::Posted));
    assert_eq!(register.next_job(&before, at(6)).await.unwrap(), None);
    let error = register.heartbeat_job(&before, "seal", None, at(6)).await.unwrap_err();
    assert!(matches!(error, RegisterError::JobGone { .. }), "{error:?}");
    assert_eq!(register.next_job(&after, at(6)).await.unwrap(), Some(new.job));
}

pub async fn boot_is_never_handed_out(register: Register) {
    let (run, instance, machine) = (open_run(&register).await, instance_id(), machine());
    let boot = new_job(job(&run, &machine, "start-instance", JobWork::Boot), &instance, 1);
    register.post_job(&boot).await.unwrap();
    assert_eq!(register.next_job(&instance, at(2)).await.unwrap(), None);
    let found = register.job_of_instance(&instance, "start-instance").await.unwrap().unwrap();
    assert_eq!(found.status, JobStatus::Posted);
}

async fn post(
    register: &Register,
    run: &RunId,
    machine: &MachineKey,
    to: &InstanceId,
    step: &str,
    seconds: i64,
) {
    register.post_job(&new_job(job(run, machine, step, JobWork::Seal), to, seconds)).await.unwrap();
}

pub async fn the_oldest_job_is_handed_out_first_and_again(register: Register) {
    let (run, instance, machine) = (open_run(&register).await, instance_id(), machine());
    for (step, seconds) in [("a-later-one", 5), ("the-first-one", 4)] {
        post(&register, &run, &machine, &instance, step, seconds).await;
    }
    for _ in 0..2 {
        let next = register.next_job(&instance, at(6)).await.unwrap().unwrap();
        assert_eq!(next.id.step, "the-first-one");
    }
    let first = register.job_of_instance(&instance, "the-first-one").await.unwrap().unwrap();
    assert_eq!(first.taken_at, Some(at(6)));
    register.finish_job(&first.job.id, &sealed(), at(7)).await.unwrap();
    let next = register.next_job(&instance, at(8)).await.unwrap().unwrap();
    assert_eq!(next.id.step, "a-later-one");
}

pub async fn a_heartbeat_needs_an_unfinished_job_of_this_instance(register: Register) {
    let (new, instance) = posted(&register).await;
    for (who, step) in [(&instance_id(), "seal"), (&instance, "verify")] {
        let error = register.heartbeat_job(who, step, None, at(2)).await.unwrap_err();
        assert!(matches!(error, RegisterError::JobGone { .. }), "{error:?}");
    }
    register.finish_job(&new.job.id, &sealed(), at(3)).await.unwrap();
    let error = register.heartbeat_job(&instance, "seal", None, at(4)).await.unwrap_err();
    assert!(matches!(error, RegisterError::JobGone { .. }), "{error:?}");
}

pub async fn an_ended_run_posts_no_job(register: Register) {
    let (new, _) = posted(&register).await;
    let run = &new.job.id.run_id;
    register.close_run(run, None, None, at(2)).await.unwrap();
    register.post_job(&new).await.unwrap();
    register.end_run(run, at(3)).await.unwrap();
    let mut other = new.clone();
    other.job.id.step = "verify".to_owned();
    let elsewhere = NewJob { instance_id: instance_id(), ..new.clone() };
    for refused in [&new, &other, &elsewhere] {
        let error = register.post_job(refused).await.unwrap_err();
        assert!(matches!(error, RegisterError::RunClosed { .. }), "{error:?}");
    }
    other.job.id.run_id = RunId::mint();
    let error = register.post_job(&other).await.unwrap_err();
    assert!(matches!(error, RegisterError::Unknown { .. }), "{error:?}");
}

pub async fn jobs_of_a_run_are_listed(register: Register) {
    let (run, other, machine) = (open_run(&register).await, open_run(&register).await, machine());
    let (one, two) = (instance_id(), instance_id());
    post(&register, &run, &machine, &one, "verify", 2).await;
    post(&register, &run, &machine, &two, "seal", 1).await;
    post(&register, &other, &machine, &one, "seal", 3).await;
    let jobs = register.jobs_of_run(&run).await.unwrap();
    let steps: Vec<&str> = jobs.iter().map(|record| record.job.id.step.as_str()).collect();
    assert_eq!(steps, ["seal", "verify"]);
}
