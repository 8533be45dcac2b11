//! Recipes: how one kind of data store is backed up, restored and proven. Data, never code.
//!
//! A recipe is TOML. Programs are argument vectors, no shell ever sees them, and `{…}` in an argument is replaced by a
//! declared parameter or one of the built-in values. Whatever a recipe names that is not known is refused when it is
//! read, not when a disaster needs it. A set pins the recipe that it was taken with by the digest of the file.

mod builtin;
mod installed;
mod placeholder;
mod program;

use std::collections::BTreeMap;
use std::time::Duration;

use rekindle_step::{ErrorName, StepError};
use serde::Deserialize;

pub use builtin::{BuiltinRecipe, builtin_recipes};
pub use installed::{InstalledRecipe, InstalledRecipes};
pub(crate) use placeholder::{Parameters, Values};
pub(crate) use program::{
    RunningProgram, Surroundings, last_line_of, run, run_all, start_reading, start_writing,
};

/// The version of the format.
pub const SCHEMA_VERSION: u32 = 1;
/// The longest recipe that is read.
pub const LONGEST_RECIPE_BYTES: u64 = 64 * 1024;
const LONGEST_TIMEOUT_SECONDS: u32 = 7 * 24 * 3600;

/// A recipe that was read and found sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// Its name, for example `sqlite`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The engine that it handles.
    pub engine: String,
    /// What a data store has to say about itself.
    pub parameters: BTreeMap<String, Parameter>,
    actions: BTreeMap<Action, Vec<Step>>,
    /// How a restore is proven.
    pub checks: Vec<VerifyStep>,
}

/// Something that a recipe knows how to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Write the heartbeat row on the source.
    Heartbeat,
    /// Stream everything.
    BackupFull,
    /// Stream what changed since the last set.
    BackupIncremental,
    /// Restore from a full set.
    Rebuild,
    /// Restore an increment onto what is there.
    Apply,
    /// Make the restored data readable for a verification.
    Start,
    /// Check a restore; the check says what.
    Verify,
    /// Stop the engine cleanly before the image is made.
    Stop,
    /// Start the engine for serving.
    Activate,
    /// Start the engine on a production host, where the data may not exist yet.
    Produce,
}

impl Action {
    /// The action's name for people and file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::BackupFull => "backup-full",
            Self::BackupIncremental => "backup-incremental",
            Self::Rebuild => "rebuild",
            Self::Apply => "apply",
            Self::Start => "start",
            Self::Verify => "verify",
            Self::Stop => "stop",
            Self::Activate => "activate",
            Self::Produce => "produce",
        }
    }

    fn stream(self) -> Option<StreamEnd> {
        match self {
            Self::BackupFull | Self::BackupIncremental => Some(StreamEnd::Output),
            Self::Rebuild | Self::Apply => Some(StreamEnd::Input),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StreamEnd {
    Input,
    Output,
}

/// One program of an action.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Program and arguments.
    pub run: Vec<String>,
    /// It is killed after this many seconds.
    timeout_seconds: u32,
    /// The user that it believes to be, through a namespace of its own.
    #[serde(default)]
    pub run_as: Option<u32>,
    #[serde(default)]
    stdin: Option<StreamMark>,
    #[serde(default)]
    stdout: Option<StreamMark>,
}

impl Step {
    /// How long it may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.timeout_seconds))
    }

    /// Whether the data flows through it.
    pub fn takes_the_stream(&self) -> bool {
        self.stdin.is_some() || self.stdout.is_some()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum StreamMark {
    #[serde(rename = "stream")]
    Stream,
}

/// The steps of an action, cut at the one that takes the stream.
///
/// Those after it run only once every object of the set matched its signed digest: before that they would work on
/// bytes that nobody vouches for.
#[derive(Debug, Clone, Copy)]
pub struct StreamedSteps<'a> {
    /// What has to happen before data arrives.
    pub before: &'a [Step],
    /// What the data flows through.
    pub stream: &'a Step,
    /// What makes the staged data the data.
    pub after: &'a [Step],
}

/// What a check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyKind {
    /// The program writes the engine's position, which has to be the set's.
    Position,
    /// The program writes the heartbeat row as JSON.
    Heartbeat,
    /// The program writes the answer to `{query}`.
    Probe,
    /// The program succeeds when the engine's own check of its files does.
    Structure,
}

/// One check of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyStep {
    /// Its name in verdicts.
    pub name: String,
    /// What it looks at.
    pub kind: VerifyKind,
    /// The program.
    pub step: Step,
}

/// A parameter that a data store gives.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// What it has to look like.
    #[serde(rename = "type")]
    pub kind: ParameterKind,
    /// What it is when the data store does not say; required where there is none. An empty text means *not given*.
    pub default: Option<String>,
}

