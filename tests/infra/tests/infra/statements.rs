//! What holds for every statement that allows, wherever in a template it stands: in policies of roles, of keys, buckets,
//! queues and topics, and in trust policies.

use rekindle_infra_tests::policy::{Statement, roles};
use rekindle_infra_tests::{Deployment, Template, rules};
use serde_json::Value;

use crate::{customer, orchestrator};

/// A statement that allows, and where it stands.
struct Found {
    place: String,
    statement: Statement,
}

fn everywhere(template: &Template, deployment: Deployment) -> Vec<Found> {
    let mut found = Vec::new();
    for resource in template.resources().filter(|resource| deployment.makes(resource.body)) {
        if let Some(body) = deployment.resolve(resource.properties()) {
            collect(&body, resource.id, &mut found);
        }
    }
    found
}

fn collect(value: &Value, place: &str, found: &mut Vec<Found>) {
    match value {
        Value::Object(fields) if fields.get("Effect").is_some_and(|effect| effect == "Allow") => {
            found.push(Found { place: place.to_owned(), statement: Statement { body: value.clone() } });
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| collect(field, &format!("{place}.{name}"), found))
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, place, found)),
        _ => {}
    }
}

/// AWS's own default for keys, `kms:*` for the account's root, is the one pattern that would have a reason: without it a
/// key can become unmanageable. The keys here name what administration takes instead, so that nothing is excepted.
#[test]
fn no_statement_anywhere_allows_by_pattern_or_by_exception() {
    let mut number = 0;
    for (template, deployment) in both() {
        for Found { place, statement } in everywhere(&template, deployment) {
            let wrong = rules::of_any_statement(&statement, stands_at_its_resource(&place));
            assert!(wrong.is_empty(), "{place} {}: {wrong:#?}", statement.sid());
            number += 1;
        }
    }
    assert!(number > 300, "{number} statements were looked at");
}

/// A walk that goes past statements of roles would find nothing wrong with them.
#[test]
fn the_walk_sees_every_statement_of_every_role() {
    for (template, deployment) in both() {
        let seen: Vec<Value> =
            everywhere(&template, deployment).into_iter().map(|found| found.statement.body).collect();
        for role in roles(&template, deployment) {
            let all = role.statements.iter().chain(&role.trust).filter(|statement| statement.allows());
            for statement in all {
                assert!(seen.contains(&statement.body), "{} {}", role.id, statement.sid());
            }
        }
    }
}

/// Whoever is meant by a policy of a resource is named; everybody is nobody's to allow.
#[test]
fn nothing_is_allowed_to_everybody() {
    for (template, deployment) in both() {
        for Found { place, statement } in everywhere(&template, deployment) {
            let meant = &statement.body["Principal"];
            assert!(!meant.to_string().contains('*'), "{place} {}: {meant}", statement.sid());
            assert!(statement.body.get("NotPrincipal").is_none(), "{place} {}", statement.sid());
        }
    }
}

#[test]
fn instances_invoke_the_agents_interface_alone() {
    let mut invokes = 0;
    for (template, deployment) in both() {
        for Found { place, statement } in everywhere(&template, deployment) {
            if statement.actions().contains(&"execute-api:Invoke") {
                let wrong = rules::of_statement(&statement);
                assert!(wrong.is_empty(), "{place}: {wrong:#?}");
                invokes += 1;
            }
        }
    }
    assert_eq!(invokes, 2, "the instance role in one account, the role for callers over two");
}

/// In policies of keys `*` is the key itself, and trust policies name no resource: they stand at what they are about.
fn stands_at_its_resource(place: &str) -> bool {
    place.contains(".KeyPolicy") || place.contains(".AssumeRolePolicyDocument")
}

fn both() -> impl Iterator<Item = (Template, Deployment)> {
    [orchestrator(), customer()].into_iter().flat_map(|t| Deployment::ALL.map(|d| (t.clone(), d)))
}
