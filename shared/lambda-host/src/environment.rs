//! What a function is told when it starts: see `docs/design/0016-on-aws.md`.

use std::ffi::OsString;
use std::sync::Arc;

use rekindle_step::StepError;

/// The region. Lambda sets it (AWS, "Using Lambda environment variables").
pub(crate) const REGION: &str = "AWS_REGION";
/// Where the Runtime API listens. Lambda sets it.
pub(crate) const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";
/// How much memory the function has, in MB. Lambda sets it.
pub(crate) const MEMORY: &str = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";
/// What `lambda_runtime` panics without. Lambda sets all of them.
pub(crate) const OF_LAMBDA: [&str; 4] =
    [RUNTIME_API, "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION", MEMORY];
/// The filter of the log.
pub(crate) const LOG: &str = "REKINDLE_LOG";
/// The register's table.
pub(crate) const TABLE: &str = "REKINDLE_TABLE";
/// The control bucket.
pub(crate) const CONTROL_BUCKET: &str = "REKINDLE_CONTROL_BUCKET";
/// The one customer of the deployment.
pub(crate) const CUSTOMER_ID: &str = "REKINDLE_CUSTOMER_ID";
/// The beginning of the state machines' ARNs.
pub(crate) const STATE_MACHINES: &str = "REKINDLE_STATE_MACHINES";
/// Whose sessions are instances.
pub(crate) const INSTANCE_ROLE: &str = "REKINDLE_INSTANCE_ROLE";

type Lookup = dyn Fn(&str) -> Option<OsString> + Send + Sync;

/// The environment variables. No error says what a variable holds.
#[derive(Clone)]
pub struct Environment(Arc<Lookup>);

impl Environment {
    /// This process's own.
    pub fn of_this_process() -> Self {
        Self(Arc::new(|name| std::env::var_os(name)))
    }

    /// What a function says, for tests.
    pub fn of(lookup: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static) -> Self {
        Self(Arc::new(lookup))
    }

    /// A variable that may be missing; an empty one is missing.
    ///
    /// # Errors
    /// When it is no text.
    pub fn optional(&self, name: &str) -> Result<Option<String>, StepError> {
        let Some(value) = (self.0)(name).filter(|value| !value.is_empty()) else { return Ok(None) };
        let text = value.into_string();
        text.map(Some).map_err(|_value| unreadable(name, "is not UTF-8"))
    }

    /// A variable that has to be there.
    ///
    /// # Errors
    /// When it is missing, empty, or no text.
    pub fn required(&self, name: &str) -> Result<String, StepError> {
        self.optional(name)?.ok_or_else(|| unreadable(name, "is missing"))
    }

    /// The variable for whoever treats what cannot be read as missing.
    pub fn text(&self, name: &str) -> Option<String> {
        self.optional(name).ok().flatten()
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Environment").finish_non_exhaustive()
    }
}

/// The error of a variable that cannot be used.
pub(crate) fn unreadable(name: &str, why: &str) -> StepError {
    StepError::permanent(format!("the environment variable {name} {why}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "test code")]
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn environment() -> Environment {
        Environment::of(|name| match name {
            "TABLE" => Some("register".into()),
            "EMPTY" => Some(OsString::new()),
            "BROKEN" => Some(OsString::from_vec(vec![0x73, 0xff])),
            _ => None,
        })
    }

    #[test]
    fn what_cannot_be_used_is_named_and_not_shown() {
        let environment = environment();
        assert_eq!(environment.required("TABLE").unwrap(), "register");
        let chains =
            ["EMPTY", "ABSENT", "BROKEN"].map(|name| environment.required(name).unwrap_err().chain());
        assert_eq!(
            chains,
            [
                "the environment variable EMPTY is missing",
                "the environment variable ABSENT is missing",
                "the environment variable BROKEN is not UTF-8",
            ]
        );
        assert_eq!(environment.optional("ABSENT").unwrap(), None);
        assert_eq!(environment.text("BROKEN"), None);
    }
}
