//! The built command as its users run it, and the real agent against bad input.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "test code")]

mod bad_input;
mod command_line;
mod demo;
mod interruption;
mod kept;
mod unsuitable_machine;
mod without_aws;
