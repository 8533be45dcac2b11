//! `rekindle demo`: the main job on one machine, with real instances, a real database and a real disaster.
//!
//! Read [`story`] first: it is the demo from top to bottom.

mod cold_restore;
mod comparison;
mod customer;
mod engine;
mod narrator;
mod options;
mod orders_client;
mod outcome;
mod sites;
mod story;
mod watch;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rekindle_step::StepError;
use tokio::runtime::Runtime;

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
pub fn run(options: &DemoOptions) -> Result<Ending, StepError> {
    let narrator = Narrator::to_standard_error();
    let interfaces_before = rekindle_cloud_local::network_interfaces();
    let place = Place::make(options)?;
    let told = tell_or_be_stopped(options, &place, &narrator);
    let looked_at = place.where_instances_may_be(&told);
    let leftovers = new_runtime()?.block_on(look_for_leftovers(&looked_at, &interfaces_before));
    place.clean_up(options)?;
    match told? {
        None => {
            narrator.interrupted(&leftovers, place.what_stays());
            Ok(Ending::Interrupted)
        }
        Some(mut outcome) => {
            outcome.leftovers = leftovers;
            narrator.conclude(&outcome);
            if options.json {
                print_json(&outcome)?;
            }
            Ok(if outcome.held() { Ending::Held } else { Ending::DidNotHold })
        }
    }
}

/// The story on a runtime of its own: when that is gone, nothing holds the clouds any more.
fn tell_or_be_stopped(
    options: &DemoOptions,
    place: &Place,
    narrator: &Narrator,
) -> Result<Option<DemoOutcome>, StepError> {
    let runtime = new_runtime()?;
    let told = runtime.block_on(async {
        tokio::select! {
            told = story::tell(options, &place.folder, narrator) => told.map(Some),
            _ = tokio::signal::ctrl_c() => Ok(None),
        }
    });
    runtime.shutdown_timeout(PATIENCE_WITH_ENDINGS);
    told
}

/// Helpers end when their owner lets go of them, which takes a moment; what is there after this long is left.
const PATIENCE_WITH_ENDINGS: Duration = Duration::from_secs(5);

/// Looks at the machine, not at our records.
async fn look_for_leftovers(folders: &[PathBuf], interfaces_before: &BTreeSet<String>) -> Vec<String> {
    let until = Instant::now() + PATIENCE_WITH_ENDINGS;
    loop {
        // One thing may have to do with several of the folders.
        let leftovers: BTreeSet<String> = folders
            .iter()
            .flat_map(|folder| rekindle_cloud_local::leftovers(folder, interfaces_before))
            .collect();
        if leftovers.is_empty() || Instant::now() > until {
            return leftovers.into_iter().collect();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn new_runtime() -> Result<Runtime, StepError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| StepError::permanent("the runtime could not be started").because(error))
}

fn print_json(outcome: &DemoOutcome) -> Result<(), StepError> {
    let unwritable =
        |error: std::io::Error| StepError::permanent("the result could not be printed").because(error);
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

    /// Where to look for what is left. In the clouds' own folders only when the story came to its end: otherwise
    /// folders of instances are there, and go with the rest of this folder.
    fn where_instances_may_be(&self, told: &Result<Option<DemoOutcome>, StepError>) -> Vec<PathBuf> {
        let clouds = [sites::PRODUCTION_FOLDER, sites::RECOVERY_FOLDER];
        let ended = matches!(told, Ok(Some(_)));
        let of_clouds = clouds.into_iter().filter(|_| ended).map(|cloud| self.folder.join(cloud));
        std::iter::once(self.folder.clone()).chain(of_clouds).collect()
    }

    /// The folder, when something of it stays.
    fn what_stays(&self) -> Option<&Path> {
        Some(self.folder.as_path()).filter(|folder| folder.exists())
    }

    /// Removes everything but the reports.
    fn clean_up(&self, options: &DemoOptions) -> Result<(), StepError> {
        if options.keep {
            return Ok(());
        }
        let left = |error: std::io::Error| {
            StepError::dirty(format!("the folder {} could not be removed", self.folder.display()))
                .because(error)
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
    if path.is_dir() && !path.is_symlink() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    }
}
