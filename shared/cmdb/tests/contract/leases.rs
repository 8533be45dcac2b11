use rekindle_cmdb::{Lease, MachineState, Register, RegisterError, Released, Taken};
use rekindle_domain::{Fence, MachineKey, Outcome, Run, RunId, RunState};

use crate::objects::{at, machine, recovery_run, refresh_run};

async fn take(register: &Register, machine: &MachineKey) -> Taken {
    register.take_lease(&refresh_run(machine), None).await.unwrap()
}

async fn close(register: &Register, run: &RunId) {
    register.close_run(run, Some(Outcome::Failed), None, at(1)).await.unwrap();
}

async fn lease_of(register: &Register, machine: &MachineKey) -> Option<Lease> {
    register.machine_state(machine).await.unwrap().lease
}

pub async fn a_machine_begins_at_nothing(register: Register) {
    assert_eq!(register.machine_state(&machine()).await.unwrap(), MachineState::default());
}

pub async fn announcements_count(register: Register) {
    let machine = machine();
    for expected in 1..=3 {
        assert_eq!(register.announce_work(&machine).await.unwrap(), expected);
    }
    assert_eq!(register.machine_state(&machine).await.unwrap().wanted, 3);
}

pub async fn one_of_twenty_takes_the_lease(register: Register) {
    let machine = machine();
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (register, run) = (register.clone(), refresh_run(&machine));
            tokio::spawn(async move {
                register.announce_work(run.machine.as_ref().unwrap()).await.unwrap();
                register.take_lease(&run, None).await
            })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(taken) => winners.push(taken),
            Err(RegisterError::LeaseHeld { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(winners.len(), 1);
    let state = register.machine_state(&machine).await.unwrap();
    assert_eq!(state.lease, Some(winners[0].lease.clone()));
    assert_eq!((state.fence, state.wanted), (Fence(1), 20));
    // Whoever lost left no run behind.
    assert_eq!(register.count_builders(&machine.service()).await.unwrap(), 1);
}

pub async fn taking_twice_is_taking_once(register: Register) {
    let machine = machine();
    register.announce_work(&machine).await.unwrap();
    let run = refresh_run(&machine);
    let first = register.take_lease(&run, None).await.unwrap();
    assert_eq!((first.run.fence, first.run.wanted_seen), (Some(Fence(1)), Some(1)));
    register.announce_work(&machine).await.unwrap();
    // What was announced after the lease was taken must not count as seen.
    assert_eq!(register.take_lease(&run, None).await.unwrap(), first);
    assert_eq!(register.run(&run.run_id).await.unwrap(), Some(first.run));
}

pub async fn another_runs_lease_is_named(register: Register) {
    let machine = machine();
    let taken = take(&register, &machine).await;
    let error = register.take_lease(&refresh_run(&machine), None).await.unwrap_err();
    assert!(matches!(&error, RegisterError::LeaseHeld { lease } if *lease == taken.lease), "{error:?}");
}

pub async fn a_stale_lease_is_taken_over_only_when_its_run_is_closed(register: Register) {
    let machine = machine();
    let stale = take(&register, &machine).await;
    let run = refresh_run(&machine);
    let error = register.take_lease(&run, Some(&stale.lease)).await.unwrap_err();
    assert!(matches!(error, RegisterError::LeaseHeld { .. }), "{error:?}");
    assert_eq!(register.run(&run.run_id).await.unwrap(), None);
    close(&register, &stale.run.run_id).await;
    let taken = register.take_lease(&run, Some(&stale.lease)).await.unwrap();
    assert_eq!(taken.lease.fence, Fence(2));
    assert_eq!(lease_of(&register, &machine).await, Some(taken.lease.clone()));
    // The run that lost it cannot give it back any more.
    assert_eq!(register.release_lease(&stale.run.run_id, at(2)).await.unwrap(), Released::NotHeld);
    assert_eq!(lease_of(&register, &machine).await, Some(taken.lease));
}

pub async fn a_stale_lease_that_is_not_the_current_one_is_not_taken_over(register: Register) {
    let machine = machine();
    let taken = take(&register, &machine).await;
    close(&register, &taken.run.run_id).await;
    let guess = Lease { fence: Fence(9), ..taken.lease.clone() };
    let error = register.take_lease(&refresh_run(&machine), Some(&guess)).await.unwrap_err();
    assert!(matches!(error, RegisterError::LeaseHeld { .. }), "{error:?}");
    let error = register.take_lease(&refresh_run(&machine), None).await.unwrap_err();
    assert!(matches!(error, RegisterError::LeaseHeld { .. }), "{error:?}");
}

pub async fn two_cannot_take_over_the_same_stale_lease(register: Register) {
    let machine = machine();
    let stale = take(&register, &machine).await;
    close(&register, &stale.run.run_id).await;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (register, run, stale) = (register.clone(), refresh_run(&machine), stale.lease.clone());
            tokio::spawn(async move { register.take_lease(&run, Some(&stale)).await })
        })
        .collect();
    let mut winners = 0;
    for task in tasks {
        winners += usize::from(task.await.unwrap().is_ok());
    }
    assert_eq!(winners, 1);
    assert_eq!(register.machine_state(&machine).await.unwrap().fence, Fence(2));
}

