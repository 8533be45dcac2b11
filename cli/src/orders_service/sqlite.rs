//! Orders in SQLite.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::{Order, Orders, ServiceError};

/// A connection; SQLite's calls block, so each runs apart from the server's threads.
pub struct SqliteOrders(Arc<Mutex<Connection>>);

impl SqliteOrders {
    /// Opens the file, and makes it where there is none.
    pub fn open(file: &Path) -> Result<Self, ServiceError> {
        let connection = Connection::open(file)?;
        connection.busy_timeout(std::time::Duration::from_secs(30))?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let connection = self.0.clone();
        let done = tokio::task::spawn_blocking(move || {
            work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner))
        });
        Ok(done.await??)
    }

    async fn write(&self, statement: &'static str, orders: Vec<Order>) -> Result<(), ServiceError> {
        self.apart(move |connection| {
            let transaction = connection.transaction()?;
            {
                let mut prepared = transaction.prepare(statement)?;
                for order in &orders {
                    prepared.execute(params![order.id, order.revision, order.quantity, order.note])?;
                }
            }
            transaction.commit()
        })
        .await
    }
}

#[async_trait]
impl Orders for SqliteOrders {
    async fn prepare(&self) -> Result<(), ServiceError> {
        self.apart(|connection| {
            connection.execute_batch(
                "create table if not exists orders (
                    id integer primary key, revision integer not null, quantity integer not null, note text not null)",
            )
        })
        .await
    }

    async fn count(&self) -> Result<u64, ServiceError> {
        self.apart(|connection| connection.query_row("select count(*) from orders", [], |row| row.get(0)))
            .await
    }

    async fn page(&self, after: i64, limit: u32) -> Result<Vec<Order>, ServiceError> {
        self.apart(move |connection| {
            let mut prepared = connection.prepare(
                "select id, revision, quantity, note from orders where id > ?1 order by id limit ?2",
            )?;
            let rows = prepared.query_map(params![after, limit], |row| {
                Ok(Order { id: row.get(0)?, revision: row.get(1)?, quantity: row.get(2)?, note: row.get(3)? })
            })?;
            rows.collect()
        })
        .await
    }

    async fn add(&self, orders: Vec<Order>) -> Result<(), ServiceError> {
        self.write("insert into orders (id, revision, quantity, note) values (?1, ?2, ?3, ?4)", orders).await
    }

    async fn replace(&self, orders: Vec<Order>) -> Result<(), ServiceError> {
        self.write("update orders set revision = ?2, quantity = ?3, note = ?4 where id = ?1", orders).await
    }
}
