//! The Task request-approval
