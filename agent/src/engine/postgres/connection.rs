//! Connections over the server's Unix socket.

use rekindle_step::{ErrorName, StepError};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, SimpleQueryRow};

use super::Address;

impl Address {
    /// A connection to the database that is meant.
    pub(super) async fn connect(&self) -> Result<Client, StepError> {
        self.connect_to(&self.database).await
    }

    /// A connection to another database of the same server.
    pub(super) async fn connect_to(&self, database: &str) -> Result<Client, StepError> {
        self.try_connect(database).await.map_err(|error| {
            failed(format!("connecting to the database {database} failed")).because(error).next_step(format!(
                "See whether the server answers in {} on port {}",
                self.socket_dir.display(),
                self.port
            ))
        })
    }

    pub(super) async fn try_connect(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let mut config = Config::new();
        config.host_path(&self.socket_dir).port(self.port).user(&self.user).dbname(database);
        config.application_name("rekindle-agent");
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %error, "a database connection ended");
            }
        });
        Ok(client)
    }
}

/// Runs statements that give nothing.
pub(super) async fn execute(client: &Client, doing: &str, statements: &str) -> Result<(), StepError> {
    client.batch_execute(statements).await.map_err(|error| without_words(doing, &error))
}

/// The rows of a query, every cell as text.
pub(super) async fn rows(
    client: &Client,
    doing: &str,
    query: &str,
) -> Result<Vec<SimpleQueryRow>, StepError> {
    let messages = client.simple_query(query).await.map_err(|error| without_words(doing, &error))?;
    Ok(messages
        .into_iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        })
        .collect())
}

/// The cells of the only row.
pub(super) async fn row(client: &Client, doing: &str, query: &str) -> Result<Vec<String>, StepError> {
    let rows = rows(client, doing, query).await?;
    match rows.as_slice() {
        [row] => Ok((0..row.len()).map(|index| row.get(index).unwrap_or_default().to_owned()).collect()),
        _ => Err(failed(format!("{doing} gave {} rows and not one", rows.len()))),
    }
}

/// What a server says may quote a row, so only its code is kept.
pub(super) fn without_words(doing: &str, error: &tokio_postgres::Error) -> StepError {
    let Some(code) = error.code() else { return failed(format!("{doing} failed: {error}")) };
    let name = match *code {
        tokio_postgres::error::SqlState::DISK_FULL => ErrorName::DiskFull,
        _ => ErrorName::RecipeFailed,
    };
    StepError::new(name, format!("{doing} failed with the SQL state {}", code.code()))
}

pub(super) fn failed(what: impl Into<String>) -> StepError {
    StepError::new(ErrorName::RecipeFailed, what)
}

/// A name as SQL writes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL writes it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
