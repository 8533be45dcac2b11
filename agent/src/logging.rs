//! What the agent says while it works: plain lines for a terminal, JSON for everybody else. Always to standard error.

use std::io::IsTerminal as _;

use tracing::Level;
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

/// Libraries that show requests and answers in detail, and with them session tokens and what a key opened.
const TALKATIVE: [&str; 5] = ["aws", "hyper", "h2", "rustls", "tokio_postgres"];

/// Starts it; a second start changes nothing.
pub(crate) fn start() {
    let wanted = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let filter = wanted.and(filter_fn(|metadata| may_be_said(*metadata.level(), metadata.target())));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let _ = if std::io::stderr().is_terminal() {
        tracing_subscriber::registry().with(lines.with_filter(filter)).try_init()
    } else {
        tracing_subscriber::registry().with(lines.json().with_filter(filter)).try_init()
    };
}

/// Whatever `RUST_LOG` asks for: the details of these libraries are never written down.
fn may_be_said(level: Level, target: &str) -> bool {
    let from = |name: &&str| {
        target.strip_prefix(*name).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '_']))
    };
    level <= Level::INFO || !TALKATIVE.iter().any(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_that_see_secrets_say_nothing_in_detail() {
        for target in ["aws_sigv4::http_request::sign", "aws_sdk_kms", "hyper::proto::h1", "hyper_util", "h2"]
        {
            for level in [Level::DEBUG, Level::TRACE] {
                assert!(!may_be_said(level, target), "{target}");
            }
            assert!(may_be_said(Level::WARN, target) && may_be_said(Level::INFO, target), "{target}");
        }
        for target in ["rekindle_agent::jobs", "awsome", "h2o", "hyperbole::x"] {
            assert!(may_be_said(Level::TRACE, target), "{target}");
        }
    }
}
