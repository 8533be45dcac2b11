//! The demo and bad input with real databases in real local instances
