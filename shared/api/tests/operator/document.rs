//! `infra/openapi.json` against the router, both ways.

use std::collections::BTreeSet;

use rekindle_api::operator::{Code, OPERATOR_ROUTES};
use serde_json::{Value, json};

use crate::schema::faults;
use crate::world::{ADA, SUBJECT, World, recovery};

const DOCUMENT: &str = include_str!("../../../../infra/openapi.json");

fn document() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

/// Method, address and content of everything that the document describes.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    all
}

fn parameters<'a>(operation: &'a Value, place: &str) -> Vec<&'a Value> {
    let all = operation["parameters"].as_array().into_iter().flatten();
    all.filter(|parameter| parameter["in"] == place).collect()
}

/// The address with the examples of the document in it.
fn address(path: &str, operation: &Value) -> String {
    parameters(operation, "path").into_iter().fold(path.to_owned(), |path, parameter| {
        let name = format!("{{{}}}", parameter["name"].as_str().unwrap());
        path.replace(&name, parameter["example"].as_str().unwrap())
    })
}

#[test]
fn document_and_router_have_the_same_routes() {
    let described: BTreeSet<(String, String)> =
        operations(&document()).into_iter().map(|(method, path, _)| (method, path)).collect();
    let routed: BTreeSet<(String, String)> =
        OPERATOR_ROUTES.iter().map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
    assert_eq!(described, routed);
    assert_eq!(routed.len(), OPERATOR_ROUTES.len());
    assert_eq!(document()["openapi"], "3.1.0");
}

#[test]
fn the_document_lists_every_code() {
    let described: BTreeSet<String> = serde_json::from_value(
        document()["components"]["schemas"]["Problem"]["properties"]["code"]["enum"].clone(),
    )
    .unwrap();
    let known: BTreeSet<String> = Code::ALL.iter().map(|code| code.as_str().to_owned()).collect();
    assert_eq!(described, known);
    assert_eq!(known.len(), Code::ALL.len());
}

/// The table that people read is held against the list that the program uses.
#[test]
fn the_documentation_of_the_module_lists_every_code_with_its_status() {
    let text = include_str!("../../src/operator/mod.rs");
    for code in Code::ALL {
        let row = text.lines().find(|line| line.starts_with(&format!("//! | {} |", code.status()))).unwrap();
        assert!(row.contains(&format!("`{}`", code.as_str())), "{code:?}");
    }
    let listed = text.lines().filter(|line| line.starts_with("//! | ") && line.contains("| `"));
    let count: usize = listed.map(|row| row.matches('`').count() / 2).sum();
    assert_eq!(count, Code::ALL.len());
}

#[test]
fn every_operation_says_what_it_takes_and_what_it_refuses() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{path}");
        let named: Vec<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
        let described: Vec<&str> =
            parameters(&operation, "path").iter().map(|p| p["name"].as_str().unwrap()).collect();
        assert_eq!(named, described, "{path}");
        assert_eq!(operation["responses"]["default"]["$ref"], "#/components/responses/Refused", "{path}");
        assert_eq!(operation["requestBody"].is_object(), method != "GET", "{path}");
        for parameter in parameters(&operation, "path") {
            let found = faults(&document, &parameter["schema"], &parameter["example"], &path);
            assert_eq!(found, Vec::<String>::new());
        }
    }
}

/// Every example is what its schema says, and the router takes it.
#[tokio::test]
async fn the_examples_are_accepted() {
    let document = document();
    for (method, path, operation) in operations(&document) {
        let content = &operation["requestBody"]["content"]["application/json"];
        assert_eq!(content["examples"].is_object(), method != "GET", "{path}");
        for (name, example) in content["examples"].as_object().into_iter().flatten() {
            // Each in a world of its own: one may end what another one decides on.
            let world = World::seeded().await;
            let body = &example["value"];
            assert_eq!(faults(&document, &content["schema"], body, name), Vec::<String>::new(), "{path}");
            let answer = world.call(ADA, &method, &address(&path, &operation), body.to_string()).await;
            check(&document, &path, &operation, &answer.good(), answer.status.as_u16());
        }
    }
}

/// What is answered is what the document says, field by field.
#[tokio::test]
async fn the_answers_are_described() {
    let document = document();
    let world = World::seeded().await;
    let plan = world.post("/v1/recovery-plans", recovery("t")).await.good()["plan_id"].clone();
    for (method, path, operation) in operations(&document).into_iter().filter(|(method, ..)| method == "GET")
    {
        let address = address(&path, &operation).replace(SUBJECT, plan.as_str().unwrap());
        let answer = world.call(ADA, &method, &address, "").await;
        assert_eq!(answer.status, 200, "{address}: {}", answer.text);
        if answer.kind == "application/json" {
            check(&document, &path, &operation, &answer.json(), 200);
        } else {
            assert!(operation["responses"]["200"]["content"]["text/html"].is_object(), "{path}");
        }
    }
    let refused = world.get("/v1/nothing").await.json();
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    assert_eq!(faults(&document, &schema, &refused, "problem"), Vec::<String>::new());
}

fn check(document: &Value, path: &str, operation: &Value, answer: &Value, status: u16) {
    let described = &operation["responses"][status.to_string()];
    assert!(described.is_object(), "{path} answers {status}, which the document does not say");
    let schema = &described["content"]["application/json"]["schema"];
    assert_eq!(faults(document, schema, answer, path), Vec::<String>::new());
}
