//! The whole product on AWS's shape: `cargo xtask e2e-aws`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed, and says where"
)]

mod approval;
mod bad_input;
mod failures;
mod main_way;
mod policies;
mod rehearsal;
mod restored_register;
