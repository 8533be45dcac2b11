//! The roles of a template, each with everything that it may do.

use serde_json::Value;

use crate::intrinsic::Deployment;
use crate::template::{Resource, Template};

/// One statement of a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// All of it, its functions decided.
    pub body: Value,
}

impl Statement {
    /// Whether it allows.
    pub fn allows(&self) -> bool {
        self.body["Effect"] == "Allow"
    }

    /// Its actions.
    pub fn actions(&self) -> Vec<&str> {
        texts(&self.body["Action"])
    }

    /// Its resources.
    pub fn resources(&self) -> Vec<&str> {
        texts(&self.body["Resource"])
    }

    /// What a condition compares a key with; nothing where there is no such condition.
    pub fn condition(&self, operator: &str, key: &str) -> Vec<&str> {
        self.body.get("Condition").map(|all| texts(&all[operator][key])).unwrap_or_default()
    }

    /// Its name.
    pub fn sid(&self) -> &str {
        self.body["Sid"].as_str().unwrap_or_default()
    }
}

/// One text or several.
pub fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// A role.
#[derive(Debug, Clone)]
pub struct Role {
    /// Its logical id.
    pub id: String,
    /// The managed policies of the same template that it has, by their logical ids.
    pub managed: Vec<String>,
    /// Its own statements and those of its managed policies, apart from what it is refused.
    pub statements: Vec<Statement>,
    /// Who may assume it.
    pub trust: Vec<Statement>,
}

/// The managed policy that refuses.
pub const NEVER: &str = "NeverPolicy";

/// All roles that a deployment makes from a template.
pub fn roles(template: &Template, deployment: Deployment) -> Vec<Role> {
    let roles = template.of_type("AWS::IAM::Role").filter(|role| deployment.makes(role.body));
    roles.map(|role| role_of(template, deployment, role)).collect()
}

/// The statements of a managed policy.
pub fn managed(template: &Template, deployment: Deployment, id: &str) -> Vec<Statement> {
    let policy = template.resource(id);
    policy.map(|policy| statements(deployment, &policy.properties()["PolicyDocument"])).unwrap_or_default()
}

/// The statements of a policy document.
pub fn statements(deployment: Deployment, document: &Value) -> Vec<Statement> {
    let all = document["Statement"].as_array().into_iter().flatten();
    all.filter_map(|statement| deployment.resolve(statement)).map(|body| Statement { body }).collect()
}

fn role_of(template: &Template, deployment: Deployment, role: Resource<'_>) -> Role {
    let properties = role.properties();
    let references = properties["ManagedPolicyArns"].as_array().into_iter().flatten();
    let managed_ids: Vec<String> = references
        .filter_map(|reference| deployment.text(reference))
        .map(|text| text.trim_start_matches("${").trim_end_matches('}').to_owned())
        .collect();
    let own = properties["Policies"].as_array().into_iter().flatten();
    let mut allowed: Vec<Statement> =
        own.flat_map(|policy| statements(deployment, &policy["PolicyDocument"])).collect();
    for id in managed_ids.iter().filter(|id| *id != NEVER) {
        allowed.extend(managed(template, deployment, id));
    }
    Role {
        id: role.id.to_owned(),
        managed: managed_ids,
        statements: allowed,
        trust: statements(deployment, &properties["AssumeRolePolicyDocument"]),
    }
}
