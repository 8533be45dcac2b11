//! `rekindle`: the operator's command, and the whole product in one process.

use std::process::ExitCode;

mod command_line;
mod demo;
mod multi_call;
mod orders_service;

fn main() -> ExitCode {
    multi_call::run(std::env::args_os().collect())
}
