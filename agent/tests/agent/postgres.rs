//! The whole way of a PostgreSQL database, with a real server.

use std::path::Path;
use std::process::Command;

use rekindle_agent::places::Places;
use rekindle_domain::{BackupKind, CheckKind, JobWork, SetPosition};

use crate::world::{AGENT, World, id_of, perform_work, restore, verify};

const DATA_STORE: &str = r#"
    [[data_stores]]
    name = "shop"
    recipe = "postgres-dump"
    probes = [{ name = "count", query = "SELECT count(*), sum(amount) FROM orders" }]
    [data_stores.params]
    database = "shop"
    data_dir = "ROOT/pg"
    socket_dir = "ROOT/s"
    log_file = "ROOT/postgresql.log"
    port = PORT
"#;

fn is_installed() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    versions.is_ok_and(|mut versions| versions.next().is_some())
}

/// Stops a server when a test ends, however it ends.
struct Server<'a>(&'a Places);

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let folder = self.0.inside("/pg");
        let _ = Command::new(AGENT).args(["postgres", "stop", "--data-dir"]).arg(folder).status();
    }
}

fn world(port: u16) -> World {
    World::new(&DATA_STORE.replace("PORT", &port.to_string()))
}

fn start_production(places: &Places, port: u16) {
    let status = Command::new(AGENT)
        .args(["postgres", "start", "--purpose=serve", "--create", "--database=shop"])
        .arg(format!("--port={port}"))
        .arg(format!("--data-dir={}", places.inside("/pg").display()))
        .arg(format!("--socket-dir={}", places.inside("/s").display()))
        .arg(format!("--log-file={}", places.inside("/postgresql.log").display()))
        .status()
        .unwrap();
    assert!(
        status.success(),
        "{}",
        std::fs::read_to_string(places.inside("/postgresql.log")).unwrap_or_default()
    );
}

async fn query(socket_dir: &Path, port: u16, text: &str) -> Vec<String> {
    let mut config = tokio_postgres::Config::new();
    config.host_path(socket_dir).port(port).user("postgres").dbname("shop");
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let messages = client.simple_query(text).await.unwrap();
    messages
        .iter()
        .filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                let cells: Vec<&str> = (0..row.len()).map(|cell| row.get(cell).unwrap_or("-")).collect();
                Some(cells.join("|"))
            }
            _ => None,
        })
        .collect()
}

const ALL: &str = "SELECT * FROM orders ORDER BY id";

#[tokio::test(flavor = "multi_thread")]
async fn every_row_arrives_and_only_the_right_set_passes() {
    if !is_installed() {
        return;
    }
    let port = 54_311;
    let world = world(port);
    let production = world.production();
    let production_server = Server(&production);
    start_production(&production, port);
    let source = production.inside("/s");
    query(
        &source,
        port,
        "CREATE TABLE orders (id serial PRIMARY KEY, amount int, note text);
         INSERT INTO orders (amount, note) SELECT n, md5(n::text) FROM generate_series(1, 20000) n",
    )
    .await;
    let first = world.backup("auto");
    assert_eq!(first["kind"], "full");
    let builder = world.builder("b");
    let _builder_server = Server(&builder.places);
    restore(&builder, &[&id_of(&first)], None).await.unwrap();
    let verdict = verify(&builder, &id_of(&first)).await;
    assert!(verdict.passed(), "{verdict:?}");
    let restored = builder.places.inside("/s");
    assert_eq!(query(&restored, port, ALL).await, query(&source, port, ALL).await);

    query(&source, port, "UPDATE orders SET amount = 7 WHERE id = 1; DELETE FROM orders WHERE id = 2").await;
    let second = id_of(&world.backup("auto"));
    assert_eq!(world.set(&second).await.kind, BackupKind::Full);
    let position = Some(SetPosition { incarnation: 1, sequence: 1 });
    restore(&builder, &[&second], position).await.unwrap();
    let verdict = verify(&builder, &second).await;
    assert!(verdict.passed(), "{verdict:?}");
    assert_eq!(query(&restored, port, ALL).await, query(&source, port, ALL).await);

    perform_work(&builder, JobWork::Seal).await.unwrap();
    assert!(!builder.places.inside("/pg/postmaster.pid").exists(), "the server was not stopped");
    // Both would listen on the same port of the loopback.
    drop(production_server);
    let replica = world.boot(builder.places.clone());
    perform_work(&replica, JobWork::Activate).await.unwrap();
    perform_work(&replica, JobWork::Activate).await.unwrap();
    assert_eq!(query(&restored, port, "SELECT count(*) FROM orders").await, ["19999"]);
    let checked = perform_work(&replica, JobWork::CheckReplica).await.unwrap();
    let rekindle_domain::job::JobResult::ReplicaChecked { verdict } = checked else { panic!("{checked:?}") };
    assert!(verdict.passed(), "{verdict:?}");

    query(&restored, port, "UPDATE orders SET amount = 0 WHERE id = 10; UPDATE dr_heartbeat SET seq = 1; UPDATE dr_restored SET position = '0/1'").await;
    let verdict = verify(&replica, &second).await;
    let failed: Vec<CheckKind> = verdict.failures().map(|check| check.kind).collect();
    assert_eq!(failed, [CheckKind::Position, CheckKind::Heartbeat, CheckKind::Probe]);
}
