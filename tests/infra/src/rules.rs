//! What no role of the orchestrator may be allowed: section 4.4 of the design, over IAM's own words.
//!
//! A rule sees one statement that allows, and says in a sentence what is wrong with it. A permission that no rule knows to
//! be safe is refused: actions on EC2, S3 and KMS have to be listed here with the condition that makes them safe.

mod ec2;
mod keys;
mod objects;

use crate::policy::{Role, Statement};

/// Everything that is wrong with a role of the orchestrator.
pub fn violations(role: &Role) -> Vec<String> {
    let allowed = role.statements.iter().filter(|statement| statement.allows());
    let mut found: Vec<String> = allowed
        .flat_map(|statement| {
            let wrong = of_statement(statement);
            wrong
                .into_iter()
                .map(|what| format!("{} {}: {what}", role.id, statement.sid()))
                .collect::<Vec<_>>()
        })
        .collect();
    if !role.managed.iter().any(|id| id == crate::policy::NEVER) {
        found.push(format!("{}: it does not have {}", role.id, crate::policy::NEVER));
    }
    found
}

/// What is wrong with a statement that allows, whomever it is for: the customer's own roles, keys and buckets included.
/// One that stands at what it is about, as in the policy of a key, names no other resource.
pub fn of_any_statement(statement: &Statement, stands_at_its_resource: bool) -> Vec<String> {
    let mut found = shape(statement);
    if statement.resources().is_empty() && !stands_at_its_resource {
        found.push("it names no resource".to_owned());
    }
    for action in statement.actions() {
        found.extend(forbidden(action));
        if !stands_at_its_resource {
            found.extend(everywhere(statement, action));
        }
    }
    found
}

/// Everything that is wrong with a statement that allows a role of the orchestrator.
pub fn of_statement(statement: &Statement) -> Vec<String> {
    let mut found = of_any_statement(statement, false);
    for action in statement.actions() {
        let service = action.split(':').next().unwrap_or_default();
        found.extend(match service {
            "ec2" => ec2::wrong(statement, action),
            "s3" => objects::wrong(statement, action),
            "kms" => keys::wrong(statement, action),
            "iam" => pass_role(statement, action),
            "sts" => assume_role(statement, action),
            "execute-api" => invoke(statement, action),
            "dynamodb" | "events" | "lambda" | "logs" | "sqs" | "states" => None,
            _ => Some(format!("nobody has said that {action} is safe")),
        });
    }
    found
}

/// Wildcards in actions, and permissions by exception.
fn shape(statement: &Statement) -> Vec<String> {
    let mut found = Vec::new();
    for part in ["NotAction", "NotResource"] {
        if statement.body.get(part).is_some() {
            found.push(format!("it allows by exception ({part})"));
        }
    }
    if statement.actions().is_empty() {
        found.push("it names no action".to_owned());
    }
    let wild = statement.actions().into_iter().filter(|action| action.contains(['*', '?']));
    found.extend(wild.map(|action| format!("the action {action} is a pattern")));
    found
}

/// Actions that would reach data, disks, shells or other people's accounts, whatever the condition.
fn forbidden(action: &str) -> Option<String> {
    const FORBIDDEN: [&str; 37] = [
        "ec2:AssociateIamInstanceProfile",
        "ec2:AttachVolume",
        "ec2:CopyImage",
        "ec2:CopySnapshot",
        "ec2:CreateFleet",
        "ec2:CreateInstanceExportTask",
        "ec2:CreateKeyPair",
        "ec2:CreateLaunchTemplate",
        "ec2:CreateLaunchTemplateVersion",
        "ec2:CreateReplaceRootVolumeTask",
        "ec2:CreateSnapshot",
        "ec2:CreateSnapshots",
        "ec2:CreateStoreImageTask",
        "ec2:CreateVolume",
        "ec2:DeleteTags",
        "ec2:DetachVolume",
        "ec2:ExportImage",
        "ec2:GetConsoleOutput",
        "ec2:GetConsoleScreenshot",
        "ec2:GetPasswordData",
        "ec2:ImportKeyPair",
        "ec2:ModifyImageAttribute",
        "ec2:ModifyInstanceAttribute",
        "ec2:ModifyInstanceMetadataOptions",
        "ec2:ModifyLaunchTemplate",
        "ec2:ModifySnapshotAttribute",
        "ec2:RegisterImage",
        "ec2:ReplaceIamInstanceProfileAssociation",
        "ec2:RequestSpotInstances",
        "ec2-instance-connect:SendSSHPublicKey",
        "ec2-instance-connect:SendSerialConsoleSSHPublicKey",
        "ebs:GetSnapshotBlock",
        "ebs:ListChangedBlocks",
        "ebs:ListSnapshotBlocks",
        "ssm:SendCommand",
        "ssm:StartSession",
        "states:GetExecutionHistory",
    ];
    let is_forbidden = FORBIDDEN.iter().any(|name| name.eq_ignore_ascii_case(action));
    is_forbidden.then(|| format!("{action} is never allowed"))
}