pub async fn a_closed_run_takes_no_lease(register: Register) {
    let machine = machine();
    let run = register.open_run(&refresh_run(&machine)).await.unwrap();
    close(&register, &run.run_id).await;
    let error = register.take_lease(&run, None).await.unwrap_err();
    assert!(matches!(error, RegisterError::RunClosed { .. }), "{error:?}");
    let taken = take(&register, &machine).await;
    close(&register, &taken.run.run_id).await;
    let error = register.take_lease(&taken.run, None).await.unwrap_err();
    assert!(matches!(error, RegisterError::RunClosed { .. }), "{error:?}");
}

pub async fn a_run_that_lost_its_lease_does_not_get_it_back(register: Register) {
    let machine = machine();
    let taken = take(&register, &machine).await;
    register.release_lease(&taken.run.run_id, at(1)).await.unwrap();
    let error = register.take_lease(&taken.run, None).await.unwrap_err();
    assert!(matches!(error, RegisterError::FenceLost { .. }), "{error:?}");
    assert_eq!(lease_of(&register, &machine).await, None);
}

pub async fn a_recovery_has_nothing_to_lease(register: Register) {
    let error = register.take_lease(&recovery_run(), None).await.unwrap_err();
    assert!(matches!(error, RegisterError::Invalid(_)), "{error:?}");
}

pub async fn an_opened_run_takes_the_lease(register: Register) {
    let machine = machine();
    let run = register.open_run(&refresh_run(&machine)).await.unwrap();
    let taken = register.take_lease(&run, None).await.unwrap();
    assert_eq!((taken.run.fence, taken.run.version), (Some(Fence(1)), 2));
    assert_eq!(register.run(&run.run_id).await.unwrap(), Some(taken.run));
    let elsewhere = Run { machine: Some(crate::objects::machine()), ..run };
    let error = register.take_lease(&elsewhere, None).await.unwrap_err();
    assert!(matches!(error, RegisterError::Conflict { .. }), "{error:?}");
}

pub async fn releasing_twice_answers_the_same(register: Register) {
    let machine = machine();
    register.announce_work(&machine).await.unwrap();
    let run = take(&register, &machine).await.run.run_id;
    close(&register, &run).await;
    assert_eq!(register.release_lease(&run, at(1)).await.unwrap(), Released::Released);
    assert_eq!(lease_of(&register, &machine).await, None);
    // Somebody else has the lease by now, and keeps it.
    let next = take(&register, &machine).await;
    register.mark_reported(&run).await.unwrap();
    assert_eq!(register.release_lease(&run, at(2)).await.unwrap(), Released::Released);
    assert_eq!(lease_of(&register, &machine).await, Some(next.lease.clone()));
    assert_eq!(next.lease.fence, Fence(2));
}

