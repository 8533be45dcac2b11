//! Who runs the command.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::{patience, program};

/// How many users were made by these tests: each has a name of its own.
static MADE: AtomicU32 = AtomicU32::new(0);

/// Somebody with a home of their own, whose path no other process on this machine knows.
pub struct Account {
    home: PathBuf,
    program: PathBuf,
    kind: Kind,
}

enum Kind {
    /// Who runs the tests; the folder is removed with the account.
    Own { _home: TempDir },
    /// An ordinary user that was made for one test.
    Made { name: String, user: String, group: String },
}

impl Account {
    /// Who runs the tests, with a home of its own.
    pub fn own() -> Self {
        let home = tempfile::Builder::new().prefix("rekindle-home-").tempdir().unwrap();
        // What processes and mounts are called by: no symbolic link on the way.
        let path = home.path().canonicalize().unwrap();
        Self { home: path, program: program::built(), kind: Kind::Own { _home: home } }
    }

    /// A user without any privilege: one that is made for the test, or the own one when that is such a user.
    pub fn ordinary() -> Self {
        if rustix::process::geteuid().is_root() { Self::made() } else { Self::own() }
    }

    fn made() -> Self {
        let name = format!("rekindle-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        run(Command::new("useradd").args(["--create-home", "--shell", "/bin/sh", &name]));
        let home = PathBuf::from(run(Command::new("sh").args(["-c", &format!("echo ~{name}")])));
        let user = run(Command::new("id").args(["--user", &name]));
        let group = run(Command::new("id").args(["--group", &name]));
        let mut account =
            Self { program: home.join("rekindle"), home, kind: Kind::Made { name, user, group } };
        account.take_a_copy_of_the_program();
        account
    }

    /// The one in the build's folder may be out of this user's reach.
    fn take_a_copy_of_the_program(&mut self) {
        std::fs::copy(program::built(), &self.program).unwrap();
        std::fs::set_permissions(&self.program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Its home.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Where the command keeps state when nobody says anything else.
    pub fn state_folder(&self) -> PathBuf {
        self.home.join(".local/state/rekindle")
    }

    /// The command with these arguments, run by this user.
    pub fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = match &self.kind {
            Kind::Own { .. } => Command::new(&self.program),
            Kind::Made { user, group, .. } => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", user, "--regid", group, "--clear-groups", "--"]).arg(&self.program);
                command
            }
        };
        command.args(arguments).env("HOME", &self.home).current_dir(&self.home).stdin(Stdio::null());
        program::without_surroundings(command)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let Kind::Made { name, .. } = &self.kind else { return };
        // A user whose processes still end cannot be removed.
        patience::until(|| is_removed(name));
    }
}

fn is_removed(name: &str) -> bool {
    let removed = Command::new("userdel").args(["--remove", name]).output();
    removed.is_ok_and(|output| output.status.success())
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot run: {error}"));
    assert!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
