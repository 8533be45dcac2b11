//! The commands of the agent.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rekindle_step::{ErrorName, StepError};

use crate::back_up::{BackupArguments, back_up};
use crate::engine::postgres::PostgresCommand;
use crate::engine::sqlite::SqliteCommand;
use crate::error::{failed, system};
use crate::files::{read_bounded, write_atomically};
use crate::install::InstallArguments;
use crate::jobs::Instance;
use crate::keys::{DataIdentity, LONGEST_SIGNATURE_BYTES, SigningKey, TrustedKeys};
use crate::places::Places;
use crate::produce::produce;
use crate::publish_configuration::{PublishConfigurationArguments, publish_configuration};
use crate::recipe::last_line_of;
use crate::run::RunArguments;
use crate::{engine, init, install, logging, run_as};

const EXAMPLES: &str = "\
Examples:
  rekindle-agent keygen --signing-key signing.key --identity data.identity
  rekindle-agent sign recipe.toml --signing-key signing.key
  rekindle-agent backup --signing-key /run/rekindle/secrets/signing.key --recipient age1… \\
      --control /run/rekindle/store/control --data /run/rekindle/store/data --json
  rekindle-agent publish-configuration service.json --signing-key /run/rekindle/secrets/signing.key
  rekindle-agent install --root /mnt/image --config agent.toml --trusted-keys keys --recipes recipes
  rekindle-agent run

Exit codes:
  0  done
  1  failed; the sentence on standard error says what and what to do next
  2  the command line was not understood
  3  not now: another backup runs, or the store could not be reached; try again
  4  refused: a signature, a recipe or a description is not what it has to be
  5  the disk is full";

/// The program inside instances and on the customer's hosts.
#[derive(Debug, Parser)]
#[command(name = "rekindle-agent", version, after_help = EXAMPLES)]
struct Arguments {
    /// A folder to take for `/`, for trying things out and for looking into an image.
    #[arg(long, global = true, default_value = "/", hide = true)]
    root: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Inside an instance: pull jobs and do them until the instance is sealed.
    Run(RunArguments),
    /// On a production host: start the engines and programs, keep them running, stop them on SIGTERM.
    Produce,
    /// On a production host: take one backup.
    Backup(BackupArguments),
    /// Sign a configuration of this host's service, and lay it into the control bucket.
    PublishConfiguration(PublishConfigurationArguments),
    /// Make a signing key, a data identity, or both.
    Keygen {
        /// Where to write the new signing key; its public half goes beside it, with `.pub` added.
        #[arg(long, required_unless_present = "identity")]
        signing_key: Option<PathBuf>,
        /// Where to write the new data identity; its recipient is shown.
        #[arg(long)]
        identity: Option<PathBuf>,
    },
    /// Sign a file: a recipe, a configuration. The signature goes beside it, with `.minisig` added.
    Sign {
        /// The file.
        file: PathBuf,
        /// The signing key.
        #[arg(long)]
        signing_key: PathBuf,
    },
    /// Check a file's signature against the trusted keys.
    Verify {
        /// The file.
        file: PathBuf,
        /// The folder of public keys, where it is not the usual one.
        #[arg(long)]
        trusted_keys: Option<PathBuf>,
    },
    /// Lay the agent down in a machine or in the root folder of an image: program, unit, configuration, keys, recipes.
    Install(InstallArguments),
    /// Encrypt a data identity with a key of KMS, for one machine.
    #[cfg(feature = "aws")]
    WrapIdentity(crate::aws::wrap_identity::WrapIdentityArguments),
    /// Helper of the recipe `sqlite`.
    #[command(subcommand)]
    Sqlite(SqliteCommand),
    /// Helper of the recipe `postgres-dump`.
    #[command(subcommand)]
    Postgres(PostgresCommand),
    /// Run a program that believes to be another user.
    RunAs {
        /// The user that it is to see.
        user: u32,
        /// The group that it is to see.
        group: u32,
        /// Program and arguments.
        #[arg(last = true, required = true)]
        program: Vec<OsString>,
    },
}

/// Runs the agent with these arguments, the first of which is the program's name.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let parsed = match Arguments::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match dispatch(parsed, arguments.get(1..).unwrap_or_default()) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{}", last_line_of(&error));
            exit_code_of(error.name)
        }
    }
}

