//! Starts and stops the server, with settings on its command line only: the cluster's own files stay as they are.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rekindle_step::StepError;

use super::connection::{execute, failed, quoted, row, rows};
use super::restore::MAINTENANCE;
use super::{Address, Cluster, Log, Network, Purpose};
use crate::PROGRAM_NAME;
use crate::error::{file, system};

const INSTALLED: &str = "/usr/lib/postgresql";
const TIME_TO_ANSWER: Duration = Duration::from_secs(300);
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(50);
const LONGEST_LOG_BYTES: u64 = 4 * 1024 * 1024;

/// Where the server's programs are: as given, or the newest installed version.
pub(super) fn bin_dir(given: &str) -> Result<PathBuf, StepError> {
    if !given.is_empty() {
        return Ok(PathBuf::from(given));
    }
    let versions = std::fs::read_dir(INSTALLED).into_iter().flatten().flatten();
    versions
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|version| Path::new(INSTALLED).join(version.to_string()).join("bin/postgres").exists())
        .max()
        .map(|version| Path::new(INSTALLED).join(version.to_string()).join("bin"))
        .ok_or_else(|| {
            failed(format!("PostgreSQL's programs are not under {INSTALLED}"))
                .next_step("Install postgresql, or give the parameter bin_dir of the data store")
        })
}

/// A server as it is to be started.
pub(super) struct Start {
    pub(super) address: Address,
    pub(super) cluster: Cluster,
    pub(super) log: Log,
    pub(super) purpose: Purpose,
    pub(super) network: Network,
    pub(super) hba_file: String,
}

impl Start {
    /// Starts the server, unless it runs for this purpose already, and waits until it answers.
    pub(super) async fn run(&self) -> Result<(), StepError> {
        match self.running_purpose().await {
            Some(purpose) if purpose == self.purpose_name() => return Ok(()),
            Some(_) => stop(&self.cluster).await?,
            None => {}
        }
        let mut server = self.spawn()?;
        self.wait_until_it_answers(&mut server).await
    }

    /// Also makes the cluster and the database where they are missing.
    pub(super) async fn with_database(&self) -> Result<(), StepError> {
        make_cluster(&self.cluster, &self.address.user).await?;
        self.run().await?;
        let client = self.address.connect_to(MAINTENANCE).await?;
        let database = &self.address.database;
        let known = rows(&client, "listing the databases", "SELECT datname FROM pg_database").await?;
        if known.iter().any(|row| row.get(0) == Some(database.as_str())) {
            return Ok(());
        }
        execute(&client, "making the database", &format!("CREATE DATABASE {}", quoted(database))).await
    }

    fn purpose_name(&self) -> String {
        let network = if self.purpose == Purpose::Serve { self.listen_addresses() } else { "" };
        format!("{:?} {network} {}", self.purpose, self.hba_file)
    }

    fn listen_addresses(&self) -> &'static str {
        match (self.purpose, self.network) {
            (Purpose::Serve, Network::Loopback) => "127.0.0.1",
            (Purpose::Serve, Network::All) => "0.0.0.0",
            _ => "",
        }
    }

    /// What the running server was started for; none where none answers.
    async fn running_purpose(&self) -> Option<String> {
        let client = self.address.try_connect(MAINTENANCE).await.ok()?;
        let query = "SELECT coalesce(current_setting('rekindle.purpose', true), '')";
        row(&client, "asking for the purpose", query).await.ok()?.into_iter().next()
    }

    fn settings(&self) -> Vec<String> {
        let mut settings = vec![
            format!("listen_addresses={}", self.listen_addresses()),
            format!("unix_socket_directories={}", self.address.socket_dir.display()),
            "unix_socket_permissions=0700".to_owned(),
            format!("port={}", self.address.port),
            format!("rekindle.purpose={}", self.purpose_name()),
            "logging_collector=off".to_owned(),
        ];
        if !self.hba_file.is_empty() {
            settings.push(format!("hba_file={}", self.hba_file));
        }
        let more: &[&str] = match self.purpose {
            Purpose::Restore => &[
                "fsync=off",
                "full_page_writes=off",
                "synchronous_commit=off",
                "wal_level=minimal",
                "max_wal_senders=0",
                "archive_mode=off",
                "autovacuum=off",
                "checkpoint_timeout=1h",
                "max_wal_size=1GB",
                "min_wal_size=32MB",
                "max_locks_per_transaction=1024",
                "maintenance_work_mem=256MB",
            ],
            Purpose::Verify => &["autovacuum=off", "default_transaction_read_only=on", "archive_mode=off"],
            Purpose::Serve => &[],
        };
        settings.extend(more.iter().map(|&setting| setting.to_owned()));
        settings
    }

    fn spawn(&self) -> Result<Child, StepError> {
        if !self.cluster.data_dir.join("PG_VERSION").exists() {
            return Err(failed(format!(
                "there is no PostgreSQL data in {}",
                self.cluster.data_dir.display()
            ))
            .next_step("Restore a backup set first"));
        }
        let folder = &self.address.socket_dir;
        std::fs::create_dir_all(folder).map_err(|error| file("creating the folder", folder, error))?;
        let log = self.open_log()?;
        let errors = log.try_clone().map_err(|error| system("opening the server's log failed", error))?;
        let mut command = self.cluster.command("postgres")?;
        command.arg("-D").arg(&self.cluster.data_dir);
        for setting in self.settings() {
            command.args(["-c", &setting]);
        }
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        command.spawn().map_err(|error| system("starting postgres failed", error))
    }

    fn open_log(&self) -> Result<File, StepError> {
        let path = &self.log.log_file;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| file("creating the folder", folder, error))?;
        }
        let too_long = std::fs::metadata(path).is_ok_and(|found| found.len() > LONGEST_LOG_BYTES);
        let mut options = File::options();
        options.create(true).append(true);
        let opened = options.open(path).map_err(|error| file("opening", path, error))?;
        if too_long {
            opened.set_len(0).map_err(|error| file("shortening", path, error))?;
        }
        Ok(opened)
    }

    async fn wait_until_it_answers(&self, server: &mut Child) -> Result<(), StepError> {
        let started = tokio::time::Instant::now();
        while started.elapsed() < TIME_TO_ANSWER {
            if let Ok(Some(status)) = server.try_wait() {
                return Err(failed(format!("postgres ended at once with {status}"))
                    .next_step(format!("Read {} inside the instance", self.log.log_file.display())));
            }
            if self.running_purpose().await.is_some_and(|purpose| purpose == self.purpose_name()) {
                return Ok(());
            }
            tokio::time::sleep(BETWEEN_QUESTIONS).await;
        }
        Err(failed(format!("postgres did not answer within {} s", TIME_TO_ANSWER.as_secs())))
    }
}

