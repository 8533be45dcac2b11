//! A state machine from outside: what tests enumerate and pictures are drawn from.

use super::{Branch, Call, Next, Quantity, Recovery, State, StateKind, StateType, Task};
use crate::retry::{JitterStrategy, Retrier};

/// How a Task does its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Integration {
    /// `arn:aws:states:::lambda:invoke`: the answer of the function is the result.
    LambdaInvoke,
    /// `arn:aws:states:::lambda:invoke.waitForTaskToken`: the result comes by `SendTaskSuccess`.
    LambdaInvokeWaitForTaskToken,
    /// `arn:aws:states:::states:startExecution.sync:2`: the output of another execution is the result.
    StartExecutionSync,
}

impl Integration {
    /// The `Resource` that stands for it in a file.
    pub fn resource(self) -> &'static str {
        match self {
            Self::LambdaInvoke => "arn:aws:states:::lambda:invoke",
            Self::LambdaInvokeWaitForTaskToken => "arn:aws:states:::lambda:invoke.waitForTaskToken",
            Self::StartExecutionSync => "arn:aws:states:::states:startExecution.sync:2",
        }
    }
}

/// A number of seconds in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seconds {
    /// Known from the file.
    Fixed(u64),
    /// The text of the expression that gives it.
    Evaluated(String),
}

/// One entry of `Retry`, defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryOutline {
    /// The errors it names.
    pub errors: Vec<String>,
    /// The wait before the first retry.
    pub interval_seconds: u64,
    /// How often it retries.
    pub max_attempts: u32,
    /// By what each wait is longer than the one before.
    pub backoff_rate: f64,
    /// The longest wait, if limited.
    pub max_delay_seconds: Option<u64>,
    /// Whether the waits are spread by chance.
    pub jitter_strategy: JitterStrategy,
}

/// One entry of `Catch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatchOutline {
    /// The errors it names.
    pub errors: Vec<String>,
    /// The state it leads to.
    pub next: String,
}

/// A Task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskOutline {
    /// The names of the states from the outermost Map to the Task itself.
    pub path: Vec<String>,
    /// How it does its work.
    pub integration: Integration,
    /// The function it invokes, or the state machine it starts, as the file names it after substitution.
    pub function_name: String,
    /// Its retriers, in order.
    pub retries: Vec<RetryOutline>,
    /// Its catchers, in order.
    pub catches: Vec<CatchOutline>,
    /// The longest an attempt may take.
    pub timeout_seconds: Option<Seconds>,
    /// The longest an attempt may be silent.
    pub heartbeat_seconds: Option<Seconds>,
    /// The state after it; `None` when it is the end.
    pub next: Option<String>,
}

impl TaskOutline {
    /// The name of the state.
    pub fn state(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }
}

/// A way from one state to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// When this way is taken: empty for `Next`, else the condition, `Default`, or the errors caught.
    pub label: String,
    /// The state it leads to.
    pub to: String,
}

/// A state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateOutline {
    /// The names of the states from the outermost Map to the state itself.
    pub path: Vec<String>,
    /// Its type.
    pub state_type: StateType,
    /// Whether its machine, or its Map's processor, starts with it.
    pub start: bool,
    /// Whether its machine, or its Map's processor, can end with it.
    pub end: bool,
    /// Where it leads.
    pub next: Vec<Transition>,
}

impl StateOutline {
    /// The name of the state.
    pub fn state(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }
}

/// Every Task of a branch and of the Maps in it.
pub(super) fn tasks(branch: &Branch) -> Vec<TaskOutline> {
    everything(branch, &[])
        .into_iter()
        .filter_map(|(path, _, state)| match &state.kind {
            StateKind::Task(task) => Some(task_outline(path, task)),
            _ => None,
        })
        .collect()
}

/// Every state of a branch and of the Maps in it.
pub(super) fn states(branch: &Branch) -> Vec<StateOutline> {
    everything(branch, &[])
        .into_iter()
        .map(|(path, branch, state)| StateOutline {
            path,
            state_type: state.kind.state_type(),
            start: state.name == branch.start_at,
            end: ends(&state.kind),
            next: transitions(&state.kind),
        })
        .collect()
}

