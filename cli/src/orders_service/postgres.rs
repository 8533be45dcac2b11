//! Orders in PostgreSQL.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio_postgres::{Client, Config, NoTls};

use super::{Order, Orders, ServiceError};

/// The database and user of the demo; the server trusts its socket.
const DATABASE: &str = "orders";
const USER: &str = "postgres";

/// One connection, one statement at a time.
pub struct PostgresOrders(Arc<Mutex<Client>>);

impl PostgresOrders {
    /// Connects through the server's socket.
    pub async fn connect(folder: &Path) -> Result<Self, ServiceError> {
        let (client, connection) =
            Config::new().host_path(folder).user(USER).dbname(DATABASE).connect(NoTls).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::error!(%error, "the connection to the database has ended");
            }
        });
        Ok(Self(Arc::new(Mutex::new(client))))
    }

    async fn write(&self, statement: &str, orders: Vec<Order>) -> Result<(), ServiceError> {
        let mut client = self.0.lock().await;
        let transaction = client.transaction().await?;
        let prepared = transaction.prepare(statement).await?;
        let ids: Vec<i64> = orders.iter().map(|order| order.id).collect();
        let revisions: Vec<i64> = orders.iter().map(|order| order.revision).collect();
        let quantities: Vec<i64> = orders.iter().map(|order| order.quantity).collect();
        let notes: Vec<&str> = orders.iter().map(|order| order.note.as_str()).collect();
        transaction.execute(&prepared, &[&ids, &revisions, &quantities, &notes]).await?;
        transaction.commit().await?;
        Ok(())
    }
}

#[async_trait]
impl Orders for PostgresOrders {
    async fn prepare(&self) -> Result<(), ServiceError> {
        let client = self.0.lock().await;
        client
            .batch_execute(
                "create table if not exists orders (
                    id bigint primary key, revision bigint not null, quantity bigint not null, note text not null)",
            )
            .await?;
        Ok(())
    }

    async fn count(&self) -> Result<u64, ServiceError> {
        let client = self.0.lock().await;
        let row = client.query_one("select count(*) from orders", &[]).await?;
        Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
    }

    async fn page(&self, after: i64, limit: u32) -> Result<Vec<Order>, ServiceError> {
        let client = self.0.lock().await;
        let rows = client
            .query(
                "select id, revision, quantity, note from orders where id > $1 order by id limit $2",
                &[&after, &i64::from(limit)],
            )
            .await?;
        let order = |row: &tokio_postgres::Row| Order {
            id: row.get(0),
            revision: row.get(1),
            quantity: row.get(2),
            note: row.get(3),
        };
        Ok(rows.iter().map(order).collect())
    }

    async fn add(&self, orders: Vec<Order>) -> Result<(), ServiceError> {
        self.write(
            "insert into orders (id, revision, quantity, note)
             select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[])",
            orders,
        )
        .await
    }

    async fn replace(&self, orders: Vec<Order>) -> Result<(), ServiceError> {
        self.write(
            "update orders set revision = new.revision, quantity = new.quantity, note = new.note
             from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[]) as new (id, revision, quantity, note)
             where orders.id = new.id",
            orders,
        )
        .await
    }
}
