//! Instances, images and disks: only the customer's are started, only those of a run are changed.

use crate::policy::Statement;

const CUSTOMERS: &str = "${CustomerId}/*";

pub(super) fn wrong(statement: &Statement, action: &str) -> Option<String> {
    match action {
        "ec2:DescribeImages"
        | "ec2:DescribeInstances"
        | "ec2:DescribeNetworkInterfaces"
        | "ec2:DescribeSnapshots"
        | "ec2:DescribeVolumes" => None,
        "ec2:RunInstances" => {
            statement.resources().into_iter().find_map(|resource| launch(statement, resource))
        }
        "ec2:CreateImage" => statement.resources().into_iter().find_map(|resource| save(statement, resource)),
        "ec2:CreateTags" => tag(statement),
        "ec2:TerminateInstances"
        | "ec2:DeregisterImage"
        | "ec2:DeleteSnapshot"
        | "ec2:DeleteVolume"
        | "ec2:DeleteNetworkInterface" => (!is_of_a_run(statement))
            .then(|| format!("{action} reaches what no run of the customer has made")),
        _ => Some(format!("nobody has said that {action} is safe")),
    }
}

/// `instance` for `arn:aws:ec2:eu-west-1:111122223333:instance/*`.
fn kind(resource: &str) -> &str {
    resource.rsplit(':').next().unwrap_or_default().split('/').next().unwrap_or_default()
}

fn launch(statement: &Statement, resource: &str) -> Option<String> {
    let is_safe = match kind(resource) {
        "image" | "snapshot" => {
            is_the_customers(statement)
                && statement.condition("StringEquals", "ec2:Owner") == ["${AWS::AccountId}"]
        }
        "key-pair" => is_the_customers(statement),
        "launch-template" => {
            resource.ends_with("/${BuilderLaunchTemplate}") || resource.ends_with("/${ReplicaLaunchTemplate}")
        }
        "subnet" => {
            let named = statement.condition("StringEquals", "ec2:SubnetID");
            !named.is_empty()
                && named.iter().all(|subnet| subnet.starts_with("${") && subnet.contains("Subnet"))
        }
        "security-group" => resource.ends_with("Group.GroupId}") || resource.ends_with("SecurityGroup}"),
        "instance" => {
            is_tagged_at_birth(statement)
                && is_shaped(statement)
                && statement.condition("StringEquals", "ec2:MetadataHttpTokens") == ["required"]
                && statement.condition("ArnEquals", "ec2:InstanceProfile") == ["${InstanceProfile.Arn}"]
        }
        "volume" => {
            is_tagged_at_birth(statement)
                && is_shaped(statement)
                && statement.condition("Bool", "ec2:Encrypted") == ["true"]
        }
        "network-interface" => is_tagged_at_birth(statement) && is_shaped(statement),
        _ => false,
    };
    (!is_safe).then(|| format!("ec2:RunInstances reaches {resource} without what makes it the customer's"))
}

fn save(statement: &Statement, resource: &str) -> Option<String> {
    let is_safe = match kind(resource) {
        "instance" => is_of_a_run(statement),
        "image" | "snapshot" => is_tagged_at_birth(statement),
        _ => false,
    };
    (!is_safe).then(|| format!("ec2:CreateImage reaches {resource} without a run's tag"))
}

/// Tags decide what may be started and destroyed: they are given in the request that makes a resource, and never later.
fn tag(statement: &Statement) -> Option<String> {
    let at = statement.condition("StringEquals", "ec2:CreateAction");
    let is_safe = !at.is_empty() && at.iter().all(|action| ["RunInstances", "CreateImage"].contains(action));
    (!is_safe).then(|| "ec2:CreateTags reaches resources that exist already".to_owned())
}

fn is_the_customers(statement: &Statement) -> bool {
    statement.condition("StringLike", "ec2:ResourceTag/rekindle:machine") == [CUSTOMERS]
}

fn is_of_a_run(statement: &Statement) -> bool {
    is_the_customers(statement) && statement.condition("Null", "ec2:ResourceTag/rekindle:run") == ["false"]
}

