//! Which programs there are to package.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::error::TaskError;
use crate::process::Program;
use crate::repository::Repository;
use crate::speech;

/// The functions that call EC2, as docs/design/0016-on-aws.md has them: aws-sdk-ec2 makes their programs larger.
const REACH_EC2: [&str; 6] = ["start-instance", "snapshot-image", "register", "destroy", "recover", "sweep"];

/// The agent's package and program.
const AGENT: &str = "rekindle-agent";

/// A program, before it is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binary {
    /// What it is called in the template and on the command line.
    pub(crate) name: String,
    /// The package of the workspace that it is in.
    pub(crate) package: String,
    /// What cargo calls it.
    pub(crate) program: String,
    /// The feature that it is built with.
    pub(crate) feature: &'static str,
    /// What becomes of it.
    pub(crate) kind: Kind,
}

/// What a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A Lambda function.
    Function {
        /// Whether aws-sdk-ec2 is in it.
        reaches_ec2: bool,
    },
    /// The program inside instances.
    Agent,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<PackageMetadata>,
}

#[derive(Deserialize)]
struct PackageMetadata {
    name: String,
    manifest_path: PathBuf,
    features: BTreeMap<String, Vec<String>>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// The programs of these names, or all.
pub(crate) fn chosen(repository: &Repository, only: &[String]) -> Result<Vec<Binary>, TaskError> {
    let all = all(repository)?;
    if let Some(unknown) = only.iter().find(|name| !all.iter().any(|binary| binary.name == **name)) {
        let names: Vec<&str> = all.iter().map(|binary| binary.name.as_str()).collect();
        return Err(TaskError::Missing(format!(
            "there is no program {unknown}; there are {}",
            names.join(", ")
        )));
    }
    let is_wanted = |binary: &Binary| only.is_empty() || only.contains(&binary.name);
    Ok(all.into_iter().filter(is_wanted).collect())
}

fn all(repository: &Repository) -> Result<Vec<Binary>, TaskError> {
    let text = Program::cargo(repository)
        .arguments(["metadata", "--locked", "--no-deps", "--format-version", "1"])
        .output()?;
    let metadata: Metadata = serde_json::from_str(&text)
        .map_err(|error| TaskError::CheckFailed(format!("`cargo metadata` is not understood: {error}")))?;
    let functions = repository.top().join("functions");
    let mut all = Vec::new();
    for package in metadata.packages {
        if package.manifest_path.starts_with(&functions) {
            all.extend(function(package));
        } else if package.name == AGENT && package.features.contains_key("aws") {
            all.push(agent());
        }
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(all)
}

fn function(package: PackageMetadata) -> Option<Binary> {
    let program = package.targets.into_iter().find(|target| target.kind.iter().any(|kind| kind == "bin"));
    let Some(program) = program.filter(|_| package.features.contains_key("lambda")) else {
        speech::progress(&format!("{} has no program for Lambda.", package.name));
        return None;
    };
    Some(Binary {
        kind: Kind::Function { reaches_ec2: REACH_EC2.contains(&program.name.as_str()) },
        name: program.name.clone(),
        program: program.name,
        package: package.name,
        feature: "lambda",
    })
}

fn agent() -> Binary {
    Binary {
        name: "agent".to_owned(),
        package: AGENT.to_owned(),
        program: AGENT.to_owned(),
        feature: "aws",
        kind: Kind::Agent,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;

    #[test]
    fn the_functions_that_reach_ec2_are_those_of_the_design() {
        let design = Repository::find().unwrap().top().join("docs/design/0016-on-aws.md");
        let text = std::fs::read_to_string(design).unwrap();
        let line = text.lines().find(|line| line.starts_with("Those that reach EC2: ")).unwrap();
        let named: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
        assert_eq!(named, REACH_EC2);
    }

    #[test]
    fn a_name_that_does_not_exist_is_refused() {
        let error = chosen(&Repository::find().unwrap(), &["nonsense".to_owned()]).unwrap_err();
        assert!(error.to_string().starts_with("there is no program nonsense"));
    }
}
