//! The demo from top to bottom.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rekindle_cloud::CloudProvider;
use rekindle_domain::plan::RecoveryPlan;
use rekindle_domain::report::{RecoveryFacts, ReplicaFacts};
use rekindle_domain::{BackupId, BackupKind, Bytes, Flow, RecoveryKind, Report, RunId, Seconds};
use rekindle_embedded_host::wake_on_arrivals;
use rekindle_requests::recovery::{Request, plan};
use rekindle_step::{Clock, StepError, SystemClock};
use rekindle_store::FolderWatch;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::REPORT_FOLDER;
use super::cold_restore::ColdRestore;
use super::comparison::Contents;
use super::customer::Customer;
use super::narrator::Narrator;
use super::options::DemoOptions;
use super::orders_client::OrdersClient;
use super::outcome::{BackupOutcome, DemoOutcome, RecoveryOutcome, RefreshOutcome};
use super::sites::{Buckets, Production, Recovery};
use super::watch::{Told, Watch};
use crate::orders_service::ROW_BYTES;

/// Orders that change between the two backups, in percent of all: a day's work.
const CHANGED_PERCENT: u32 = 1;
/// Orders that are added after the last backup, and are lost: the recovery point says so.
const LOST_ROWS: u32 = 25;
/// How long production may take to answer for the first time.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Tells the story and gives its outcome; what is left is looked at by the caller, when everything is gone.
///
/// # Errors
/// When a part of it cannot be carried out.
pub async fn tell(
    options: &DemoOptions,
    folder: &Path,
    narrator: &Narrator,
) -> Result<DemoOutcome, StepError> {
    options.engine.probe()?;
    let customer = Customer::new(&folder.join("keys"))?;
    let buckets = Buckets::make(&folder.join("store"))?;
    let mut story = Story::begin(options, folder, narrator, &customer, &buckets).await?;

    let production = story.start_production().await?;
    let first = story.back_up(&production).await?;
    story.refresh().await?;

    story.change_orders(&production).await?;
    let second = story.back_up(&production).await?;
    let expected = story.remember_orders(&production).await?;
    story.refresh().await?;

    story.lose_production(production).await?;
    let recovered = story.recover().await?;
    let compared = story.compare(&recovered, &expected).await?;
    let sets = cold_sets(&first, &second);
    let cold_restore = story.measure_cold_restore(sets, &recovered).await?;
    story.end(recovered, compared, cold_restore).await
}

/// A cold restore takes the chain that the last backup needs.
fn cold_sets(first: &BackupOutcome, second: &BackupOutcome) -> Vec<BackupId> {
    match second.kind {
        BackupKind::Full => vec![second.backup_id.clone()],
        BackupKind::Incremental => vec![first.backup_id.clone(), second.backup_id.clone()],
    }
}

struct Story<'a> {
    options: &'a DemoOptions,
    folder: &'a Path,
    narrator: &'a Narrator,
    customer: &'a Customer,
    buckets: &'a Buckets,
    site: Recovery,
    told: mpsc::UnboundedReceiver<Told>,
    backups: Vec<BackupOutcome>,
    refreshes: Vec<RefreshOutcome>,
}

struct Recovered {
    run_id: RunId,
    report: Report,
    replica: Option<ReplicaFacts>,
    answered_after: Option<Seconds>,
    page: PathBuf,
}

struct Compared {
    rows_expected: u64,
    rows_found: u64,
    content_matches: bool,
}

/// What the agent prints about a backup; more than is needed here.
#[derive(Deserialize)]
struct BackupSummary {
    backup_id: BackupId,
    kind: BackupKind,
    stored_bytes: u64,
    recovery_point: Timestamp,
}

