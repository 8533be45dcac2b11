//! An engine that writes down what it is told.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use rekindle_step::{CallbackError, ExecutionState, StartError, Workflow};
use serde_json::Value;

/// What was told to a waiting task.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    Success(String, Value),
    Failure(String, String, String),
}

/// The engine.
pub struct Recorder {
    /// State machine and input of each execution, by its name.
    pub started: Mutex<BTreeMap<String, (String, Value)>>,
    pub stopped: Mutex<Vec<String>>,
    pub told: Mutex<Vec<Told>>,
    pub standing: Mutex<ExecutionState>,
    pub is_reachable: Mutex<bool>,
}

impl Recorder {
    pub fn new() -> Self {
        Self {
            started: Mutex::default(),
            stopped: Mutex::default(),
            told: Mutex::default(),
            standing: Mutex::new(ExecutionState::Terminal),
            is_reachable: Mutex::new(true),
        }
    }

    pub fn set_reachable(&self, is_reachable: bool) {
        *self.is_reachable.lock().unwrap() = is_reachable;
    }

    fn reach(&self) -> Result<(), StartError> {
        let is_reachable = *self.is_reachable.lock().unwrap();
        is_reachable.then_some(()).ok_or_else(|| StartError::Unavailable("no connection".to_owned()))
    }

    fn hear(&self, told: Told) -> Result<(), CallbackError> {
        self.reach().map_err(|error| CallbackError::Unavailable(error.to_string()))?;
        self.told.lock().unwrap().push(told);
        Ok(())
    }

    /// The executions of a state machine, with their inputs.
    pub fn executions(&self, state_machine: &str) -> Vec<(String, Value)> {
        let started = self.started.lock().unwrap();
        let of_machine = started.iter().filter(|(_, (machine, _))| machine == state_machine);
        of_machine.map(|(name, (_, input))| (name.clone(), input.clone())).collect()
    }
}

#[async_trait]
impl Workflow for Recorder {
    async fn start_execution(&self, state_machine: &str, name: &str, input: Value) -> Result<(), StartError> {
        self.reach()?;
        let execution = (state_machine.to_owned(), input);
        match self.started.lock().unwrap().entry(name.to_owned()).or_insert_with(|| execution.clone()) {
            started if *started == execution => Ok(()),
            _ => Err(StartError::AlreadyExists(name.to_owned())),
        }
    }

    async fn describe_execution(&self, _: &str, _: &str) -> Result<ExecutionState, StartError> {
        self.reach()?;
        Ok(*self.standing.lock().unwrap())
    }

    async fn stop_execution(&self, _: &str, name: &str, _: &str) -> Result<(), StartError> {
        self.reach()?;
        self.stopped.lock().unwrap().push(name.to_owned());
        Ok(())
    }

    async fn send_task_success(&self, token: &str, output: Value) -> Result<(), CallbackError> {
        self.hear(Told::Success(token.to_owned(), output))
    }

    async fn send_task_failure(&self, token: &str, error: &str, cause: &str) -> Result<(), CallbackError> {
        self.hear(Told::Failure(token.to_owned(), error.to_owned(), cause.to_owned()))
    }

    async fn send_task_heartbeat(&self, _: &str) -> Result<(), CallbackError> {
        Ok(())
    }
}
