//! The way of an execution from state to state.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Shared;
use super::execution::{Ending, Failure, Record, Trail, state_machine_id};
use crate::clock::written;
use crate::definition::{
    Branch, Catcher, Choice, Conclusion, Next, Quantity, Recovery, State, StateKind, StateMachine, StateType,
    Wait, WaitUntil,
};
use crate::expression::{Environment, QueryError, Template, Variables};
use crate::history::EventType;
use crate::limit;
use crate::retry::{
    DATA_LIMIT_EXCEEDED, NO_CHOICE_MATCHED, QUERY_EVALUATION_ERROR, RUNTIME, RetryTally, names_match,
};

/// Walks one execution.
pub(crate) struct Walker {
    pub(super) shared: Arc<Shared>,
    pub(super) machine: StateMachine,
    pub(super) record: Arc<Record>,
}

/// The item of a Map that a branch runs for.
#[derive(Debug, Clone)]
pub(super) struct MapItem {
    pub(super) index: usize,
    pub(super) value: Value,
}

impl MapItem {
    pub(super) fn in_context(&self) -> Value {
        json!({ "Item": { "Index": self.index, "Value": self.value } })
    }
}

/// One visit to one state: what its expressions can see.
pub(super) struct Visit<'a> {
    pub(super) state: &'a State,
    pub(super) entered: Timestamp,
    pub(super) input: &'a Value,
    pub(super) variables: &'a Variables,
    pub(super) item: Option<&'a MapItem>,
}

/// What a state leaves behind.
pub(super) struct Outcome {
    output: Value,
    assigned: Variables,
    next: Next,
}

/// The members of `$states` that are not there in every field.
#[derive(Default)]
pub(super) struct Extra<'a> {
    pub(super) result: Option<&'a Value>,
    pub(super) error_output: Option<&'a Failure>,
    pub(super) token: Option<&'a str>,
    pub(super) retry_count: Option<u32>,
    pub(super) item: Option<&'a MapItem>,
}

impl Walker {
    pub(super) fn new(shared: Arc<Shared>, machine: StateMachine, record: Arc<Record>) -> Self {
        Self { shared, machine, record }
    }

    /// Walks the execution from its first state to its end, and writes the end.
    pub(super) async fn run_to_end(&self) -> Ended {
        let mut trail = Trail::default();
        let ending = match self.machine.timeout_seconds() {
            None => self.run(&mut trail).await,
            Some(seconds) => {
                let most = Duration::from_secs(seconds);
                let run = tokio::time::timeout(most, self.run(&mut trail)).await;
                run.unwrap_or(Ending::TimedOut)
            }
        };
        let ended = match &ending {
            Ending::Succeeded(output) => Ended::Well(output.clone()),
            _ => Ended::Badly,
        };
        self.record.end(trail, ending);
        ended
    }

    async fn run(&self, trail: &mut Trail) -> Ending {
        let branch = self.machine.branch();
        let input = self.record.input.clone();
        match self.walk(branch, input, Variables::new(), None, trail).await {
            Ok(output) => Ending::Succeeded(output),
            Err(failure) => Ending::Failed(failure),
        }
    }