impl<'a> Story<'a> {
    async fn begin(
        options: &'a DemoOptions,
        folder: &'a Path,
        narrator: &'a Narrator,
        customer: &'a Customer,
        buckets: &'a Buckets,
    ) -> Result<Self, StepError> {
        narrator.chapter("The site that recovers: register, backup store and flows in this process");
        narrator.begin("base image, register, store");
        let (watch, told) = Watch::new();
        let site = Recovery::open(folder, buckets, customer, options.engine, watch).await?;
        let control = buckets.control_store()?;
        let revision = customer.publish_configuration(options.engine, &control).await?;
        let register = site.host.register();
        register.put_customer(customer.customer_id()).await.map_err(StepError::from)?;
        let service = customer.service(site.base_image.clone());
        let version = register.put_service(&service, None).await.map_err(StepError::from)?;
        register.publish_configuration(&service.key, &revision, version).await.map_err(StepError::from)?;
        watch_store(&site, control).await?;
        let method = if site.cloud.shares_blocks() {
            "reflinks: a start copies nothing"
        } else {
            "no reflinks here: each image keeps a ready copy"
        };
        narrator.done(method);
        Ok(Self {
            options,
            folder,
            narrator,
            customer,
            buckets,
            site,
            told,
            backups: Vec::new(),
            refreshes: Vec::new(),
        })
    }

    async fn start_production(&self) -> Result<Production, StepError> {
        self.narrator.chapter(&format!(
            "Production: the orders service of Acme, on {}, with {} MB",
            self.options.engine.name(),
            self.options.data_mb
        ));
        self.narrator.begin("machine, database and service start");
        let production =
            Production::start(self.folder, self.buckets, self.customer, self.options.engine).await?;
        let mut client = answering(&production).await?;
        self.narrator.done(&format!("{} at {}", self.customer.machine, production.address));
        self.narrator.begin("orders come in");
        let rows = u64::from(self.options.data_mb) * 1_000_000 / ROW_BYTES;
        let mut left = u32::try_from(rows).unwrap_or(u32::MAX);
        let mut orders = 0;
        while left > 0 {
            let some = left.min(10_000);
            orders = client.add(some).await?.orders;
            left -= some;
        }
        self.narrator.done(&format!("{orders} orders"));
        Ok(production)
    }

    async fn back_up(&mut self, production: &Production) -> Result<BackupOutcome, StepError> {
        let number = self.backups.len() + 1;
        self.narrator
            .chapter(&format!("Backup {number}: taken on the production machine, encrypted there, signed"));
        self.narrator.begin("backup");
        let command = self.customer.backup_command();
        let output = production
            .cloud
            .run_inside(&production.instance_id, &command, b"")
            .await
            .map_err(StepError::from)?;
        if output.exit_code != 0 {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(StepError::permanent(format!("the backup failed: {said}")));
        }
        let summary: BackupSummary = serde_json::from_slice(&output.stdout)
            .map_err(|error| StepError::permanent("the agent's answer cannot be read").because(error))?;
        self.narrator.done(&format!("{} set, {} stored", summary.kind, Bytes(summary.stored_bytes)));
        self.narrator.fact("backup id", summary.backup_id.as_str());
        self.narrator.fact("recovery point (UTC)", &summary.recovery_point.to_string());
        let outcome =
            BackupOutcome { backup_id: summary.backup_id, kind: summary.kind, bytes: summary.stored_bytes };
        self.backups.push(BackupOutcome { backup_id: outcome.backup_id.clone(), ..outcome });
        Ok(outcome)
    }