fn is_tagged_at_birth(statement: &Statement) -> bool {
    statement.condition("StringLike", "aws:RequestTag/rekindle:machine") == [CUSTOMERS]
        && statement.condition("Null", "aws:RequestTag/rekindle:run") == ["false"]
}

fn is_shaped(statement: &Statement) -> bool {
    let templates = statement.condition("ArnEquals", "ec2:LaunchTemplate");
    !templates.is_empty()
        && templates.iter().all(|arn| {
            arn.ends_with("/${BuilderLaunchTemplate}") || arn.ends_with("/${ReplicaLaunchTemplate}")
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::rules::testing::wrong;

    const PLACE: &str = "arn:aws:ec2:eu-west-1:1";

    fn run(resource: &str, condition: Value) -> String {
        let resource = format!("{PLACE}:{resource}");
        wrong(
            json!({"Effect": "Allow", "Action": "ec2:RunInstances", "Resource": resource, "Condition": condition}),
        )
    }

    #[test]
    fn only_the_customers_images_and_key_pairs_start() {
        let tagged = json!({"StringLike": {"ec2:ResourceTag/rekindle:machine": "${CustomerId}/*"}});
        assert!(
            run("image/*", tagged.clone()).contains("the customer's"),
            "a stranger's image may carry the tag"
        );
        assert!(
            run("snapshot/*", json!({"StringEquals": {"ec2:Owner": "${AWS::AccountId}"}}))
                .contains("the customer's")
        );
        assert!(run("key-pair/*", json!({})).contains("the customer's"));
        assert_eq!(run("key-pair/*", tagged), "");
    }

    #[test]
    fn only_the_given_places_and_templates_start() {
        assert!(run("subnet/*", json!({})).contains("the customer's"));
        assert!(run("security-group/*", json!({})).contains("the customer's"));
        assert!(run("launch-template/*", json!({})).contains("the customer's"));
        assert!(run("placement-group/*", json!({})).contains("the customer's"));
        assert!(run("*", json!({})).contains("the customer's"));
    }

    #[test]
    fn what_starts_is_tagged_shaped_and_encrypted() {
        let tags = json!({"Null": {"aws:RequestTag/rekindle:run": "false"},
            "StringLike": {"aws:RequestTag/rekindle:machine": "${CustomerId}/*"}});
        for made in ["instance/*", "volume/*", "network-interface/*"] {
            assert!(run(made, tags.clone()).contains("the customer's"), "{made} without a launch template");
        }
        let mut shaped = tags;
        shaped["ArnEquals"] = json!({"ec2:LaunchTemplate": "x/${BuilderLaunchTemplate}"});
        assert_eq!(run("network-interface/*", shaped.clone()), "");
        assert!(run("volume/*", shaped.clone()).contains("the customer's"), "not encrypted");
        assert!(run("instance/*", shaped).contains("the customer's"), "any profile, any metadata");
    }

    #[test]
    fn nothing_is_tagged_later() {
        let resource = format!("{PLACE}:instance/*");
        let later = json!({"Effect": "Allow", "Action": "ec2:CreateTags", "Resource": resource});
        assert!(wrong(later).contains("exist already"));
        let other = json!({"Effect": "Allow", "Action": "ec2:CreateTags", "Resource": resource,
            "Condition": {"StringEquals": {"ec2:CreateAction": ["RunInstances", "CreateSnapshot"]}}});
        assert!(wrong(other).contains("exist already"));
    }

    #[test]
    fn only_what_runs_have_made_is_saved_or_destroyed() {
        let tagged = json!({"StringLike": {"ec2:ResourceTag/rekindle:machine": "${CustomerId}/*"}});
        for action in
            ["ec2:TerminateInstances", "ec2:DeregisterImage", "ec2:DeleteSnapshot", "ec2:DeleteVolume"]
        {
            let statement = json!({"Effect": "Allow", "Action": action, "Resource": format!("{PLACE}:x/*"), "Condition": tagged});
            assert!(wrong(statement).contains("no run"), "{action} reaches base images");
        }
        let image = json!({"Effect": "Allow", "Action": "ec2:CreateImage", "Resource": format!("{PLACE}:instance/*"), "Condition": tagged});
        assert!(wrong(image).contains("without a run's tag"));
    }
}