fn everything<'a>(branch: &'a Branch, outer: &[String]) -> Vec<(Vec<String>, &'a Branch, &'a State)> {
    let mut found = Vec::new();
    for state in &branch.states {
        let path = [outer, std::slice::from_ref(&state.name)].concat();
        found.push((path.clone(), branch, state));
        if let StateKind::Map(map) = &state.kind {
            found.extend(everything(&map.processor, &path));
        }
    }
    found
}

fn task_outline(path: Vec<String>, task: &Task) -> TaskOutline {
    let (integration, function_name) = match &task.call {
        Call::Function { name, waits_for_callback: false } => (Integration::LambdaInvoke, name),
        Call::Function { name, waits_for_callback: true } => {
            (Integration::LambdaInvokeWaitForTaskToken, name)
        }
        Call::Execution { state_machine } => (Integration::StartExecutionSync, state_machine),
    };
    TaskOutline {
        path,
        integration,
        function_name: function_name.clone(),
        retries: task.recovery.retriers.iter().map(retry_outline).collect(),
        catches: catches(&task.recovery),
        timeout_seconds: task.timeout.as_ref().map(seconds),
        heartbeat_seconds: task.heartbeat.as_ref().map(seconds),
        next: state_of(&task.conclusion.next),
    }
}

fn retry_outline(retrier: &Retrier) -> RetryOutline {
    RetryOutline {
        errors: retrier.error_equals.clone(),
        interval_seconds: retrier.interval_seconds,
        max_attempts: retrier.max_attempts,
        backoff_rate: retrier.backoff_rate,
        max_delay_seconds: retrier.max_delay_seconds,
        jitter_strategy: retrier.jitter,
    }
}

fn catches(recovery: &Recovery) -> Vec<CatchOutline> {
    let catchers = recovery.catchers.iter();
    catchers
        .map(|catcher| CatchOutline {
            errors: catcher.error_equals.clone(),
            next: state_of(&catcher.conclusion.next).unwrap_or_default(),
        })
        .collect()
}

fn seconds(quantity: &Quantity) -> Seconds {
    match quantity {
        Quantity::Fixed(number) => Seconds::Fixed(*number),
        Quantity::Evaluated(expression) => Seconds::Evaluated(expression.source().to_owned()),
    }
}

fn state_of(next: &Next) -> Option<String> {
    match next {
        Next::State(name) => Some(name.clone()),
        Next::End => None,
    }
}

fn ends(kind: &StateKind) -> bool {
    match kind {
        StateKind::Task(task) => task.conclusion.next == Next::End,
        StateKind::Wait(wait) => wait.conclusion.next == Next::End,
        StateKind::Pass(conclusion) => conclusion.next == Next::End,
        StateKind::Map(map) => map.conclusion.next == Next::End,
        StateKind::Choice(_) => false,
        StateKind::Succeed { .. } | StateKind::Fail { .. } => true,
    }
}

/// Every way out of a state, in the order in which they are looked at.
pub(super) fn transitions(kind: &StateKind) -> Vec<Transition> {
    match kind {
        StateKind::Task(task) => with_catches(&task.conclusion.next, &task.recovery),
        StateKind::Map(map) => with_catches(&map.conclusion.next, &map.recovery),
        StateKind::Wait(wait) => plain(&wait.conclusion.next),
        StateKind::Pass(conclusion) => plain(&conclusion.next),
        StateKind::Choice(choice) => {
            let rules = choice.rules.iter().filter_map(|rule| {
                Some(Transition {
                    label: rule.condition.source().to_owned(),
                    to: state_of(&rule.conclusion.next)?,
                })
            });
            let default = choice
                .default
                .iter()
                .map(|name| Transition { label: "Default".to_owned(), to: name.clone() });
            rules.chain(default).collect()
        }
        StateKind::Succeed { .. } | StateKind::Fail { .. } => Vec::new(),
    }
}

fn plain(next: &Next) -> Vec<Transition> {
    let to_transition = |to| Transition { label: String::new(), to };
    state_of(next).map(to_transition).into_iter().collect()
}

fn with_catches(next: &Next, recovery: &Recovery) -> Vec<Transition> {
    let catches = catches(recovery)
        .into_iter()
        .map(|catch| Transition { label: catch.errors.join(", "), to: catch.next });
    plain(next).into_iter().chain(catches).collect()
}
