//! Real instances on one Linux machine: namespaces and copy-on-write images, without root