/// Only what has no resource-level permissions may be allowed on everything.
fn everywhere(statement: &Statement, action: &str) -> Option<String> {
    const WITHOUT_RESOURCES: [&str; 13] = [
        "ec2:DescribeImages",
        "ec2:DescribeInstances",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSnapshots",
        "ec2:DescribeVolumes",
        "logs:CreateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:DescribeLogGroups",
        "logs:DescribeResourcePolicies",
        "logs:GetLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutResourcePolicy",
        "logs:UpdateLogDelivery",
    ];
    let is_everywhere = statement.resources().contains(&"*");
    (is_everywhere && !WITHOUT_RESOURCES.contains(&action))
        .then(|| format!("{action} is allowed on everything"))
}

fn pass_role(statement: &Statement, action: &str) -> Option<String> {
    let only_instances = statement.condition("StringEquals", "iam:PassedToService") == ["ec2.amazonaws.com"]
        && statement.resources() == ["${InstanceRole.Arn}"];
    (action != "iam:PassRole" || !only_instances)
        .then(|| format!("{action} is allowed for more than giving instances their role"))
}

fn assume_role(statement: &Statement, action: &str) -> Option<String> {
    let theirs = |arn: &&str| {
        arn.contains(":role/rekindle/${AWS::StackName}-${AWS::Region}-ec2/") && !arn.contains(['*', '?'])
    };
    (action != "sts:AssumeRole" || !statement.resources().iter().all(theirs))
        .then(|| format!("{action} is allowed on a role that is not the customer's for EC2"))
}

/// The interface for agents: operators declare disasters at the other one.
fn invoke(statement: &Statement, action: &str) -> Option<String> {
    let agents = |arn: &&str| {
        let interface = arn.rsplit(':').next().unwrap_or_default();
        ["${AgentApi}/$default/*", "${AgentApiId}/$default/*"].contains(&interface)
    };
    (action != "execute-api:Invoke" || !statement.resources().iter().all(agents))
        .then(|| format!("{action} is allowed at another interface than the agents'"))
}

#[cfg(test)]
pub(crate) mod testing {
    use serde_json::Value;

    use super::*;

