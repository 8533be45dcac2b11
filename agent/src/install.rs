//! `rekindle-agent install`: lays the agent down in a machine, or in the mounted root folder of an image.
//!
//! What is laid down is checked before the first file is written: a base image with a recipe that nobody signed would
//! only be found out by the first rehearsal.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rekindle_step::StepError;

use crate::aws::not_built;
use crate::configuration::{AgentConfiguration, LONGEST_CONFIGURATION_BYTES};
use crate::error::{failed, file};
use crate::files::{read_bounded, write_atomically};
use crate::keys::TrustedKeys;
use crate::places::Places;
use crate::recipe::InstalledRecipes;

const UNIT: &str = include_str!("../../infra/base-image/rekindle-agent.service");
const CLOUD_INIT: &str = include_str!("../../infra/base-image/99-rekindle.cfg");

const PROGRAM_PLACE: &str = "/usr/local/bin/rekindle-agent";
const UNIT_PLACE: &str = "/etc/systemd/system/rekindle-agent.service";
const CLOUD_INIT_PLACE: &str = "/etc/cloud/cloud.cfg.d/99-rekindle.cfg";
/// Links: place and target. The unit starts with the machine. The second one masks the agent of Systems Manager, which
/// would give a shell to whoever has the permission for it.
/// <https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager.html>
const LINKS: [(&str, &str); 2] = [
    ("/etc/systemd/system/multi-user.target.wants/rekindle-agent.service", "../rekindle-agent.service"),
    ("/etc/systemd/system/amazon-ssm-agent.service", "/dev/null"),
];

const LONGEST_FILE_BYTES: u64 = 1024 * 1024;
const LONGEST_PROGRAM_BYTES: u64 = 512 * 1024 * 1024;

/// What is laid down.
#[derive(Debug, clap::Args)]
pub(crate) struct InstallArguments {
    /// The agent's configuration.
    #[arg(long)]
    config: PathBuf,
    /// The folder of the public keys whose signatures are obeyed: all of its `.pub` files.
    #[arg(long)]
    trusted_keys: PathBuf,
    /// The folder of the recipes and their signatures: all of its `.toml` and `.toml.minisig` files.
    #[arg(long)]
    recipes: PathBuf,
    /// The wrapped identity, to lie where the configuration says.
    #[arg(long)]
    wrapped_identity: Option<PathBuf>,
    /// The agent's program, where it is not the one that runs: one for another architecture, for example.
    #[arg(long)]
    program: Option<PathBuf>,
}

struct Laid {
    place: PathBuf,
    bytes: Vec<u8>,
    mode: u32,
}

/// Lays everything down, and gives a sentence about it. A second time changes only what is different.
pub(crate) fn install(
    places: &Places,
    own: &Path,
    arguments: &InstallArguments,
) -> Result<String, StepError> {
    let wanted = wanted(places, own, arguments)?;
    remove_others(&places.trusted_keys(), &wanted)?;
    remove_others(&places.recipes(), &wanted)?;
    let mut written = 0;
    for laid in &wanted {
        written += u32::from(lay(laid)?);
    }
    for (place, target) in LINKS {
        written += u32::from(link(&places.inside(place), Path::new(target))?);
    }
    written += u32::from(private_folder(&places.inside("/var/lib/rekindle"))?);
    Ok(format!("{}: {written} places changed", places.root().display()))
}

/// Everything, read and checked.
fn wanted(places: &Places, own: &Path, arguments: &InstallArguments) -> Result<Vec<Laid>, StepError> {
    let trusted = TrustedKeys::read(&arguments.trusted_keys)?;
    let recipes = InstalledRecipes::read(&arguments.recipes, &trusted)?;
    let text = read(&arguments.config, LONGEST_CONFIGURATION_BYTES)?;
    let configuration = AgentConfiguration::parse(&String::from_utf8_lossy(&text))?;
    if configuration.aws.is_some() && arguments.program.is_none() && cfg!(not(feature = "aws")) {
        return Err(not_built());
    }
    for store in &configuration.data_stores {
        recipes.named(&store.recipe)?;
    }
    let at =
        |place: &str, bytes: &[u8], mode| Laid { place: places.inside(place), bytes: bytes.to_vec(), mode };
    let program = read(arguments.program.as_deref().unwrap_or(own), LONGEST_PROGRAM_BYTES)?;
    let mut wanted = vec![
        Laid { place: places.configuration(), bytes: text, mode: 0o644 },
        at(UNIT_PLACE, UNIT.as_bytes(), 0o644),
        at(CLOUD_INIT_PLACE, CLOUD_INIT.as_bytes(), 0o644),
    ];
    wanted.extend(copies(&arguments.trusted_keys, &[".pub"], &places.trusted_keys())?);
    wanted.extend(copies(&arguments.recipes, &[".toml", ".toml.minisig"], &places.recipes())?);
    wanted.extend(wrapped_identity(places, &configuration, arguments)?);
    wanted.push(Laid { place: places.inside(PROGRAM_PLACE), bytes: program, mode: 0o755 });
    Ok(wanted)
}

