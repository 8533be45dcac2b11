//! The Task plan-refresh
