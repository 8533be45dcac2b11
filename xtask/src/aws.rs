//! The `aws` command: everything that this program asks of AWS goes through it, and so obeys AWS_ENDPOINT_URL,
//! profiles and single sign-on as its user knows them.

use std::ffi::OsStr;
use std::path::PathBuf;

use serde_json::Value;

use crate::emulators::{self, Emulators};
use crate::error::TaskError;
use crate::process::Program;
use crate::python::Environment;
use crate::repository::Repository;

/// The command, and whom it speaks to.
pub(crate) struct Aws<'a> {
    repository: &'a Repository,
    program: PathBuf,
    emulators: Option<&'a Emulators>,
}

/// What the command complained of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) String);

impl Refusal {
    /// The name that AWS gives the error, as in `An error occurred (AccessDenied) when calling …`.
    pub(crate) fn code(&self) -> &str {
        let named = self.0.split_once("An error occurred (").and_then(|(_, rest)| rest.split_once(')'));
        named.map_or("", |(code, _)| code)
    }

    /// As an error of whoever wanted it done.
    pub(crate) fn while_doing(&self, what: &str) -> TaskError {
        TaskError::CheckFailed(format!("{what} was refused: {}", self.0))
    }
}

impl<'a> Aws<'a> {
    /// Speaks to the account of whoever runs this; the pinned command is preferred to one on the PATH.
    pub(crate) fn of_the_caller(repository: &'a Repository) -> Result<Self, TaskError> {
        let pinned = Environment::Ministack.find(repository).map(|installed| installed.program("aws"));
        let program = pinned.unwrap_or_else(|| PathBuf::from("aws"));
        if Program::new(repository, &program).arguments(["--version"]).succeeds_silently() {
            return Ok(Self { repository, program, emulators: None });
        }
        Err(TaskError::Missing(
            "this needs the `aws` command: install it, or run `cargo xtask emulators -- true` once, which \
             installs a pinned one below target/tools"
                .to_owned(),
        ))
    }

    /// Speaks to emulators.
    pub(crate) fn of_emulators(repository: &'a Repository, emulators: &'a Emulators) -> Self {
        Self { repository, program: emulators.aws_command(), emulators: Some(emulators) }
    }

    /// As the `aws` command finds it: in the environment first, then in the profile.
    pub(crate) fn region(&self) -> Result<String, TaskError> {
        let named = ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| std::env::var(name).ok());
        if let Some(region) = self.fixed_region().map(str::to_owned).or(named) {
            return Ok(region);
        }
        let configured = self.text(["configure", "get", "region"]).map_err(|_| {
            TaskError::Missing("no region is chosen: set AWS_REGION, or give the profile one".to_owned())
        })?;
        Ok(configured.trim().to_owned())
    }

    /// Whose credentials these are.
    pub(crate) fn account(&self) -> Result<String, TaskError> {
        let account = self.text(["sts", "get-caller-identity", "--query", "Account", "--output", "text"])?;
        Ok(account.trim().to_owned())
    }

    /// Whether somebody else than AWS answers.
    pub(crate) fn is_emulated(&self) -> bool {
        self.emulators.is_some() || std::env::var_os("AWS_ENDPOINT_URL").is_some()
    }

    /// Where emulators are, they are in one region.
    fn fixed_region(&self) -> Option<&'static str> {
        self.emulators.map(|_| emulators::REGION)
    }

    fn program<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Program {
        let program = match self.emulators {
            Some(emulators) => emulators.program(self.repository, &self.program),
            None => Program::new(self.repository, &self.program).variable("AWS_PAGER", ""),
        };
        program.arguments(arguments)
    }

    /// What it answers; null when it says nothing.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<Value, TaskError> {
        let text = self.program(arguments.iter().chain(&["--output", "json"])).output()?;
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|error| {
            TaskError::CheckFailed(format!(
                "the answer to `aws {}` is not JSON: {error}",
                arguments.join(" ")
            ))
        })
    }

    /// What it answers, or what AWS said against it: for questions of which no is an answer.
    pub(crate) fn attempt(&self, arguments: &[&str]) -> Result<Result<Value, Refusal>, TaskError> {
        let answer = self.program(arguments.iter().chain(&["--output", "json"])).attempt()?;
        Ok(answer.map_err(Refusal).map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// What it answers, as a text.
    pub(crate) fn text<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<String, TaskError> {
        self.program(arguments).output()
    }

    /// Has it do something that takes a while, and shows what it says meanwhile.
    pub(crate) fn carry_out(&self, arguments: &[&str]) -> Result<(), TaskError> {
        let program = self.program(arguments).beside_the_data();
        match self.emulators {
            Some(emulators) => emulators.run(program),
            None => program.run(),
        }
    }

    /// Whether it is done without a complaint.
    pub(crate) fn succeeds(&self, arguments: &[&str]) -> bool {
        self.program(arguments).succeeds_silently()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_known_by_its_name() {
        let said = "\nAn error occurred (InvalidAMIName.Duplicate) when calling the CreateImage operation: x";
        assert_eq!(Refusal(said.to_owned()).code(), "InvalidAMIName.Duplicate");
        assert_eq!(Refusal("Unable to locate credentials".to_owned()).code(), "");
    }
}
