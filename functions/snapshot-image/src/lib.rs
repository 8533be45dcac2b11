//! The Task snapshot-image
