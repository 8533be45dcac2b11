//! Instances: a tree, the processes in it, and what is known about both.

pub(crate) mod console;
pub(crate) mod launch;
pub(crate) mod record;
pub(crate) mod running;
pub(crate) mod specification;
pub(crate) mod terminate;
