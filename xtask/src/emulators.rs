//! `cargo xtask emulators`: AWS on this machine, for the tests of adapters and for the deployed template.
//!
//! Two programs share the work: `ministack` is everything but EC2, and runs the real functions; `moto` is EC2, and is
//! stricter there. Both listen on loopback only, and end with whoever started them.

mod run_folder;
mod server;
mod variables;

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;

use crate::error::TaskError;
use crate::http;
use crate::interruption::{self, Interruption};
use crate::process::Program;
use crate::python::{Environment, Installed};
use crate::repository::Repository;
use crate::speech;
use run_folder::RunFolder;
use server::Server;
pub(crate) use variables::REGION;

const EXAMPLES: &str = "\
Examples:
  cargo xtask emulators                              start them, print their environment, wait for Ctrl-C
  cargo xtask emulators -- aws s3 ls                 one command with that environment
  cargo xtask emulators -- cargo nextest run --run-ignored only -p rekindle-store-s3
  cargo xtask emulators --authorize -- COMMAND       roles of functions are enforced

Exit codes:
  0    they ran, and the command ended well
  1    they could not be installed or started, or ended by themselves
  130  interrupted; everything is ended
  any other code is the command's own";

/// How the emulators are started, and for what.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    wishes: Wishes,
    /// Print the environment as a JSON object instead of shell lines.
    #[arg(long, conflicts_with = "command")]
    json: bool,
    /// Run this with their environment, then end them; without it they run until Ctrl-C.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What may differ from run to run.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Wishes {
    /// Refuse what the role of a function does not allow.
    #[arg(long)]
    pub(crate) authorize: bool,
    /// How long the waits of state machines take, as a part of what they say: 0 skips them.
    #[arg(long, value_name = "PART")]
    pub(crate) wait_scale: Option<f64>,
}

/// `cargo xtask emulators`.
pub(crate) fn run(repository: &Repository, arguments: &Arguments) -> Result<(), TaskError> {
    let emulators = Emulators::start(repository, arguments.wishes)?;
    if let [program, others @ ..] = arguments.command.as_slice() {
        return emulators.run(emulators.program(repository, program).arguments(others));
    }
    speech::say(&variables::shown(&emulators.variables(), arguments.json));
    speech::progress("They run until Ctrl-C.");
    emulators.watch()
}

/// Both emulators, running; dropped, they end.
#[derive(Debug)]
pub(crate) struct Emulators {
    main: Server,
    ec2: Server,
    // After the servers: fields are dropped in their order, and the folder is where they work.
    folder: RunFolder,
    interruption: Interruption,
    ministack: Installed,
    moto: Installed,
}

impl Emulators {
    /// Installs them if need be, starts them, and waits until both answer.
    pub(crate) fn start(repository: &Repository, wishes: Wishes) -> Result<Self, TaskError> {
        let ministack = Environment::Ministack.prepare(repository)?;
        let moto = Environment::Moto.prepare(repository)?;
        let interruption = Interruption::watch()?;
        let (main_port, ec2_port) = (http::free_port()?, http::free_port()?);
        let folder = RunFolder::create(repository, main_port)?;
        let places = variables::Places { main_port, temporary: folder.temporary() };
        let ec2 = Server::start(
            "moto",
            own(repository, moto.program("moto_server"))
                .arguments(["--host", "127.0.0.1", "--port", &ec2_port.to_string()])
                .variables(&variables::of_moto(&places)),
            ec2_port,
            &folder,
        )?;
        let main = Server::start(
            "ministack",
            own(repository, ministack.program("ministack"))
                .variables(&variables::of_callers(main_port, ec2_port))
                .variables(&variables::of_ministack(&places, wishes)),
            main_port,
            &folder,
        )?;
        let mut this = Self { main, ec2, folder, interruption, ministack, moto };
        this.main.wait_until_it_answers("/_ministack/health", &this.interruption)?;
        this.ec2.wait_until_it_answers("/moto-api/", &this.interruption)?;
        this.introduce();
        Ok(this)
    }

    fn introduce(&self) {
        speech::progress(&format!(
            "AWS is emulated at http://127.0.0.1:{}, EC2 at http://127.0.0.1:{}; logs in {}.",
            self.main.port(),
            self.ec2.port(),
            self.folder.path().display()
        ));
    }

    /// The environment of programs that are to use them.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        variables::of_callers(self.main.port(), self.ec2.port())
    }

    /// A program that uses them; commands of their Python environments are found first.
    pub(crate) fn program(&self, repository: &Repository, program: impl AsRef<std::ffi::OsStr>) -> Program {
        own(repository, program).variables(&self.variables()).variable("PATH", self.search_path())
    }

    fn search_path(&self) -> OsString {
        let mut folders = vec![self.ministack.programs()];
        folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
        std::env::join_paths(folders).unwrap_or_default()
    }

    /// The `aws` command that was installed with them.
    pub(crate) fn aws_command(&self) -> std::path::PathBuf {
        self.ministack.program("aws")
    }

    /// The `cfn-lint` that was installed with them.
    pub(crate) fn cfn_lint_command(&self) -> std::path::PathBuf {
        self.moto.program("cfn-lint")
    }

    /// Runs a program to its end, or until somebody asks for the end.
    pub(crate) fn run(&self, program: Program) -> Result<(), TaskError> {
        program.run_unless_interrupted(&self.interruption)
    }

    /// Until somebody asks for the end; an error when an emulator ends before that.
    fn watch(mut self) -> Result<(), TaskError> {
        while !self.interruption.has_come() {
            self.main.check()?;
            self.ec2.check()?;
            interruption::pause(Duration::from_millis(100));
        }
        Err(TaskError::Interrupted)
    }
}

/// Nothing of the caller's own account may be seen: a forgotten profile must not lead a test into it.
fn own(repository: &Repository, program: impl AsRef<std::ffi::OsStr>) -> Program {
    Program::that_ends_with_us(repository, program).without_variables("AWS_")
}
