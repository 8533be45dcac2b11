//! The template as `aws cloudformation package` is to read it: every file by its whole path.

use std::fs;
use std::path::{Path, PathBuf};

use super::Wanted;
use crate::error::TaskError;
use crate::package;
use crate::repository::Repository;

/// Properties that name a file beside the template.
const FILES: [&str; 3] = ["CodeUri", "DefinitionUri", "TemplateURL"];

/// Where the template expects the packages, whatever they were built for.
const PACKAGES: &str = "../target/lambda/";

/// Writes a copy of infra/template.yaml into a folder, in which packages are those of the wanted architecture.
pub(super) fn adapted(
    repository: &Repository,
    wanted: &Wanted<'_>,
    folder: &Path,
) -> Result<PathBuf, TaskError> {
    let infra = repository.top().join("infra");
    let original = infra.join("template.yaml");
    let text = fs::read_to_string(&original).map_err(|cause| TaskError::file(&original, cause))?;
    let packages = package::folder(repository, wanted.architecture);
    let lines: Vec<String> = without(&text, wanted.left_out)
        .into_iter()
        .map(|line| with_whole_path(line, &infra, &packages))
        .collect();
    let copy = folder.join("template.yaml");
    fs::write(&copy, lines.join("\n")).map_err(|cause| TaskError::file(&copy, cause))?;
    Ok(copy)
}

/// The lines without these properties or resources, and all that belongs to them.
fn without<'t>(text: &'t str, left_out: &[&str]) -> Vec<&'t str> {
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let mut left_out_from = None;
    let is_kept = |line: &&str| {
        if line.trim().is_empty() || left_out_from.is_some_and(|from| indentation(line) > from) {
            return left_out_from.is_none();
        }
        left_out_from = has_property(line, left_out).map(|_| indentation(line));
        left_out_from.is_none()
    };
    text.lines().filter(is_kept).collect()
}

/// The property that a line sets, of some.
fn has_property<'p>(line: &str, properties: &[&'p str]) -> Option<&'p str> {
    let name = line.trim_start().split_once(':')?.0;
    properties.iter().copied().find(|property| *property == name)
}

fn with_whole_path(line: &str, infra: &Path, packages: &Path) -> String {
    let Some((before, place)) = split(line) else {
        return line.to_owned();
    };
    let whole = match place.strip_prefix(PACKAGES) {
        Some(package) => packages.join(package),
        None => infra.join(place),
    };
    format!("{before} {}", whole.display())
}

/// A line that names a file: what comes before the name, and the name.
fn split(line: &str) -> Option<(&str, &str)> {
    let property = has_property(line, &FILES)?;
    let end = line.find(property)? + property.len() + 1;
    let place = line[end..].trim();
    // A function or an address of the template's own is none of our business.
    let is_file = !place.is_empty() && !place.starts_with(['!', '{', '/']) && !place.contains("://");
    is_file.then_some((&line[..end], place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(line: &str) -> String {
        with_whole_path(line, Path::new("/r/infra"), Path::new("/t/lambda/arm64"))
    }

    #[test]
    fn packages_are_those_of_the_architecture() {
        let wanted = "      CodeUri: /t/lambda/arm64/wake/bootstrap.zip";
        assert_eq!(whole("      CodeUri: ../target/lambda/wake/bootstrap.zip"), wanted);
    }

    #[test]
    fn what_is_left_out_goes_with_all_that_belongs_to_it() {
        let text = "Resources:\n  A:\n    Type: X\n\n    B: 1\n  C:\n    Type: Y\n    D: 2\n    E: 3\n";
        assert_eq!(without(text, &["A", "D"]), ["Resources:", "  C:", "    Type: Y", "    E: 3"]);
        assert_eq!(without(text, &[]), text.lines().collect::<Vec<_>>());
    }

    #[test]
    fn other_files_are_found_from_anywhere_and_other_lines_stay() {
        assert_eq!(whole("  TemplateURL: customer.yaml"), "  TemplateURL: /r/infra/customer.yaml");
        for line in
            ["  DefinitionUri: !Ref X", "  Description: CodeUri: x", "  TemplateURL: https://example.org/t"]
        {
            assert_eq!(whole(line), line);
        }
    }
}
