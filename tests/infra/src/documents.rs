//! The policies as files.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::intrinsic::Deployment;
use crate::policy::{NEVER, Statement, managed, roles};
use crate::template::{Template, TemplateError};

/// Every file of `infra/policies/` with what belongs into it.
///
/// # Errors
/// When a template cannot be read.
pub fn all() -> Result<BTreeMap<String, String>, TemplateError> {
    let (orchestrator, customer) = (Template::orchestrator()?, Template::customer()?);
    let mut files = BTreeMap::new();
    // What only separate accounts have comes first; everything else is shown as one account has it.
    for deployment in [Deployment::SeparateAccounts, Deployment::OneAccount] {
        add(&mut files, "", &orchestrator, deployment);
        add(&mut files, "customer/", &customer, deployment);
    }
    Ok(files)
}

fn add(files: &mut BTreeMap<String, String>, folder: &str, template: &Template, deployment: Deployment) {
    for role in roles(template, deployment) {
        files.insert(format!("{folder}{}.json", file_name(&role.id)), written(&role.statements));
    }
    files.insert(format!("{folder}never.json"), written(&managed(template, deployment, NEVER)));
}

/// The role's logical id in the words of the project: `PlanRefreshRole` is `plan-refresh`.
pub fn file_name(role: &str) -> String {
    let stem = role.strip_suffix("Ec2Role").or_else(|| role.strip_suffix("Role")).unwrap_or(role);
    kebab(stem)
}

/// `PlanRefresh` as `plan-refresh`.
pub fn kebab(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

fn written(statements: &[Statement]) -> String {
    let all: Vec<&Value> = statements.iter().map(|statement| &statement.body).collect();
    let document = json!({"Version": "2012-10-17", "Statement": all});
    format!("{document:#}\n")
}
