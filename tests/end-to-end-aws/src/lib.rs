//! What the end-to-end tests on AWS's shape stand on: the deployed stack, machines that boot, a customer.
//!
//! `cargo xtask e2e-aws` starts the emulators, deploys the real template with the real functions and runs these tests.
//! The emulator of EC2 knows instances and images but runs nothing: [`machines`] watches it and starts the real agent
//! for each instance that it reports as running, on a copy of the disk that the instance's image stands for.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "test support: what cannot be done ends the test, with the place where it happened; it has threads of \
              its own, which may sleep"
)]

pub mod command_line;
pub mod customer;
pub mod deployment;
pub mod executions;
pub mod http_api;
pub mod machines;
pub mod metadata;
pub mod patience;
pub mod restored_table;
pub mod world;
