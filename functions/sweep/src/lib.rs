//! The Task sweep
