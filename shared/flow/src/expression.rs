//! JSONata expressions and the JSON around them: compiled when the file is loaded, evaluated when a state runs.

use std::collections::BTreeSet;
use std::fmt;

use jsonata_core::ast::AstNode;
use jsonata_core::evaluator::{Context, Evaluator, EvaluatorOptions};
use jsonata_core::value::JValue;
use serde_json::{Map, Value};

use crate::clock::Clock;
use crate::function;
use crate::randomness::Randomness;

/// Guard against an expression that would not end; far above what any expression of a flow needs.
const LONGEST_EVALUATION_MILLISECONDS: u64 = 10_000;
const DEEPEST_EVALUATION: usize = 2_000;
const LONGEST_SEQUENCE: usize = 100_000;

/// Whole numbers up to here are exact in a JSON number.
const LARGEST_EXACT_INTEGER: f64 = 9_007_199_254_740_991.0;

/// The variables of one scope, by name without the `$`.
pub(crate) type Variables = Map<String, Value>;

/// One `{% ... %}`.
#[derive(Clone)]
pub(crate) struct Expression {
    source: String,
    syntax: AstNode,
}

impl fmt::Debug for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{{% {} %}}", self.source)
    }
}

/// What one expression refers to, for the checks of the loader.
#[derive(Debug, Default)]
pub(crate) struct References {
    /// Functions called by name, without the `$`.
    pub(crate) functions: BTreeSet<String>,
    /// Variables read, without the `$`, and without those that the expression binds itself.
    pub(crate) variables: BTreeSet<String>,
    /// Paths that begin with `$states`, as the names after it.
    pub(crate) states_paths: BTreeSet<Vec<String>>,
}

impl Expression {
    /// The expression in a text that is `{% ... %}` from its first to its last character; `None` for any other.
    pub(crate) fn source_of(text: &str) -> Option<&str> {
        text.strip_prefix("{%")?.strip_suffix("%}").map(str::trim)
    }

    /// Compiles the source of an expression.
    pub(crate) fn compile(source: &str) -> Result<Self, String> {
        let syntax = jsonata_core::parser::parse(source)
            .map_err(|error| format!("{source:?} is not JSONata: {}", error.display_message()))?;
        Ok(Self { source: source.to_owned(), syntax })
    }

    /// The text between `{%` and `%}`.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Everything the expression refers to.
    pub(crate) fn references(&self) -> References {
        let mut found = Found::default();
        // The syntax tree is plain data: its serialised form is walked instead of its three dozen variants.
        found.walk(&serde_json::to_value(&self.syntax).unwrap_or_default());
        let Found { mut references, bound } = found;
        references.variables.retain(|name| !bound.contains(name));
        references.functions.retain(|name| !bound.contains(name));
        references
    }

    /// The value of the expression; the error is a sentence for people.
    pub(crate) fn evaluate(&self, environment: &Environment) -> Result<Value, String> {
        let mut evaluator = environment.evaluator()?;
        let outcome = evaluator
            .evaluate(&self.syntax, &JValue::Undefined)
            .map_err(|error| format!("the JSONata expression '{}' failed: {error}", self.source))?;
        match outcome {
            JValue::Undefined => {
                Err(format!("the JSONata expression '{}' returned nothing (undefined)", self.source))
            }
            value => to_json(&value)
                .map_err(|reason| format!("the JSONata expression '{}' returned {reason}", self.source)),
        }
    }
}

#[derive(Default)]
struct Found {
    references: References,
    bound: BTreeSet<String>,
}

impl Found {
    fn walk(&mut self, node: &Value) {
        match node {
            Value::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Value::Object(members) => members.iter().for_each(|(tag, content)| {
                self.note(tag, content);
                self.walk(content);
            }),
            _ => {}
        }
    }

    fn note(&mut self, tag: &str, content: &Value) {
        match (tag, content) {
            ("Variable", Value::String(name)) if !name.is_empty() => {
                self.references.variables.insert(name.clone());
                if name == "states" {
                    self.references.states_paths.insert(Vec::new());
                }
            }
            ("Function", Value::Object(call)) => {
                let name = call.get("name").and_then(Value::as_str).unwrap_or_default();
                self.references.functions.insert(name.to_owned());
            }
            ("Binary", Value::Object(operation))
                if operation.get("op") == Some(&Value::from("ColonEqual")) =>
            {
                self.bind(operation.get("lhs").and_then(|left| left.get("Variable")));
            }
            ("Lambda", Value::Object(lambda)) => {
                let parameters = lambda.get("params").and_then(Value::as_array);
                parameters.into_iter().flatten().for_each(|name| self.bind(Some(name)));
            }
            ("focus" | "index_var" | "Index", name @ Value::String(_)) => self.bind(Some(name)),
            ("Path", Value::Object(path)) => self.note_path(path.get("steps")),
            _ => {}
        }
    }

    fn bind(&mut self, name: Option<&Value>) {
        if let Some(name) = name.and_then(Value::as_str) {
            self.bound.insert(name.to_owned());
        }
    }

    fn note_path(&mut self, steps: Option<&Value>) {
        let mut steps = steps.and_then(Value::as_array).into_iter().flatten();
        let first = steps.next().and_then(|step| step.pointer("/node/Variable"));
        if first.and_then(Value::as_str) == Some("states") {
            let names = steps
                .map_while(|step| step.pointer("/node/Name").and_then(Value::as_str))
                .map(str::to_owned)
                .collect();
            self.references.states_paths.insert(names);
        }
    }
}

