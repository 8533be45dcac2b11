//! The Task start-instance
