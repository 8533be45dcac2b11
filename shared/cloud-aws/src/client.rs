//! The client of EC2: how long it waits, how often it tries, as whom it calls.

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::Builder;
use aws_sdk_ec2::config::interceptors::InterceptorContext;
use aws_sdk_ec2::config::retry::{ClassifyRetry, RetryAction, RetryConfig};
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_sdk_ec2::error::ProvideErrorMetadata as _;
use aws_sdk_ec2::operation::create_image::CreateImageError;
use aws_sdk_ec2::operation::run_instances::RunInstancesError;
use rekindle_aws_calls::LogCalls;
use rekindle_cloud::CloudErrorKind;

use crate::error::{Failure, classify, is_not_implemented};
use crate::role::{AssumedRole, CustomerRole};

/// How often a call is made at most, with exponential pauses and jitter in between.
const TRIES: u32 = 4;
/// A launch takes EC2 two to five seconds.
const TRY_TIMEOUT: Duration = Duration::from_secs(12);
/// A step makes a handful of calls and has two minutes.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Filtered and in pages, a look draws on the larger allowance. Every kind of resource takes pages of this size.
///
/// <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html>
pub(crate) const PAGE_SIZE: i32 = 500;
/// Standard and not adaptive retries: adaptive ones hold back every call of a client for one throttled action, and
/// EC2 throttles each action apart.
///
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html>
pub(crate) fn client(config: &SdkConfig, role: Option<CustomerRole>) -> Client {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(TRY_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT)
        .build();
    let mut builder = Builder::from(config)
        .behavior_version(BehaviorVersion::v2026_01_12())
        .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
        .retry_classifier(SomeAnswersAreFinal)
        .interceptor(LogCalls)
        .timeout_config(timeouts);
    if let Some(role) = role {
        builder = builder.credentials_provider(AssumedRole::new(config, role));
    }
    Client::from_conf(builder.build())
}

/// Server errors that no second try changes: EC2 says with status 500 that it has no capacity, and a place that cannot
/// tag snapshots with their image never can.
#[derive(Debug)]
struct SomeAnswersAreFinal;

impl ClassifyRetry for SomeAnswersAreFinal {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        if is_final(context).unwrap_or(false) {
            RetryAction::RetryForbidden
        } else {
            RetryAction::NoActionIndicated
        }
    }

    fn name(&self) -> &'static str {
        "some answers are final"
    }
}

fn is_final(context: &InterceptorContext) -> Option<bool> {
    let error = context.output_or_error()?.err()?.as_operation_error()?;
    if let Some(launch) = error.downcast_ref::<RunInstancesError>() {
        return Some(classify(launch.code(), None, Failure::Service) == CloudErrorKind::NoCapacity);
    }
    let image = error.downcast_ref::<CreateImageError>()?;
    let status = context.response().map(|response| response.status().as_u16());
    Some(is_not_implemented(status, image.code()))
}