    /// Walks a branch to its end. Boxed, since a Map walks branches inside a branch.
    pub(super) fn walk<'a>(
        &'a self,
        branch: &'a Branch,
        input: Value,
        variables: Variables,
        item: Option<&'a MapItem>,
        trail: &'a mut Trail,
    ) -> BoxFuture<'a, Result<Value, Failure>> {
        self.walk_states(branch, input, variables, item, trail).boxed()
    }

    async fn walk_states(
        &self,
        branch: &Branch,
        mut input: Value,
        mut variables: Variables,
        item: Option<&MapItem>,
        trail: &mut Trail,
    ) -> Result<Value, Failure> {
        let mut name = branch.start_at.clone();
        loop {
            let state = branch
                .state(&name)
                .ok_or_else(|| Failure::new(RUNTIME, format!("the state {name:?} does not exist")))?;
            let visit =
                Visit { state, entered: self.shared.clock.now(), input: &input, variables: &variables, item };
            let outcome = self.visit(&visit, trail).await?;
            variables.extend(outcome.assigned);
            input = outcome.output;
            match outcome.next {
                Next::State(next) => name = next,
                Next::End => return Ok(input),
            }
        }
    }

    async fn visit(&self, visit: &Visit<'_>, trail: &mut Trail) -> Result<Outcome, Failure> {
        self.check_room_in_history()?;
        self.enter(visit, trail);
        let outcome = match &visit.state.kind {
            StateKind::Task(task) => self.with_recovery(visit, &task.recovery, &task.conclusion, trail).await,
            StateKind::Map(map) => self.with_recovery(visit, &map.recovery, &map.conclusion, trail).await,
            StateKind::Choice(choice) => self.choose(visit, choice, trail),
            StateKind::Wait(wait) => self.pass_time(visit, wait, trail).await,
            StateKind::Pass(conclusion) => self.conclude(visit, conclusion, &Extra::default(), trail),
            StateKind::Succeed { output } => self.succeed(visit, output, trail),
            StateKind::Fail { error, cause } => Err(self.fail(visit, error, cause, trail)),
        }?;
        self.exit(visit, &outcome, trail);
        Ok(outcome)
    }

    /// AWS, "Step Functions service quotas": an execution whose history is full fails, and nothing catches that.
    fn check_room_in_history(&self) -> Result<(), Failure> {
        if self.record.history_is_full() {
            let cause =
                format!("the history of the execution has its most events, {}", limit::HISTORY_EVENTS);
            return Err(Failure::new(RUNTIME, cause));
        }
        Ok(())
    }

    fn enter(&self, visit: &Visit<'_>, trail: &mut Trail) {
        let details = json!({
            "name": visit.state.name,
            "input": visit.input.to_string(),
            "inputDetails": { "truncated": false },
        });
        self.record.event(trail, entered_event(visit.state.kind.state_type()), details);
    }

    fn exit(&self, visit: &Visit<'_>, outcome: &Outcome, trail: &mut Trail) {
        let Some(event_type) = exited_event(visit.state.kind.state_type()) else {
            return;
        };
        let mut details = json!({
            "name": visit.state.name,
            "output": outcome.output.to_string(),
            "outputDetails": { "truncated": false },
        });
        if !outcome.assigned.is_empty() {
            let assigned = outcome.assigned.iter();
            let as_text = assigned.map(|(name, value)| (name.clone(), json!(value.to_string())));
            details["assignedVariables"] = Value::Object(as_text.collect());
            details["assignedVariablesDetails"] = json!({ "truncated": false });
        }
        self.record.event(trail, event_type, details);
    }

    /// Does the work of a Task or a Map, again after errors that a retrier names, elsewhere after errors that a
    /// catcher names.
    async fn with_recovery(
        &self,
        visit: &Visit<'_>,
        recovery: &Recovery,
        conclusion: &Conclusion,
        trail: &mut Trail,
    ) -> Result<Outcome, Failure> {
        let mut tally = RetryTally::new(recovery.retriers.len());
        loop {
            let retry_count = tally.total();
            let failure = match self.attempt(visit, conclusion, retry_count, trail).await {
                Ok(outcome) => return Ok(outcome),
                Err(failure) => failure,
            };
            let Some(next) = tally.decide(&recovery.retriers, &failure.error) else {
                return self.catch(visit, &recovery.catchers, failure, retry_count, trail);
            };
            let delay = match next.jitter {
                crate::JitterStrategy::None => next.delay,
                crate::JitterStrategy::Full => self.shared.randomness.duration_up_to(next.delay),
            };
            self.shared.sleep(delay).await;
            self.check_room_in_history()?;
        }
    }

    async fn attempt(
        &self,
        visit: &Visit<'_>,
        conclusion: &Conclusion,
        retry_count: u32,
        trail: &mut Trail,
    ) -> Result<Outcome, Failure> {
        let result = match &visit.state.kind {
            StateKind::Task(task) => self.attempt_task(visit, task, retry_count, trail).await?,
            StateKind::Map(map) => self.attempt_map(visit, map, retry_count, trail).await?,
            _ => return Err(Failure::new(RUNTIME, "only a Task or a Map is attempted")),
        };
        let extra = Extra { result: Some(&result), retry_count: Some(retry_count), ..Extra::default() };
        self.conclude(visit, conclusion, &extra, trail)
    }

    /// The first catcher that names the error takes it; otherwise it goes on.
    fn catch(
        &self,
        visit: &Visit<'_>,
        catchers: &[Catcher],
        failure: Failure,
        retry_count: u32,
        trail: &mut Trail,
    ) -> Result<Outcome, Failure> {
        let catcher = catchers.iter().find(|catcher| names_match(&catcher.error_equals, &failure.error));
        let Some(catcher) = catcher else {
            return Err(failure);
        };
        let extra =
            Extra { error_output: Some(&failure), retry_count: Some(retry_count), ..Extra::default() };
        self.conclude(visit, &catcher.conclusion, &extra, trail)
    }

    fn choose(&self, visit: &Visit<'_>, choice: &Choice, trail: &mut Trail) -> Result<Outcome, Failure> {
        let extra = Extra::default();
        let environment = self.environment(visit, &extra);
        for (index, rule) in choice.rules.iter().enumerate() {
            let location = format!("Choices[{index}]/Condition");
            let verdict = rule.condition.evaluate(&environment);
            let verdict = verdict.map_err(|cause| self.query_failure(visit, &location, cause, trail))?;
            match verdict {
                Value::Bool(true) => return self.conclude(visit, &rule.conclusion, &extra, trail),
                Value::Bool(false) => {}
                other => {
                    let cause = format!(
                        "the condition '{}' gave {}, which is not a boolean",
                        rule.condition.source(),
                        kind_of(&other)
                    );
                    return Err(self.query_failure(visit, &location, cause, trail));
                }
            }
        }
        match &choice.default {
            Some(name) => Ok(Outcome {
                output: visit.input.clone(),
                assigned: Variables::new(),
                next: Next::State(name.clone()),
            }),
            None => Err(Failure::new(NO_CHOICE_MATCHED, "no rule held, and there is no default")),
        }
    }

    async fn pass_time(&self, visit: &Visit<'_>, wait: &Wait, trail: &mut Trail) -> Result<Outcome, Failure> {
        match &wait.until {
            WaitUntil::Seconds(seconds) => {
                let bounds = (0, limit::SECONDS);
                let seconds = self.quantity(visit, seconds, "Seconds", bounds, &Extra::default(), trail)?;
                self.shared.sleep(Duration::from_secs(seconds)).await;
            }
            WaitUntil::Timestamp(template) => {
                let time = self.timestamp(visit, template, trail)?;
                tokio::time::sleep_until(self.shared.clock.instant_of(time)).await;
            }
        }
        self.conclude(visit, &wait.conclusion, &Extra::default(), trail)
    }

    fn timestamp(
        &self,
        visit: &Visit<'_>,
        template: &Template,
        trail: &mut Trail,
    ) -> Result<Timestamp, Failure> {
        let value = self.evaluate(visit, template, "Timestamp", &Extra::default(), trail)?;
        let time = value.as_str().and_then(|text| text.parse().ok());
        time.ok_or_else(|| {
            let cause = format!("{value} is not a time such as 2026-11-22T14:56:27Z");
            self.query_failure(visit, "Timestamp", cause, trail)
        })
    }

    fn succeed(
        &self,
        visit: &Visit<'_>,
        output: &Option<Template>,
        trail: &mut Trail,
    ) -> Result<Outcome, Failure> {
        Ok(Outcome {
            output: self.output(visit, output, &Extra::default(), trail)?,
            assigned: Variables::new(),
            next: Next::End,
        })
    }

    fn fail(
        &self,
        visit: &Visit<'_>,
        error: &Option<Template>,
        cause: &Option<Template>,
        trail: &mut Trail,
    ) -> Failure {
        let parts = self
            .optional_text(visit, error, "Error", trail)
            .and_then(|error| Ok((error, self.optional_text(visit, cause, "Cause", trail)?)));
        match parts {
            Ok((error, cause)) => Failure { error, cause },
            Err(failure) => failure,
        }
    }

    /// Evaluates Assign and Output. Both see the variables as they were before the state.
    fn conclude(
        &self,
        visit: &Visit<'_>,
        conclusion: &Conclusion,
        extra: &Extra<'_>,
        trail: &mut Trail,
    ) -> Result<Outcome, Failure> {
        let mut assigned = Variables::new();
        for (name, template) in &conclusion.assign {
            let value = self.evaluate(visit, template, &format!("Assign/{name}"), extra, trail)?;
            assigned.insert(name.clone(), value);
        }
        let assigned = Value::Object(assigned);
        fitting(&assigned, "the variables that the state assigns")?;
        let Value::Object(assigned) = assigned else {
            return Err(Failure::new(RUNTIME, "variables are an object"));
        };
        Ok(Outcome {
            output: self.output(visit, &conclusion.output, extra, trail)?,
            assigned,
            next: conclusion.next.clone(),
        })
    }

    /// The output: what the field says; without it, the result or the error, else the input.
    fn output(
        &self,
        visit: &Visit<'_>,
        template: &Option<Template>,
        extra: &Extra<'_>,
        trail: &mut Trail,
    ) -> Result<Value, Failure> {
        let output = match (template, extra.result, extra.error_output) {
            (Some(template), _, _) => self.evaluate(visit, template, "Output", extra, trail)?,
            (None, Some(result), _) => result.clone(),
            (None, None, Some(failure)) => error_output(failure),
            (None, None, None) => visit.input.clone(),
        };
        fitting(&output, "the output of the state")?;
        Ok(output)
    }

    fn optional_text(
        &self,
        visit: &Visit<'_>,
        template: &Option<Template>,
        location: &str,
        trail: &mut Trail,
    ) -> Result<String, Failure> {
        let Some(template) = template else {
            return Ok(String::new());
        };
        match self.evaluate(visit, template, location, &Extra::default(), trail)? {
            Value::String(text) => Ok(text),
            other => {
                let cause = format!("{location} gave {}, which is not a string", kind_of(&other));
                Err(self.query_failure(visit, location, cause, trail))
            }
        }
    }

    /// A whole number within bounds.
    pub(super) fn quantity(
        &self,
        visit: &Visit<'_>,
        quantity: &Quantity,
        location: &str,
        (least, most): (u64, u64),
        extra: &Extra<'_>,
        trail: &mut Trail,
    ) -> Result<u64, Failure> {
        let expression = match quantity {
            Quantity::Fixed(number) => return Ok(*number),
            Quantity::Evaluated(expression) => expression,
        };
        let value = expression
            .evaluate(&self.environment(visit, extra))
            .map_err(|cause| self.query_failure(visit, location, cause, trail))?;
        crate::definition::whole_number(&value, least, most).ok_or_else(|| {
            let cause =
                format!("{location} gave {value}, which is not a whole number from {least} to {most}");
            self.query_failure(visit, location, cause, trail)
        })
    }

    pub(super) fn evaluate(
        &self,
        visit: &Visit<'_>,
        template: &Template,
        location: &str,
        extra: &Extra<'_>,
        trail: &mut Trail,
    ) -> Result<Value, Failure> {
        if let Template::Literal(value) = template {
            return Ok(value.clone());
        }
        let evaluated = template.evaluate(location, &self.environment(visit, extra));
        evaluated.map_err(|QueryError { location, cause }| self.query_failure(visit, &location, cause, trail))
    }

    /// Writes that an expression had no usable value, and makes it an error that can be caught.
    pub(super) fn query_failure(
        &self,
        visit: &Visit<'_>,
        location: &str,
        cause: String,
        trail: &mut Trail,
    ) -> Failure {
        let details = json!({
            "error": QUERY_EVALUATION_ERROR,
            "cause": cause,
            "location": location,
            "state": visit.state.name,
        });
        self.record.event(trail, EventType::EvaluationFailed, details);
        let cause = format!("in the field {location} of the state {:?}: {cause}", visit.state.name);
        Failure::new(QUERY_EVALUATION_ERROR, cause)
    }

    fn environment(&self, visit: &Visit<'_>, extra: &Extra<'_>) -> Environment {
        let states = self.states(visit, extra);
        Environment::new(states, visit.variables, self.shared.clock, &self.shared.randomness)
    }

    /// `$states`.
    fn states(&self, visit: &Visit<'_>, extra: &Extra<'_>) -> Value {
        let mut states = json!({ "input": visit.input, "context": self.context(visit, extra) });
        if let Some(result) = extra.result {
            states["result"] = result.clone();
        }
        if let Some(failure) = extra.error_output {
            states["errorOutput"] = error_output(failure);
        }
        states
    }

    /// `$states.context` (AWS, "Accessing execution data from the Context object").
    fn context(&self, visit: &Visit<'_>, extra: &Extra<'_>) -> Value {
        let mut context = json!({
            "Execution": {
                "Id": self.record.id,
                "Input": self.record.input,
                "Name": self.record.name,
                "StartTime": written(self.record.start_time),
            },
            "State": { "Name": visit.state.name, "EnteredTime": written(visit.entered) },
            "StateMachine": { "Id": state_machine_id(self.machine.name()), "Name": self.machine.name() },
        });
        if let Some(retry_count) = extra.retry_count {
            context["State"]["RetryCount"] = json!(retry_count);
        }
        if let Some(token) = extra.token {
            context["Task"] = json!({ "Token": token });
        }
        if let Some(item) = extra.item.or(visit.item) {
            context["Map"] = item.in_context();
        }
        context
    }
}

