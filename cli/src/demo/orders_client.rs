//! Asks the orders service, wherever it runs, through the cloud's way into the instance's network.

use std::net::{IpAddr, SocketAddr};

use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rekindle_cloud_local::LocalCloud;
use rekindle_step::StepError;
use serde::de::DeserializeOwned;

use crate::orders_service::{Health, MOST_ROWS, Order};

/// The port of the service.
pub const PORT: u16 = 8080;

/// One connection to the service.
pub struct OrdersClient {
    sender: SendRequest<Empty<Bytes>>,
}

fn unanswered(error: impl std::error::Error + Send + Sync + 'static) -> StepError {
    StepError::transient("the orders service did not answer").because(error)
}

impl OrdersClient {
    /// Connects to the service of an instance.
    ///
    /// # Errors
    /// Transient, while nothing listens there.
    pub async fn connect(cloud: &LocalCloud, address: IpAddr) -> Result<Self, StepError> {
        let stream = cloud.connect(SocketAddr::new(address, PORT)).await.map_err(StepError::from)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(unanswered)?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    async fn ask<T: DeserializeOwned>(&mut self, method: &str, path: &str) -> Result<T, StepError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "orders")
            .body(Empty::new())
            .map_err(unanswered)?;
        // The answer before may have arrived an instant before its connection is free again.
        self.sender.ready().await.map_err(unanswered)?;
        let response = self.sender.send_request(request).await.map_err(unanswered)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(unanswered)?.to_bytes();
        if !status.is_success() {
            let said: String = String::from_utf8_lossy(&body).chars().take(300).collect();
            return Err(StepError::transient(format!(
                "the orders service answered {status}: {}",
                said.trim()
            )));
        }
        serde_json::from_slice(&body).map_err(unanswered)
    }

    /// Whether it is well, and how many orders there are.
    ///
    /// # Errors
    /// When it does not answer, or answers that it is not well.
    pub async fn health(&mut self) -> Result<Health, StepError> {
        self.ask("GET", "/health").await
    }

    /// Adds orders.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn add(&mut self, rows: u32) -> Result<Health, StepError> {
        self.ask("POST", &format!("/orders/add?rows={rows}")).await
    }

    /// Changes orders.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn change(&mut self, rows: u32) -> Result<Health, StepError> {
        self.ask("POST", &format!("/orders/change?rows={rows}")).await
    }

    /// Orders after an id.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn page(&mut self, after: i64) -> Result<Vec<Order>, StepError> {
        self.ask("GET", &format!("/orders?after={after}&limit={MOST_ROWS}")).await
    }
}
