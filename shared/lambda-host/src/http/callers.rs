//! Who calls, as API Gateway has checked it (AWS, "Create AWS Lambda proxy integrations for HTTP APIs", payload format
//! 2.0, and "Control access to HTTP APIs with IAM authorization").

use std::fmt;
use std::sync::Arc;

use http::Extensions;
use lambda_http::aws_lambda_events::apigw::ApiGatewayRequestAuthorizer;
use lambda_http::request::RequestContext;
use rekindle_domain::InstanceId;
use rekindle_step::StepError;

use crate::environment::{Environment, INSTANCE_ROLE, unreadable};

type Tell<T> = Arc<dyn Fn(T, &mut Extensions) + Send + Sync>;

/// Who may call, and what the router is told: an extension of the request, in a type of the router's own.
#[derive(Clone)]
pub struct Callers(Kind);

#[derive(Clone)]
enum Kind {
    Instances(Tell<InstanceId>),
    Operators(Tell<String>),
}

/// Callers, and what they are known by.
#[derive(Clone)]
pub(crate) enum Known {
    Instances(InstanceRole, Tell<InstanceId>),
    Operators(Tell<String>),
}

impl Callers {
    /// Instances, by the sessions of `REKINDLE_INSTANCE_ROLE`.
    pub fn instances<T: Clone + Send + Sync + 'static>(
        extension: impl Fn(InstanceId) -> T + Send + Sync + 'static,
    ) -> Self {
        Self(Kind::Instances(tell(extension)))
    }

    /// Operators: the ARN of who signed with IAM, or the subject (`sub`) of a JWT.
    pub fn operators<T: Clone + Send + Sync + 'static>(
        extension: impl Fn(String) -> T + Send + Sync + 'static,
    ) -> Self {
        Self(Kind::Operators(tell(extension)))
    }

    pub(crate) fn read(self, environment: &Environment) -> Result<Known, StepError> {
        match self.0 {
            Kind::Instances(tell) => {
                let role = InstanceRole::parse(&environment.required(INSTANCE_ROLE)?)
                    .ok_or_else(|| unreadable(INSTANCE_ROLE, "is not <account>/<role name>"))?;
                Ok(Known::Instances(role, tell))
            }
            Kind::Operators(tell) => Ok(Known::Operators(tell)),
        }
    }
}

impl fmt::Debug for Callers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            Kind::Instances(_) => "Callers::instances",
            Kind::Operators(_) => "Callers::operators",
        })
    }
}

fn tell<C, T: Clone + Send + Sync + 'static>(extension: impl Fn(C) -> T + Send + Sync + 'static) -> Tell<C> {
    Arc::new(move |caller, extensions| {
        extensions.insert(extension(caller));
    })
}

impl Known {
    /// Adds who calls. Where nobody is recognised nothing is added, and the router refuses.
    pub(crate) fn tell(&self, extensions: &mut Extensions) {
        match self {
            Self::Instances(role, tell) => {
                let arn = authorizer(extensions).and_then(user_arn);
                if let Some(instance) = arn.and_then(|arn| role.instance(arn)) {
                    tell(instance, extensions);
                }
            }
            Self::Operators(tell) => {
                let name = authorizer(extensions).and_then(|it| user_arn(it).or_else(|| subject(it)));
                if let Some(name) = name.map(str::to_owned) {
                    tell(name, extensions);
                }
            }
        }
    }
}

fn authorizer(extensions: &Extensions) -> Option<&ApiGatewayRequestAuthorizer> {
    match extensions.get::<RequestContext>()? {
        RequestContext::ApiGatewayV2(context) => context.authorizer.as_ref(),
        _ => None,
    }
}

fn user_arn(authorizer: &ApiGatewayRequestAuthorizer) -> Option<&str> {
    authorizer.iam.as_ref()?.user_arn.as_deref().filter(|arn| !arn.is_empty())
}

