//! What a function is made of: each part is made when it is asked for, once.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use rekindle_aws_calls::LogCalls;
use rekindle_cloud::CloudProvider;
use rekindle_cmdb::Register;
use rekindle_domain::CustomerId;
use rekindle_instances::AgentJobs;
use rekindle_step::{Clock, StepError, SystemClock, Workflow};
use rekindle_store::ObjectStore;
use rekindle_store_s3::S3Store;

use crate::environment::{
    CONTROL_BUCKET, CUSTOMER_ID, Environment, REGION, STATE_MACHINES, TABLE, unreadable,
};
use crate::https::Https;
use crate::workflow::{StateMachines, StepFunctions};

/// How long a flow waits between two looks at EC2: a look costs a state transition, and instances and images take
/// minutes.
pub const POLL_SECONDS: u64 = 15;

/// EC2 takes up to ten seconds to accept an instance. Without a limit a lost connection would last as long as the
/// function may.
const ATTEMPT: Duration = Duration::from_secs(20);
const OPERATION: Duration = Duration::from_secs(60);
const ATTEMPTS: u32 = 4;

/// What steps and routers are made of.
pub struct Host {
    environment: Environment,
    aws: SdkConfig,
    clock: Arc<dyn Clock>,
    register: OnceLock<Register>,
    control: OnceLock<Arc<dyn ObjectStore>>,
    workflow: OnceLock<Arc<dyn Workflow>>,
}

impl Host {
    /// The host of this environment. Nothing is asked of AWS yet.
    ///
    /// # Errors
    /// When the region is not said.
    pub fn new(environment: Environment) -> Result<Self, StepError> {
        let region = Region::new(environment.required(REGION)?);
        Ok(Self {
            aws: configuration(region, &environment)?,
            environment,
            clock: Arc::new(SystemClock),
            register: OnceLock::new(),
            control: OnceLock::new(),
            workflow: OnceLock::new(),
        })
    }

    /// The register in the table `REKINDLE_TABLE`.
    ///
    /// # Errors
    /// When the variable is missing.
    pub fn register(&self) -> Result<Register, StepError> {
        once(&self.register, || {
            let table = self.environment.required(TABLE)?;
            let config = aws_sdk_dynamodb::config::Builder::from(&self.aws).interceptor(LogCalls).build();
            Ok(Register::new(aws_sdk_dynamodb::Client::from_conf(config), table))
        })
    }

    /// The control bucket `REKINDLE_CONTROL_BUCKET`.
    ///
    /// # Errors
    /// When the variable is missing.
    pub fn control(&self) -> Result<Arc<dyn ObjectStore>, StepError> {
        once(&self.control, || {
            let config = aws_sdk_s3::config::Builder::from(&self.aws).interceptor(LogCalls);
            Ok(Arc::new(S3Store::new(config, self.control_bucket()?)))
        })
    }

    /// The control bucket's name.
    ///
    /// # Errors
    /// When the variable is missing.
    pub fn control_bucket(&self) -> Result<String, StepError> {
        self.environment.required(CONTROL_BUCKET)
    }

    /// The customer `REKINDLE_CUSTOMER_ID`, whom the deployment serves: what has to be known before the register is
    /// believed.
    ///
    /// # Errors
    /// When the variable is missing, or is no customer id.
    pub fn customer(&self) -> Result<CustomerId, StepError> {
        let text = self.environment.required(CUSTOMER_ID)?;
        CustomerId::parse(&text).map_err(|_error| unreadable(CUSTOMER_ID, "is not a customer id"))
    }

    /// The state machines under `REKINDLE_STATE_MACHINES`.
    ///
    /// # Errors
    /// When the variable is missing, or is no beginning of an ARN.
    pub fn workflow(&self) -> Result<Arc<dyn Workflow>, StepError> {
        once(&self.workflow, || Ok(Arc::new(StepFunctions::new(&self.aws, self.state_machines()?))))
    }

    /// The stack's name and its Region: what the names of its other parts are made from.
    ///
    /// # Errors
    /// As [`Host::workflow`].
    pub fn stack_and_region(&self) -> Result<(String, String), StepError> {
        let machines = self.state_machines()?;
        Ok((machines.stack().to_owned(), machines.region().to_owned()))
    }

    fn state_machines(&self) -> Result<StateMachines, StepError> {
        StateMachines::parse(STATE_MACHINES, &self.environment.required(STATE_MACHINES)?)
    }

    /// What gives agents their jobs. Agents look for them: nobody in another process can wake them.
    ///
    /// # Errors
    /// As [`Host::register`] and [`Host::workflow`].
    pub fn agent_jobs(&self) -> Result<AgentJobs, StepError> {
        Ok(AgentJobs::new(self.register()?, self.workflow()?, self.clock()))
    }

    /// The cloud, made by whoever knows one: this crate knows none, so that only functions that reach EC2 are linked
    /// with it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn cloud<E>(
        &self,
        make: impl FnOnce(&SdkConfig, &dyn Fn(&str) -> Option<String>) -> Result<Arc<dyn CloudProvider>, E>,
    ) -> Result<Arc<dyn CloudProvider>, StepError>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        make(&self.aws, &|name| self.environment.text(name))
            .map_err(|error| StepError::permanent("the cloud cannot be reached as configured").because(error))
    }

    /// The time.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// What the function is told.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Host").finish_non_exhaustive()
    }
}

/// Lambda says region and credentials in the environment (AWS, "Using Lambda environment variables"), so that nothing
/// is looked for anywhere else. The usual chain of profiles, web identities and metadata services is not even linked:
/// with the client of STS its code was 0.3 MB of `wake`.
fn configuration(region: Region, environment: &Environment) -> Result<SdkConfig, StepError> {
    let timeouts =
        TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(OPERATION).build();
    Ok(SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(region)
        .credentials_provider(SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()))
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts)
        .service_config(ServiceVariables(environment.clone()))
        .http_client(Https::new()?)
        .build())
}

/// What the environment says for one service, as `AWS_ENDPOINT_URL_EC2`, or else for all, as `AWS_ENDPOINT_URL`.
#[derive(Debug)]
struct ServiceVariables(Environment);

impl LoadServiceConfig for ServiceVariables {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_ascii_uppercase().replace([' ', '-'], "_");
        self.0.text(&format!("{}_{service}", key.env())).or_else(|| self.0.text(key.env()))
    }
}

fn once<T: Clone>(cell: &OnceLock<T>, make: impl FnOnce() -> Result<T, StepError>) -> Result<T, StepError> {
    if let Some(made) = cell.get() {
        return Ok(made.clone());
    }
    let made = make()?;
    Ok(cell.get_or_init(|| made).clone())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "test code")]
    use super::*;

    #[test]
    fn one_service_may_be_elsewhere_than_all_others() {
        let environment = Environment::of(|name| match name {
            "AWS_REGION" => Some("eu-west-1".into()),
            "AWS_ENDPOINT_URL" => Some("http://all".into()),
            "AWS_ENDPOINT_URL_EC2" => Some("http://one".into()),
            _ => None,
        });
        let host = Host::new(environment).unwrap();
        let service = |id| {
            let key =
                ServiceConfigKey::builder().service_id(id).env("AWS_ENDPOINT_URL").profile("endpoint_url");
            host.aws.service_config().unwrap().load_config(key.build().unwrap())
        };
        assert_eq!(service("EC2").unwrap(), "http://one");
        assert_eq!(service("DynamoDB").unwrap(), "http://all");
    }
}
