//! Packages of Debian and Ubuntu, where this user may install them without a password.

use crate::error::TaskError;
use crate::process::Program;
use crate::repository::Repository;
use crate::speech;

/// How packages may be installed here without asking for a password.
#[derive(Debug, Clone, Copy)]
enum Privilege {
    Root,
    Sudo,
}

/// Installs a package that holds what is missing, or says who can.
pub(crate) fn install(repository: &Repository, package: &str, what: &str) -> Result<(), TaskError> {
    let privilege = package_privilege(repository).ok_or_else(|| {
        TaskError::Missing(format!(
            "this needs {what}, and this user may not install packages: \
             run `sudo apt-get install {package}`, then this command again"
        ))
    })?;
    speech::progress(&format!("Missing: {what}. Installing the Debian package `{package}`."));
    apt_get(repository, privilege, &["update"])?;
    apt_get(repository, privilege, &["install", "--yes", "--no-install-recommends", package])
}

fn package_privilege(repository: &Repository) -> Option<Privilege> {
    if !Program::new(repository, "apt-get").arguments(["--version"]).succeeds_silently() {
        return None;
    }
    let user = Program::new(repository, "id").arguments(["--user"]).output().unwrap_or_default();
    if user.trim() == "0" {
        return Some(Privilege::Root);
    }
    let may_sudo =
        Program::new(repository, "sudo").arguments(["--non-interactive", "true"]).succeeds_silently();
    may_sudo.then_some(Privilege::Sudo)
}

fn apt_get(repository: &Repository, privilege: Privilege, arguments: &[&str]) -> Result<(), TaskError> {
    let program = match privilege {
        Privilege::Root => Program::new(repository, "env"),
        Privilege::Sudo => Program::new(repository, "sudo").arguments(["--non-interactive", "env"]),
    };
    // Through `env`, since sudo passes no variables on.
    program
        .arguments(["DEBIAN_FRONTEND=noninteractive", "apt-get"])
        .arguments(arguments)
        .beside_the_data()
        .run()
}