/// What a parameter has to look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterKind {
    /// A letter or underscore, then letters, digits, `_` and `-`.
    Ident,
    /// An absolute path without `..`.
    Path,
    /// 1 to 65535.
    Port,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: u32,
    name: String,
    version: String,
    engine: EngineDocument,
    #[serde(default)]
    params: BTreeMap<String, Parameter>,
    #[serde(default)]
    heartbeat: Vec<Step>,
    backup: BackupDocument,
    rebuild: Vec<Step>,
    #[serde(default)]
    apply: Vec<Step>,
    #[serde(default)]
    start: Vec<Step>,
    verify: Vec<VerifyDocument>,
    #[serde(default)]
    stop: Vec<Step>,
    #[serde(default)]
    activate: Vec<Step>,
    #[serde(default)]
    produce: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EngineDocument {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BackupDocument {
    full: Vec<Step>,
    #[serde(default)]
    incremental: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyDocument {
    name: String,
    kind: VerifyKind,
    run: Vec<String>,
    timeout_seconds: u32,
    #[serde(default)]
    run_as: Option<u32>,
}

impl Recipe {
    /// Reads a recipe's text.
    ///
    /// # Errors
    /// `Agent.RecipeUnknown` when it is too long, is not TOML of this form, or names something unknown.
    pub fn parse(text: &str) -> Result<Self, StepError> {
        if text.len() as u64 > LONGEST_RECIPE_BYTES {
            return Err(refused(format!("it is longer than {LONGEST_RECIPE_BYTES} bytes")));
        }
        let document: Document = toml::from_str(text).map_err(|error| refused(error.message().to_owned()))?;
        let recipe = Self::from_document(document)?;
        match recipe.contradiction() {
            None => Ok(recipe),
            Some(reason) => Err(refused(reason)),
        }
    }

    fn from_document(document: Document) -> Result<Self, StepError> {
        if document.schema != SCHEMA_VERSION {
            return Err(refused(format!(
                "it has schema {}, this program reads {SCHEMA_VERSION}",
                document.schema
            )));
        }
        let actions = [
            (Action::Heartbeat, document.heartbeat),
            (Action::BackupFull, document.backup.full),
            (Action::BackupIncremental, document.backup.incremental),
            (Action::Rebuild, document.rebuild),
            (Action::Apply, document.apply),
            (Action::Start, document.start),
            (Action::Stop, document.stop),
            (Action::Activate, document.activate),
            (Action::Produce, document.produce),
        ];
        Ok(Self {
            name: document.name,
            version: document.version,
            engine: document.engine.name,
            parameters: document.params,
            actions: actions.into_iter().filter(|(_, steps)| !steps.is_empty()).collect(),
            checks: document.verify.into_iter().map(VerifyStep::from).collect(),
        })
    }

    /// The steps of an action; empty where the recipe has none.
    pub fn steps(&self, action: Action) -> &[Step] {
        self.actions.get(&action).map_or(&[], Vec::as_slice)
    }

    /// The steps of an action that moves data.
    ///
    /// # Errors
    /// `Agent.RecipeUnknown` when the recipe does not have the action.
    pub fn streamed(&self, action: Action) -> Result<StreamedSteps<'_>, StepError> {
        let steps = self.steps(action);
        let at = steps.iter().position(Step::takes_the_stream);
        match at.and_then(|at| steps.get(at).map(|stream| (at, stream))) {
            Some((at, stream)) => Ok(StreamedSteps { before: &steps[..at], stream, after: &steps[at + 1..] }),
            None => Err(refused(format!("{} has no action {}", self.name, action.name()))),
        }
    }

    /// Whether it can take and apply increments.
    pub fn knows_increments(&self) -> bool {
        !self.steps(Action::BackupIncremental).is_empty()
    }

    fn contradiction(&self) -> Option<String> {
        self.contradiction_in_names()
            .or_else(|| self.contradiction_in_streams())
            .or_else(|| self.contradiction_in_checks())
            .or_else(|| {
                self.every_step().find_map(|(action, kind, step)| self.step_contradiction(action, kind, step))
            })
    }

    fn contradiction_in_names(&self) -> Option<String> {
        for (what, text) in [("name", &self.name), ("version", &self.version), ("engine", &self.engine)] {
            if !is_plain(text) {
                return Some(format!("its {what} is not 1 to 63 letters, digits and . - _"));
            }
        }
        self.parameters.iter().find_map(|(name, parameter)| placeholder::declaration_problem(name, parameter))
    }

    fn contradiction_in_streams(&self) -> Option<String> {
        if self.steps(Action::BackupIncremental).is_empty() != self.steps(Action::Apply).is_empty() {
            return Some("backup.incremental and apply go together".to_owned());
        }
        self.actions.iter().find_map(|(action, steps)| {
            let takers = steps.iter().filter(|step| step.takes_the_stream()).count();
            let wanted = usize::from(action.stream().is_some());
            let wrong_end = steps.iter().any(|step| match action.stream() {
                Some(StreamEnd::Input) => step.stdout.is_some(),
                Some(StreamEnd::Output) => step.stdin.is_some(),
                None => step.takes_the_stream(),
            });
            (takers != wanted || wrong_end).then(|| {
                format!("the action {} needs {wanted} step with the stream, on its side", action.name())
            })
        })
    }

    fn contradiction_in_checks(&self) -> Option<String> {
        let count = |kind| self.checks.iter().filter(|check| check.kind == kind).count();
        for kind in [VerifyKind::Position, VerifyKind::Heartbeat, VerifyKind::Probe] {
            if count(kind) != 1 {
                return Some(format!("it has {} checks of kind {kind:?}, and needs one", count(kind)));
            }
        }
        let unnamed = self.checks.iter().any(|check| !is_plain(&check.name));
        unnamed.then(|| "a check is not named with 1 to 63 letters, digits and . - _".to_owned())
    }

    fn every_step(&self) -> impl Iterator<Item = (Action, Option<VerifyKind>, &Step)> {
        let steps =
            self.actions.iter().flat_map(|(action, steps)| steps.iter().map(|step| (*action, None, step)));
        steps.chain(self.checks.iter().map(|check| (Action::Verify, Some(check.kind), &check.step)))
    }

    fn step_contradiction(&self, action: Action, kind: Option<VerifyKind>, step: &Step) -> Option<String> {
        let within = action.name();
        if !(1..=LONGEST_TIMEOUT_SECONDS).contains(&step.timeout_seconds) {
            return Some(format!("a timeout in {within} is not 1 to {LONGEST_TIMEOUT_SECONDS} seconds"));
        }
        if step.run.len() > 128 {
            return Some(format!("a program in {within} has more than 128 arguments"));
        }
        let Some(program) = step.run.first() else {
            return Some(format!("a step in {within} names no program"));
        };
        if !placeholder::is_program(program, &self.parameters) {
            return Some(format!(
                "the program {program:?} in {within} is neither {{agent}} nor an absolute path"
            ));
        }
        step.run
            .iter()
            .find_map(|argument| placeholder::problem(argument, &self.parameters, action, kind))
            .map(|problem| format!("in {within}: {problem}"))
    }
}

impl From<VerifyDocument> for VerifyStep {
    fn from(document: VerifyDocument) -> Self {
        let VerifyDocument { name, kind, run, timeout_seconds, run_as } = document;
        Self { name, kind, step: Step { run, timeout_seconds, run_as, stdin: None, stdout: None } }
    }
}

fn is_plain(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (1..=63).contains(&text.len()) && text.bytes().all(plain)
}

fn refused(reason: String) -> StepError {
    StepError::new(ErrorName::RecipeUnknown, format!("the recipe is refused: {reason}"))
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        clippy::expect_used,
        reason = "a test that reads what it must not has failed"
    )]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_builtin_recipes_are_sound() {
        for builtin in builtin_recipes() {
            let recipe = Recipe::parse(builtin.text).unwrap();
            assert_eq!((recipe.name.as_str(), recipe.version.as_str()), (builtin.name, builtin.version));
            recipe.streamed(Action::BackupFull).unwrap();
            recipe.streamed(Action::Rebuild).unwrap();
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let good = builtin_recipes().into_iter().find(|recipe| recipe.name == "sqlite").unwrap().text;
        for (from, to, why) in [
            ("schema = 1", "schema = 2", "another schema"),
            ("schema = 1", "schema = 1\nunknown = true", "an unknown key"),
            ("{database}", "{nowhere}", "an unknown placeholder"),
            ("{database}", "{database", "an open brace"),
            ("\"{agent}\"", "\"sqlite3\"", "a program that is looked up"),
            ("\"{agent}\"", "\"../agent\"", "a relative program"),
            ("stdout = \"stream\"", "", "a backup without a stream"),
            ("stdin = \"stream\"", "stdin = \"file\"", "another stream"),
            ("type = \"path\"", "type = \"shell\"", "another type"),
            ("kind = \"heartbeat\"", "kind = \"structure\"", "no heartbeat check"),
            ("timeout_seconds = ", "timeout_seconds = 0 #", "no time at all"),
            ("name = \"sqlite\"", "name = \"../sqlite\"", "a name that climbs"),
            ("{query}", "{from_position}", "a value that does not exist there"),
        ] {
            let text = good.replace(from, to);
            assert_ne!(text, good, "{why}: nothing was replaced");
            let error = Recipe::parse(&text).expect_err(why);
            assert_eq!(error.name, ErrorName::RecipeUnknown, "{why}");
        }
    }

    #[test]
    fn an_oversized_recipe_is_not_read() {
        let text = "#".repeat(LONGEST_RECIPE_BYTES as usize + 1);
        assert_eq!(Recipe::parse(&text).unwrap_err().name, ErrorName::RecipeUnknown);
    }

    proptest! {
        #[test]
        fn reading_never_panics(at in 0_usize..6000, noise in "\\PC{0,12}") {
            for builtin in builtin_recipes() {
                let mut text = builtin.text.to_owned();
                let mut at = at.min(text.len());
                while !text.is_char_boundary(at) { at -= 1; }
                text.insert_str(at, &noise);
                let _ = Recipe::parse(&text);
            }
        }
    }
}
