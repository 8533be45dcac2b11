//! Reports as runs write them: one for each face of the page.

use rekindle_domain::Report;
use serde_json::{Value, json};

/// A refresh that went well.
pub fn refresh() -> Report {
    read(json!({
        "schema_version": 1,
        "run_id": "01JQ8XKZ3F6T9R2V5N7C4M1B0A",
        "flow": "refresh-image",
        "customer_id": "acme",
        "outcome": "Refreshed",
        "cause": "The incremental backup of 02:00 was restored onto the last image, every check held, and the new image is registered.",
        "started_at": "2026-03-14T02:00:41.2Z",
        "finished_at": "2026-03-14T02:04:52.9Z",
        "refresh": {
            "machine": machine("orders", "database"),
            "backup_id": "01JQ8XHQ2W5S8P1T4M6B9K3Z7D",
            "backup_kind": "incremental",
            "backup_place": "acme/orders/database/sets/01JQ8XHQ2W5S8P1T4M6B9K3Z7D",
            "backup_bytes": 48_211_904,
            "parent_image_id": "ami-0a41c9d27be5f8834",
            "image_id": "ami-0c77e0b95d1a2f466",
            "recovery_point": "2026-03-14T02:00:03Z",
            "verdict": verdict(),
        },
        "recovery": null,
        "steps": [
            step("PlanRefresh", None, "02:00:41.2", Some("02:00:41.9"), None, Some("1 incremental set to apply onto ami-0a41c9d27be5f8834.")),
            step("StartInstance", Some("database"), "02:00:42", Some("02:01:20.4"), None, None),
            step("TransferAndRestore", Some("database"), "02:01:20.5", Some("02:01:58.1"), Some("Agent.Unreachable"), Some("No sign of life for 30 s; the job is given out again.")),
            step("TransferAndRestore", Some("database"), "02:02:03.1", Some("02:02:27.8"), None, None),
            step("Verify", Some("database"), "02:02:27.9", Some("02:02:41"), None, None),
            step("SnapshotImage", Some("database"), "02:02:41.1", Some("02:04:31"), None, None),
            step("Register", Some("database"), "02:04:31.1", Some("02:04:31.4"), None, None),
            step("Destroy", Some("database"), "02:04:31.5", Some("02:04:52.6"), None, None),
        ],
        "resources": [
            { "kind": "instance", "id": "i-0f3b9d2c61e8a7754", "fate": "destroyed" },
            { "kind": "image", "id": "ami-0c77e0b95d1a2f466", "fate": "registered" },
        ],
    }))
}

/// A declared disaster in which one of three services does not serve.
pub fn recovery() -> Report {
    read(json!({
        "schema_version": 1,
        "run_id": "01JQ9B7M4X2Y8K6H3G5F1D0C9E",
        "flow": "recover",
        "customer_id": "acme",
        "outcome": "PartiallyRecovered",
        "cause": "Orders and shop serve. No proven image of ledger boots: see its entry, and repair it by hand from its backup sets.",
        "started_at": "2026-03-14T09:12:05Z",
        "finished_at": "2026-03-14T09:31:40Z",
        "refresh": null,
        "recovery": {
            "kind": "disaster",
            "plan_id": "5b1f3c0e9a7d4826b4e8f20c6d915a3377c0be1294f6d85a0e3b71c9f2846d05",
            "requested_by": "Martha Okafor",
            "reason": "Fire alarm and loss of power in the Rotterdam data centre; the power company gives no time.",
            "declared_at": "2026-03-14T09:12:00Z",
            "decision": {
                "approved": true,
                "decided_by": "Jan de Wit",
                "decided_at": "2026-03-14T09:14:31Z",
                "comment": "Confirmed with the site by telephone.",
            },
            "predicted_recovery_time": 540.0,
            "services": [
                service("orders", (900.0, Some(432.0)), (7200.0, Some(4317.0)), json!([
                    replica("orders", "database", false, Some("09:18:52")),
                    replica("orders", "application", false, Some("09:19:12")),
                ]), None),
                service("shop", (600.0, Some(711.0)), (86_400.0, Some(22_020.0)), json!([
                    replica("shop", "web", true, Some("09:23:51")),
                ]), None),
                service("ledger", (900.0, None), (900.0, Some(4400.0)), json!([
                    replica("ledger", "database", true, None),
                ]), Some("Neither the latest image nor the two before it answered within 5 minutes.")),
            ],
        },
        "steps": [
            step("PlanRecovery", None, "09:12:05", Some("09:12:06.1"), None, Some("3 services in 2 waves.")),
            step("RequestApproval", None, "09:12:06.2", Some("09:14:31"), None, None),
            step("Recover", Some("database"), "09:14:32", Some("09:17:40"), None, None),
            step("Activate", Some("database"), "09:17:40", Some("09:18:21"), None, None),
            step("CheckReplica", Some("database"), "09:18:21", Some("09:18:52"), None, None),
            step("Recover", Some("web"), "09:19:13", Some("09:23:20"), Some("Replica.DidNotBoot"), Some("The image before the planned one is started.")),
            step("CheckReplica", Some("web"), "09:23:20", Some("09:23:51"), None, None),
            step("Recover", Some("database"), "09:19:13", Some("09:31:20"), Some("Replica.DidNotBoot"), None),
            step("AskAPerson", None, "09:31:21", None, None, Some("A person was told that ledger needs help.")),
        ],
        "resources": [
            { "kind": "instance", "id": "i-orders-database", "fate": "kept" },
            { "kind": "instance", "id": "i-orders-application", "fate": "kept" },
            { "kind": "instance", "id": "i-shop-web", "fate": "kept" },
            { "kind": "instance", "id": "i-shop-web-first", "fate": "destroyed" },
            { "kind": "instance", "id": "i-ledger-database", "fate": "kept" },
            { "kind": "instance", "id": "i-ledger-database-first", "fate": "left-for-sweep" },
        ],
    }))
}