    /// The set that landed has woken a refresh; nothing here starts one.
    async fn refresh(&mut self) -> Result<(), StepError> {
        let number = self.refreshes.len() + 1;
        self.narrator.chapter(&format!("Refresh {number}: woken by the set that landed in the store"));
        let began = Instant::now();
        let run_id = self.next_refresh().await?;
        let ended = self.narrate(Flow::RefreshImage, &run_id).await?;
        let report = ended?;
        let refresh = report.refresh.as_ref();
        let image_id = refresh.and_then(|facts| facts.image_id.clone());
        if let Some(facts) = refresh {
            let parent = facts.parent_image_id.as_ref().map(ToString::to_string).unwrap_or_default();
            let image = image_id.as_ref().map(ToString::to_string).unwrap_or_default();
            self.narrator.fact("image", &format!("{parent} → {image}"));
            if let Some(verdict) = &facts.verdict {
                self.narrator.fact("verdict", &verdict.sentence());
            }
        }
        self.narrator.fact("report", &format!("{}: {}", report.outcome, report.cause));
        self.keep_page(&report)?;
        self.refreshes.push(RefreshOutcome {
            backup_id: refresh.and_then(|facts| facts.backup_id.clone()),
            outcome: report.outcome,
            seconds: began.elapsed().as_secs_f64(),
            image_id,
        });
        Ok(())
    }

    async fn next_refresh(&mut self) -> Result<RunId, StepError> {
        const PATIENCE: Duration = Duration::from_secs(30);
        let woken = tokio::time::timeout(PATIENCE, async {
            while let Some(told) = self.told.recv().await {
                if let Told::Began { flow, execution } = told
                    && flow == Flow::RefreshImage.state_machine()
                {
                    return RunId::parse(&execution).ok();
                }
            }
            None
        });
        woken.await.ok().flatten().ok_or_else(|| {
            StepError::permanent("no refresh began within 30 seconds after the backup set had landed")
        })
    }

    /// Tells the steps of an execution until it has ended; then gives its report.
    async fn narrate(&mut self, flow: Flow, run_id: &RunId) -> Result<Result<Report, StepError>, StepError> {
        let host = self.site.host.clone();
        let ended = host.wait(flow, run_id);
        tokio::pin!(ended);
        loop {
            tokio::select! {
                biased;
                told = self.told.recv() => if let Some(told) = told { self.tell(&told) },
                _ = &mut ended => break,
            }
        }
        while let Ok(told) = self.told.try_recv() {
            self.tell(&told);
        }
        let report = self.site.host.register().report(run_id).await.map_err(StepError::from)?;
        Ok(report.ok_or_else(|| StepError::permanent(format!("the run {run_id} has ended without a report"))))
    }

    fn tell(&self, told: &Told) {
        match told {
            Told::Began { .. } => {}
            Told::Entered { state } => self.narrator.begin(&words(state)),
            Told::Left { state, took } => {
                self.narrator.step(&words(state), *took, "");
            }
            Told::Failed { error, cause } => {
                self.narrator.failed(error, Duration::ZERO, cause);
            }
        }
    }

    async fn change_orders(&self, production: &Production) -> Result<(), StepError> {
        let rows = u64::from(self.options.data_mb) * 1_000_000 / ROW_BYTES * u64::from(CHANGED_PERCENT) / 100;
        self.narrator.chapter("A day's work in production");
        self.narrator.begin("orders change");
        let rows = u32::try_from(rows).unwrap_or(u32::MAX).max(1);
        answering(production).await?.change(rows).await?;
        self.narrator.done(&format!("{rows} orders changed"));
        Ok(())
    }

    /// What production holds at the recovery point; then production goes on, and that work will be lost.
    async fn remember_orders(&self, production: &Production) -> Result<Contents, StepError> {
        self.narrator.begin("every order is noted for comparison");
        let mut client = answering(production).await?;
        let contents = Contents::of(&mut client).await?;
        client.add(LOST_ROWS).await?;
        self.narrator.done(&format!(
            "{} orders; {LOST_ROWS} more come in after the backup, and will be lost",
            contents.rows()
        ));
        Ok(contents)
    }

    async fn lose_production(&self, production: Production) -> Result<(), StepError> {
        self.narrator.chapter("Disaster: production is killed, its disk is gone");
        self.narrator.begin("production");
        production.cloud.terminate(&production.instance_id).await.map_err(StepError::from)?;
        self.narrator.done("killed");
        Ok(())
    }

