//! What no emulator says, answered in the words of S3's documentation.
#![expect(clippy::unwrap_used, reason = "tests")]

mod answers;
mod parts;
mod reading;
mod refusals;
mod writing;