fn exit_code_of(name: ErrorName) -> ExitCode {
    ExitCode::from(match name {
        ErrorName::Transient => 3,
        ErrorName::SignatureInvalid
        | ErrorName::RecipeUnknown
        | ErrorName::SetRefused
        | ErrorName::ConfigurationRefused => 4,
        ErrorName::DiskFull => 5,
        _ => 1,
    })
}

fn dispatch(parsed: Arguments, arguments: &[OsString]) -> Result<ExitCode, StepError> {
    let places = Places::under(&parsed.root);
    match parsed.command {
        // This has to come first and without threads.
        Command::RunAs { user, group, program } => return Err(run_as::run_as(user, group, &program)),
        Command::Sqlite(command) => engine::sqlite::run(command)?,
        Command::Postgres(command) => wait_for(engine::postgres::run(command))?,
        Command::Keygen { signing_key, identity } => keygen(signing_key.as_deref(), identity.as_deref())?,
        Command::Sign { file, signing_key } => sign(&file, &signing_key)?,
        Command::Verify { file, trusted_keys } => {
            verify(&file, &trusted_keys.unwrap_or_else(|| places.trusted_keys()))?;
        }
        Command::Backup(arguments) => {
            logging::start();
            say(&wait_for(back_up(places, own_program()?, arguments))?)?;
        }
        Command::PublishConfiguration(arguments) => {
            logging::start();
            say(&wait_for(publish_configuration(places, arguments))?)?;
        }
        Command::Run(_) | Command::Produce if init::is_first_process() => {
            return wait_for(init::run_below(arguments));
        }
        Command::Run(arguments) => {
            logging::start();
            wait_for(crate::run::run(places, own_program()?, arguments))?;
        }
        Command::Install(arguments) => say(&install::install(&places, &own_program()?, &arguments)?)?,
        #[cfg(feature = "aws")]
        Command::WrapIdentity(arguments) => say(&wait_for(crate::aws::wrap_identity::wrap(arguments))?)?,
        Command::Produce => {
            logging::start();
            let instance = Instance::new(places, own_program()?);
            wait_for(produce(&instance))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn own_program() -> Result<PathBuf, StepError> {
    std::env::current_exe().map_err(|error| system("finding the agent's own program failed", error))
}

fn wait_for<T>(future: impl Future<Output = Result<T, StepError>>) -> Result<T, StepError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| system("starting the runtime failed", error))?
        .block_on(future)
}

fn say(text: &str) -> Result<(), StepError> {
    writeln!(std::io::stdout(), "{text}").map_err(|error| system("writing to standard output failed", error))
}

fn keygen(signing_key: Option<&Path>, identity: Option<&Path>) -> Result<(), StepError> {
    if let Some(path) = signing_key {
        let key = SigningKey::generate()?;
        key.write(path)?;
        let public = with_suffix(path, ".pub");
        write_atomically(&public, key.public_text()?.as_bytes(), 0o644)?;
        say(&format!("public key: {}", public.display()))?;
    }
    if let Some(path) = identity {
        let identity = DataIdentity::generate();
        identity.write(path)?;
        say(&format!("recipient: {}", identity.recipient().text()))?;
    }
    Ok(())
}

const LONGEST_SIGNED_BYTES: u64 = 64 * 1024 * 1024;

fn read_signed(path: &Path) -> Result<Vec<u8>, StepError> {
    read_bounded(path, LONGEST_SIGNED_BYTES)?.ok_or_else(|| failed(format!("there is no {}", path.display())))
}

fn sign(path: &Path, signing_key: &Path) -> Result<(), StepError> {
    let bytes = read_signed(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let signature = SigningKey::read(signing_key)?.sign(&bytes, &format!("file {name}"))?;
    write_atomically(&with_suffix(path, ".minisig"), signature.as_bytes(), 0o644)
}

fn verify(path: &Path, trusted_keys: &Path) -> Result<(), StepError> {
    let bytes = read_signed(path)?;
    let signature = read_bounded(&with_suffix(path, ".minisig"), LONGEST_SIGNATURE_BYTES)?;
    let shown = path.display().to_string();
    TrustedKeys::read(trusted_keys)?.verify(&shown, &bytes, &signature.unwrap_or_default())?;
    say(&format!("{shown}: signed by a trusted key"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