    async fn recover(&mut self) -> Result<Recovered, StepError> {
        let declared_at = SystemClock.now();
        let request = Request {
            kind: RecoveryKind::Disaster,
            customer_id: self.customer.customer_id().clone(),
            services: vec![self.customer.machine.service_id.clone()],
            requested_by: "demo".to_owned(),
            reason: "production was killed by the demo".to_owned(),
            declared_at,
            at_or_before: None,
            target: None,
        };
        self.show_plan(&request).await?;
        self.narrator
            .chapter("The disaster is declared; approval was given beforehand by the policy of the demo");
        let declared = Instant::now();
        let run_id =
            self.site.host.start_recovery(&Request { declared_at: SystemClock.now(), ..request }).await?;
        let report = self.narrate(Flow::Recover, &run_id).await??;
        let page = self.keep_page(&report)?;
        let facts = report.recovery.clone();
        let replica = facts.as_ref().and_then(serving_replica);
        let answered_after = match &replica {
            Some(replica) => self.first_answer(replica, declared).await,
            None => None,
        };
        self.show_recovery(&report, facts.as_ref(), replica.as_ref(), answered_after);
        Ok(Recovered { run_id, report, replica, answered_after, page })
    }

    async fn show_plan(&self, request: &Request) -> Result<(), StepError> {
        self.narrator.chapter("The plan, before anything is started");
        let register = self.site.host.register();
        let plan = plan(register, request, &RunId::mint(), SystemClock.now()).await?;
        for (number, wave) in plan.waves.iter().enumerate() {
            for machine in wave.services.iter().flat_map(|service| &service.machines) {
                self.narrator.fact(
                    &format!("wave {}: {}", number + 1, machine.machine),
                    &format!("image {}, everything before {}", machine.image_id, machine.recovery_point),
                );
            }
        }
        self.narrator.fact("predicted recovery point", &format!("{} old", plan.predicted_recovery_point));
        self.narrator.fact("predicted recovery time", &format!("at most {}", plan.predicted_recovery_time));
        self.narrator.fact("approval", &approval(&plan));
        Ok(())
    }

    /// The replica is asked from outside too: what it serves counts, not what it says of itself.
    async fn first_answer(&self, replica: &ReplicaFacts, declared: Instant) -> Option<Seconds> {
        let address = replica.ip_address.parse().ok()?;
        let mut client = OrdersClient::connect(&self.site.cloud, address).await.ok()?;
        client.health().await.ok()?;
        Some(Seconds(declared.elapsed().as_secs_f64()))
    }

    fn show_recovery(
        &self,
        report: &Report,
        facts: Option<&RecoveryFacts>,
        replica: Option<&ReplicaFacts>,
        answered_after: Option<Seconds>,
    ) {
        self.narrator.fact("outcome", &format!("{}: {}", report.outcome, report.cause));
        if let Some(decision) = facts.and_then(|facts| facts.decision.as_ref()) {
            self.narrator.fact("approved by", &decision.decided_by);
        }
        if let Some(replica) = replica {
            self.narrator.fact("hostname", &replica.hostname);
            self.narrator.fact("IP address", &replica.ip_address);
            self.narrator.fact("SSH key", &replica.ssh_key_name);
        }
        if let Some(answered_after) = answered_after {
            self.narrator
                .fact("first answer from outside", &format!("{answered_after} after the declaration"));
        }
    }

    async fn compare(&self, recovered: &Recovered, expected: &Contents) -> Result<Compared, StepError> {
        self.narrator.chapter("Every row of the replica against production at the recovery point");
        self.narrator.begin("rows are compared");
        let found = match recovered.replica.as_ref().and_then(|replica| replica.ip_address.parse().ok()) {
            Some(address) => {
                let mut client = OrdersClient::connect(&self.site.cloud, address).await?;
                Contents::of(&mut client).await?
            }
            None => Contents::default(),
        };
        let differences = expected.differences(&found);
        self.narrator.done(&format!(
            "{} expected, {} found, {} different",
            expected.rows(),
            found.rows(),
            differences.len()
        ));
        Ok(Compared {
            rows_expected: expected.rows(),
            rows_found: found.rows(),
            content_matches: differences.is_empty(),
        })
    }