fn subject(authorizer: &ApiGatewayRequestAuthorizer) -> Option<&str> {
    let subject = authorizer.jwt.as_ref()?.claims.get("sub")?;
    Some(subject.as_str()).filter(|subject| !subject.is_empty())
}

/// The role that the instances of one deployment have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InstanceRole {
    account: String,
    role: String,
}

impl InstanceRole {
    fn parse(text: &str) -> Option<Self> {
        let (account, role) = text.split_once('/')?;
        let is_account = account.len() == 12 && account.bytes().all(|it| it.is_ascii_digit());
        let is_role = !role.is_empty() && !role.contains(['/', ':']);
        (is_account && is_role).then(|| Self { account: account.to_owned(), role: role.to_owned() })
    }

    /// The instance whose session this is. EC2 names the session of an instance profile by the instance id (AWS, "IAM
    /// roles for Amazon EC2"), and nobody else may take this role.
    fn instance(&self, user_arn: &str) -> Option<InstanceId> {
        let mut parts = user_arn.splitn(6, ':');
        let mut next = || parts.next();
        let ("arn", _partition, "sts", "", account, resource) =
            (next()?, next()?, next()?, next()?, next()?, next()?)
        else {
            return None;
        };
        let session = resource.strip_prefix("assumed-role/")?.strip_prefix(&self.role)?.strip_prefix('/')?;
        let is_instance = account == self.account && is_instance_id(session);
        is_instance.then(|| InstanceId::parse(session).ok()).flatten()
    }
}

/// `i-` and eight or seventeen hexadecimal digits (AWS, "EC2 resource IDs").
fn is_instance_id(text: &str) -> bool {
    let is_hex = |it: u8| it.is_ascii_digit() || (b'a'..=b'f').contains(&it);
    let digits = text.strip_prefix("i-");
    digits.is_some_and(|digits| matches!(digits.len(), 8 | 17) && digits.bytes().all(is_hex))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "test code")]
    use super::*;

    #[test]
    fn only_sessions_of_the_role_that_are_instances_are_instances() {
        let role = InstanceRole::parse("111122223333/rekindle-instance").unwrap();
        let arn = |account: &str, rest: &str| format!("arn:aws:sts::{account}:assumed-role/{rest}");
        let known = arn("111122223333", "rekindle-instance/i-0123456789abcdef0");
        assert_eq!(role.instance(&known).unwrap().as_str(), "i-0123456789abcdef0");
        let old = arn("111122223333", "rekindle-instance/i-01234567");
        assert_eq!(role.instance(&old).unwrap().as_str(), "i-01234567");
        for stranger in [
            arn("999922223333", "rekindle-instance/i-0123456789abcdef0"),
            arn("111122223333", "rekindle-instance-2/i-0123456789abcdef0"),
            arn("111122223333", "rekindle/i-0123456789abcdef0"),
            arn("111122223333", "rekindle-instance/somebody"),
            arn("111122223333", "rekindle-instance/i-0123456789ABCDEF0"),
            arn("111122223333", "rekindle-instance/i-0123456789abcdef0/more"),
            arn("111122223333", "rekindle-instance/i-"),
            "arn:aws:iam::111122223333:user/i-0123456789abcdef0".to_owned(),
            "arn:aws:sts::111122223333:federated-user/i-0123456789abcdef0".to_owned(),
            String::new(),
        ] {
            assert_eq!(role.instance(&stranger), None, "{stranger}");
        }
    }

    #[test]
    fn a_role_is_an_account_and_a_name() {
        for text in ["", "rekindle-instance", "1111/rekindle", "111122223333/", "111122223333/path/role"] {
            assert_eq!(InstanceRole::parse(text), None, "{text}");
        }
        let environment = Environment::of(|_| Some("rekindle-instance".into()));
        let chain = Callers::instances(|id| id).read(&environment).err().unwrap().chain();
        assert_eq!(chain, "the environment variable REKINDLE_INSTANCE_ROLE is not <account>/<role name>");
    }
}
