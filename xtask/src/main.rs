//! The set-up and the checks behind the README's commands: `cargo xtask --help`.
//!
//! Read `command_line` for the verbs, then `test/steps` for what `cargo xtask test` does.

mod aws;
mod base_image;
mod bench;
mod build_time;
mod check_tree;
mod command_line;
mod confirmation;
mod cost;
mod debian;
mod deploy;
mod e2e_aws;
mod emulators;
mod error;
mod http;
mod interruption;
mod live;
mod package;
mod process;
mod python;
mod random;
mod remnant;
mod remove;
mod repository;
mod speech;
mod test;

fn main() -> std::process::ExitCode {
    command_line::run()
}
