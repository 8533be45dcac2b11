//! The Task activate
