//! What is wrong before anything runs. The emulators take templates and state machines that AWS refuses.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::emulators::Emulators;
use crate::error::TaskError;
use crate::process::Program;
use crate::repository::Repository;
use crate::speech;

/// Checks every template and every state machine; gives what this machine cannot check.
pub(super) fn check(repository: &Repository, emulators: &Emulators) -> Result<Vec<String>, TaskError> {
    let mut unchecked = Vec::new();
    let templates = files(&repository.top().join("infra"), "yaml");
    if templates.is_empty() {
        unchecked.push("there is no template in infra".to_owned());
    } else {
        let linter = emulators.program(repository, emulators.cfn_lint_command());
        emulators.run(linter.arguments(["--non-zero-exit-code", "error", "--"]).arguments(&templates))?;
    }
    match node_modules(repository)? {
        Some(folder) => state_machines(repository, emulators, &folder)?,
        None => unchecked.push(
            "state machines, for lack of `node` and `npm` (18 or later): `sudo apt-get install nodejs npm`"
                .to_owned(),
        ),
    }
    Ok(unchecked)
}

/// Where the pinned programs for Node are, installed when the list has changed; none without Node.
fn node_modules(repository: &Repository) -> Result<Option<PathBuf>, TaskError> {
    let is_there = |name: &str| Program::new(repository, name).arguments(["--version"]).succeeds_silently();
    if !is_there("node") || !is_there("npm") {
        return Ok(None);
    }
    let source = repository.top().join("xtask").join("node");
    let folder = repository.tools().join("node");
    let (list, stamp) = (source.join("package-lock.json"), folder.join("installed-from.json"));
    let wanted = fs::read(&list).map_err(|cause| TaskError::file(&list, cause))?;
    if fs::read(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(Some(folder));
    }
    let copy = |name: &str| {
        let to = folder.join(name);
        fs::copy(source.join(name), &to).map_err(|cause| TaskError::file(&to, cause))
    };
    fs::create_dir_all(&folder).map_err(|cause| TaskError::file(&folder, cause))?;
    copy("package.json")?;
    copy("package-lock.json")?;
    Program::new(repository, "npm")
        .arguments(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"])
        .arguments([&folder])
        .beside_the_data()
        .run()?;
    fs::write(&stamp, wanted).map_err(|cause| TaskError::file(&stamp, cause))?;
    Ok(Some(folder))
}

fn state_machines(repository: &Repository, emulators: &Emulators, modules: &Path) -> Result<(), TaskError> {
    let copies = repository.target().join("e2e-aws");
    fs::create_dir_all(&copies).map_err(|cause| TaskError::file(&copies, cause))?;
    let mut arguments = Vec::new();
    for file in files(&repository.top().join("statemachines"), "json") {
        arguments.extend([Path::new("--json-path").to_owned(), readable_copy(&file, &copies)?]);
    }
    let validator = modules.join("node_modules").join(".bin").join("asl-validator");
    emulators.run(emulators.program(repository, validator).arguments(arguments).beside_the_data())?;
    speech::progress("Every template and every state machine is well-formed.");
    Ok(())
}

/// The validator refuses empty texts, which Step Functions takes: they are filled in the copy that it reads.
fn readable_copy(file: &Path, copies: &Path) -> Result<PathBuf, TaskError> {
    let text = fs::read_to_string(file).map_err(|cause| TaskError::file(file, cause))?;
    let mut machine: Value = serde_json::from_str(&text)
        .map_err(|error| TaskError::CheckFailed(format!("{} is not JSON: {error}", file.display())))?;
    fill_empty_texts(&mut machine);
    let copy = copies.join(file.file_name().unwrap_or(OsStr::new("state-machine.json")));
    fs::write(&copy, machine.to_string()).map_err(|cause| TaskError::file(&copy, cause))?;
    Ok(copy)
}

fn fill_empty_texts(value: &mut Value) {
    match value {
        Value::String(text) if text.is_empty() => "empty".clone_into(text),
        Value::Array(values) => values.iter_mut().for_each(fill_empty_texts),
        Value::Object(members) => members.values_mut().for_each(fill_empty_texts),
        _ => {}
    }
}

/// In the order of their names.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_empty_texts_are_filled() {
        let mut value = serde_json::json!({"a": "", "b": ["", "{% $x %}"], "c": null});
        fill_empty_texts(&mut value);
        assert_eq!(value, serde_json::json!({"a": "empty", "b": ["empty", "{% $x %}"], "c": null}));
    }
}
