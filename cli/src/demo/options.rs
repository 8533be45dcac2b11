//! What may be different from one demo to the next.

use std::path::PathBuf;

use clap::ValueEnum;

/// Options of `rekindle demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoOptions {
    /// The database of the production service.
    #[arg(long, value_enum, default_value_t = Engine::Sqlite)]
    pub engine: Engine,
    /// How much data production holds, in megabytes (10 to 100000).
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub data_mb: u32,
    /// Keep store, images and register for a look; instances end with the command in any case.
    #[arg(long)]
    pub keep: bool,
    /// Print exactly one JSON object on standard output; everything else goes to standard error.
    #[arg(long)]
    pub json: bool,
    /// Where the demo keeps its folder. The file system decides what a start costs: with reflinks (XFS, btrfs) nothing
    /// is copied.
    #[arg(long, value_name = "FOLDER")]
    pub state: Option<PathBuf>,
}

/// A database engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Compiled in: nothing to install.
    Sqlite,
    /// The machine's PostgreSQL server, started inside the instances.
    Postgres,
}

impl Engine {
    /// Its name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

impl DemoOptions {
    /// Where folders of demos are made: what was asked for, or the user's own place for state (XDG Base Directory
    /// Specification), or the folder for temporary files.
    pub fn state_folder(&self) -> PathBuf {
        if let Some(folder) = &self.state {
            return folder.clone();
        }
        let named = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = std::env::var_os("HOME").map(PathBuf::from).filter(|path| path.is_dir());
        named
            .or_else(|| home.map(|home| home.join(".local/state")))
            .unwrap_or_else(std::env::temp_dir)
            .join("rekindle")
    }
}
