//! Objects to store, each with a customer of its own, so that all cases can share one table.

use jiff::{SignedDuration, Timestamp};
use rekindle_cmdb::{InstanceBinding, NewJob, SetRecord, SetStatus};
use rekindle_domain::backup_set::{
    Encryption, Engine, Heartbeat, ObjectRole, RecipeReference, RecoveryPoint,
};
use rekindle_domain::configuration::RevisionId;
use rekindle_domain::human_task::HumanTask;
use rekindle_domain::job::Hello;
use rekindle_domain::report::StepRecord;
use rekindle_domain::verdict::{MINIMUM_PROOF, Verdict};
use rekindle_domain::*;

pub const TOKEN: &str = "a-task-token-that-nobody-may-see";

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_790_000_000 + seconds)
}

pub fn service_key() -> ServiceKey {
    let customer = format!("c-{}", RunId::mint().as_str().to_lowercase());
    ServiceKey {
        customer_id: CustomerId::parse(&customer).unwrap(),
        service_id: ServiceId::parse("orders").unwrap(),
    }
}

pub fn machine() -> MachineKey {
    service_key().machine(MachineId::parse("database").unwrap())
}

pub fn image_id(text: &str) -> ImageId {
    ImageId::parse(text).unwrap()
}

pub fn instance_id() -> InstanceId {
    InstanceId::parse(&format!("i-{}", RunId::mint())).unwrap()
}

pub fn revision(text: &str) -> RevisionId {
    Digest::of(text.as_bytes())
}

pub fn service(key: ServiceKey) -> Service {
    Service {
        key,
        display_name: "Orders".to_owned(),
        objectives: Objectives { recovery_time: Seconds(900.0), recovery_point: Seconds(0.5) },
        depends_on: Vec::new(),
        machines: Vec::new(),
        ssh_key_name: "acme".to_owned(),
        signing_keys: vec!["RWQ".to_owned()],
        configuration: None,
        approval: ApprovalPolicy {
            name: "standard".to_owned(),
            approved_beforehand: vec![RecoveryKind::Rehearsal],
            deadline: Seconds(3600.0),
        },
        concurrent_builders: 2,
    }
}

pub fn refresh_run(machine: &MachineKey) -> Run {
    Run {
        run_id: RunId::mint(),
        flow: Flow::RefreshImage,
        machine: Some(machine.clone()),
        fence: None,
        wanted_seen: None,
        plan_id: None,
        state: RunState::Open,
        opened_at: at(0),
        deadline: at(3600),
        last_intent_at: None,
        closed_at: None,
        first_empty_at: None,
        outcome: None,
        cause: None,
        reported: false,
        version: 0,
    }
}

pub fn recovery_run() -> Run {
    Run { flow: Flow::Recover, machine: None, ..refresh_run(&machine()) }
}

pub fn backup_set(machine: &MachineKey, incarnation: u64, sequence: u64) -> BackupSet {
    let backup_id = BackupId::mint();
    let key = format!("{}data/0000.zst.age", machine.set_prefix(&backup_id));
    BackupSet {
        schema_version: 1,
        machine: machine.clone(),
        backup_id,
        group_id: None,
        position: SetPosition { incarnation, sequence },
        kind: BackupKind::Full,
        parent_id: None,
        started_at: at(0),
        finished_at: at(10),
        data_stores: vec![DataStoreBackup {
            name: "orders".to_owned(),
            recipe: RecipeReference {
                name: "sqlite".to_owned(),
                version: "1.0.0".to_owned(),
                sha256: revision("recipe"),
            },
            engine: Engine { name: "sqlite".to_owned(), version: "3.46".to_owned() },
            objects: vec![SetObject {
                key: ObjectKey::parse(&key).unwrap(),
                size_bytes: Bytes(100),
                sha256: revision("object"),
                role: ObjectRole::Data,
                order: 0,
            }],
            recovery_point: RecoveryPoint {
                time: at(5),
                position: "7".to_owned(),
                from_position: None,
                heartbeat: Heartbeat { sequence, at: at(5) },
            },
        }],
        encryption: Encryption {
            format: "age/v1".to_owned(),
            recipients: Vec::new(),
            compression: "zstd".to_owned(),
        },
        agent_version: "0.1.0".to_owned(),
    }
}

pub fn accepted(set: BackupSet) -> SetRecord {
    SetRecord { set, status: SetStatus::Accepted, recorded_at: at(20) }
}

pub fn verdict(passed: bool) -> Verdict {
    let checks = MINIMUM_PROOF.into_iter().map(|kind| Check {
        kind,
        name: "check".to_owned(),
        data_store: None,
        passed,
        explanation: "as expected".to_owned(),
    });
    Verdict { checks: checks.collect(), recovery_point: Some(at(5)), verified_at: at(30) }
}

