//! A state machine as it was read: every field known, every expression compiled, every transition checked.

mod check;
mod field;
pub(crate) mod outline;
mod read;
mod strict_json;
mod substitution;

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::LoadError;
use crate::expression::{Expression, Template};
use crate::retry::Retrier;
use outline::{StateOutline, TaskOutline};
pub use substitution::Substitutions;

/// A flow that is safe to run: nothing in it is unknown to this crate.
#[derive(Debug, Clone)]
pub struct StateMachine {
    name: String,
    digest: String,
    timeout_seconds: Option<u64>,
    branch: Arc<Branch>,
}

impl StateMachine {
    /// Reads a state machine from its text. `file` names it in errors, and its last part without `.asl.json` is the
    /// name of the machine.
    pub fn parse(file: &str, text: &str, substitutions: &Substitutions) -> Result<Self, LoadError> {
        read::machine(file, text, substitutions)
    }

    /// Reads a state machine from its file.
    pub fn load(path: &Path, substitutions: &Substitutions) -> Result<Self, LoadError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| LoadError {
            file: file.clone(),
            state: None,
            reason: format!("cannot be read: {error}"),
        })?;
        Self::parse(&file, &text, substitutions)
    }

    /// The name of the file without `.asl.json`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the text of the file, before substitution, in hexadecimal. An execution keeps the one it began with.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The longest an execution may take, if the machine says so.
    pub fn timeout_seconds(&self) -> Option<u64> {
        self.timeout_seconds
    }

    /// The state that an execution enters first.
    pub fn start_at(&self) -> &str {
        &self.branch.start_at
    }

    /// Every Task, also those inside a Map, in the order of the file.
    pub fn tasks(&self) -> Vec<TaskOutline> {
        outline::tasks(&self.branch)
    }

    /// Every state, also those inside a Map, in the order of the file.
    pub fn states(&self) -> Vec<StateOutline> {
        outline::states(&self.branch)
    }

    pub(crate) fn branch(&self) -> &Arc<Branch> {
        &self.branch
    }

    /// The machine that the children of a distributed Map run: the processor of that Map, under a name of its own.
    pub(crate) fn of_children(&self, map_state: &str, processor: &Arc<Branch>) -> Self {
        Self {
            name: format!("{}/{map_state}", self.name),
            digest: self.digest.clone(),
            timeout_seconds: None,
            branch: Arc::clone(processor),
        }
    }
}

fn digest_of(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// States that lead to one another, and the first of them: a machine, or the processor of a Map.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) start_at: String,
    pub(crate) states: Vec<State>,
}

impl Branch {
    pub(crate) fn state(&self, name: &str) -> Option<&State> {
        self.states.iter().find(|state| state.name == name)
    }
}

/// A state with its name.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) kind: StateKind,
}

/// The types of states that this crate runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateType {
    /// Work is done by a function or another execution.
    Task,
    /// The way on depends on the data.
    Choice,
    /// Time passes.
    Wait,
    /// Data is shaped.
    Pass,
    /// The same states for every item.
    Map,
    /// The end, well.
    Succeed,
    /// The end, with an error.
    Fail,
}

impl StateType {
    /// The name of the type in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Task => "Task",
            Self::Choice => "Choice",
            Self::Wait => "Wait",
            Self::Pass => "Pass",
            Self::Map => "Map",
            Self::Succeed => "Succeed",
            Self::Fail => "Fail",
        }
    }
}

/// What a state does.
#[derive(Debug)]
pub(crate) enum StateKind {
    Task(Box<Task>),
    Choice(Choice),
    Wait(Wait),
    Pass(Conclusion),
    Map(Box<MapState>),
    Succeed { output: Option<Template> },
    Fail { error: Option<Template>, cause: Option<Template> },
}

impl StateKind {
    pub(crate) fn state_type(&self) -> StateType {
        match self {
            Self::Task(_) => StateType::Task,
            Self::Choice(_) => StateType::Choice,
            Self::Wait(_) => StateType::Wait,
            Self::Pass(_) => StateType::Pass,
            Self::Map(_) => StateType::Map,
            Self::Succeed { .. } => StateType::Succeed,
            Self::Fail { .. } => StateType::Fail,
        }
    }
}

/// Where a state leads when it ends well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    State(String),
    End,
}

/// What remains of a state: variables, output, and the way on.
#[derive(Debug)]
pub(crate) struct Conclusion {
    pub(crate) assign: Vec<(String, Template)>,
    pub(crate) output: Option<Template>,
    pub(crate) next: Next,
}

/// The calls that a Task can make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    Function { name: String, waits_for_callback: bool },
    Execution { state_machine: String },
}

#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) call: Call,
    pub(crate) arguments: Template,
    pub(crate) timeout: Option<Quantity>,
    pub(crate) heartbeat: Option<Quantity>,
    pub(crate) recovery: Recovery,
    pub(crate) conclusion: Conclusion,
}

/// What a state does about errors.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    pub(crate) retriers: Vec<Retrier>,
    pub(crate) catchers: Vec<Catcher>,
}

#[derive(Debug)]
pub(crate) struct Catcher {
    pub(crate) error_equals: Vec<String>,
    pub(crate) conclusion: Conclusion,
}

#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) rules: Vec<Rule>,
    pub(crate) default: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) condition: Expression,
    pub(crate) conclusion: Conclusion,
}

#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) until: WaitUntil,
    pub(crate) conclusion: Conclusion,
}

#[derive(Debug)]
pub(crate) enum WaitUntil {
    Seconds(Quantity),
    Timestamp(Template),
}

/// A number that stands in the file or is computed by an expression.
#[derive(Debug)]
pub(crate) enum Quantity {
    Fixed(u64),
    Evaluated(Expression),
}

#[derive(Debug)]
pub(crate) struct MapState {
    pub(crate) items: Template,
    pub(crate) selector: Option<Template>,
    pub(crate) max_concurrency: Option<Quantity>,
    pub(crate) processor: Arc<Branch>,
    pub(crate) mode: MapMode,
    pub(crate) recovery: Recovery,
    pub(crate) conclusion: Conclusion,
}

#[derive(Debug)]
pub(crate) enum MapMode {
    Inline,
    Distributed { tolerated_count: Option<Quantity>, tolerated_percentage: Option<Quantity> },
}

/// Whether a value of the file is a whole number within these bounds.
pub(crate) fn whole_number(value: &Value, least: u64, most: u64) -> Option<u64> {
    value.as_u64().filter(|number| (least..=most).contains(number))
}