    async fn measure_cold_restore(
        &self,
        sets: Vec<BackupId>,
        recovered: &Recovered,
    ) -> Result<Duration, StepError> {
        self.narrator.chapter("For comparison: a cold restore of the same backup, begun only now");
        self.narrator.begin("empty instance, fetch, restore, start, first answer");
        let service = self.site.host.register().service(&self.customer.machine.service()).await;
        let service = service.map_err(StepError::from)?;
        let configuration = service.and_then(|service| service.value.configuration);
        let revision = configuration
            .map(|configuration| configuration.revision)
            .ok_or_else(|| StepError::permanent("the service has no configuration"))?;
        let cold = ColdRestore { site: &self.site, machine: &self.customer.machine, sets, revision };
        let took = cold.measure().await?;
        self.narrator.done("");
        let objectives = super::customer::OBJECTIVES;
        let recovery_time = recovered.recovery_time();
        let recovery_point = recovered.recovery_point();
        self.narrator.fact(
            "recovery time",
            &format!(
                "{} measured, {} objective, {} for the cold restore",
                shown(recovery_time),
                objectives.recovery_time,
                Seconds(took.as_secs_f64())
            ),
        );
        self.narrator.fact(
            "recovery point",
            &format!("{} measured, {} objective", shown(recovery_point), objectives.recovery_point),
        );
        Ok(took)
    }

    /// The recovery is ended, everything is destroyed.
    async fn end(
        self,
        recovered: Recovered,
        compared: Compared,
        cold_restore: Duration,
    ) -> Result<DemoOutcome, StepError> {
        self.narrator.chapter("Everything is destroyed");
        self.narrator.begin("replica");
        self.site.host.end_recovery(&recovered.run_id).await?;
        self.narrator.done("destroyed, and found by nobody any more");
        self.narrator.begin("sweep");
        let swept = self.site.host.sweep().await?;
        self.narrator.done(&sweep_sentence(&swept));
        if !self.options.keep {
            self.narrator.begin("images");
            self.delete_images().await?;
            self.narrator.done("deleted");
        }
        let recovery = RecoveryOutcome {
            outcome: recovered.report.outcome,
            rto_seconds: recovered.recovery_time().map(|seconds| seconds.0),
            rpo_seconds: recovered.recovery_point().map(|seconds| seconds.0),
            hostname: recovered.text(|replica| replica.hostname.clone()),
            ip_address: recovered.text(|replica| replica.ip_address.clone()),
            ssh_key_name: recovered.text(|replica| replica.ssh_key_name.clone()),
            rows_expected: compared.rows_expected,
            rows_found: compared.rows_found,
            content_matches: compared.content_matches,
        };
        Ok(DemoOutcome {
            engine: self.options.engine.name(),
            data_bytes: u64::from(self.options.data_mb) * 1_000_000,
            backups: self.backups,
            refreshes: self.refreshes,
            recovery,
            cold_restore_seconds: cold_restore.as_secs_f64(),
            leftovers: Vec::new(),
            report: recovered.page,
        })
    }

    async fn delete_images(&self) -> Result<(), StepError> {
        let images =
            self.site.host.register().images(&self.customer.machine).await.map_err(StepError::from)?;
        for image in images {
            self.site.cloud.delete_image(&image.image_id).await.map_err(StepError::from)?;
        }
        self.site.cloud.delete_image(&self.site.base_image).await.map_err(StepError::from)
    }