pub fn image(run: &Run, id: &str, sequence: u64) -> Image {
    Image {
        image_id: image_id(id),
        machine: run.machine.clone().unwrap(),
        run_id: run.run_id.clone(),
        backup_id: BackupId::mint(),
        group_id: None,
        position: SetPosition { incarnation: 1, sequence },
        revision: None,
        configuration_counter: 0,
        recovery_point: at(i64::try_from(sequence).unwrap() * 100),
        verdict: ImageVerdict::DataProven,
        evidence: verdict(true),
        lineage: Lineage { parent_image_id: image_id("img-base"), from_base: true, applied: Vec::new() },
        available_at: at(40),
        size_bytes: Some(Bytes(1)),
    }
}

pub fn intent(run: &Run, machine: &MachineKey, name: &str) -> Intent {
    Intent {
        run_id: run.run_id.clone(),
        name: name.to_owned(),
        kind: IntentKind::Instance,
        machine: machine.clone(),
        at: at(50),
        instance_id: None,
        image_id: None,
    }
}

pub fn job(run: &RunId, machine: &MachineKey, step: &str, work: JobWork) -> Job {
    Job {
        id: JobId { run_id: run.clone(), machine: machine.clone(), step: step.to_owned() },
        work,
        deadline: at(600),
        heartbeat_seconds: 30,
    }
}

pub fn new_job(job: Job, instance: &InstanceId, seconds: i64) -> NewJob {
    NewJob { job, instance_id: instance.clone(), token: TOKEN.into(), now: at(seconds) }
}

pub fn binding(instance: &InstanceId, run: &RunId, machine: &MachineKey) -> InstanceBinding {
    InstanceBinding {
        instance_id: instance.clone(),
        run_id: run.clone(),
        machine: machine.clone(),
        purpose: "builder".to_owned(),
        image_id: image_id("img-base"),
        bound_at: at(60),
    }
}

pub fn hello(name: &str) -> Hello {
    Hello {
        hostname: name.to_owned(),
        ip_address: "10.0.0.7".to_owned(),
        agent_version: "0.1.0".to_owned(),
        applied: None,
        revision: None,
        ssh_key_names: vec!["acme".to_owned()],
    }
}

pub fn human_task(run: &RunId) -> HumanTask {
    HumanTask {
        human_task_id: Digest::of(format!("approve {run}").as_bytes()),
        run_id: run.clone(),
        question: "Recover?".to_owned(),
        subject: Some(revision("plan")),
        requested_by: "alice".to_owned(),
        status: HumanTaskStatus::Ready,
        created_at: at(0),
        deadline: at(3600),
        decision: None,
    }
}

pub fn decision(by: &str, seconds: i64) -> Decision {
    Decision { approved: true, decided_by: by.to_owned(), decided_at: at(seconds), comment: None }
}

pub fn recovery_plan(run: &RunId, not_recoverable: usize) -> RecoveryPlan {
    let service = service_key();
    let cause = "no image is proven ".repeat(10);
    RecoveryPlan {
        run_id: run.clone(),
        kind: RecoveryKind::Disaster,
        requested_by: "alice".to_owned(),
        reason: "fire".to_owned(),
        declared_at: at(0),
        planned_at: at(1),
        waves: Vec::new(),
        isolated_network: false,
        predicted_recovery_time: Seconds(90.0),
        predicted_recovery_point: Seconds(0.1 + 0.2),
        approval: ApprovalPolicy {
            name: "standard".to_owned(),
            approved_beforehand: Vec::new(),
            deadline: Seconds(3600.0),
        },
        not_recoverable: (0..not_recoverable)
            .map(|_| plan::NotRecoverable { service: service.clone(), cause: cause.clone() })
            .collect(),
        warning: None,
    }
}

pub fn report(run: &RunId, cause: &str) -> Report {
    Report {
        schema_version: 1,
        run_id: run.clone(),
        flow: Flow::RefreshImage,
        customer_id: None,
        outcome: Outcome::Refreshed,
        cause: cause.to_owned(),
        started_at: at(0),
        finished_at: at(100),
        refresh: None,
        recovery: None,
        steps: Vec::new(),
        resources: Vec::new(),
    }
}

pub fn step(name: &str, seconds: i64) -> StepRecord {
    StepRecord {
        name: name.to_owned(),
        machine: None,
        started_at: at(seconds),
        finished_at: Some(at(seconds + 1)),
        error: None,
        detail: None,
    }
}
