//! What must hold over the whole of a machine: every target exists, every state can be reached, no name stands
//! for two things, and every expression refers only to what is there.

use std::collections::BTreeSet;

use super::field::Place;
use super::outline::transitions;
use super::{
    Branch, Call, Conclusion, MapMode, MapState, Quantity, Recovery, State, StateKind, Task, WaitUntil,
};
use crate::LoadError;
use crate::expression::{Expression, References, Template};
use crate::function;

/// Checks a machine and everything inside it.
pub(super) fn machine(place: &Place, branch: &Branch) -> Result<(), LoadError> {
    check_branch(place, branch, &mut BTreeSet::new(), &BTreeSet::new())
}

/// Checks one branch. `names` are the state names seen so far in the machine, `outer` the variables that the
/// branch can read but not assign.
fn check_branch(
    place: &Place,
    branch: &Branch,
    names: &mut BTreeSet<String>,
    outer: &BTreeSet<String>,
) -> Result<(), LoadError> {
    check_targets(place, branch)?;
    check_reachable(place, branch)?;
    check_assignments(place, branch, outer)?;
    let visible: BTreeSet<String> = assigned(branch).cloned().chain(outer.iter().cloned()).collect();
    for state in &branch.states {
        let place = place.in_state(&state.name);
        if !names.insert(state.name.clone()) {
            return Err(place.refuse("another state of this machine has the same name"));
        }
        check_expressions(&place, state, &visible)?;
        if let StateKind::Map(map) = &state.kind {
            check_branch(&place, &map.processor, names, &seen_inside(map, &visible))?;
        }
    }
    Ok(())
}

/// The variables that the processor of a Map can read: none, when its children are executions of their own
/// (AWS, "Passing data between states with variables", scope).
fn seen_inside(map: &MapState, visible: &BTreeSet<String>) -> BTreeSet<String> {
    match map.mode {
        MapMode::Inline => visible.clone(),
        MapMode::Distributed { .. } => BTreeSet::new(),
    }
}

fn check_targets(place: &Place, branch: &Branch) -> Result<(), LoadError> {
    if branch.state(&branch.start_at).is_none() {
        return Err(
            place.refuse(format!("\"StartAt\" names the state {:?}, which does not exist", branch.start_at))
        );
    }
    for state in &branch.states {
        let missing =
            transitions(&state.kind).into_iter().find(|transition| branch.state(&transition.to).is_none());
        if let Some(missing) = missing {
            let place = place.in_state(&state.name);
            return Err(place.refuse(format!("leads to the state {:?}, which does not exist", missing.to)));
        }
    }
    Ok(())
}

fn check_reachable(place: &Place, branch: &Branch) -> Result<(), LoadError> {
    let mut reached = BTreeSet::from([branch.start_at.clone()]);
    let mut waiting = vec![branch.start_at.clone()];
    while let Some(name) = waiting.pop() {
        let targets = branch.state(&name).map(|state| transitions(&state.kind));
        for transition in targets.into_iter().flatten() {
            if reached.insert(transition.to.clone()) {
                waiting.push(transition.to);
            }
        }
    }
    match branch.states.iter().find(|state| !reached.contains(&state.name)) {
        None => Ok(()),
        Some(state) => Err(place.in_state(&state.name).refuse("cannot be reached from \"StartAt\"")),
    }
}

/// A variable belongs to one scope: an inner one must not have the name of an outer one.
fn check_assignments(place: &Place, branch: &Branch, outer: &BTreeSet<String>) -> Result<(), LoadError> {
    for state in &branch.states {
        let hiding = assigned_by(&state.kind).into_iter().find(|name| outer.contains(*name));
        if let Some(name) = hiding {
            let place = place.in_state(&state.name);
            return Err(place.refuse(format!(
                "the variable {name:?} is one of the states around the Map, which cannot be assigned here"
            )));
        }
    }
    Ok(())
}

fn assigned(branch: &Branch) -> impl Iterator<Item = &String> {
    branch.states.iter().flat_map(|state| assigned_by(&state.kind))
}

fn assigned_by(kind: &StateKind) -> Vec<&String> {
    conclusions(kind)
        .into_iter()
        .flat_map(|conclusion| conclusion.assign.iter().map(|(name, _)| name))
        .collect()
}

fn conclusions(kind: &StateKind) -> Vec<&Conclusion> {
    match kind {
        StateKind::Task(task) => with_catchers(&task.conclusion, &task.recovery),
        StateKind::Map(map) => with_catchers(&map.conclusion, &map.recovery),
        StateKind::Choice(choice) => choice.rules.iter().map(|rule| &rule.conclusion).collect(),
        StateKind::Wait(wait) => vec![&wait.conclusion],
        StateKind::Pass(conclusion) => vec![conclusion],
        StateKind::Succeed { .. } | StateKind::Fail { .. } => Vec::new(),
    }
}

fn with_catchers<'a>(conclusion: &'a Conclusion, recovery: &'a Recovery) -> Vec<&'a Conclusion> {
    let catchers = recovery.catchers.iter().map(|catcher| &catcher.conclusion);
    std::iter::once(conclusion).chain(catchers).collect()
}

/// The members of `$states` that not every field can see.
#[derive(Debug, Clone, Copy, Default)]
struct Sight {
    result: bool,
    error_output: bool,
    token: bool,
    retry_count: bool,
}

