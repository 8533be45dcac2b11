//! The helpers of the local cloud as a program of their own: `rekindle-local-helper instance-init …` and
//! `rekindle-local-helper run-as <user> <group> -- program arguments…`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_ref().and_then(|word| word.to_str()) {
        Some("instance-init") => rekindle_cloud_local::run_helper(arguments),
        Some("run-as") => rekindle_cloud_local::run_as::run_as_command(arguments),
        _ => ExitCode::from(2),
    }
}
