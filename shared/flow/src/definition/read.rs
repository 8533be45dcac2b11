//! From the text of a file to a state machine. One function per kind of object, refusing what it does not know.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::field::{Fields, Place};
use super::outline::Integration;
use super::{
    Branch, Call, Catcher, Choice, Conclusion, MapMode, MapState, Next, Quantity, Recovery, Rule, State,
    StateKind, StateMachine, Substitutions, Task, Wait, WaitUntil, check, digest_of, strict_json,
};
use crate::LoadError;
use crate::expression::{Expression, Template};
use crate::limit;
use crate::retry::{ALL, JitterStrategy, RESERVED, Retrier};

const FILE_ENDING: &str = ".asl.json";

/// Longest interval between two attempts (AWS, "Handling errors", `MaxDelaySeconds`).
const LONGEST_DELAY_SECONDS: u64 = 31_622_399;

pub(super) fn machine(
    file: &str,
    text: &str,
    substitutions: &Substitutions,
) -> Result<StateMachine, LoadError> {
    let place = Place { file: file.to_owned(), state: None };
    let name = machine_name(&place)?;
    let substituted = substitutions.apply(text).map_err(|reason| place.refuse(reason))?;
    let value =
        strict_json::parse(&substituted).map_err(|error| place.refuse(format!("is not JSON: {error}")))?;
    let fields = Fields::of(
        &place,
        "a state machine",
        &value,
        &["QueryLanguage", "StartAt", "States", "TimeoutSeconds", "Version"],
    )?;
    if fields.text("QueryLanguage")? != Some("JSONata") {
        return Err(fields.refuse("QueryLanguage", "\"JSONata\""));
    }
    if !matches!(fields.text("Version")?, None | Some("1.0")) {
        return Err(fields.refuse("Version", "\"1.0\""));
    }
    let branch = branch(&fields)?;
    check::machine(&place, &branch)?;
    Ok(StateMachine {
        name,
        digest: digest_of(text),
        timeout_seconds: fields.whole("TimeoutSeconds", 1, limit::SECONDS)?,
        branch: Arc::new(branch),
    })
}

fn machine_name(place: &Place) -> Result<String, LoadError> {
    let last = Path::new(&place.file).file_name().and_then(|name| name.to_str());
    let stem = last.and_then(|name| name.strip_suffix(FILE_ENDING)).unwrap_or_default();
    if stem.is_empty() || !stem.chars().all(|it| it.is_ascii_alphanumeric() || "-_".contains(it)) {
        return Err(place.refuse(
            "the name of a file must be letters, digits, - and _ followed by .asl.json: it names the state machine",
        ));
    }
    Ok(stem.to_owned())
}

fn branch(fields: &Fields) -> Result<Branch, LoadError> {
    let start_at = fields.required_text("StartAt")?.to_owned();
    let states = fields
        .required("States")?
        .as_object()
        .filter(|states| !states.is_empty())
        .ok_or_else(|| fields.refuse("States", "an object with at least one state"))?;
    let states =
        states.iter().map(|(name, value)| state(fields.place, name, value)).collect::<Result<_, _>>()?;
    Ok(Branch { start_at, states })
}

fn state(outer: &Place, name: &str, value: &Value) -> Result<State, LoadError> {
    let place = outer.in_state(name);
    if name.is_empty() || name.chars().count() > limit::NAME_CHARACTERS {
        return Err(place.refuse("the name of a state must have 1 to 80 characters"));
    }
    let kind = match value.get("Type").and_then(Value::as_str) {
        Some("Task") => task(&place, value)?,
        Some("Choice") => choice(&place, value)?,
        Some("Wait") => wait(&place, value)?,
        Some("Pass") => pass(&place, value)?,
        Some("Map") => map(&place, value)?,
        Some("Succeed") => succeed(&place, value)?,
        Some("Fail") => fail(&place, value)?,
        Some(other) => return Err(place.refuse(format!("the type {other:?} is not supported"))),
        None => return Err(place.refuse("a state needs the field \"Type\", a string")),
    };
    Ok(State { name: name.to_owned(), kind })
}

