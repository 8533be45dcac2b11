//! How large packages are, and may be: what is not there need not be loaded at a cold start.

use std::path::PathBuf;

use serde::Serialize;

use super::binaries::Kind;
use super::build::Architecture;
use crate::error::TaskError;

const WITHOUT_EC2: usize = 2_500_000;
const WITH_EC2: usize = 4_000_000;

/// A package that was made.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Package {
    /// The function, or `agent`.
    pub(crate) name: String,
    /// What it is for.
    pub(crate) architecture: Architecture,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// The program itself.
    pub(crate) unzipped_bytes: usize,
    /// The package; none for the agent, which is not packed.
    pub(crate) zipped_bytes: Option<usize>,
    /// What the package may have in the profile `lambda`.
    pub(crate) limit_bytes: Option<usize>,
    /// Of the file.
    pub(crate) sha256: String,
}

/// What a package may have, packed.
pub(crate) fn limit(kind: Kind) -> Option<usize> {
    match kind {
        Kind::Function { reaches_ec2: true } => Some(WITH_EC2),
        Kind::Function { reaches_ec2: false } => Some(WITHOUT_EC2),
        Kind::Agent => None,
    }
}

/// An error that names every package above its limit.
pub(super) fn judge(packages: &[Package]) -> Result<(), TaskError> {
    let is_too_large = |package: &&Package| matches!((package.zipped_bytes, package.limit_bytes), (Some(size), Some(limit)) if size > limit);
    let names: Vec<String> = packages
        .iter()
        .filter(is_too_large)
        .map(|package| format!("{} ({})", package.name, package.architecture.name()))
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(TaskError::CheckFailed(format!(
        "above their limit ({} MB, {} MB with EC2): {}",
        megabytes(WITHOUT_EC2),
        megabytes(WITH_EC2),
        names.join(", ")
    )))
}

/// For programs.
pub(super) fn json(packages: &[Package]) -> Result<String, TaskError> {
    serde_json::to_string_pretty(packages)
        .map_err(|error| TaskError::CheckFailed(format!("the sizes cannot be written: {error}")))
}

/// For people.
pub(super) fn table(packages: &[Package]) -> String {
    let mut lines =
        vec![format!("{:<24} {:<8} {:>10} {:>10} {:>10}", "MB", "for", "unzipped", "zipped", "limit")];
    for package in packages {
        let shown = |bytes: Option<usize>| bytes.map_or_else(|| "-".to_owned(), megabytes);
        lines.push(format!(
            "{:<24} {:<8} {:>10} {:>10} {:>10}",
            package.name,
            package.architecture.name(),
            megabytes(package.unzipped_bytes),
            shown(package.zipped_bytes),
            shown(package.limit_bytes)
        ));
    }
    lines.join("\n")
}

/// Two decimals, in millions of bytes.
pub(crate) fn megabytes(bytes: usize) -> String {
    let hundredths = bytes.div_ceil(10_000);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(zipped_bytes: usize, kind: Kind) -> Package {
        Package {
            name: "wake".to_owned(),
            architecture: Architecture::Arm64,
            path: PathBuf::new(),
            unzipped_bytes: 5_000_000,
            zipped_bytes: Some(zipped_bytes),
            limit_bytes: limit(kind),
            sha256: String::new(),
        }
    }

    #[test]
    fn a_package_may_reach_its_limit_and_not_pass_it() {
        let (plain, ec2) = (Kind::Function { reaches_ec2: false }, Kind::Function { reaches_ec2: true });
        assert!(judge(&[package(WITHOUT_EC2, plain), package(WITHOUT_EC2 + 1, ec2)]).is_ok());
        assert!(judge(&[package(WITHOUT_EC2 + 1, plain)]).is_err());
        assert!(judge(&[package(WITH_EC2 + 1, ec2)]).is_err());
    }

    #[test]
    fn a_size_is_never_shown_smaller_than_it_is() {
        assert_eq!(megabytes(2_180_000), "2.18");
        assert_eq!(megabytes(2_500_001), "2.51");
    }
}
