//! The `aws` command: everything that this program asks of AWS goes through it, and so obeys AWS_ENDPOINT_URL,
//! profiles and single sign-on as its user knows them.

pub(crate) mod tagged;

use std::ffi::OsStr;
use std::path::PathBuf;

use serde_json::Value;

use crate::emulators::{self, Emulators};
use crate::error::TaskError;
use crate::process::Program;
use crate::python::Environment;
use crate::remnant::Remnant;
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

    /// Whether it says that what was asked about is not there. Every other refusal leaves that open.
    pub(crate) fn says_gone(&self) -> bool {
        const GONE: [&str; 5] = [
            "404",
            "InvalidAMIID.Unavailable",
            "NoSuchBucket",
            "NotFoundException",
            "ResourceNotFoundException",
        ];
        let code = self.code();
        // CloudFormation has no name of its own for a stack that is gone.
        let is_stack_gone = code == "ValidationError" && self.0.contains("does not exist");
        is_stack_gone || code.ends_with(".NotFound") || GONE.contains(&code)
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

    /// A program of a test's, in the place of the command.
    #[cfg(test)]
    pub(crate) fn played_by(repository: &'a Repository, program: PathBuf) -> Self {
        Self { repository, program, emulators: None }
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

    /// Whether emulators answer that this program has started. An address in the environment does not tell: it may be
    /// one of AWS's own.
    pub(crate) fn is_emulated(&self) -> bool {
        self.emulators.is_some()
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

    /// Has something taken away. What is gone already is as good as taken away; anything else is told of.
    pub(crate) fn take_away(&self, what: &str, command: &[&str]) -> Option<Remnant> {
        let why = match self.attempt(command) {
            Ok(Ok(_)) => return None,
            Ok(Err(refusal)) if refusal.says_gone() => return None,
            Ok(Err(refusal)) => refusal.0,
            Err(error) => error.to_string(),
        };
        Some(Remnant { what: what.to_owned(), why, command: format!("aws {}", command.join(" ")) })
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
pub(crate) mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A script in the place of the `aws` command. It notes what it was asked, and answers as a test says.
    pub(crate) struct Played {
        folder: tempfile::TempDir,
    }

    impl Played {
        /// The lines of a `case` of the shell over all arguments. What none of them has is answered with nothing.
        pub(crate) fn answering(cases: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("aws");
            let notes = folder.path().join("asked");
            let script = format!(
                "#!/bin/sh\nnotes={}\necho \"$*\" >>\"$notes\"\n\
                 refuse() {{ echo \"An error occurred ($1) when calling it: ${{2:-no}}\" >&2; exit 254; }}\n\
                 case \"$*\" in\n{cases}\nesac\n",
                notes.display()
            );
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            Self { folder }
        }

        pub(crate) fn program(&self) -> PathBuf {
            self.folder.path().join("aws")
        }

        pub(crate) fn aws<'a>(&self, repository: &'a Repository) -> Aws<'a> {
            Aws::played_by(repository, self.program())
        }

        /// What it was asked, a line each.
        pub(crate) fn asked(&self) -> Vec<String> {
            let notes = fs::read_to_string(self.folder.path().join("asked")).unwrap_or_default();
            notes.lines().map(str::to_owned).collect()
        }

        /// How often it was asked something that begins so.
        pub(crate) fn times(&self, beginning: &str) -> usize {
            self.asked().iter().filter(|line| line.starts_with(beginning)).count()
        }
    }

    fn refusal(code: &str, words: &str) -> Refusal {
        Refusal(format!("\nAn error occurred ({code}) when calling the operation: {words}"))
    }

    #[test]
    fn an_error_is_known_by_its_name() {
        assert_eq!(refusal("InvalidAMIName.Duplicate", "x").code(), "InvalidAMIName.Duplicate");
        assert_eq!(Refusal("Unable to locate credentials".to_owned()).code(), "");
    }

    #[test]
    fn only_what_is_not_there_is_gone() {
        for (code, words) in [
            ("404", "Not Found"),
            ("NoSuchBucket", "x"),
            ("InvalidSnapshot.NotFound", "x"),
            ("InvalidAMIID.Unavailable", "The image ID is no longer available"),
            ("ResourceNotFoundException", "Requested resource not found"),
            ("NotFoundException", "Key does not exist"),
            ("ValidationError", "Stack with id rekindle does not exist"),
        ] {
            assert!(refusal(code, words).says_gone(), "{code}");
        }
        for (code, words) in [
            ("403", "Forbidden"),
            ("AccessDeniedException", "the key does not exist or you may not see it"),
            ("ExpiredToken", "x"),
            ("RequestLimitExceeded", "x"),
            ("ValidationError", "1 validation error detected"),
            ("InvalidSnapshot.InUse", "x"),
        ] {
            assert!(!refusal(code, words).says_gone(), "{code}");
        }
        assert!(!Refusal("Could not connect to the endpoint URL".to_owned()).says_gone());
    }

    /// A test cannot set its own environment; the emulators' tests have such an address.
    #[test]
    #[ignore = "needs the emulators"]
    fn an_address_in_the_environment_is_not_an_emulator_of_ours() {
        assert!(std::env::var_os("AWS_ENDPOINT_URL").is_some());
        let repository = Repository::find().unwrap();
        assert!(!Aws::of_the_caller(&repository).unwrap().is_emulated());
    }

    #[test]
    fn what_would_not_go_is_told_of_with_the_command_for_it() {
        let repository = Repository::find().unwrap();
        let played = Played::answering("*gone*) refuse NoSuchBucket ;; *held*) refuse AccessDenied ;;");
        let aws = played.aws(&repository);
        assert_eq!(aws.take_away("x", &["s3api", "delete-object", "fine"]), None);
        assert_eq!(aws.take_away("x", &["s3api", "delete-object", "gone"]), None);
        let left = aws.take_away("the object held", &["s3api", "delete-object", "held"]).unwrap().to_string();
        assert!(left.contains("the object held: `aws s3api delete-object held`"), "{left}");
        assert!(left.contains("AccessDenied"), "{left}");
    }
}