    /// What is wrong with a statement, in one text.
    pub(crate) fn wrong(body: Value) -> String {
        of_statement(&Statement { body }).join("; ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::testing::wrong;
    use super::*;

    fn allow(action: &str, resource: &str) -> serde_json::Value {
        json!({"Effect": "Allow", "Action": action, "Resource": resource})
    }

    #[test]
    fn patterns_and_exceptions_are_refused() {
        assert!(wrong(allow("dynamodb:*", "${Table.Arn}")).contains("is a pattern"));
        assert!(wrong(allow("dynamodb:Get?tem", "${Table.Arn}")).contains("is a pattern"));
        assert!(
            wrong(json!({"Effect": "Allow", "NotAction": "iam:PassRole", "Resource": "x"}))
                .contains("NotAction")
        );
        let by_exception = json!({"Effect": "Allow", "Action": "lambda:InvokeFunction", "NotResource": "x"});
        assert!(wrong(by_exception).contains("NotResource"));
    }

    #[test]
    fn shells_disks_and_sharing_are_refused_in_any_spelling() {
        for action in [
            "ec2:CreateKeyPair",
            "ec2:importkeypair",
            "ec2-instance-connect:SendSSHPublicKey",
            "ec2-instance-connect:SendSerialConsoleSSHPublicKey",
            "ec2:AttachVolume",
            "ec2:CreateVolume",
            "ebs:GetSnapshotBlock",
            "ebs:ListSnapshotBlocks",
            "ec2:ModifyImageAttribute",
            "ec2:ModifySnapshotAttribute",
            "ec2:CopySnapshot",
            "ec2:CopyImage",
            "ec2:DeleteTags",
            "ssm:SendCommand",
            "ssm:StartSession",
            "ec2:GetConsoleScreenshot",
            "ec2:GetConsoleOutput",
            "ec2:ModifyInstanceAttribute",
            "states:GetExecutionHistory",
        ] {
            assert!(wrong(allow(action, "x")).contains("never allowed"), "{action}");
        }
    }

    #[test]
    fn everything_is_no_resource() {
        assert!(wrong(allow("states:StartExecution", "*")).contains("on everything"));
        assert_eq!(wrong(allow("ec2:DescribeImages", "*")), "");
    }

    #[test]
    fn services_that_nobody_thought_of_are_refused() {
        assert!(wrong(allow("secretsmanager:GetSecretValue", "x")).contains("nobody has said"));
        assert!(wrong(allow("ec2:DescribeInstanceAttribute", "x")).contains("nobody has said"));
    }

    #[test]
    fn roles_are_passed_to_instances_only_and_assumed_by_name() {
        assert!(wrong(allow("iam:PassRole", "${InstanceRole.Arn}")).contains("giving instances"));
        assert!(wrong(allow("iam:CreateRole", "${InstanceRole.Arn}")).contains("giving instances"));
        let other = json!({"Effect": "Allow", "Action": "iam:PassRole", "Resource": "${BackupRole.Arn}",
            "Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}});
        assert!(wrong(other).contains("giving instances"));
        let backup = "arn:aws:iam::1:role/rekindle/${AWS::StackName}-${AWS::Region}-backup";
        assert!(wrong(allow("sts:AssumeRole", backup)).contains("not the customer's"));
        let any = "arn:aws:iam::1:role/rekindle/${AWS::StackName}-${AWS::Region}-ec2/*";
        assert!(wrong(allow("sts:AssumeRole", any)).contains("not the customer's"));
    }

    #[test]
    fn interfaces_of_other_people_are_refused() {
        let place = "arn:aws:execute-api:eu-west-1:1";
        assert_eq!(wrong(allow("execute-api:Invoke", &format!("{place}:${{AgentApi}}/$default/*"))), "");
        for other in ["${OperatorApi}/$default/*", "*", "*/$default/*", "x${AgentApi}/$default/*"] {
            assert!(
                wrong(allow("execute-api:Invoke", &format!("{place}:{other}"))).contains("another interface")
            );
        }
        assert!(wrong(allow("execute-api:Invoke", "*")).contains("on everything"));
        assert!(wrong(allow("execute-api:ManageConnections", "x")).contains("another interface"));
    }

    #[test]
    fn only_what_stands_at_its_resource_names_none() {
        let statement =
            Statement { body: json!({"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}) };
        assert!(of_any_statement(&statement, true).is_empty());
        assert!(of_any_statement(&statement, false)[0].contains("on everything"));
        let trust = Statement { body: json!({"Effect": "Allow", "Action": "sts:AssumeRole"}) };
        assert!(of_any_statement(&trust, true).is_empty());
        assert!(of_any_statement(&trust, false)[0].contains("no resource"));
        let pattern = Statement { body: json!({"Effect": "Allow", "Action": "kms:*", "Resource": "*"}) };
        assert!(of_any_statement(&pattern, true)[0].contains("is a pattern"));
    }

    #[test]
    fn a_role_without_the_refusals_is_refused() {
        let role =
            Role { id: "X".to_owned(), managed: Vec::new(), statements: Vec::new(), trust: Vec::new() };
        assert_eq!(violations(&role), ["X: it does not have NeverPolicy"]);
    }
}
