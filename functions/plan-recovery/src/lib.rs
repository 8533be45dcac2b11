//! The Task plan-recovery
