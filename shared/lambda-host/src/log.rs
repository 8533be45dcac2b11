//! The log: one JSON object a line, in UTC, with what the invocation is about.
//!
//! `REKINDLE_LOG` chooses what is written. Whatever it says, payloads, tokens and the bytes on the wire are not: the
//! SDK, the HTTP client and Lambda's runtime print them below WARN.

use rekindle_step::StepError;
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

use crate::environment::{Environment, LOG, unreadable};

const DEFAULT: LevelFilter = LevelFilter::INFO;

/// Targets begin with these where somebody else's code prints what it sends and receives.
const CAPPED: [&str; 7] = ["aws_", "h2", "hyper", "lambda_", "rustls", "tokio", "tower"];

/// What `lambda_runtime` says about a failed invocation is said already, with the run.
const SAID_TWICE: &str = "lambda_runtime::layers::panic";

/// Writes the log to the standard output from here on, and panics into it. A filter that cannot be read is an error,
/// which is then in the log.
pub(crate) fn install(environment: &Environment) -> Result<(), StepError> {
    let filter = filter(environment);
    let readable = filter.as_ref().map_or_else(|_| by_default(), Clone::clone);
    // Only one can be installed: a second host of this process writes into the first one's log.
    let _ = tracing::subscriber::set_global_default(subscriber(readable, std::io::stdout));
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        // Not what it says: that can be made of a payload.
        tracing::error!(place, "the program has panicked");
    }));
    filter.map(drop)
}

fn filter(environment: &Environment) -> Result<Targets, StepError> {
    let Some(directives) = environment.optional(LOG)? else { return Ok(by_default()) };
    parse(&directives).ok_or_else(|| unreadable(LOG, "is no filter, such as info,rekindle::aws_call=debug"))
}

fn by_default() -> Targets {
    Targets::new().with_default(DEFAULT)
}

/// Levels, targets, and targets with levels: what needs no regular expressions.
fn parse(directives: &str) -> Option<Targets> {
    if !directives.split(',').all(is_directive) {
        return None;
    }
    directives.parse().ok()
}

/// `Targets` itself takes any text for a target, and a mistake would go unseen.
fn is_directive(text: &str) -> bool {
    let (target, level) = text.split_once('=').unwrap_or((text, "trace"));
    is_target(target) && !level.is_empty() && level.parse::<LevelFilter>().is_ok()
}

fn is_target(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|character| character.is_ascii_alphanumeric() || "_:-.".contains(character))
}

/// A subscriber that writes to `writer`.
pub(crate) fn subscriber<W>(filter: Targets, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(writer);
    tracing_subscriber::registry().with(filter).with(filter_fn(is_harmless)).with(lines)
}

fn is_harmless(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    if target == SAID_TWICE {
        return false;
    }
    let is_capped = CAPPED.iter().any(|prefix| target.starts_with(prefix));
    !is_capped || *metadata.level() <= LevelFilter::WARN
}

#[cfg(test)]
pub(crate) mod tests {
    #![expect(clippy::unwrap_used, reason = "test code")]
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;

    use super::*;

    /// A log that is kept.
    #[derive(Clone, Default)]
    pub(crate) struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Kept {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }

        pub(crate) fn lines(&self) -> Vec<Value> {
            self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
    }

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'writer> MakeWriter<'writer> for Kept {
        type Writer = Self;

        fn make_writer(&'writer self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn every_line_is_an_object_with_its_span_and_a_time_in_utc() {
        let kept = Kept::default();
        tracing::subscriber::with_default(subscriber(by_default(), kept.clone()), || {
            let span = tracing::error_span!("invocation", run_id = "01J");
            let _entered = span.enter();
            tracing::info!(found = 2, "looked\nround");
            tracing::debug!("not this");
        });
        let lines = kept.lines();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["message"], "looked\nround");
        assert_eq!(lines[0]["found"], 2);
        assert_eq!(lines[0]["span"]["run_id"], "01J");
        assert!(lines[0]["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn what_prints_payloads_is_capped_whatever_the_filter_says() {
        let kept = Kept::default();
        let filter = parse("trace,aws_smithy_runtime=trace,lambda_runtime=trace").unwrap();
        tracing::subscriber::with_default(subscriber(filter, kept.clone()), || {
            tracing::trace!(target: "lambda_runtime::layers::api_response", "sesame");
            tracing::info!(target: "aws_smithy_runtime::client::http::body", "sesame");
            tracing::debug!(target: "hyper_util::client", "sesame");
            tracing::error!(target: "lambda_runtime::layers::panic", "sesame");
            tracing::warn!(target: "aws_config", "said");
            tracing::trace!(target: "rekindle_step", "said");
        });
        assert!(!kept.text().contains("sesame"));
        assert_eq!(kept.lines().len(), 2);
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_named() {
        for unreadable in ["info,=,[", "info,", "a b", "rekindle=", "rekindle=loud", "[span{x=1}]=info"] {
            let environment = Environment::of(move |_| Some(unreadable.into()));
            let chain = filter(&environment).unwrap_err().chain();
            assert!(chain.starts_with("the environment variable REKINDLE_LOG is no filter"), "{chain}");
        }
    }

    #[test]
    fn one_target_may_say_more_than_the_others() {
        let kept = Kept::default();
        let filter = parse("info,rekindle::aws_call=debug,quiet=off").unwrap();
        tracing::subscriber::with_default(subscriber(filter, kept.clone()), || {
            tracing::debug!(target: "rekindle::aws_call", "said");
            tracing::info!(target: "other", "said");
            tracing::debug!(target: "other", "sesame");
            tracing::error!(target: "quiet", "sesame");
        });
        assert!(!kept.text().contains("sesame"));
        assert_eq!(kept.lines().len(), 2);
    }
}