/// The fields of a state: those of its type, and those that every state has.
fn state_fields<'a>(
    place: &'a Place,
    what: &'a str,
    value: &'a Value,
    known: &[&str],
) -> Result<Fields<'a>, LoadError> {
    let fields = Fields::of(place, what, value, &[known, &["Type", "QueryLanguage"]].concat())?;
    if !matches!(fields.text("QueryLanguage")?, None | Some("JSONata")) {
        return Err(fields.refuse("QueryLanguage", "\"JSONata\""));
    }
    Ok(fields)
}

fn task(place: &Place, value: &Value) -> Result<StateKind, LoadError> {
    let known = [
        "Resource",
        "Arguments",
        "TimeoutSeconds",
        "HeartbeatSeconds",
        "Retry",
        "Catch",
        "Assign",
        "Output",
        "Next",
        "End",
    ];
    let fields = state_fields(place, "a Task state", value, &known)?;
    let integration = integration(&fields)?;
    let arguments = fields.required("Arguments")?;
    let task = Task {
        call: call(place, integration, arguments)?,
        arguments: fields.template("Arguments")?.unwrap_or(Template::Literal(Value::Null)),
        timeout: fields.quantity("TimeoutSeconds", 1, limit::SECONDS)?,
        heartbeat: fields.quantity("HeartbeatSeconds", 1, limit::SECONDS)?,
        recovery: recovery(&fields)?,
        conclusion: conclusion(&fields)?,
    };
    check_heartbeat(&fields, integration, &task)?;
    Ok(StateKind::Task(Box::new(task)))
}

fn integration(fields: &Fields) -> Result<Integration, LoadError> {
    let resource = fields.required_text("Resource")?;
    let known = [
        Integration::LambdaInvoke,
        Integration::LambdaInvokeWaitForTaskToken,
        Integration::StartExecutionSync,
    ];
    known
        .into_iter()
        .find(|integration| integration.resource() == resource)
        .ok_or_else(|| fields.place.refuse(format!("the resource {resource:?} is not supported")))
}

fn call(place: &Place, integration: Integration, arguments: &Value) -> Result<Call, LoadError> {
    if integration == Integration::StartExecutionSync {
        let what = "the Arguments of startExecution.sync:2";
        let fields = Fields::of(place, what, arguments, &["StateMachineArn", "Name", "Input"])?;
        fields.text("Name")?;
        return Ok(Call::Execution { state_machine: fields.required_literal("StateMachineArn")?.to_owned() });
    }
    let fields =
        Fields::of(place, "the Arguments of lambda:invoke", arguments, &["FunctionName", "Payload"])?;
    Ok(Call::Function {
        name: fields.required_literal("FunctionName")?.to_owned(),
        waits_for_callback: integration == Integration::LambdaInvokeWaitForTaskToken,
    })
}

fn check_heartbeat(fields: &Fields, integration: Integration, task: &Task) -> Result<(), LoadError> {
    if task.heartbeat.is_none() {
        return Ok(());
    }
    if integration != Integration::LambdaInvokeWaitForTaskToken {
        return Err(fields.place.refuse(
            "HeartbeatSeconds has no meaning here: only a task that waits for its token sends heartbeats",
        ));
    }
    match (&task.heartbeat, &task.timeout) {
        (Some(Quantity::Fixed(heartbeat)), Some(Quantity::Fixed(timeout))) if heartbeat >= timeout => {
            Err(fields.refuse("HeartbeatSeconds", "smaller than TimeoutSeconds"))
        }
        _ => Ok(()),
    }
}

fn choice(place: &Place, value: &Value) -> Result<StateKind, LoadError> {
    let fields = state_fields(place, "a Choice state", value, &["Choices", "Default"])?;
    fields.required("Choices")?;
    let rules = fields.array("Choices")?.iter().map(|value| rule(place, value));
    Ok(StateKind::Choice(Choice {
        rules: rules.collect::<Result<_, _>>()?,
        default: fields.text("Default")?.map(str::to_owned),
    }))
}

