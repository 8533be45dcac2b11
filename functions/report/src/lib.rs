//! The Task report
