//! The Task recover