fn check_expressions(place: &Place, state: &State, visible: &BTreeSet<String>) -> Result<(), LoadError> {
    let recovering = matches!(state.kind, StateKind::Task(_) | StateKind::Map(_));
    let plain = Sight { retry_count: recovering, ..Sight::default() };
    let with_result = Sight { result: recovering, ..plain };
    let with_error = Sight { error_output: true, ..plain };
    let check = |expressions: Vec<&Expression>, sight| check_all(place, &expressions, sight, visible);
    match &state.kind {
        StateKind::Task(task) => {
            check_task_arguments(place, task, plain, visible)?;
            check(quantities(&[&task.timeout, &task.heartbeat]), plain)?;
            check(concluding(&task.conclusion), with_result)?;
            check(catching(&task.recovery), with_error)
        }
        StateKind::Map(map) => {
            check(map.items.expressions(), plain)?;
            check(optional(&map.selector), plain)?;
            check(quantities(&[&map.max_concurrency]), plain)?;
            if let MapMode::Distributed { tolerated_count, tolerated_percentage } = &map.mode {
                check(quantities(&[tolerated_count, tolerated_percentage]), plain)?;
            }
            check(concluding(&map.conclusion), with_result)?;
            check(catching(&map.recovery), with_error)
        }
        StateKind::Choice(choice) => {
            for rule in &choice.rules {
                check(vec![&rule.condition], plain)?;
                check(concluding(&rule.conclusion), plain)?;
            }
            Ok(())
        }
        StateKind::Wait(wait) => {
            match &wait.until {
                WaitUntil::Seconds(Quantity::Evaluated(expression)) => check(vec![expression], plain)?,
                WaitUntil::Seconds(Quantity::Fixed(_)) => {}
                WaitUntil::Timestamp(template) => check(template.expressions(), plain)?,
            }
            check(concluding(&wait.conclusion), plain)
        }
        StateKind::Pass(conclusion) => check(concluding(conclusion), plain),
        StateKind::Succeed { output } => check(optional(output), plain),
        StateKind::Fail { error, cause } => {
            check(optional(error), plain)?;
            check(optional(cause), plain)
        }
    }
}

/// A task that waits for its token and never hands it out would wait until it times out.
fn check_task_arguments(
    place: &Place,
    task: &Task,
    plain: Sight,
    visible: &BTreeSet<String>,
) -> Result<(), LoadError> {
    let waits = matches!(task.call, Call::Function { waits_for_callback: true, .. });
    let expressions = task.arguments.expressions();
    let sight = Sight { token: waits, ..plain };
    check_all(place, &expressions, sight, visible)?;
    let hands_out = expressions.iter().any(|expression| {
        let paths = expression.references().states_paths;
        paths.iter().any(|path| path.starts_with(&["context", "Task", "Token"].map(str::to_owned)))
    });
    if waits && !hands_out {
        return Err(
            place.refuse("waits for its token, but \"Arguments\" never pass on $states.context.Task.Token")
        );
    }
    Ok(())
}

fn quantities<'a>(quantities: &[&'a Option<Quantity>]) -> Vec<&'a Expression> {
    let evaluated = quantities.iter().filter_map(|quantity| match quantity {
        Some(Quantity::Evaluated(expression)) => Some(expression),
        _ => None,
    });
    evaluated.collect()
}

fn optional(template: &Option<Template>) -> Vec<&Expression> {
    template.iter().flat_map(Template::expressions).collect()
}

fn concluding(conclusion: &Conclusion) -> Vec<&Expression> {
    let assigned = conclusion.assign.iter().flat_map(|(_, template)| template.expressions());
    assigned.chain(optional(&conclusion.output)).collect()
}

fn catching(recovery: &Recovery) -> Vec<&Expression> {
    let catchers = recovery.catchers.iter();
    catchers.flat_map(|catcher| concluding(&catcher.conclusion)).collect()
}

fn check_all(
    place: &Place,
    expressions: &[&Expression],
    sight: Sight,
    visible: &BTreeSet<String>,
) -> Result<(), LoadError> {
    for expression in expressions {
        if let Some(reason) = fault_of(&expression.references(), sight, visible) {
            return Err(place.refuse(format!("in the expression '{}': {reason}", expression.source())));
        }
    }
    Ok(())
}

fn fault_of(references: &References, sight: Sight, visible: &BTreeSet<String>) -> Option<String> {
    let unknown_function = references.functions.iter().find(|name| !function::is_known(name));
    if let Some(name) = unknown_function {
        return Some(format!("the function ${name} is not supported"));
    }
    let is_bound = |name: &String| name == "states" || visible.contains(name) || function::is_known(name);
    if let Some(name) = references.variables.iter().find(|name| !is_bound(name)) {
        return Some(format!("no state that it can see assigns the variable ${name}"));
    }
    let hidden = references.states_paths.iter().find(|path| !is_seen(path, sight));
    hidden.map(|path| format!("$states.{} does not exist here", path.join(".")))
}

/// Whether `$states` has this path here. Below the members that hold data of the flow, every name is allowed.
fn is_seen(path: &[String], sight: Sight) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        [] | ["input", ..] => true,
        ["result", ..] => sight.result,
        ["errorOutput"] | ["errorOutput", "Error" | "Cause"] => sight.error_output,
        ["context", context @ ..] => is_in_context(context, sight),
        _ => false,
    }
}

fn is_in_context(path: &[&str], sight: Sight) -> bool {
    match path {
        [] => true,
        ["Execution" | "State" | "StateMachine"] | ["Map"] | ["Map", "Item"] => true,
        ["Execution", "Id" | "Name" | "StartTime"] | ["Execution", "Input", ..] => true,
        ["State", "Name" | "EnteredTime"] | ["StateMachine", "Id" | "Name"] => true,
        ["State", "RetryCount"] => sight.retry_count,
        ["Map", "Item", "Index"] | ["Map", "Item", "Value", ..] => true,
        ["Task"] | ["Task", "Token"] => sight.token,
        _ => false,
    }
}