fn rule(place: &Place, value: &Value) -> Result<Rule, LoadError> {
    let fields = Fields::of(place, "a rule of a Choice", value, &["Condition", "Next", "Assign", "Output"])?;
    Ok(Rule { condition: fields.required_expression("Condition")?, conclusion: conclusion_to(&fields)? })
}

fn wait(place: &Place, value: &Value) -> Result<StateKind, LoadError> {
    let known = ["Seconds", "Timestamp", "Assign", "Output", "Next", "End"];
    let fields = state_fields(place, "a Wait state", value, &known)?;
    let until = match (fields.quantity("Seconds", 0, limit::SECONDS)?, fields.text_template("Timestamp")?) {
        (Some(seconds), None) => WaitUntil::Seconds(seconds),
        (None, Some(timestamp)) => WaitUntil::Timestamp(checked_timestamp(&fields, timestamp)?),
        _ => return Err(place.refuse("a Wait state needs either \"Seconds\" or \"Timestamp\"")),
    };
    Ok(StateKind::Wait(Wait { until, conclusion: conclusion(&fields)? }))
}

fn checked_timestamp(fields: &Fields, timestamp: Template) -> Result<Template, LoadError> {
    match &timestamp {
        Template::Literal(Value::String(text)) if text.parse::<jiff::Timestamp>().is_err() => {
            Err(fields.refuse("Timestamp", "a time such as 2026-11-22T14:56:27Z"))
        }
        _ => Ok(timestamp),
    }
}

fn pass(place: &Place, value: &Value) -> Result<StateKind, LoadError> {
    let fields = state_fields(place, "a Pass state", value, &["Assign", "Output", "Next", "End"])?;
    Ok(StateKind::Pass(conclusion(&fields)?))
}

fn succeed(place: &Place, value: &Value) -> Result<StateKind, LoadError> {
    let fields = state_fields(place, "a Succeed state", value, &["Output"])?;
    Ok(StateKind::Succeed { output: fields.template("Output")? })
}

fn fail(place: &Place, value: &Value) -> Result<StateKind, LoadError> {
    let fields = state_fields(place, "a Fail state", value, &["Error", "Cause"])?;
    Ok(StateKind::Fail { error: fields.text_template("Error")?, cause: fields.text_template("Cause")? })
}

fn map(place: &Place, value: &Value) -> Result<StateKind, LoadError> {
    let known = [
        "Items",
        "ItemSelector",
        "ItemProcessor",
        "MaxConcurrency",
        "ToleratedFailureCount",
        "ToleratedFailurePercentage",
        "Retry",
        "Catch",
        "Assign",
        "Output",
        "Next",
        "End",
    ];
    let fields = state_fields(place, "a Map state", value, &known)?;
    let what = "an ItemProcessor";
    let known = ["ProcessorConfig", "StartAt", "States"];
    let processor = Fields::of(place, what, fields.required("ItemProcessor")?, &known)?;
    let mode = mode(&fields, &processor)?;
    Ok(StateKind::Map(Box::new(MapState {
        items: items(&fields)?,
        selector: fields.template("ItemSelector")?,
        max_concurrency: fields.quantity("MaxConcurrency", 0, limit::SECONDS)?,
        processor: Arc::new(branch(&processor)?),
        mode,
        recovery: recovery(&fields)?,
        conclusion: conclusion(&fields)?,
    })))
}

/// The items: written out, or one expression. Without the field the items are the input.
fn items(fields: &Fields) -> Result<Template, LoadError> {
    match fields.template("Items")? {
        None => Expression::compile("$states.input")
            .map(Template::Expression)
            .map_err(|reason| fields.place.refuse(reason)),
        Some(Template::Literal(value)) if !value.is_array() => {
            Err(fields.refuse("Items", "an array or a JSONata expression in {% %}"))
        }
        Some(Template::Object(_)) => Err(fields.refuse("Items", "an array or a JSONata expression in {% %}")),
        Some(items) => Ok(items),
    }
}