impl Cluster {
    /// One of the server's programs, as the user that it believes to be, in a group of its own: it outlives the helper.
    fn command(&self, program: &str) -> Result<std::process::Command, StepError> {
        use std::os::unix::process::CommandExt as _;
        let own =
            std::env::current_exe().map_err(|error| system("finding the agent's program failed", error))?;
        let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let user = self.run_as.unwrap_or_else(|| servers_user(&known)).to_string();
        let mut command = std::process::Command::new(own);
        command.arg0(PROGRAM_NAME).args(["run-as", &user, &user, "--"]);
        command.arg(bin_dir(&self.bin_dir)?.join(program));
        command.process_group(0).current_dir("/");
        Ok(command)
    }

    async fn run(&self, program: &str, arguments: &[&str]) -> Result<bool, StepError> {
        let mut command = tokio::process::Command::from(self.command(program)?);
        // What it says goes to the log, not into the helper's answer.
        let errors = rustix::io::dup(std::io::stderr())
            .map_err(|error| system("doubling a pipe failed", error.into()))?;
        let status = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::from(errors))
            .status()
            .await
            .map_err(|error| system(format!("starting {program} failed"), error))?;
        Ok(status.success())
    }
}

/// The user that a server is to believe to be, out of those that `/etc/passwd` knows: `initdb` looks its name up.
fn servers_user(known: &str) -> u32 {
    const USUAL: u32 = 999;
    let mut users: Vec<(&str, u32)> = known
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            Some((fields.next()?, fields.nth(1)?.parse().ok()?))
        })
        .filter(|(_, user)| *user != 0)
        .collect();
    users.sort_by_key(|(name, user)| (*name != "postgres", *user != USUAL, *name != "nobody"));
    users.first().map_or(USUAL, |(_, user)| *user)
}

/// Makes a cluster where there is none.
pub(super) async fn make_cluster(cluster: &Cluster, user: &str) -> Result<(), StepError> {
    if cluster.data_dir.join("PG_VERSION").exists() {
        return Ok(());
    }
    if let Some(folder) = cluster.data_dir.parent() {
        std::fs::create_dir_all(folder).map_err(|error| file("creating the folder", folder, error))?;
    }
    let (folder, user) = (format!("--pgdata={}", cluster.data_dir.display()), format!("--username={user}"));
    for locale in ["--locale=C.UTF-8", "--locale=C"] {
        let arguments = [&folder, &user, locale, "--auth=trust", "--encoding=UTF8", "--data-checksums"];
        if cluster.run("initdb", &arguments).await? {
            return Ok(());
        }
    }
    Err(failed("initdb failed").next_step("Read the log of the action inside the instance"))
}

/// Stops the server cleanly, if it runs.
pub(super) async fn stop(cluster: &Cluster) -> Result<(), StepError> {
    if !cluster.data_dir.join("postmaster.pid").exists() {
        return Ok(());
    }
    let folder = format!("--pgdata={}", cluster.data_dir.display());
    let arguments = ["stop", &folder, "--mode=fast", "--wait", "--timeout=300", "--silent"];
    if cluster.run("pg_ctl", &arguments).await? || !cluster.data_dir.join("postmaster.pid").exists() {
        return Ok(());
    }
    Err(failed("the server could not be stopped cleanly"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_user_is_one_that_has_a_name() {
        let line = |name: &str, user: u32| format!("{name}:x:{user}:{user}::/:/bin/sh\n");
        let root = line("root", 0);
        assert_eq!(servers_user(&(root.clone() + &line("app", 999) + &line("postgres", 106))), 106);
        assert_eq!(servers_user(&(root.clone() + &line("nobody", 65534) + &line("app", 999))), 999);
        assert_eq!(servers_user(&(root.clone() + &line("daemon", 1) + &line("nobody", 65534))), 65534);
        assert_eq!(servers_user(&root), 999);
    }
}
