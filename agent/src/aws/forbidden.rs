//! What a refused request means, in a sentence.
//!
//! The answer itself is never shown: an API that cannot match a signature answers with what it signed, and that holds
//! the session token.

use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde::Deserialize;

/// Signatures hold for this long.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html>
const SIGNATURES_HOLD: Duration = Duration::from_secs(5 * 60);

#[derive(Deserialize)]
struct Problem {
    code: String,
}

/// Why the API answered 403: to somebody at the machine, who can do something about it.
pub(super) fn explanation(date: Option<&str>, body: &[u8], now: SystemTime) -> String {
    if let Some(skew) = date.and_then(|date| skew(date, now)) {
        return skew;
    }
    let code = serde_json::from_slice::<Problem>(body).map(|problem| problem.code).unwrap_or_default();
    match code.as_str() {
        "unbound-instance" => "the agent API does not know this instance: no open run started it, or that run is \
                               not recorded yet",
        "caller-unknown" => "the agent API does not take this caller for an instance: its credentials are not a \
                             session of the instance role, nor of the role for another account's instances",
        _ => "the instance role is not allowed to call the agent API. Launch the instance with the instance profile \
              of the template, whose role may call execute-api:Invoke; where the API is in another account, agent.toml \
              needs agent_api_role",
    }
    .to_owned()
}

/// A sentence when the two clocks are further apart than a signature holds.
fn skew(date: &str, now: SystemTime) -> Option<String> {
    let theirs = SystemTime::try_from(DateTime::from_str(date, Format::HttpDate).ok()?).ok()?;
    let (apart, direction) = match now.duration_since(theirs) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(error) => (error.duration(), "behind"),
    };
    (apart > SIGNATURES_HOLD).then(|| {
        format!(
            "the agent API refuses signatures of this machine, whose clock is {} minutes {direction} its own. Set \
             the clock, for example with chrony from 169.254.169.123",
            apart.as_secs() / 60
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sun, 22 Nov 2026 12:00:00 GMT";

    fn at(offset_seconds: i64) -> SystemTime {
        // 2026-11-22T12:00:00Z
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_348_800);
        let offset = Duration::from_secs(offset_seconds.unsigned_abs());
        if offset_seconds < 0 { noon - offset } else { noon + offset }
    }

    #[test]
    fn clocks_that_are_apart_are_the_reason_that_is_named() {
        assert!(explanation(Some(DATE), b"", at(720)).contains("12 minutes ahead of"));
        assert!(explanation(Some(DATE), b"", at(-7200)).contains("120 minutes behind"));
        for near in [0, 299, -299] {
            assert!(explanation(Some(DATE), b"", at(near)).contains("instance role is not allowed"));
        }
        for strange in ["", "yesterday", "Sun, 99 Nov 2026 12:00:00 GMT"] {
            assert!(explanation(Some(strange), b"", at(0)).contains("instance role is not allowed"));
        }
    }

    #[test]
    fn refusals_of_the_api_itself_are_told_apart_and_bodies_are_never_shown() {
        for (body, part) in [
            (r#"{"code":"unbound-instance","status":403}"#, "does not know this instance"),
            (r#"{"code":"caller-unknown"}"#, "not a session of the instance role"),
            (r#"{"message":"Forbidden"}"#, "instance role is not allowed"),
            ("the canonical string was token-text", "instance role is not allowed"),
        ] {
            let said = explanation(None, body.as_bytes(), at(0));
            assert!(said.contains(part) && !said.contains("token-text"), "{said}");
        }
    }
}