/// A run that ended before anything was known.
pub fn failed_at_once() -> Report {
    read(json!({
        "schema_version": 1,
        "run_id": "01JQ9C2N5Z8W1V4T7S0R3Q6P9M",
        "flow": "refresh-image",
        "customer_id": null,
        "outcome": "Refused",
        "cause": "The set description has 9000000 bytes, more than the 4194304 that are read.",
        "started_at": "2026-03-14T03:00:00Z",
        "finished_at": "2026-03-14T03:00:00Z",
        "refresh": null,
        "recovery": null,
        "steps": [],
        "resources": [],
    }))
}

/// A rehearsal whose approval came beforehand, and of which nothing could be planned.
pub fn rehearsal_without_a_plan() -> Report {
    let mut value = serde_json::to_value(recovery()).expect("a report can be written");
    value["outcome"] = json!("Failed");
    value["cause"] = json!("There is no proven image of any machine.");
    value["steps"] = json!([]);
    value["resources"] = json!([]);
    value["recovery"]["kind"] = json!("rehearsal");
    value["recovery"]["plan_id"] = Value::Null;
    value["recovery"]["decision"]["decided_by"] = json!("policy:weekly-rehearsal");
    value["recovery"]["predicted_recovery_time"] = Value::Null;
    value["recovery"]["services"] = json!([]);
    read(value)
}

pub fn read(value: Value) -> Report {
    serde_json::from_value(value).expect("the example has the form of a report")
}

fn machine(service: &str, machine: &str) -> Value {
    json!({ "customer_id": "acme", "service_id": service, "machine_id": machine })
}

fn verdict() -> Value {
    json!({
        "recovery_point": "2026-03-14T02:00:03Z",
        "verified_at": "2026-03-14T02:02:41Z",
        "checks": [
            check("Transport", "signature-and-digests", None, "3 objects and the description are as they were signed."),
            check("Position", "replayed-position", Some("orders"), "Replayed up to 0/5A0001C8; the set ends at 0/5A0001C8."),
            check("Heartbeat", "heartbeat-row", Some("orders"), "Row 1442, written 2026-03-14 02:00:03 UTC, is the one of this set."),
            check("Probe", "count-of-orders", Some("orders"), "As it was at backup time."),
            check("Structure", "page-checksums", Some("orders"), "No page is damaged."),
            check("Application", "health", None, "Answered 200 within 41 ms."),
        ],
    })
}

fn check(kind: &str, name: &str, data_store: Option<&str>, explanation: &str) -> Value {
    json!({ "kind": kind, "name": name, "data_store": data_store, "passed": true, "explanation": explanation })
}

fn step(
    name: &str,
    machine_id: Option<&str>,
    begin: &str,
    end: Option<&str>,
    error: Option<&str>,
    detail: Option<&str>,
) -> Value {
    json!({
        "name": name,
        "machine": machine_id.map(|id| machine("orders", id)),
        "started_at": on_the_day(begin),
        "finished_at": end.map(on_the_day),
        "error": error,
        "detail": detail,
    })
}

fn service(
    name: &str,
    time: (f64, Option<f64>),
    point: (f64, Option<f64>),
    replicas: Value,
    cause: Option<&str>,
) -> Value {
    json!({
        "service": { "customer_id": "acme", "service_id": name },
        "recovery_time_objective": time.0,
        "recovery_time": time.1,
        "recovery_point_objective": point.0,
        "recovery_point": point.1,
        "replicas": replicas,
        "cause": cause,
    })
}

fn replica(service: &str, machine_id: &str, fell_back: bool, serving_since: Option<&str>) -> Value {
    json!({
        "machine": machine(service, machine_id),
        "instance_id": format!("i-{service}-{machine_id}"),
        "image_id": "ami-0c77e0b95d1a2f466",
        "fell_back": fell_back,
        "hostname": format!("{machine_id}.{service}.acme.example"),
        "ip_address": "10.20.4.17",
        "ssh_key_name": "acme-operations",
        "recovery_point": "2026-03-14T08:00:03Z",
        "verdict": serving_since.map(|_| json!({
            "recovery_point": "2026-03-14T08:00:03Z",
            "verified_at": "2026-03-14T09:18:52Z",
            "checks": [check("Application", "health", None, "Answered 200 within 41 ms.")],
        })),
        "serving_since": serving_since.map(on_the_day),
    })
}

fn on_the_day(time: &str) -> String {
    let date = "2026-03-14";
    format!("{date}T{time}Z")
}
