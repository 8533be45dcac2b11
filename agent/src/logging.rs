//! What the agent says while it works: plain lines for a terminal, JSON for everybody else. Always to standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Starts it; a second start changes nothing.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = if std::io::stderr().is_terminal() { builder.try_init() } else { builder.json().try_init() };
}
