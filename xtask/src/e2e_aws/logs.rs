//! What the deployed functions wrote into their logs.

use serde_json::Value;

use crate::aws::Aws;
use crate::error::TaskError;
use crate::speech;

/// Of each function, at most this many lines are shown.
const MOST_LINES: usize = 20;

/// After tests that failed: what every function of a stack warned of, and what went wrong in its executions.
pub(super) fn show(aws: &Aws<'_>, stack: &str) -> Result<(), TaskError> {
    show_warnings(aws, stack)?;
    let machines = aws.ask(&["stepfunctions", "list-state-machines"])?;
    for machine in texts(&machines["stateMachines"], "stateMachineArn") {
        show_executions(aws, &machine)?;
        show_executions(aws, &format!("{machine}:live"))?;
    }
    Ok(())
}

fn show_executions(aws: &Aws<'_>, machine: &str) -> Result<(), TaskError> {
    let executions = aws.ask(&["stepfunctions", "list-executions", "--state-machine-arn", machine])?;
    for execution in texts(&executions["executions"], "executionArn") {
        let history = aws.ask(&["stepfunctions", "get-execution-history", "--execution-arn", &execution])?;
        for event in history["events"].as_array().into_iter().flatten() {
            let details = event.as_object().into_iter().flatten().map(|(_, details)| details);
            for details in details.filter(|details| details["error"].is_string()) {
                speech::progress(&format!(
                    "{execution}: {}: {}: {}",
                    event["type"], details["error"], details["cause"]
                ));
            }
        }
    }
    Ok(())
}

/// One text of each element of a list.
fn texts(list: &Value, name: &str) -> Vec<String> {
    let elements = list.as_array().into_iter().flatten();
    elements.filter_map(|element| element[name].as_str()).map(str::to_owned).collect()
}

fn show_warnings(aws: &Aws<'_>, stack: &str) -> Result<(), TaskError> {
    for group in groups(aws, stack)? {
        let lines = lines(aws, &group)?;
        let warnings: Vec<&String> = lines.iter().filter(|line| !is_ordinary(line)).collect();
        if !warnings.is_empty() {
            speech::progress(&format!("{group}:"));
        }
        for line in &warnings[warnings.len().saturating_sub(MOST_LINES)..] {
            speech::progress(&format!("  {line}"));
        }
    }
    Ok(())
}

/// The log groups of a stack's functions.
fn groups(aws: &Aws<'_>, stack: &str) -> Result<Vec<String>, TaskError> {
    let prefix = format!("/aws/lambda/{stack}-");
    let answer = aws.ask(&["logs", "describe-log-groups", "--log-group-name-prefix", &prefix])?;
    Ok(texts(&answer["logGroups"], "logGroupName"))
}

/// All lines of a log group.
fn lines(aws: &Aws<'_>, group: &str) -> Result<Vec<String>, TaskError> {
    let answer = aws.ask(&["logs", "filter-log-events", "--log-group-name", group])?;
    Ok(texts(&answer["events"], "message").iter().map(|line| line.trim().to_owned()).collect())
}

/// What the platform says of each call, and what a function says when all is well.
fn is_ordinary(line: &str) -> bool {
    let is_of_the_platform = ["START ", "END ", "REPORT "].iter().any(|word| line.starts_with(word));
    let level = serde_json::from_str::<Value>(line).ok().map(|event| event["level"].clone());
    is_of_the_platform || level.is_some_and(|level| level == "INFO" || level == "DEBUG")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_ordinary_is_shown() {
        assert!(is_ordinary("START RequestId: 1 Version: $LATEST"));
        assert!(is_ordinary(r#"{"level":"INFO"}"#));
        assert!(!is_ordinary(r#"{"level":"ERROR"}"#));
        assert!(!is_ordinary("thread 'main' panicked"));
    }
}