pub async fn a_wake_up_during_the_run_is_handed_over(register: Register) {
    let machine = machine();
    register.announce_work(&machine).await.unwrap();
    let run = take(&register, &machine).await.run;
    register.announce_work(&machine).await.unwrap();
    register.take_lease(&refresh_run(&machine), None).await.unwrap_err();
    close(&register, &run.run_id).await;

    let successor = run.run_id.successor();
    let expected = Released::HandedOver { successor: successor.clone(), machine: machine.clone() };
    assert_eq!(register.release_lease(&run.run_id, at(10)).await.unwrap(), expected);
    assert_eq!(register.release_lease(&run.run_id, at(11)).await.unwrap(), expected);
    let stored = register.run(&successor).await.unwrap().unwrap();
    assert_eq!((stored.state, stored.fence), (RunState::Open, Some(Fence(2))));
    assert_eq!((stored.opened_at, stored.deadline), (at(10), at(3610)));
    assert!(register.unfinished_runs().await.unwrap().iter().any(|run| run.run_id == successor));

    // The successor finds the lease as its own, and has seen everything that was announced until then.
    register.announce_work(&machine).await.unwrap();
    let asked = Run { run_id: successor.clone(), ..refresh_run(&machine) };
    let taken = register.take_lease(&asked, None).await.unwrap();
    assert_eq!((taken.lease.fence, taken.run.wanted_seen), (Fence(2), Some(3)));
    register.announce_work(&machine).await.unwrap();
    assert_eq!(register.take_lease(&asked, None).await.unwrap(), taken, "seen once, and no more");
}

pub async fn a_chain_of_hand_overs_ends(register: Register) {
    let machine = machine();
    register.announce_work(&machine).await.unwrap();
    let mut run = take(&register, &machine).await.run.run_id;
    register.announce_work(&machine).await.unwrap();
    let mut runs = 1;
    while let Released::HandedOver { successor, .. } = register.release_lease(&run, at(1)).await.unwrap() {
        // A run that begins announces itself before it takes the lease, as every run does.
        register.announce_work(&machine).await.unwrap();
        let asked = Run { run_id: successor.clone(), ..refresh_run(&machine) };
        register.take_lease(&asked, None).await.unwrap();
        run = successor;
        runs += 1;
        assert!(runs < 5, "hand-overs go on for ever");
    }
    assert_eq!(runs, 2);
}

pub async fn no_wake_up_is_lost_between_release_and_announcement(register: Register) {
    // Whoever announces and finds the lease held relies on the holder; whoever releases must see it.
    for _ in 0..20 {
        let machine = machine();
        register.announce_work(&machine).await.unwrap();
        let run = take(&register, &machine).await.run.run_id;
        let waker = tokio::spawn({
            let (register, machine) = (register.clone(), machine.clone());
            async move {
                register.announce_work(&machine).await.unwrap();
                register.take_lease(&refresh_run(&machine), None).await.is_ok()
            }
        });
        let released = register.release_lease(&run, at(1)).await.unwrap();
        let took = waker.await.unwrap();
        let handed_over = matches!(released, Released::HandedOver { .. });
        assert!(took != handed_over, "took {took}, {released:?}");
    }
}

pub async fn who_holds_no_lease_releases_none(register: Register) {
    assert_eq!(register.release_lease(&RunId::mint(), at(1)).await.unwrap(), Released::NotHeld);
    let recovery = register.open_run(&recovery_run()).await.unwrap();
    assert_eq!(register.release_lease(&recovery.run_id, at(1)).await.unwrap(), Released::NotHeld);
    let machine = machine();
    let waiting = register.open_run(&refresh_run(&machine)).await.unwrap();
    let holder = take(&register, &machine).await;
    assert_eq!(register.release_lease(&waiting.run_id, at(1)).await.unwrap(), Released::NotHeld);
    assert_eq!(lease_of(&register, &machine).await, Some(holder.lease));
}
