//! The deployed state machines, as the emulator has to be told of them to run them as AWS does.
//!
//! * It reads JSONata in a Map that is inline and not in a distributed one, so distributed Maps become inline ones.
//!   What that hides, executions of their own for each item, is in docs/OPERATIONS.md, "Not seen on real AWS yet".
//! * It knows versions and aliases of state machines, but not in templates: what `AutoPublishAlias` does is done here.
//! * A state machine cannot start another one by its alias, so it starts it by its name.

use serde_json::Value;

use crate::aws::Aws;
use crate::deploy::Outputs;
use crate::error::TaskError;

/// Translates and publishes each state machine of the stack.
pub(super) fn publish(aws: &Aws<'_>, outputs: &Outputs) -> Result<(), TaskError> {
    for machine in outputs.iter().filter(|(name, _)| name.ends_with("StateMachineArn")).map(|(_, arn)| arn) {
        translate(aws, machine)?;
        let named = ["--state-machine-arn", machine];
        let version = aws.ask(&[&["stepfunctions", "publish-state-machine-version"][..], &named].concat())?;
        let version = version["stateMachineVersionArn"].as_str().unwrap_or_default();
        let route = format!("stateMachineVersionArn={version},weight=100");
        let alias = ["--name", "live", "--routing-configuration", &route];
        aws.ask(&[&["stepfunctions", "create-state-machine-alias"][..], &alias].concat())?;
    }
    Ok(())
}

fn translate(aws: &Aws<'_>, machine: &str) -> Result<(), TaskError> {
    let named = ["--state-machine-arn", machine];
    let described = aws.ask(&[&["stepfunctions", "describe-state-machine"][..], &named].concat())?;
    let definition = described["definition"].as_str().unwrap_or_default();
    let mut translated: Value = serde_json::from_str(&without_aliases(definition)).map_err(|error| {
        TaskError::CheckFailed(format!("the definition of {machine} cannot be read: {error}"))
    })?;
    make_inline(&mut translated);
    let definition = translated.to_string();
    let given = ["--definition", &definition];
    aws.ask(&[&["stepfunctions", "update-state-machine"][..], &named, &given].concat())?;
    Ok(())
}

/// Functions are not published under this alias, so nothing else ends like this.
fn without_aliases(definition: &str) -> String {
    definition.replace(":live\"", "\"")
}

/// Makes every distributed Map of these states an inline one.
fn make_inline(definition: &mut Value) {
    let states = definition.get_mut("States").and_then(Value::as_object_mut);
    for (_, state) in states.into_iter().flatten() {
        let Some(processor) = state.get_mut("ItemProcessor") else { continue };
        make_inline(processor);
        if processor["ProcessorConfig"]["Mode"] == "DISTRIBUTED" {
            processor["ProcessorConfig"] = serde_json::json!({"Mode": "INLINE"});
            if let Some(state) = state.as_object_mut() {
                state.remove("ToleratedFailurePercentage");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_state_machine_is_started_by_its_name() {
        let definition = r#"{"StateMachineArn":"arn:aws:states:r:1:stateMachine:a-b:live"}"#;
        assert_eq!(
            without_aliases(definition),
            r#"{"StateMachineArn":"arn:aws:states:r:1:stateMachine:a-b"}"#
        );
    }

    #[test]
    fn a_distributed_map_within_an_inline_one_is_found() {
        let inner =
            |mode: Value| json!({"Inner": {"Type": "Map", "ItemProcessor": {"ProcessorConfig": mode}}});
        let outer = |inner: Value| {
            let processor = json!({"ProcessorConfig": {"Mode": "INLINE"}, "States": inner});
            json!({"States": {"Outer": {"Type": "Map", "ItemProcessor": processor}}})
        };
        let mut definition = outer(inner(json!({"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"})));
        make_inline(&mut definition);
        assert_eq!(definition, outer(inner(json!({"Mode": "INLINE"}))));
    }
}
