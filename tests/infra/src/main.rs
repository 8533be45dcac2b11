//! Writes `infra/policies/` anew from the templates.

use std::process::ExitCode;

use rekindle_infra_tests::{TemplateError, documents, repository};

fn main() -> ExitCode {
    match write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a program tells its error there")]
            {
                eprintln!("{error}");
            }
            ExitCode::FAILURE
        }
    }
}

fn write() -> Result<(), TemplateError> {
    let folder = repository().join("infra/policies");
    for (name, text) in documents::all()? {
        let path = folder.join(name);
        let unwritable = |source| TemplateError::Unwritable { path: path.clone(), source };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(unwritable)?;
        }
        std::fs::write(&path, text).map_err(unwritable)?;
    }
    Ok(())
}
