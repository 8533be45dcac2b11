//! The `aws` command, as an operator would use it.

use std::process::{Command, Stdio};

use serde_json::Value;

/// Names the `aws` command that `cargo xtask e2e-aws` installed.
const AWS_COMMAND: &str = "REKINDLE_E2E_AWS";

/// Runs `aws` with these arguments and gives what it says; JSON null where it says nothing.
///
/// # Panics
/// When the command fails.
pub fn aws(arguments: &[&str]) -> Value {
    try_aws(arguments).unwrap_or_else(|error| panic!("aws {} failed: {error}", arguments.join(" ")))
}

/// The same, for calls that may be refused.
///
/// # Errors
/// What the command wrote on standard error.
pub fn try_aws(arguments: &[&str]) -> Result<Value, String> {
    let program = std::env::var_os(AWS_COMMAND).unwrap_or_else(|| "aws".into());
    let output = Command::new(program)
        .args(arguments)
        .args(["--output", "json"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    match output.stdout.trim_ascii() {
        [] => Ok(Value::Null),
        said => serde_json::from_slice(said).map_err(|error| error.to_string()),
    }
}
