//! The set-up and the checks behind the README's commands: `cargo xtask --help`.
//!
//! Read `command_line` for the verbs, then `test/steps` for what `cargo xtask test` does.

mod build_time;
mod check_tree;
mod command_line;
mod error;
mod process;
mod repository;
mod speech;
mod test;

fn main() -> std::process::ExitCode {
    command_line::run()
}
