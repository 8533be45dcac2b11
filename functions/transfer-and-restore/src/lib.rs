//! The Task transfer-and-restore
