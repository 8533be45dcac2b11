//! Looks into folders.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The names in a folder, in order; none when it is not there.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The files under a folder, or the file, that hold this text anywhere in their bytes.
pub fn files_with(place: &Path, text: &str) -> Vec<PathBuf> {
    found(place, &["--files-with-matches"], text)
}

/// The files under a folder that do not hold this text.
pub fn files_without(place: &Path, text: &str) -> Vec<PathBuf> {
    found(place, &["--files-without-match"], text)
}

/// Images hold hundreds of megabytes of programs, so this is left to a program that is made for it.
fn found(place: &Path, options: &[&str], text: &str) -> Vec<PathBuf> {
    assert!(place.exists(), "there is no {}", place.display());
    let mut search = Command::new("grep");
    search
        .args(["--recursive", "--text", "--fixed-strings"])
        .args(options)
        .args(["-e", text, "--"])
        .arg(place);
    let output = search.output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(PathBuf::from).collect()
}
