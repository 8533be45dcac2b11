//! What people ask for, and how it is answered.
//!
//! The operator API asks for the same things as schedules, the sweep and the Tasks themselves, and must mean the same by
//! them: what lies here is what both sides of a request share.

pub mod approval;
pub mod recovery;
pub mod refresh;
pub mod register_standing;
pub mod reports;
