//! Says which operation of AWS is called, and nothing else about it: no resource, no parameter, no answer.
//!
//! `SdkConfig` carries no interceptors, so whoever configures a client adds [`LogCalls`] to that client's
//! configuration. Operators turn it on with `REKINDLE_LOG=info,rekindle::aws_call=debug`.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeSerializationInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// The target of the events.
pub const TARGET: &str = "rekindle::aws_call";

/// Emits one event at DEBUG: that a call is made, or a part of one that takes a permission of its own. IAM knows no
/// `TransactWriteItems`, but the `PutItem` and `ConditionCheckItem` within (Amazon DynamoDB, "Using IAM with
/// transactions").
pub fn tell(service: &str, operation: &str) {
    tracing::debug!(target: TARGET, service, operation);
}

/// Emits one event at DEBUG for every call, however often it is retried: `service` (`DynamoDB`) and `operation`
/// (`PutItem`).
#[derive(Debug, Clone, Copy, Default)]
pub struct LogCalls;

impl Intercept for LogCalls {
    fn name(&self) -> &'static str {
        "LogCalls"
    }

    /// Once for every call. Before this hook a client's interceptor does not see yet what is called.
    fn read_before_serialization(
        &self,
        _context: &BeforeSerializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        configuration: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(call) = configuration.load::<Metadata>() {
            tell(call.service(), call.name());
        }
        Ok(())
    }
}
