//! The Task check-replica