fn wrapped_identity(
    places: &Places,
    configuration: &AgentConfiguration,
    arguments: &InstallArguments,
) -> Result<Option<Laid>, StepError> {
    let place = configuration.aws.as_ref().and_then(|settings| settings.identity.as_deref());
    match (&arguments.wrapped_identity, place) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(failed("the configuration names a wrapped identity, and none is given")
            .next_step("Make it with `rekindle-agent wrap-identity`, and give it with --wrapped-identity")),
        (Some(_), None) => Err(failed("the configuration does not say where the wrapped identity is to lie")
            .next_step("Add `identity` to the table [aws] of the configuration")),
        (Some(path), Some(place)) => {
            let bytes = read(path, LONGEST_FILE_BYTES)?;
            if String::from_utf8_lossy(&bytes).contains("AGE-SECRET-KEY") {
                return Err(failed(format!("{} is an identity in clear", path.display())).next_step(
                    "Wrap it with `rekindle-agent wrap-identity`; an image must not hold it in clear",
                ));
            }
            Ok(Some(Laid { place: places.inside(place), bytes, mode: 0o600 }))
        }
    }
}

fn read(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, StepError> {
    read_bounded(path, limit_bytes)?.ok_or_else(|| failed(format!("there is no {}", path.display())))
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, StepError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| file("reading the folder", folder, error))?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
    let mut paths = paths.map_err(|error| file("reading the folder", folder, error))?;
    paths.sort();
    Ok(paths)
}

fn copies(from: &Path, endings: &[&str], into: &Path) -> Result<Vec<Laid>, StepError> {
    let named = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut laid = Vec::new();
    for path in files_in(from)? {
        let Some(name) = named(&path) else { continue };
        if endings.iter().any(|ending| name.ends_with(ending)) {
            laid.push(Laid { place: into.join(name), bytes: read(&path, LONGEST_FILE_BYTES)?, mode: 0o644 });
        }
    }
    Ok(laid)
}

/// A key that is not trusted any more must not stay behind in an image that is made anew.
fn remove_others(folder: &Path, wanted: &[Laid]) -> Result<(), StepError> {
    for path in files_in(folder)? {
        if !wanted.iter().any(|laid| laid.place == path) {
            fs::remove_file(&path).map_err(|error| file("removing", &path, error))?;
        }
    }
    Ok(())
}

/// Whether anything had to be written.
fn lay(laid: &Laid) -> Result<bool, StepError> {
    let same_mode = |found: fs::Metadata| found.is_file() && found.permissions().mode() & 0o7777 == laid.mode;
    if fs::symlink_metadata(&laid.place).is_ok_and(same_mode)
        && fs::read(&laid.place).is_ok_and(|present| present == laid.bytes)
    {
        return Ok(false);
    }
    write_atomically(&laid.place, &laid.bytes, laid.mode).map(|()| true)
}

fn link(place: &Path, target: &Path) -> Result<bool, StepError> {
    if fs::read_link(place).is_ok_and(|present| present == target) {
        return Ok(false);
    }
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder).map_err(|error| file("creating the folder", folder, error))?;
    }
    crate::files::remove(place)?;
    std::os::unix::fs::symlink(target, place).map_err(|error| file("linking", place, error))?;
    Ok(true)
}

fn private_folder(folder: &Path) -> Result<bool, StepError> {
    let private = |found: fs::Metadata| found.is_dir() && found.permissions().mode() & 0o777 == 0o700;
    if fs::metadata(folder).is_ok_and(private) {
        return Ok(false);
    }
    fs::create_dir_all(folder).map_err(|error| file("creating the folder", folder, error))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
        .map_err(|error| file("protecting the folder", folder, error))?;
    Ok(true)
}
