//! A database server that refuses to run as root runs in an instance all the same.

use std::path::{Path, PathBuf};

use rekindle_cloud_local::{BaseImageFile, FileSource};

use crate::site::{Site, base, built};

#[tokio::test(flavor = "multi_thread")]
async fn a_database_server_runs_under_another_user_id_and_survives_an_image() {
    let programs = postgres();
    let site = Site::open().await;
    let mut specification = base("main");
    specification.name = "database".into();
    specification.files.push(BaseImageFile {
        path: "/opt/test/helper".into(),
        mode: 0o755,
        source: FileSource::CopyOf(built("rekindle-local-helper")),
    });
    let image = site.cloud.build_base_image(specification).await.unwrap();
    let id = site.launch_as("first", |request| request.image_id = image).await;
    let run_as = "/opt/test/helper run-as 999 999 --";
    let data = "/var/lib/postgresql/data";
    let programs = programs.display();

    assert_ne!(site.run(&id, &["/bin/sh", "-c", &format!("{programs}/initdb {data}")]).await.exit_code, 0);
    assert_eq!(site.shell(&id, &format!("{run_as} id -un")).await, "postgres");
    site.shell(&id, &format!("{run_as} {programs}/initdb --auth=trust {data}")).await;
    let start =
        format!("{run_as} {programs}/pg_ctl -D {data} -l {data}/log -w -o '-k /tmp -h 127.0.0.1' start");
    let stop = format!("{run_as} {programs}/pg_ctl -D {data} -w -m fast stop");
    let query = |text: &str| format!("{programs}/psql -h 127.0.0.1 -U postgres -Atc '{text}'");
    site.shell(&id, &start).await;
    site.shell(&id, &query("create table kept as select generate_series(1, 1000)")).await;
    site.shell(&id, &stop).await;
    site.power_off(&id).await;

    let image = site.image_of(&id, "database").await.image_id;
    let next = site.launch_as("second", |request| request.image_id = image).await;
    site.shell(&next, &start).await;
    assert_eq!(site.shell(&next, &query("select count(*) from kept")).await, "1000");
    site.close();
}

/// The newest server that is installed here.
fn postgres() -> PathBuf {
    let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .expect("this test needs a PostgreSQL server under /usr/lib/postgresql")
        .map(|entry| entry.unwrap().path().join("bin"))
        .filter(|folder| Path::new(folder).join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop().expect("this test needs a PostgreSQL server under /usr/lib/postgresql")
}
