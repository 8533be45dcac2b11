//! What can happen to a register, for tests: it is restored to an earlier time, or its process dies between two writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use super::{EmbeddedRegister, TABLE, TARGET_PREFIX};
use crate::error::RegisterError;
use crate::expression::Expression;
use crate::register::Register;

impl EmbeddedRegister {
    /// What point-in-time recovery makes of a register: another table, in memory, that holds what this one holds now.
    ///
    /// # Errors
    /// When SQLite cannot be started, or the register cannot be read.
    pub async fn restored_from(register: &Register) -> Result<Register, RegisterError> {
        let restored = Self::in_memory().await?;
        for item in register.table.everything().await? {
            restored.table.put(item, Expression::absent()).send().await?;
        }
        Ok(restored)
    }

    /// The same table, as a process has it that dies: before it would make one write more than this, and from then on
    /// nothing is answered any more.
    pub fn dying_after(writes: u64, register: &Register) -> Register {
        let client = &register.table.client;
        let builder = client.config().to_builder();
        let builder = match client.config().http_client() {
            None => builder,
            Some(inner) => builder.http_client(Dying { inner, life: Arc::new(Life::of(writes)) }),
        };
        Register::new(aws_sdk_dynamodb::Client::from_conf(builder.build()), TABLE)
    }
}

/// The writes that are left to a process.
#[derive(Debug)]
struct Life {
    writes_left: AtomicU64,
    is_over: AtomicBool,
}

impl Life {
    fn of(writes: u64) -> Self {
        Self { writes_left: AtomicU64::new(writes), is_over: AtomicBool::new(false) }
    }

    fn goes_on_with(&self, request: &HttpRequest) -> bool {
        let spend = |left: u64| left.checked_sub(1);
        let order = Ordering::SeqCst;
        if changes_something(request) && self.writes_left.fetch_update(order, order, spend).is_err() {
            self.is_over.store(true, order);
        }
        !self.is_over.load(order)
    }
}

fn changes_something(request: &HttpRequest) -> bool {
    let target = request.headers().get("x-amz-target").unwrap_or_default();
    let operation = target.strip_prefix(TARGET_PREFIX).unwrap_or_default();
    matches!(operation, "DeleteItem" | "PutItem" | "TransactWriteItems" | "UpdateItem")
}

#[derive(Debug)]
struct Dying {
    inner: SharedHttpClient,
    life: Arc<Life>,
}

impl HttpClient for Dying {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(DyingConnector { inner, life: self.life.clone() })
    }
}

#[derive(Debug)]
struct DyingConnector {
    inner: SharedHttpConnector,
    life: Arc<Life>,
}

impl HttpConnector for DyingConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if self.life.goes_on_with(&request) {
            self.inner.call(request)
        } else {
            HttpConnectorFuture::new(std::future::pending())
        }
    }
}
