//! The commands.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use rekindle_step::StepError;

use crate::demo::{self, DemoOptions};
use crate::orders_service::{self, ServiceError, ServiceOptions};

const EXAMPLES: &str = "\
Examples:
  rekindle demo                           the whole main job on this machine
  rekindle demo --engine postgres         the same with the machine's PostgreSQL server
  rekindle demo --data-mb 1000 --keep     a gigabyte, and the store, images and reports stay for a look
  rekindle demo --json 2>/dev/null        one JSON object for a script
  rekindle completions bash > /etc/bash_completion.d/rekindle

Exit codes:
  0  everything held
  1  something did not hold, or could not be done; the sentence on standard error says what and what to do
  2  the command line was not understood
  3  this machine does not allow what is needed; the sentence says how to allow it
  130  interrupted; what was started was destroyed";

/// Rekindle keeps a recent, proven copy of every IT service as a cold image, and starts it when disaster strikes.
#[derive(Debug, Parser)]
#[command(name = "rekindle", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole main job on this machine: back up, refresh, prove, destroy production, recover, compare.
    Demo(DemoOptions),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Exit codes are a contract with scripts; they are listed in `--help`.
const FAILED: u8 = 1;
const UNSUPPORTED: u8 = 3;
const INTERRUPTED: u8 = 130;

/// Runs a command of the operator.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let parsed = match Arguments::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => error.exit(),
    };
    match parsed.command {
        Command::Demo(options) => run_demo(&options),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "rekindle", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
    }
}

fn run_demo(options: &DemoOptions) -> ExitCode {
    if let Err(unsupported) = rekindle_cloud_local::probe() {
        complain(&format!("rekindle cannot start instances on this machine: {unsupported}"));
        return ExitCode::from(UNSUPPORTED);
    }
    log_to_standard_error();
    match demo::run(options) {
        Ok(demo::Ending::Held) => ExitCode::SUCCESS,
        Ok(demo::Ending::DidNotHold) => ExitCode::from(FAILED),
        Ok(demo::Ending::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            complain(&error.chain());
            ExitCode::from(FAILED)
        }
    }
}

/// Runs the service of the demo, inside an instance.
pub fn run_orders_service(arguments: Vec<OsString>) -> ExitCode {
    #[derive(Parser)]
    #[command(name = "orders-service")]
    struct ServiceArguments {
        #[command(flatten)]
        options: ServiceOptions,
    }
    log_to_standard_error();
    let serve = async {
        let options = ServiceArguments::parse_from(arguments).options;
        orders_service::serve(options).await.map_err(service_failed)
    };
    match on_a_runtime(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.chain());
            ExitCode::from(FAILED)
        }
    }
}

fn service_failed(error: ServiceError) -> StepError {
    StepError::permanent("the orders service could not serve").because(error)
}

fn on_a_runtime<T>(work: impl Future<Output = Result<T, StepError>>) -> Result<T, StepError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| StepError::permanent("the runtime could not be started").because(error))?
        .block_on(work)
}

/// Warnings by default; `RUST_LOG` says otherwise. Never standard output: that is for results.
fn log_to_standard_error() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let coloured = std::io::stderr().is_terminal() && console::colors_enabled_stderr();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(coloured).with_writer(std::io::stderr).init();
}

/// One sentence on standard error.
fn complain(sentence: &str) {
    let _ = writeln!(std::io::stderr(), "{sentence}");
}
