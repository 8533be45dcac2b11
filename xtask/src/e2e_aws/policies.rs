//! The policies of the stack's buckets, keys and roles, as the emulator has to read them to come to the same answers as AWS.
//!
//! Four things differ.
//! * It is reached by plain HTTP on loopback, which the buckets refuse, as they should.
//! * It takes the session of a role for `aws:PrincipalArn`, where AWS takes the role (IAM user guide, "AWS global
//!   condition context keys"): so the sessions of the roles that a policy names are put in the place of the roles.
//! * It does not know to which state machine a task token belongs, so that only a policy for all of them lets anybody
//!   answer (Service authorization reference, "AWS Step Functions": the resource of `SendTaskSuccess` is the machine).
//! * It does not tell policies the encryption context of a call of KMS, but compares it when it decrypts.

use serde_json::Value;

use crate::aws::Aws;
use crate::deploy::Outputs;
use crate::error::TaskError;

/// The statement of infra/template.yaml and infra/customer-account.yaml that refuses plain HTTP.
const ONLY_OVER_TLS: &str = "OnlyOverTls";

/// A role of the stack: its ARN with its path, and its name, which is all that a session shows.
struct Role {
    arn: String,
    name: String,
    trust: Value,
}

/// Puts a translated policy in the place of each bucket's, key's and role's own.
pub(super) fn translate(aws: &Aws<'_>, outputs: &Outputs) -> Result<(), TaskError> {
    let roles = roles(aws)?;
    for bucket in outputs.iter().filter(|(name, _)| name.ends_with("BucketName")).map(|(_, bucket)| bucket) {
        let answer = aws.ask(&["s3api", "get-bucket-policy", "--bucket", bucket])?;
        let policy = of_bucket(answer["Policy"].as_str().unwrap_or_default(), &roles)?;
        aws.ask(&["s3api", "put-bucket-policy", "--bucket", bucket, "--policy", &policy])?;
    }
    for key in outputs.iter().filter(|(name, _)| name.ends_with("KeyArn")).map(|(_, key)| key) {
        let answer = aws.ask(&["kms", "get-key-policy", "--key-id", key, "--policy-name", "default"])?;
        let policy = of_key(answer["Policy"].as_str().unwrap_or_default(), &roles)?;
        let given = ["--key-id", key, "--policy-name", "default", "--policy", &policy];
        aws.ask(&[&["kms", "put-key-policy"][..], &given].concat())?;
    }
    for role in &roles {
        if let Some(trust) = of_role(role, &roles) {
            let named = ["--role-name", &role.name, "--policy-document", &trust];
            aws.ask(&[&["iam", "update-assume-role-policy"][..], &named].concat())?;
        }
        widen_policies(aws, &role.name)?;
    }
    Ok(())
}

/// Widens a role's own policies where the emulator does not tell what they ask for.
fn widen_policies(aws: &Aws<'_>, role: &str) -> Result<(), TaskError> {
    let answer = aws.ask(&["iam", "list-role-policies", "--role-name", role])?;
    for name in answer["PolicyNames"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let named = ["--role-name", role, "--policy-name", name];
        let policy = aws.ask(&[&["iam", "get-role-policy"][..], &named].concat())?["PolicyDocument"].clone();
        let wide = widened(&policy);
        if wide != policy {
            let document = wide.to_string();
            let given = ["--policy-document", &document];
            aws.ask(&[&["iam", "put-role-policy"][..], &named, &given].concat())?;
        }
    }
    Ok(())
}

fn widened(policy: &Value) -> Value {
    let mut policy = policy.clone();
    for statement in policy["Statement"].as_array_mut().into_iter().flatten() {
        if is_about_tokens(statement) {
            statement["Resource"] = "*".into();
        }
        if let Some(condition) = statement.get_mut("Condition").and_then(Value::as_object_mut) {
            for keys in condition.values_mut().filter_map(Value::as_object_mut) {
                keys.retain(|key, _| !key.starts_with("kms:EncryptionContext:"));
            }
            condition.retain(|_, keys| keys.as_object().is_none_or(|keys| !keys.is_empty()));
        }
        if statement["Condition"].as_object().is_none_or(serde_json::Map::is_empty)
            && let Some(statement) = statement.as_object_mut()
        {
            statement.remove("Condition");
        }
    }
    policy
}

/// Statements about task tokens are about nothing else.
fn is_about_tokens(statement: &Value) -> bool {
    let mut actions = statement["Action"].as_array().into_iter().flatten().filter_map(Value::as_str);
    actions.next().is_some_and(|first| first.starts_with("states:SendTask"))
}

