//! The role that an instance of another account calls the agent API with.
//!
//! HTTP APIs have no resource policies, so API Gateway takes only signatures of its own account. The instance assumes a
//! role there, whose trust policy demands that the new session is named as the instance's own session is. EC2 names that
//! one by the instance's id, so the API knows by the session's name which instance asks.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use tokio::sync::Mutex;

use super::api::flat;

/// Sessions of a role that was assumed with a role's session hold for an hour at most; so much of it is left when the
/// next one is asked for. STS may be away for that long, and nobody notices.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining>
const RENEWED_BEFORE_END: Duration = Duration::from_secs(15 * 60);

/// A role to assume, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerRole {
    /// Its ARN, in the account of the agent API.
    pub arn: String,
    /// What its trust policy may ask for besides.
    pub external_id: Option<String>,
    /// The name of the session: the trust policy takes no other than the name of the session that asks.
    pub instance_id: String,
}

impl CallerRole {
    /// Sessions of this role, assumed with what the configuration has. One is kept, and renewed before it ends.
    pub async fn credentials(self, config: &SdkConfig) -> SharedCredentialsProvider {
        let mut builder = AssumeRoleProvider::builder(&self.arn).session_name(&self.instance_id);
        if let Some(external_id) = &self.external_id {
            builder = builder.external_id(external_id);
        }
        let source = SharedCredentialsProvider::new(builder.configure(config).build().await);
        SharedCredentialsProvider::new(Session { role: self, source, held: Mutex::default() })
    }
}

/// One session, kept: there is a request every few seconds, and STS limits how often it is asked.
struct Session {
    role: CallerRole,
    source: SharedCredentialsProvider,
    held: Mutex<Option<Credentials>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Session").field("role", &self.role).finish_non_exhaustive()
    }
}

/// What is to be done about a session that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Fresh,
    /// It still holds, and a new one is due.
    Ending,
    Over,
}

/// A session that does not say when it ends is renewed each time.
fn standing(ends: Option<SystemTime>, now: SystemTime) -> Standing {
    match ends.and_then(|ends| ends.duration_since(now).ok()) {
        Some(left) if left > RENEWED_BEFORE_END => Standing::Fresh,
        Some(left) if !left.is_zero() => Standing::Ending,
        _ => Standing::Over,
    }
}

impl Session {
    /// Whoever asks meanwhile waits for the same new session.
    async fn current(&self) -> Result<Credentials, CredentialsError> {
        let mut held = self.held.lock().await;
        let standing = match held.as_ref() {
            Some(credentials) => standing(credentials.expiry(), SystemTime::now()),
            None => Standing::Over,
        };
        if let (Standing::Fresh, Some(credentials)) = (standing, held.as_ref()) {
            return Ok(credentials.clone());
        }
        match (self.source.provide_credentials().await, held.as_ref()) {
            (Ok(credentials), _) => {
                *held = Some(credentials.clone());
                Ok(credentials)
            }
            (Err(error), Some(credentials)) if standing == Standing::Ending => {
                tracing::warn!(error = flat(&error), "the session for the agent API is not renewed yet");
                Ok(credentials.clone())
            }
            (Err(error), _) => Err(self.refused(&error)),
        }
    }

    fn refused(&self, error: &CredentialsError) -> CredentialsError {
        let CallerRole { arn, instance_id, .. } = &self.role;
        CredentialsError::provider_error(format!(
            "the role {arn} could not be assumed as {instance_id} ({}). It is tried again; if it stays, see that \
             aws.agent_api_role of agent.toml is that of the orchestrator's stack, and that the customer's stack was \
             made with it as AgentCallerRoleArn",
            flat(error)
        ))
    }
}

impl ProvideCredentials for Session {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.current())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot make its own session has failed")]
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_session_is_renewed_before_it_ends() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        let after = |seconds: u64| standing(Some(now + Duration::from_secs(seconds)), now);
        assert_eq!((after(3600), after(901)), (Standing::Fresh, Standing::Fresh));
        assert_eq!((after(900), after(1)), (Standing::Ending, Standing::Ending));
        assert_eq!((after(0), standing(None, now)), (Standing::Over, Standing::Over));
        assert_eq!(standing(Some(now - Duration::from_secs(5)), now), Standing::Over);
    }

    /// Sessions that hold for so many seconds, one after the other; none where there is no number.
    #[derive(Debug, Clone)]
    struct Scripted(Vec<Option<u64>>, Arc<AtomicUsize>);

    impl ProvideCredentials for Scripted {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let count = self.1.fetch_add(1, Ordering::Relaxed);
            let answer = match self.0.get(count).copied().flatten() {
                Some(seconds) => {
                    let ends = SystemTime::now() + Duration::from_secs(seconds);
                    Ok(Credentials::new("key", "secret", Some(format!("token-{count}")), Some(ends), "test"))
                }
                None => Err(CredentialsError::provider_error("STS is away")),
            };
            future::ProvideCredentials::ready(answer)
        }
    }

    async fn tokens(script: &[Option<u64>], asked: usize) -> (Vec<String>, usize) {
        let count = Arc::new(AtomicUsize::new(0));
        let source = SharedCredentialsProvider::new(Scripted(script.to_vec(), count.clone()));
        let role = CallerRole {
            arn: "arn:aws:iam::111122223333:role/rekindle/caller".to_owned(),
            external_id: None,
            instance_id: "i-0123456789abcdef0".to_owned(),
        };
        let session = Session { role, source, held: Mutex::default() };
        let mut told = Vec::new();
        for _ in 0..asked {
            told.push(match session.provide_credentials().await {
                Ok(credentials) => credentials.session_token().unwrap().to_owned(),
                Err(error) => flat(&error),
            });
        }
        (told, count.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn one_session_is_kept_and_an_ending_one_is_used_while_there_is_no_other() {
        assert_eq!(tokens(&[Some(3600)], 3).await, (vec!["token-0".to_owned(); 3], 1));
        let (told, asked) = tokens(&[Some(60), None, Some(3600)], 4).await;
        assert_eq!(
            (told, asked),
            (["token-0", "token-0", "token-2", "token-2"].map(str::to_owned).into(), 3)
        );
    }

    #[tokio::test]
    async fn an_ended_session_is_never_used_and_the_refusal_says_what_to_look_at() {
        let (told, _) = tokens(&[Some(0), None, Some(3600)], 3).await;
        assert!(told[1].contains("could not be assumed as i-0123456789abcdef0"), "{}", told[1]);
        assert!(told[1].contains("STS is away") && told[1].contains("agent_api_role"), "{}", told[1]);
        assert_eq!(told[2], "token-2");
    }
}
