//! Images: directory trees that instances start from.

pub(crate) mod base;
pub(crate) mod copy;
pub(crate) mod create;
pub(crate) mod ready;
pub(crate) mod record;
pub(crate) mod remove;
