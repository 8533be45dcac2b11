//! Two customers with services, images, a recovery that waits for a person, and its report.

use std::io::Cursor;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::{Extension, Router};
use http_body_util::BodyExt as _;
use jiff::{SignedDuration, Timestamp};
use rekindle_api::{CallerPrincipal, Deployment, OperatorApi, operator_router};
use rekindle_cmdb::{EmbeddedRegister, Register};
use rekindle_domain::report::{SCHEMA_VERSION, StepRecord};
use rekindle_domain::verdict::MINIMUM_PROOF;
use rekindle_domain::*;
use rekindle_requests::reports::report_key;
use rekindle_step::VirtualClock;
use rekindle_store::{FolderStore, ObjectStore};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::workflow::Recorder;

pub const TOKEN: &str = "a-task-token-that-nobody-may-see";
pub const ADA: &str = "arn:aws:iam::111122223333:user/ada";
pub const BOB: &str = "arn:aws:iam::111122223333:user/bob";
/// The ids of the examples in the document.
pub const RUN: &str = "01JD9ZK5V6T3M4N5P6Q7R8S9TA";
pub const TASK: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
pub const SUBJECT: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
pub const PAGE: &str = "<!DOCTYPE html><title>the kept page</title>";

pub struct World {
    pub register: Register,
    pub control: FolderStore,
    pub workflow: Arc<Recorder>,
    pub api: OperatorApi,
    _folder: TempDir,
}

pub struct Answer {
    pub status: StatusCode,
    pub kind: String,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// The body of an answer that is what was asked for.
    pub fn good(&self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.text);
        self.json()
    }

    /// The status and the code of a refusal.
    pub fn refusal(&self) -> (u16, String) {
        assert_eq!(self.kind, "application/problem+json", "{} {}", self.status, self.text);
        let body = self.json();
        let code = body["code"].as_str().unwrap().to_owned();
        assert_eq!(body["status"], self.status.as_u16());
        assert_eq!(body["type"], format!("urn:rekindle:problem:{code}"));
        assert!(!body["title"].as_str().unwrap().is_empty() && !body["detail"].as_str().unwrap().is_empty());
        (self.status.as_u16(), code)
    }
}

pub fn epoch() -> Timestamp {
    "2026-11-22T00:00:00Z".parse().unwrap()
}

pub fn ago(minutes: i64) -> Timestamp {
    epoch() - SignedDuration::from_mins(minutes)
}

pub fn machine(text: &str) -> MachineKey {
    MachineKey::parse(text).unwrap()
}

impl World {
    pub async fn new() -> Self {
        Self::of_customer(None).await
    }

    /// Of a deployment that serves this customer only.
    pub async fn of_customer(customer: Option<CustomerId>) -> Self {
        let register = EmbeddedRegister::in_memory().await.unwrap();
        let folder = TempDir::new().unwrap();
        let control = FolderStore::open(folder.path()).unwrap();
        let workflow = Arc::new(Recorder::new());
        let clock = Arc::new(VirtualClock::starting_at(epoch()));
        let (stack, region) = ("rekindle".to_owned(), "eu-west-1".to_owned());
        let deployment = Deployment { stack, region, customer };
        let control_bucket = Arc::new(control.clone());
        let api = OperatorApi::new(register.clone(), control_bucket, workflow.clone(), clock, deployment);
        Self { register, control, workflow, api, _folder: folder }
    }

    /// With everything that an address of the document's examples names.
    pub async fn seeded() -> Self {
        let world = Self::new().await;
        for host in ["acme/orders/database", "acme/web/front", "globex/shop/database"] {
            world.register.put_customer(&machine(host).customer_id).await.unwrap();
            world.register.put_service(&service(&machine(host)), None).await.unwrap();
        }
        for (number, minutes) in [(1, 30), (2, 20), (3, 10)] {
            let id = format!("ami-{number:017}");
            world.add_image(&machine("acme/orders/database"), &id, number, ago(minutes)).await;
        }
        world.add_image(&machine("acme/web/front"), "ami-web", 1, ago(15)).await;
        world.add_image(&machine("globex/shop/database"), "ami-globex", 1, ago(15)).await;
        world.add_recovery().await;
        world
    }

    pub async fn add_image(&self, machine: &MachineKey, id: &str, sequence: u64, recovery_point: Timestamp) {
        let run = Run::open(RunId::mint(), Flow::RefreshImage, Some(machine.clone()), epoch(), epoch());
        let taken = self.register.take_lease(&run, None).await.unwrap();
        let image = image(machine, &run.run_id, id, sequence, recovery_point);
        self.register.register_image(&image, taken.lease.fence).await.unwrap();
        self.register.close_run(&run.run_id, Some(Outcome::Refreshed), None, epoch()).await.unwrap();
        self.register.release_lease(&run.run_id, epoch()).await.unwrap();
        self.register.end_run(&run.run_id, epoch()).await.unwrap();
        self.register.mark_reported(&run.run_id).await.unwrap();
    }

