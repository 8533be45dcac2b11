//! The small service that the demo protects: orders in a real database, behind HTTP.
//!
//! It runs on the production site and on every replica as the customer's application would: started from the
//! configuration, asked through its own interface. Nothing of Rekindle is inside.

mod content;
mod postgres;
mod sqlite;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

pub use content::{Order, ROW_BYTES};

/// The most rows that one answer holds: about two megabytes.
pub const MOST_ROWS: u32 = 2_000;

/// Where the orders are kept.
#[derive(Debug, Clone, clap::Args)]
pub struct ServiceOptions {
    /// Where to listen.
    #[arg(long, default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// The SQLite database file.
    #[arg(long, conflicts_with = "postgres_socket")]
    pub sqlite: Option<PathBuf>,
    /// The folder of the PostgreSQL server's socket.
    #[arg(long)]
    pub postgres_socket: Option<PathBuf>,
}

/// What went wrong, for the caller of the service.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Neither database was named.
    #[error("name a database: --sqlite FILE or --postgres-socket FOLDER")]
    NoDatabase,
    /// SQLite refused.
    #[error("the SQLite database refused")]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL refused.
    #[error("the PostgreSQL database refused")]
    Postgres(#[from] tokio_postgres::Error),
    /// The address cannot be listened on.
    #[error("the service cannot listen")]
    Listen(#[from] std::io::Error),
    /// A task of the runtime ended early.
    #[error("the service was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// What the service needs of a database.
#[async_trait]
trait Orders: Send + Sync {
    /// Makes the table where there is none.
    async fn prepare(&self) -> Result<(), ServiceError>;
    /// How many orders there are.
    async fn count(&self) -> Result<u64, ServiceError>;
    /// Orders after an id, in the order of their ids.
    async fn page(&self, after: i64, limit: u32) -> Result<Vec<Order>, ServiceError>;
    /// Adds orders.
    async fn add(&self, orders: Vec<Order>) -> Result<(), ServiceError>;
    /// Replaces orders.
    async fn replace(&self, orders: Vec<Order>) -> Result<(), ServiceError>;
}

/// Serves until it is stopped.
///
/// # Errors
/// When the database cannot be opened or the address cannot be listened on.
pub async fn serve(options: ServiceOptions) -> Result<(), ServiceError> {
    let orders: Arc<dyn Orders> = match (&options.sqlite, &options.postgres_socket) {
        (Some(file), _) => Arc::new(sqlite::SqliteOrders::open(file)?),
        (None, Some(folder)) => Arc::new(postgres::PostgresOrders::connect(folder).await?),
        (None, None) => return Err(ServiceError::NoDatabase),
    };
    orders.prepare().await?;
    let listener = tokio::net::TcpListener::bind(options.listen).await?;
    axum::serve(listener, router(orders)).await?;
    Ok(())
}

fn router(orders: Arc<dyn Orders>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/orders", get(page))
        .route("/orders/add", post(add))
        .route("/orders/change", post(change))
        .with_state(orders)
}

/// The answer to "are you well?": the database was asked.
#[derive(Debug, Serialize, Deserialize)]
pub struct Health {
    /// How many orders there are.
    pub orders: u64,
}

type Answer<T> = Result<Json<T>, (StatusCode, String)>;

fn unavailable(error: ServiceError) -> (StatusCode, String) {
    let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    (StatusCode::SERVICE_UNAVAILABLE, format!("{error}{source}\n"))
}

async fn health(State(orders): State<Arc<dyn Orders>>) -> Answer<Health> {
    orders.count().await.map(|orders| Json(Health { orders })).map_err(unavailable)
}

/// Which orders.
#[derive(Debug, Deserialize)]
struct PageQuery {
    after: i64,
    limit: u32,
}

async fn page(State(orders): State<Arc<dyn Orders>>, Query(query): Query<PageQuery>) -> Answer<Vec<Order>> {
    orders.page(query.after, query.limit.min(MOST_ROWS)).await.map(Json).map_err(unavailable)
}

/// How many orders.
#[derive(Debug, Deserialize)]
struct AmountQuery {
    rows: u32,
}

async fn add(State(orders): State<Arc<dyn Orders>>, Query(query): Query<AmountQuery>) -> Answer<Health> {
    add_rows(orders.as_ref(), query.rows).await.map(Json).map_err(unavailable)
}

async fn add_rows(orders: &dyn Orders, rows: u32) -> Result<Health, ServiceError> {
    let first = last_id(orders).await? + 1;
    let new = (first..first + i64::from(rows)).map(|id| Order::new(id, 1)).collect();
    orders.add(new).await?;
    Ok(Health { orders: orders.count().await? })
}

/// Ids are given without gaps, so the last one is the number of orders.
async fn last_id(orders: &dyn Orders) -> Result<i64, ServiceError> {
    Ok(i64::try_from(orders.count().await?).unwrap_or(i64::MAX))
}

async fn change(State(orders): State<Arc<dyn Orders>>, Query(query): Query<AmountQuery>) -> Answer<Health> {
    change_rows(orders.as_ref(), query.rows).await.map(Json).map_err(unavailable)
}

/// Changes the given number of orders in one place of the table, as a day's work does.
async fn change_rows(orders: &dyn Orders, rows: u32) -> Result<Health, ServiceError> {
    let middle = last_id(orders).await? / 2;
    let mut after = middle;
    let mut left = rows;
    while left > 0 {
        let page = orders.page(after, left.min(MOST_ROWS)).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        left = left.saturating_sub(u32::try_from(page.len()).unwrap_or(left));
        orders.replace(page.iter().map(Order::changed).collect()).await?;
    }
    Ok(Health { orders: orders.count().await? })
}
