//! What the `rekindle` command must do without, so that it stays quick to build and runs where nothing is installed.

use std::collections::BTreeSet;

use crate::error::TaskError;
use crate::process::Program;
use crate::repository::Repository;
use crate::speech;

/// The default member of the workspace.
const PACKAGE: &str = "rekindle";

/// A crate that must not be in the tree, and why.
struct Forbidden {
    name: &'static str,
    because: &'static str,
}

const FORBIDDEN: [Forbidden; 6] = [
    Forbidden {
        name: "aws-sdk-ec2",
        because: "it is a million lines; only `rekindle-cloud-aws` uses it, and the embedded product does not",
    },
    Forbidden { name: "openssl", because: "the program has to run where no OpenSSL of its version is" },
    Forbidden { name: "openssl-sys", because: "the program has to run where no OpenSSL of its version is" },
    Forbidden { name: "native-tls", because: "it brings OpenSSL" },
    Forbidden {
        name: "aws-lc-rs",
        because: "it builds a C library for minutes, and nothing here speaks TLS",
    },
    Forbidden {
        name: "aws-lc-sys",
        because: "it builds a C library for minutes, and nothing here speaks TLS",
    },
];

/// Reads the tree and names every crate that has no place in it.
pub(crate) fn run(repository: &Repository) -> Result<(), TaskError> {
    let crates = crates_in_tree(repository)?;
    let found: Vec<String> = FORBIDDEN
        .iter()
        .filter(|forbidden| crates.contains(forbidden.name))
        .map(|forbidden| format!("{} ({})", forbidden.name, forbidden.because))
        .collect();
    if !found.is_empty() {
        return Err(TaskError::CheckFailed(format!(
            "the command `rekindle` depends on {}; `cargo tree --package {PACKAGE} --edges normal --invert NAME` shows how",
            found.join(", ")
        )));
    }
    let names: Vec<&str> = FORBIDDEN.iter().map(|forbidden| forbidden.name).collect();
    speech::say(&format!(
        "The command `rekindle` is made of {} crates, without {}.",
        crates.len(),
        names.join(", ")
    ));
    Ok(())
}

fn crates_in_tree(repository: &Repository) -> Result<BTreeSet<String>, TaskError> {
    let arguments = [
        "tree",
        "--locked",
        "--package",
        PACKAGE,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ];
    let tree = Program::cargo(repository).arguments(arguments).output()?;
    let crates: BTreeSet<String> =
        tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    if crates.contains(PACKAGE) {
        return Ok(crates);
    }
    // An empty answer would pass every check.
    Err(TaskError::CheckFailed(format!("`cargo tree` did not show the tree of {PACKAGE}")))
}
