//! The register's table, restored to an earlier time and taken into use: docs/OPERATIONS.md, "Restoring the register".

use serde_json::{Value, json};

use crate::command_line::aws;

/// The variable in which functions are told their table.
const TABLE: &str = "REKINDLE_TABLE";

/// Another table with what this one holds at this moment. Point-in-time recovery of the emulator knows no other time, so
/// the register goes on living afterwards.
pub fn restore(table: &str, restored: &str) {
    let named =
        ["--source-table-name", table, "--target-table-name", restored, "--use-latest-restorable-time"];
    aws(&[&["dynamodb", "restore-table-to-point-in-time"][..], &named].concat());
    aws(&["dynamodb", "wait", "table-exists", "--table-name", restored]);
}

/// Does what the template's parameter `RestoredTableName` does, which tests/infra hold: each function is told the other
/// table, and may use that one instead.
pub fn take_into_use(table: &str, restored: &str) {
    let listed = aws(&["lambda", "list-functions"]);
    let functions = listed["Functions"].as_array().expect("a list of functions");
    for function in functions.iter().filter(|function| function["Environment"]["Variables"][TABLE] == table) {
        tell(function, restored);
        let role = function["Role"].as_str().and_then(|role| role.rsplit('/').next());
        rename_in_policies(role.expect("a function has a role"), table, restored);
    }
}

/// A function that was told another table. However its test ends, it is told its own one again.
pub struct Misled(Value);

impl Misled {
    /// Tells it.
    ///
    /// # Panics
    /// When there is no such function.
    pub fn tell(function: &str, table: &str) -> Self {
        let name = format!("rekindle-e2e-{function}");
        let described = aws(&["lambda", "get-function-configuration", "--function-name", &name]);
        tell(&described, table);
        Self(described)
    }
}

impl Drop for Misled {
    fn drop(&mut self) {
        tell(&self.0, self.0["Environment"]["Variables"][TABLE].as_str().unwrap_or_default());
    }
}

fn tell(function: &Value, table: &str) {
    let mut variables = function["Environment"]["Variables"].clone();
    variables[TABLE] = table.into();
    let environment = json!({ "Variables": variables }).to_string();
    let named = ["--function-name", function["FunctionName"].as_str().expect("a function has a name")];
    let told = ["--environment", &environment];
    aws(&[&["lambda", "update-function-configuration"][..], &named, &told].concat());
}

fn rename_in_policies(role: &str, table: &str, restored: &str) {
    let listed = aws(&["iam", "list-role-policies", "--role-name", role]);
    let names = listed["PolicyNames"].as_array().expect("a list of names").iter().filter_map(Value::as_str);
    for name in names {
        let named = ["--role-name", role, "--policy-name", name];
        let policy = aws(&[&["iam", "get-role-policy"][..], &named].concat())["PolicyDocument"].to_string();
        let renamed = policy.replace(&format!(":table/{table}"), &format!(":table/{restored}"));
        aws(&[&["iam", "put-role-policy"][..], &named, &["--policy-document", &renamed]].concat());
    }
}
