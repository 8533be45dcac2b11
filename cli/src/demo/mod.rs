//! `rekindle demo`: the main job on one machine, with real instances, a real database and a real disaster.
//!
//! Read [`story`] first: it is the demo from top to bottom.

mod cold_restore;
mod comparison;
mod customer;
mod engine;
mod narrator;
mod orders_client;
mod options;
mod outcome;
mod sites;
mod story;
mod watch;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use rekindle_step::StepError;

pub use options::DemoOptions;

use narrator::Narrator;
use outcome::DemoOutcome;

/// How the demo ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Everything held.
    Held,
    /// Something did not hold; it was said what.
    DidNotHold,
    /// A person stopped it.
    Interrupted,
}

/// Runs the demo, cleans up after it whatever happens, and looks whether anything is left.
///
/// # Errors
/// When the demo could not be carried out.
pub async fn run(options: &DemoOptions) -> Result<Ending, StepError> {
    let narrator = Narrator::to_standard_error();
    let interfaces_before = rekindle_cloud_local::network_interfaces();
    let place = Place::make(options)?;
    let told = tokio::select! {
        told = story::tell(options, &place.folder, &narrator) => Some(told),
        _ = tokio::signal::ctrl_c() => None,
    };
    // The clouds are gone with the story, and with them everything that ran.
    let leftovers = rekindle_cloud_local::leftovers(&place.folder, &interfaces_before);
    place.clean_up(options)?;
    match told {
        None => {
            narrator.interrupted(&leftovers);
            Ok(Ending::Interrupted)
        }
        Some(Err(error)) => Err(error),
        Some(Ok(mut outcome)) => {
            outcome.leftovers = leftovers;
            narrator.conclude(&outcome);
            if options.json {
                print_json(&outcome)?;
            }
            Ok(if outcome.held() { Ending::Held } else { Ending::DidNotHold })
        }
    }
}

fn print_json(outcome: &DemoOutcome) -> Result<(), StepError> {
    let unwritable = |error: std::io::Error| StepError::permanent("the result could not be printed").because(error);
    let mut output = std::io::stdout().lock();
    serde_json::to_writer(&mut output, outcome).map_err(|error| unwritable(error.into()))?;
    writeln!(output).map_err(unwritable)
}

/// The folder of this demo.
struct Place {
    folder: PathBuf,
}

/// What stays of a demo that is not kept.
const REPORT_FOLDER: &str = "reports";

impl Place {
    fn make(options: &DemoOptions) -> Result<Self, StepError> {
        let folder = options.state_folder().join(format!("demo-{}", rekindle_domain::RunId::mint()));
        std::fs::create_dir_all(&folder).map_err(|error| {
            StepError::permanent(format!("the folder {} could not be made", folder.display()))
                .because(error)
                .next_step("Name another one with --state")
        })?;
        let folder = folder.canonicalize().map_err(|error| {
            StepError::permanent(format!("the folder {} cannot be used", folder.display())).because(error)
        })?;
        Ok(Self { folder })
    }

    /// Removes everything but the reports.
    fn clean_up(&self, options: &DemoOptions) -> Result<(), StepError> {
        if options.keep {
            return Ok(());
        }
        let left = |error: std::io::Error| {
            StepError::dirty(format!("the folder {} could not be removed", self.folder.display())).because(error)
        };
        let entries = std::fs::read_dir(&self.folder).map_err(left)?;
        for entry in entries {
            let path = entry.map_err(left)?.path();
            if path.file_name().is_some_and(|name| name != REPORT_FOLDER) {
                remove(&path).map_err(left)?;
            }
        }
        // Removed only when it is empty: without a report there is nothing to keep.
        let _ = std::fs::remove_dir(&self.folder);
        Ok(())
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    if path.is_dir() && !path.is_symlink() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
}
