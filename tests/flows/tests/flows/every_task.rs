//! Every Task of every flow, struck by every fault.

use std::collections::BTreeSet;

use rekindle_flow_tests::faults::Fault;
use rekindle_flow_tests::matrix::{Place, places, reached, targets_of, violations_of};
use rekindle_flow_tests::scenario::Scenario;

/// Strikes every Task of a scenario with a fault, and tells all that did not hold.
fn strike_every_task(scenario: Scenario, fault: Fault) {
    let mut broken = Vec::new();
    for (number, place) in targets_of(&reached(scenario), fault).iter().enumerate() {
        let found = violations_of(scenario, place, fault, number as u64);
        let (machine, state) = place.name();
        broken.extend(found.iter().map(|what| format!("{scenario:?}, {machine}/{state}, {fault:?}: {what}")));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Every Task is reached by a scenario, every fault strikes every scenario, and this is how many cases that makes.
#[test]
#[expect(clippy::print_stdout, reason = "how many cases there are is for people")]
fn every_task_of_every_flow_is_struck() {
    let all: BTreeSet<(String, String)> = places().iter().map(Place::name).collect();
    let reached = Scenario::ALL.map(|scenario| (scenario, reached(scenario)));
    let together: BTreeSet<_> = reached.iter().flat_map(|(_, reached)| reached.iter().cloned()).collect();
    assert_eq!(together, all);
    let mut cases = 0;
    for (scenario, reached) in &reached {
        for fault in Fault::ALL {
            assert!(
                SHARDS.concat().contains(&(*scenario, fault)),
                "no test strikes {scenario:?} with {fault:?}"
            );
            cases += targets_of(reached, fault).len();
        }
    }
    println!("flow fault cases: {cases}");
}

/// One test for each scenario and fault, so that they run side by side.
macro_rules! shards {
    ($($scenario:ident $module:ident)*, $faults:tt) => {
        $(shards!(@module $scenario $module $faults);)*
        const SHARDS: [&[(Scenario, Fault)]; 5] = [$($module::SHARDS),*];
    };
    (@module $scenario:ident $module:ident { $($name:ident $fault:ident)* }) => {
        mod $module {
            use super::*;
            pub(super) const SHARDS: &[(Scenario, Fault)] = &[$((Scenario::$scenario, Fault::$fault)),*];
            $(
                #[test]
                fn $name() {
                    strike_every_task(Scenario::$scenario, Fault::$fault);
                }
            )*
        }
    };
}

shards! {
    FirstRefresh first_refresh
    Refresh refresh
    Rehearsal rehearsal
    Disaster disaster
    DeclinedDisaster declined_disaster,
    {
        transient_until_exhausted TransientUntilExhausted
        transient_twice TransientTwice
        permanent_before_the_effect PermanentBeforeTheEffect
        permanent_after_the_effect PermanentAfterTheEffect
        timed_out_before_a_late_effect TimedOutBeforeALateEffect
        timed_out_always TimedOutAlways
        answer_lost AnswerLost
        callback_lost CallbackLost
        callback_never_arrives CallbackNeverArrives
        killed_before_the_effect KilledBeforeTheEffect
        killed_in_the_middle KilledInTheMiddle
        killed_after_the_effect KilledAfterTheEffect
        instance_dies InstanceDies
        delivered_twice DeliveredTwice
    }
}
