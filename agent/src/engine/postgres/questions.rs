//! What a database is asked, and the heartbeat row.

use jiff::Timestamp;
use rekindle_domain::backup_set::Heartbeat;
use rekindle_step::StepError;
use tokio_postgres::Client;

use super::Address;
use super::connection::{execute, failed, literal, row, rows, without_words};
use crate::engine::{answer, answer_json, escaped, now};

const READ_ONLY: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Writes the heartbeat row right before a backup.
pub(super) async fn write_heartbeat(address: &Address) -> Result<(), StepError> {
    const DOING: &str = "writing the heartbeat";
    let client = address.connect().await?;
    let table =
        "CREATE TABLE IF NOT EXISTS public.dr_heartbeat (seq bigint NOT NULL, ts timestamptz NOT NULL)";
    execute(&client, DOING, &format!("{table}; BEGIN; LOCK TABLE public.dr_heartbeat")).await?;
    let next = row(&client, DOING, "SELECT coalesce(max(seq), 0) + 1 FROM public.dr_heartbeat").await?;
    let sequence = next.first().and_then(|text| text.parse().ok()).unwrap_or(1);
    let heartbeat = Heartbeat { sequence, at: now() };
    let written = literal(&heartbeat.at.to_string());
    execute(
        &client,
        DOING,
        &format!(
            "DELETE FROM public.dr_heartbeat; INSERT INTO public.dr_heartbeat VALUES ({sequence}, {written}); COMMIT"
        ),
    )
    .await?;
    answer_json(&heartbeat)
}

pub(super) async fn read_heartbeat(address: &Address) -> Result<(), StepError> {
    let client = address.connect().await?;
    execute(&client, "reading the heartbeat", READ_ONLY).await?;
    answer_json(&heartbeat_of(&client).await?)
}

pub(super) async fn heartbeat_of(client: &Client) -> Result<Heartbeat, StepError> {
    let query = "SELECT seq, (extract(epoch FROM ts) * 1000000)::bigint FROM public.dr_heartbeat ORDER BY seq DESC LIMIT 1";
    let cells = row(client, "reading the heartbeat", query).await?;
    let numbers: Vec<i64> = cells.iter().filter_map(|cell| cell.parse().ok()).collect();
    let [sequence, microseconds] = numbers.as_slice() else {
        return Err(failed("the heartbeat row is not one that the agent wrote"));
    };
    match (u64::try_from(*sequence), Timestamp::from_microsecond(*microseconds)) {
        (Ok(sequence), Ok(at)) => Ok(Heartbeat { sequence, at }),
        _ => Err(failed("the heartbeat row is not one that the agent wrote")),
    }
}

pub(super) async fn probe(address: &Address, query: &str) -> Result<(), StepError> {
    let client = address.connect().await?;
    execute(&client, "asking a probe", READ_ONLY).await?;
    answer(&ask(&client, query).await?)
}

/// The canonical answer: cells by tabulators, rows by line ends. Call it in a transaction that only reads.
pub(super) async fn ask(client: &Client, query: &str) -> Result<String, StepError> {
    const DOING: &str = "asking a probe";
    // A statement that is prepared is one statement: a second one could end the transaction that only reads.
    client.prepare(query).await.map_err(|error| without_words(DOING, &error))?;
    let lines = rows(client, DOING, query).await?;
    let lines: Vec<String> = lines
        .iter()
        .map(|row| {
            let cells: Vec<String> = (0..row.len())
                .map(|index| row.get(index).map_or_else(|| "\\N".to_owned(), escaped))
                .collect();
            cells.join("\t")
        })
        .collect();
    Ok(lines.join("\n"))
}

pub(super) async fn position(address: &Address) -> Result<String, StepError> {
    let client = address.connect().await?;
    let cells = row(&client, "reading the position", "SELECT position FROM public.dr_restored").await?;
    cells.into_iter().next().ok_or_else(|| failed("the database holds no position"))
}

/// Freezing has read every page of the restore with its checksum; here is what the server counted, and which indexes
/// it would not use.
pub(super) async fn check(address: &Address) -> Result<(), StepError> {
    let client = address.connect().await?;
    let query = "SELECT (SELECT coalesce(sum(checksum_failures), 0) FROM pg_stat_database), \
                 (SELECT count(*) FROM pg_index WHERE NOT (indisvalid AND indisready))";
    match row(&client, "asking for damage", query).await?.as_slice() {
        [failures, indexes] if failures == "0" && indexes == "0" => Ok(()),
        _ => Err(failed("the server counts damaged pages or unusable indexes")),
    }
}
