//! The Task update-configuration
