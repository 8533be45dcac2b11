//! The Task register