    async fn add_recovery(&self) {
        let run_id = RunId::parse(RUN).unwrap();
        let run = Run::open(run_id.clone(), Flow::Recover, None, epoch(), epoch());
        self.register.open_run(&run).await.unwrap();
        self.register.ask(&question(&run_id), Some(TOKEN)).await.unwrap();
        let step = StepRecord {
            name: "PlanRecovery".to_owned(),
            machine: None,
            started_at: epoch(),
            finished_at: Some(epoch()),
            error: None,
            detail: None,
        };
        self.register.record_step(&run_id, &step).await.unwrap();
        let report = report(&run_id);
        self.register.put_report(&report).await.unwrap();
        for (ending, bytes) in [("json", serde_json::to_vec(&report).unwrap()), ("html", PAGE.into())] {
            let key = report_key("acme", &run_id, ending).unwrap();
            self.control.put(&key, Box::pin(Cursor::new(bytes))).await.unwrap();
        }
    }

    pub fn router_for(&self, caller: &str) -> Router {
        operator_router(self.api.clone()).layer(Extension(CallerPrincipal(caller.to_owned())))
    }

    pub async fn get(&self, address: &str) -> Answer {
        self.call(ADA, "GET", address, Body::empty()).await
    }

    pub async fn post(&self, address: &str, body: Value) -> Answer {
        self.call(ADA, "POST", address, body.to_string()).await
    }

    pub async fn call(&self, caller: &str, method: &str, address: &str, body: impl Into<Body>) -> Answer {
        send(self.router_for(caller), method, address, body).await
    }
}

/// Sends a request. Whatever it is, nobody is ever shown a task token, and nobody may keep the answer.
pub async fn send(router: Router, method: &str, address: &str, body: impl Into<Body>) -> Answer {
    let request = Request::builder().method(method).uri(address).body(body.into()).unwrap();
    let (head, body) = router.oneshot(request).await.unwrap().into_parts();
    let header = |name| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header(header::CACHE_CONTROL).as_deref(), Some("no-store"), "{method} {address}");
    let (status, kind) = (head.status, header(header::CONTENT_TYPE).unwrap_or_default());
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(!text.contains(TOKEN), "{method} {address} shows a task token");
    Answer { status, kind, text }
}

pub fn service(host: &MachineKey) -> Service {
    Service {
        key: host.service(),
        display_name: "A service".to_owned(),
        objectives: Objectives { recovery_time: Seconds(900.0), recovery_point: Seconds(3_600.0) },
        depends_on: Vec::new(),
        machines: vec![Machine {
            machine_id: host.machine_id.clone(),
            base_image: Some(ImageId::parse("ami-base").unwrap()),
            instance_types: vec!["m7i.large".to_owned()],
            zones: vec!["eu-west-1a".to_owned()],
        }],
        ssh_key_name: "acme-operations".to_owned(),
        signing_keys: vec!["RWQ".to_owned()],
        configuration: None,
        approval: ApprovalPolicy {
            name: "standard".to_owned(),
            approved_beforehand: vec![RecoveryKind::Rehearsal],
            deadline: Seconds(3_600.0),
        },
        concurrent_builders: 1,
    }
}

fn image(machine: &MachineKey, run: &RunId, id: &str, sequence: u64, recovery_point: Timestamp) -> Image {
    let check = |kind| Check {
        kind,
        name: "check".to_owned(),
        data_store: None,
        passed: true,
        explanation: "as expected".to_owned(),
    };
    Image {
        image_id: ImageId::parse(id).unwrap(),
        machine: machine.clone(),
        run_id: run.clone(),
        backup_id: BackupId::mint(),
        group_id: None,
        position: SetPosition { incarnation: 1, sequence },
        revision: None,
        configuration_counter: 0,
        recovery_point,
        verdict: ImageVerdict::DataProven,
        evidence: Verdict {
            checks: MINIMUM_PROOF.into_iter().map(check).collect(),
            recovery_point: Some(recovery_point),
            verified_at: recovery_point,
        },
        lineage: Lineage {
            parent_image_id: ImageId::parse("ami-base").unwrap(),
            from_base: true,
            applied: Vec::new(),
        },
        available_at: recovery_point,
        size_bytes: Some(Bytes(1)),
    }
}

pub fn question(run_id: &RunId) -> HumanTask {
    HumanTask {
        human_task_id: Digest::parse(TASK).unwrap(),
        run_id: run_id.clone(),
        question: "May 1 replica be started?".to_owned(),
        subject: Some(Digest::parse(SUBJECT).unwrap()),
        requested_by: BOB.to_owned(),
        status: HumanTaskStatus::Ready,
        created_at: epoch(),
        deadline: epoch() + SignedDuration::from_hours(1),
        decision: None,
    }
}

fn report(run_id: &RunId) -> Report {
    Report {
        schema_version: SCHEMA_VERSION,
        run_id: run_id.clone(),
        flow: Flow::Recover,
        customer_id: Some(CustomerId::parse("acme").unwrap()),
        outcome: Outcome::Recovered,
        cause: "every service serves".to_owned(),
        started_at: epoch(),
        finished_at: epoch(),
        refresh: None,
        recovery: None,
        steps: Vec::new(),
        resources: Vec::new(),
    }
}

pub fn recovery(token: &str) -> Value {
    json!({
        "customer_id": "acme", "services": ["orders"], "reason": "the data centre is on fire", "client_token": token
    })
}

/// With one field put in, or changed.
pub fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}