/// How the walk of one execution ended, for a Map that waits for its children.
pub(super) enum Ended {
    Well(Value),
    Badly,
}

/// `$states.errorOutput`.
fn error_output(failure: &Failure) -> Value {
    json!({ "Error": failure.error, "Cause": failure.cause })
}

/// Refuses what is larger than Step Functions carries.
pub(super) fn fitting(value: &Value, what: &str) -> Result<(), Failure> {
    if limit::fits(value) {
        return Ok(());
    }
    let cause = format!("{what} is larger than {} bytes", limit::PAYLOAD_BYTES);
    Err(Failure::new(DATA_LIMIT_EXCEEDED, cause))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn entered_event(state_type: StateType) -> EventType {
    match state_type {
        StateType::Task => EventType::TaskStateEntered,
        StateType::Choice => EventType::ChoiceStateEntered,
        StateType::Wait => EventType::WaitStateEntered,
        StateType::Pass => EventType::PassStateEntered,
        StateType::Map => EventType::MapStateEntered,
        StateType::Succeed => EventType::SucceedStateEntered,
        StateType::Fail => EventType::FailStateEntered,
    }
}

fn exited_event(state_type: StateType) -> Option<EventType> {
    Some(match state_type {
        StateType::Task => EventType::TaskStateExited,
        StateType::Choice => EventType::ChoiceStateExited,
        StateType::Wait => EventType::WaitStateExited,
        StateType::Pass => EventType::PassStateExited,
        StateType::Map => EventType::MapStateExited,
        StateType::Succeed => EventType::SucceedStateExited,
        StateType::Fail => return None,
    })
}

/// Members of an object, for details that are built step by step.
pub(super) fn object(pairs: impl IntoIterator<Item = (&'static str, Value)>) -> Map<String, Value> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