/// JSON as it comes out of an expression; the error names what has no place in JSON.
fn to_json(value: &JValue) -> Result<Value, &'static str> {
    Ok(match value {
        JValue::Null => Value::Null,
        JValue::Bool(truth) => Value::Bool(*truth),
        JValue::Number(number) => number_to_json(*number)?,
        JValue::String(text) => Value::String(text.to_string()),
        JValue::Array(items) => {
            items.iter().filter(|item| !item.is_undefined()).map(to_json).collect::<Result<_, _>>()?
        }
        JValue::Object(members) => Value::Object(
            members
                .iter()
                .filter(|(_, member)| !member.is_undefined())
                .map(|(name, member)| Ok((name.clone(), to_json(member)?)))
                .collect::<Result<_, &'static str>>()?,
        ),
        JValue::Undefined => return Err("nothing (undefined)"),
        JValue::Regex { .. } => return Err("a regular expression, which is not JSON"),
        JValue::Lambda(_) | JValue::Builtin { .. } => return Err("a function, which is not JSON"),
    })
}

/// JSONata has one kind of number; whole ones are written without a fraction, as on AWS.
fn number_to_json(number: f64) -> Result<Value, &'static str> {
    if number.fract() == 0.0 && number.abs() <= LARGEST_EXACT_INTEGER {
        return Ok(Value::from(number as i64));
    }
    serde_json::Number::from_f64(number).map(Value::Number).ok_or("a number that JSON cannot hold")
}

/// What an expression can see: `$states` and the variables, the clock and chance.
pub(crate) struct Environment {
    bindings: Vec<(String, JValue)>,
    clock: Clock,
    randomness: Randomness,
}

impl Environment {
    /// The environment with this `$states` and these variables.
    pub(crate) fn new(states: Value, variables: &Variables, clock: Clock, randomness: &Randomness) -> Self {
        let variables = variables.iter().map(|(name, value)| (name.clone(), JValue::from(value.clone())));
        let states = ("states".to_owned(), JValue::from(states));
        Self { bindings: variables.chain([states]).collect(), clock, randomness: randomness.clone() }
    }

    fn evaluator(&self) -> Result<Evaluator, String> {
        let mut context = Context::new();
        for (name, value) in &self.bindings {
            context.bind(name.clone(), value.clone());
        }
        let options = EvaluatorOptions {
            timeout_ms: Some(LONGEST_EVALUATION_MILLISECONDS),
            max_stack_depth: Some(DEEPEST_EVALUATION),
            max_sequence_length: Some(LONGEST_SEQUENCE),
            ..EvaluatorOptions::default()
        };
        let mut evaluator = Evaluator::with_options(context, options);
        function::register(&mut evaluator, self.clock, &self.randomness)
            .map_err(|error| error.to_string())?;
        Ok(evaluator)
    }
}

/// JSON in which any string may be an expression.
#[derive(Debug, Clone)]
pub(crate) enum Template {
    /// No expression inside.
    Literal(Value),
    /// A string that is an expression.
    Expression(Expression),
    /// An array with an expression somewhere inside.
    Array(Vec<Template>),
    /// An object with an expression somewhere inside.
    Object(Vec<(String, Template)>),
}

/// An expression without a usable value, and the field it stands in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct QueryError {
    pub(crate) location: String,
    pub(crate) cause: String,
}

impl Template {
    /// Compiles every expression in a JSON value.
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        let template = match value {
            Value::String(text) => match Expression::source_of(text) {
                Some(source) => Self::Expression(Expression::compile(source)?),
                None => Self::Literal(value.clone()),
            },
            Value::Array(items) => Self::Array(items.iter().map(Self::compile).collect::<Result<_, _>>()?),
            Value::Object(members) => Self::Object(
                members
                    .iter()
                    .map(|(name, member)| Ok((name.clone(), Self::compile(member)?)))
                    .collect::<Result<_, String>>()?,
            ),
            _ => Self::Literal(value.clone()),
        };
        Ok(if template.expressions().is_empty() { Self::Literal(value.clone()) } else { template })
    }

    /// Every expression inside.
    pub(crate) fn expressions(&self) -> Vec<&Expression> {
        match self {
            Self::Literal(_) => Vec::new(),
            Self::Expression(expression) => vec![expression],
            Self::Array(items) => items.iter().flat_map(Self::expressions).collect(),
            Self::Object(members) => members.iter().flat_map(|(_, member)| member.expressions()).collect(),
        }
    }

    /// The value with every expression evaluated; `location` is the name of the field, for the error.
    pub(crate) fn evaluate(&self, location: &str, environment: &Environment) -> Result<Value, QueryError> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Expression(expression) => expression
                .evaluate(environment)
                .map_err(|cause| QueryError { location: location.to_owned(), cause }),
            Self::Array(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| item.evaluate(&format!("{location}[{index}]"), environment))
                .collect::<Result<_, _>>(),
            Self::Object(members) => members
                .iter()
                .map(|(name, member)| {
                    let value = member.evaluate(&format!("{location}/{name}"), environment)?;
                    Ok((name.clone(), value))
                })
                .collect::<Result<_, _>>()
                .map(Value::Object),
        }
    }
}