fn mode(fields: &Fields, processor: &Fields) -> Result<MapMode, LoadError> {
    let Some(config) = processor.value("ProcessorConfig") else {
        return inline(fields);
    };
    let what = "a ProcessorConfig";
    let config = Fields::of(fields.place, what, config, &["Mode", "ExecutionType"])?;
    match (config.text("Mode")?, config.text("ExecutionType")?) {
        (None | Some("INLINE"), None) => inline(fields),
        (Some("DISTRIBUTED"), Some("STANDARD")) => Ok(MapMode::Distributed {
            tolerated_count: fields.quantity("ToleratedFailureCount", 0, limit::SECONDS)?,
            tolerated_percentage: fields.quantity("ToleratedFailurePercentage", 0, 100)?,
        }),
        _ => Err(fields.place.refuse(
            "a ProcessorConfig must be {\"Mode\": \"INLINE\"} or {\"Mode\": \"DISTRIBUTED\", \"ExecutionType\": \"STANDARD\"}",
        )),
    }
}

fn inline(fields: &Fields) -> Result<MapMode, LoadError> {
    let only_distributed = ["ToleratedFailureCount", "ToleratedFailurePercentage"];
    match only_distributed.into_iter().find(|name| fields.has(name)) {
        None => Ok(MapMode::Inline),
        Some(name) => Err(fields.place.refuse(format!("the field {name:?} is for a distributed Map only"))),
    }
}

/// Assign, Output, and either Next or End.
fn conclusion(fields: &Fields) -> Result<Conclusion, LoadError> {
    let next = match (fields.text("Next")?, fields.value("End")) {
        (Some(name), None) => Next::State(name.to_owned()),
        (None, Some(Value::Bool(true))) => Next::End,
        _ => {
            return Err(fields.place.refuse("a state needs either \"Next\" or \"End\": true"));
        }
    };
    Ok(Conclusion { assign: assign(fields)?, output: fields.template("Output")?, next })
}

/// Assign, Output, and Next, as in a rule or a catcher.
fn conclusion_to(fields: &Fields) -> Result<Conclusion, LoadError> {
    Ok(Conclusion {
        assign: assign(fields)?,
        output: fields.template("Output")?,
        next: Next::State(fields.required_text("Next")?.to_owned()),
    })
}

fn assign(fields: &Fields) -> Result<Vec<(String, Template)>, LoadError> {
    let compiled = match fields.value("Assign") {
        None => return Ok(Vec::new()),
        Some(Value::Object(members)) => members,
        Some(_) => return Err(fields.refuse("Assign", "an object")),
    };
    compiled
        .iter()
        .map(|(name, value)| {
            check_variable_name(fields.place, name)?;
            let template = Template::compile(value)
                .map_err(|reason| fields.place.refuse(format!("in the variable {name:?}: {reason}")))?;
            Ok((name.clone(), template))
        })
        .collect()
}

fn check_variable_name(place: &Place, name: &str) -> Result<(), LoadError> {
    let mut characters = name.chars();
    let begins_well = characters.next().is_some_and(|first| first.is_alphabetic() || first == '_');
    let goes_on_well = characters.all(|it| it.is_alphanumeric() || it == '_');
    let short = name.chars().count() <= limit::NAME_CHARACTERS;
    if begins_well && goes_on_well && short && name != "states" {
        return Ok(());
    }
    Err(place.refuse(format!("{name:?} cannot be the name of a variable")))
}