fn roles(aws: &Aws<'_>) -> Result<Vec<Role>, TaskError> {
    let answer = aws.ask(&["iam", "list-roles"])?;
    let roles = answer["Roles"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let role = |role: &Value| Role {
        arn: text(&role["Arn"]),
        name: text(&role["RoleName"]),
        trust: role["AssumeRolePolicyDocument"].clone(),
    };
    Ok(roles.iter().map(role).collect())
}

fn unusable(why: &str) -> TaskError {
    TaskError::CheckFailed(format!("a policy cannot be used: {why}"))
}

fn read(policy: &str) -> Result<Value, TaskError> {
    serde_json::from_str(policy).map_err(|error| unusable(&error.to_string()))
}

fn of_key(policy: &str, roles: &[Role]) -> Result<String, TaskError> {
    let mut policy = widened(&read(policy)?);
    name_sessions(&mut policy, roles);
    Ok(policy.to_string())
}

fn of_bucket(policy: &str, roles: &[Role]) -> Result<String, TaskError> {
    let mut policy = read(policy)?;
    let statements = policy["Statement"].as_array_mut().ok_or_else(|| unusable("it has no statements"))?;
    let before = statements.len();
    statements.retain(|statement| statement["Sid"] != ONLY_OVER_TLS);
    if statements.len() + 1 != before {
        return Err(unusable(&format!("it does not have exactly one statement {ONLY_OVER_TLS}")));
    }
    name_sessions(&mut policy, roles);
    Ok(policy.to_string())
}

/// Nothing where the role's trust does not depend on other roles.
fn of_role(role: &Role, roles: &[Role]) -> Option<String> {
    let mut trust = role.trust.clone();
    name_sessions(&mut trust, roles);
    (trust != role.trust).then(|| trust.to_string())
}

fn name_sessions(policy: &mut Value, roles: &[Role]) {
    let statements = policy["Statement"].as_array_mut().into_iter().flatten();
    let conditions =
        statements.filter_map(|statement| statement.get_mut("Condition").and_then(Value::as_object_mut));
    for operator in conditions.flatten() {
        if let Some(named) = operator.1.get_mut("aws:PrincipalArn") {
            *named = sessions(named, roles);
        }
    }
}

/// The sessions of all roles that one of the patterns means; a pattern that means none stays as it is.
fn sessions(patterns: &Value, roles: &[Role]) -> Value {
    let patterns: Vec<&str> = match patterns {
        Value::Array(patterns) => patterns.iter().filter_map(Value::as_str).collect(),
        pattern => pattern.as_str().into_iter().collect(),
    };
    let translated = patterns.into_iter().flat_map(|pattern| {
        let meant: Vec<String> =
            roles.iter().filter(|role| is_like(&role.arn, pattern)).filter_map(session).collect();
        if meant.is_empty() { vec![pattern.to_owned()] } else { meant }
    });
    translated.collect()
}

fn session(role: &Role) -> Option<String> {
    let account = role.arn.split(":role/").next()?.replace(":iam:", ":sts:");
    Some(format!("{account}:assumed-role/{}/*", role.name))
}

/// Patterns of ours have their one star at the end.
fn is_like(arn: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => arn.starts_with(beginning),
        None => arn == pattern,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use serde_json::json;

    use super::*;

    fn roles() -> Vec<Role> {
        [("rekindle/backup", "backup"), ("rekindle/stack/sweep/a", "a"), ("rekindle/stack/sweep/b", "b")]
            .map(|(path, name)| Role {
                arn: format!("arn:aws:iam::1:role/{path}"),
                name: name.to_owned(),
                trust: Value::Null,
            })
            .into()
    }

    #[test]
    fn sessions_are_named_instead_of_roles() {
        let backup = json!("arn:aws:iam::1:role/rekindle/backup");
        assert_eq!(sessions(&backup, &roles()), json!(["arn:aws:sts::1:assumed-role/backup/*"]));
        let sweep = json!(["arn:aws:iam::1:role/rekindle/stack/sweep/*"]);
        let both = json!(["arn:aws:sts::1:assumed-role/a/*", "arn:aws:sts::1:assumed-role/b/*"]);
        assert_eq!(sessions(&sweep, &roles()), both);
        let root = json!(["arn:aws:iam::1:root"]);
        assert_eq!(sessions(&root, &roles()), root);
    }

    #[test]
    fn only_what_the_emulator_does_not_tell_is_widened() {
        let policy = json!({"Statement": [
            {"Action": ["states:SendTaskSuccess", "states:SendTaskFailure"], "Resource": "one"},
            {"Action": "states:StartExecution", "Resource": "one"},
            {"Condition": {"StringLike": {"kms:EncryptionContext:a": "b", "s3:prefix": "c"}}},
            {"Sid": "None", "Condition": {"StringLike": {"kms:EncryptionContext:a": "b"}}},
        ]});
        let expected = json!({"Statement": [
            {"Action": ["states:SendTaskSuccess", "states:SendTaskFailure"], "Resource": "*"},
            {"Action": "states:StartExecution", "Resource": "one"},
            {"Condition": {"StringLike": {"s3:prefix": "c"}}},
            {"Sid": "None"},
        ]});
        assert_eq!(widened(&policy), expected);
    }

    #[test]
    fn a_bucket_that_takes_plain_http_is_a_fault_of_the_template() {
        of_bucket(r#"{"Statement":[{"Sid":"OnlyMarked"}]}"#, &[]).unwrap_err();
    }
}
