//! All steps, flows, the register and the interfaces in one process
