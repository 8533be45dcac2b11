//! The Task verify