fn recovery(fields: &Fields) -> Result<Recovery, LoadError> {
    let retriers = fields.array("Retry")?;
    let catchers = fields.array("Catch")?;
    let recovery = Recovery {
        retriers: retriers.iter().map(|value| retrier(fields.place, value)).collect::<Result<_, _>>()?,
        catchers: catchers.iter().map(|value| catcher(fields.place, value)).collect::<Result<_, _>>()?,
    };
    let retried: Vec<_> = recovery.retriers.iter().map(|it| &it.error_equals).collect();
    let caught: Vec<_> = recovery.catchers.iter().map(|it| &it.error_equals).collect();
    check_all_is_last(fields.place, "Retry", &retried)?;
    check_all_is_last(fields.place, "Catch", &caught)?;
    Ok(recovery)
}

fn retrier(place: &Place, value: &Value) -> Result<Retrier, LoadError> {
    let known =
        ["ErrorEquals", "IntervalSeconds", "BackoffRate", "MaxAttempts", "MaxDelaySeconds", "JitterStrategy"];
    let fields = Fields::of(place, "a retrier", value, &known)?;
    let interval_seconds = fields.whole("IntervalSeconds", 1, limit::SECONDS)?.unwrap_or(1);
    let max_delay_seconds = fields.whole("MaxDelaySeconds", 1, LONGEST_DELAY_SECONDS)?;
    if max_delay_seconds.is_some_and(|most| most <= interval_seconds) {
        return Err(fields.refuse("MaxDelaySeconds", "greater than IntervalSeconds"));
    }
    let max_attempts = fields.whole("MaxAttempts", 0, limit::SECONDS)?.unwrap_or(3);
    Ok(Retrier {
        error_equals: error_equals(&fields)?,
        interval_seconds,
        max_attempts: u32::try_from(max_attempts).unwrap_or(u32::MAX),
        backoff_rate: backoff_rate(&fields)?,
        max_delay_seconds,
        jitter: match fields.text("JitterStrategy")? {
            Some("FULL") => JitterStrategy::Full,
            None | Some("NONE") => JitterStrategy::None,
            Some(_) => return Err(fields.refuse("JitterStrategy", "\"FULL\" or \"NONE\"")),
        },
    })
}

fn backoff_rate(fields: &Fields) -> Result<f64, LoadError> {
    match fields.value("BackoffRate") {
        None => Ok(2.0),
        Some(value) => value
            .as_f64()
            .filter(|rate| *rate >= 1.0)
            .ok_or_else(|| fields.refuse("BackoffRate", "a number of at least 1")),
    }
}

fn catcher(place: &Place, value: &Value) -> Result<Catcher, LoadError> {
    let fields = Fields::of(place, "a catcher", value, &["ErrorEquals", "Next", "Assign", "Output"])?;
    Ok(Catcher { error_equals: error_equals(&fields)?, conclusion: conclusion_to(&fields)? })
}

fn error_equals(fields: &Fields) -> Result<Vec<String>, LoadError> {
    fields.required("ErrorEquals")?;
    let names = fields
        .array("ErrorEquals")?
        .iter()
        .map(|value| value.as_str().map(str::to_owned))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| fields.refuse("ErrorEquals", "an array of strings"))?;
    if let Some(name) = names.iter().find(|name| is_unknown_reserved(name)) {
        return Err(fields
            .place
            .refuse(format!("the error {name:?} is not one that can be retried or caught here")));
    }
    if names.len() > 1 && names.iter().any(|name| name == ALL) {
        return Err(fields.place.refuse("\"States.ALL\" must stand alone in ErrorEquals"));
    }
    Ok(names)
}

fn is_unknown_reserved(name: &str) -> bool {
    name.is_empty() || (name.starts_with("States.") && !RESERVED.contains(&name))
}

/// A wildcard in front of other names would hide them (specification, "Retriers" and "Catchers").
fn check_all_is_last(place: &Place, field: &str, entries: &[&Vec<String>]) -> Result<(), LoadError> {
    let before_last = entries.iter().rev().skip(1);
    if before_last.into_iter().any(|names| names.contains(&ALL.to_owned())) {
        return Err(place.refuse(format!("\"States.ALL\" must be in the last entry of {field}")));
    }
    Ok(())
}