    /// A copy of a report's page that stays when the demo's folder is removed.
    fn keep_page(&self, report: &Report) -> Result<PathBuf, StepError> {
        let folder = self.folder.join(REPORT_FOLDER);
        let name = match report.flow {
            Flow::RefreshImage => format!("refresh-{}", self.refreshes.len() + 1),
            Flow::Recover => "recovery".to_owned(),
        };
        let page = folder.join(format!("{name}.html"));
        let unwritable = |error: std::io::Error| {
            StepError::permanent(format!("the report {} could not be written", page.display())).because(error)
        };
        std::fs::create_dir_all(&folder).map_err(unwritable)?;
        std::fs::write(&page, rekindle_function_report::page::render(report)).map_err(unwritable)?;
        let json = serde_json::to_vec_pretty(report).map_err(|error| unwritable(error.into()))?;
        std::fs::write(folder.join(format!("{name}.json")), json).map_err(unwritable)?;
        Ok(page)
    }
}

impl Recovered {
    /// From the declaration until the service was checked and had answered from outside: the later of the two.
    fn recovery_time(&self) -> Option<Seconds> {
        let service = self.report.recovery.as_ref()?.services.first()?;
        let checked = service.recovery_time?;
        self.answered_after.map(|answered| Seconds(checked.0.max(answered.0)))
    }

    fn recovery_point(&self) -> Option<Seconds> {
        self.report.recovery.as_ref()?.services.first()?.recovery_point
    }

    fn text(&self, of: impl Fn(&ReplicaFacts) -> String) -> String {
        self.replica.as_ref().map(of).unwrap_or_default()
    }
}

fn serving_replica(facts: &RecoveryFacts) -> Option<ReplicaFacts> {
    let replicas = facts.services.iter().flat_map(|service| &service.replicas);
    replicas.into_iter().find(|replica| replica.serving_since.is_some()).cloned()
}

fn approval(plan: &RecoveryPlan) -> String {
    if plan.approval.approved_beforehand.contains(&plan.kind) {
        format!("given beforehand by the policy {:?}", plan.approval.name)
    } else {
        "a person has to approve".to_owned()
    }
}

/// The sweep finishes what nobody finished; after a demo there should be nothing.
fn sweep_sentence(swept: &serde_json::Value) -> String {
    let lines = |name: &str| swept[name].as_array().map_or(0, Vec::len);
    match (lines("done"), lines("failed")) {
        (0, 0) => "nothing was due".to_owned(),
        (done, failed) => format!("{done} things done, {failed} left: {swept}"),
    }
}

fn shown(seconds: Option<Seconds>) -> String {
    seconds.map_or_else(|| "not".to_owned(), |seconds| seconds.to_string())
}

/// `TransferAndRestore` as `transfer and restore`.
fn words(state: &str) -> String {
    let mut words = String::new();
    for (index, letter) in state.char_indices() {
        if letter.is_uppercase() && index > 0 {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// Waits until production answers.
async fn answering(production: &Production) -> Result<OrdersClient, StepError> {
    let until = Instant::now() + START_PATIENCE;
    loop {
        let answer = async {
            let mut client = OrdersClient::connect(&production.cloud, production.address).await?;
            client.health().await?;
            Ok::<_, StepError>(client)
        };
        match answer.await {
            Ok(client) => return Ok(client),
            Err(error) if Instant::now() > until => {
                let log = production.cloud.log_directory(&production.instance_id).join("program.log");
                let said = std::fs::read_to_string(log).unwrap_or_default();
                let last: Vec<&str> = said.lines().rev().take(5).collect();
                return Err(StepError::permanent(format!(
                    "production did not answer within a minute: {}; its log ends with: {}",
                    error.chain(),
                    last.into_iter().rev().collect::<Vec<_>>().join(" | ")
                )));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// A set that lands wakes a refresh, as an S3 event does on AWS.
async fn watch_store(site: &Recovery, control: rekindle_store::FolderStore) -> Result<(), StepError> {
    let mut watch = FolderWatch::start(&control)
        .await
        .map_err(|error| StepError::permanent("the store could not be watched").because(error))?;
    let (announce, arrivals) = mpsc::channel(16);
    tokio::spawn(async move {
        loop {
            let key = watch.next().await;
            if announce.send(key).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(wake_on_arrivals(site.host.clone(), arrivals));
    Ok(())
}
