//! Section 4.4 of the design over both templates, and the reviewed form of every policy.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rekindle_infra_tests::policy::{NEVER, Role, managed, roles};
use rekindle_infra_tests::{Deployment, documents, repository, rules};

use crate::{customer, orchestrator};

/// Roles that are not the orchestrator's: instances, builders of base images and production hosts are the customer's.
const OF_THE_CUSTOMER: [&str; 3] = ["BackupRole", "BaseImageRole", "InstanceRole"];

fn orchestrators(deployment: Deployment) -> Vec<Role> {
    let all = roles(&orchestrator(), deployment).into_iter().chain(roles(&customer(), deployment));
    all.filter(|role| !OF_THE_CUSTOMER.contains(&role.id.as_str())).collect()
}

#[test]
fn the_orchestrator_cannot_read_business_data() {
    for deployment in Deployment::ALL {
        let roles = orchestrators(deployment);
        assert!(roles.len() >= 28, "19 functions, 3 flows, the scheduler, 5 roles for EC2: {}", roles.len());
        let violations: Vec<String> = roles.iter().flat_map(rules::violations).collect();
        assert!(violations.is_empty(), "{violations:#?}");
    }
}

#[test]
fn what_must_never_be_is_refused_too() {
    for (template, deployment) in
        [orchestrator(), customer()].iter().flat_map(|t| Deployment::ALL.map(|d| (t, d)))
    {
        let never = managed(template, deployment, NEVER);
        assert!(never.iter().all(|statement| !statement.allows()));
        let actions: BTreeSet<&str> = never.iter().flat_map(|statement| statement.actions()).collect();
        for action in ["s3:*", "kms:*", "ebs:*", "ssm:*", "ec2-instance-connect:*"] {
            assert!(actions.contains(action), "{action}");
        }
        for action in ["ec2:AttachVolume", "ec2:CreateKeyPair", "ec2:ModifyImageAttribute", "ec2:DeleteTags"]
        {
            assert!(actions.contains(action) || actions.contains("ec2:*"), "{action}");
        }
    }
}

#[test]
fn functions_reach_ec2_through_the_customers_roles_alone() {
    for deployment in Deployment::ALL {
        let ours = roles(&orchestrator(), deployment);
        let direct: Vec<&Role> = ours
            .iter()
            .filter(|role| actions(role).iter().any(|action| action.starts_with("ec2:")))
            .collect();
        assert!(direct.is_empty(), "{direct:#?}");
    }
}

/// `shared/cloud-aws` says what it asks of EC2. Its crate is a million lines, so it is read and not linked.
#[test]
fn the_roles_for_ec2_allow_what_the_adapter_asks_for_and_nothing_else() {
    let source = std::fs::read_to_string(repository().join("shared/cloud-aws/src/lib.rs")).unwrap();
    let list = source.split("ACTIONS: [&str;").nth(1).unwrap().split("];").next().unwrap();
    let asked: BTreeSet<String> =
        list.split('"').skip(1).step_by(2).map(|name| format!("ec2:{name}")).collect();
    let roles = roles(&customer(), Deployment::OneAccount);
    let allowed: BTreeSet<String> = roles
        .iter()
        .flat_map(actions)
        .filter(|action| action.starts_with("ec2:"))
        .map(str::to_owned)
        .collect();
    assert_eq!(allowed, asked);
}

#[test]
fn instances_and_backup_hosts_do_their_part_only() {
    let roles = roles(&customer(), Deployment::OneAccount);
    let of = |id: &str| actions(roles.iter().find(|role| role.id == id).unwrap());
    assert_eq!(
        of("InstanceRole"),
        BTreeSet::from(["execute-api:Invoke", "kms:Decrypt", "s3:GetObject", "s3:ListBucket"])
    );
    let backup = BTreeSet::from([
        "kms:Decrypt",
        "kms:Encrypt",
        "kms:GenerateDataKey",
        "s3:AbortMultipartUpload",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
    ]);
    assert_eq!(of("BackupRole"), backup);
    let host = roles.iter().find(|role| role.id == "BackupRole").unwrap();
    for statement in host.statements.iter().filter(|statement| statement.actions().contains(&"s3:GetObject"))
    {
        assert!(statement.resources().iter().all(|resource| resource.contains("${ControlBucketName}")));
    }
}

/// It obeys user data, so it may only read what it lays down, and say how that went.
#[test]
fn a_builder_of_base_images_reads_its_bundle_and_answers() {
    let roles = roles(&customer(), Deployment::OneAccount);
    let role = roles.iter().find(|role| role.id == "BaseImageRole").unwrap();
    let allowed: BTreeMap<&str, Vec<&str>> =
        role.statements.iter().map(|statement| (statement.actions()[0], statement.resources())).collect();
    assert_eq!(actions(role), BTreeSet::from(["s3:GetObject", "s3:PutObject"]));
    let folder = ":s3:::rekindle-packages-${AWS::AccountId}-${AWS::Region}/base-images/\
                  ${OrchestratorStack}-${AWS::Region}-base-image/*/";
    for (action, name) in [("s3:GetObject", "bundle.tar"), ("s3:PutObject", "answer")] {
        assert_eq!(allowed[action].len(), 1);
        assert!(allowed[action][0].ends_with(&format!("{folder}{name}")), "{allowed:?}");
    }
    assert_eq!(role.trust.len(), 1);
    assert_eq!(role.trust[0].body["Principal"]["Service"], "ec2.amazonaws.com");
}

#[test]
fn the_reviewed_policies_are_those_of_the_templates() {
    let expected = documents::all().unwrap();
    let folder = repository().join("infra/policies");
    let mut found = BTreeMap::new();
    read(&folder, &folder, &mut found);
    let (names, written): (BTreeSet<_>, BTreeSet<_>) = (expected.keys().collect(), found.keys().collect());
    assert_eq!(names, written, "write them with: cargo run -p rekindle-infra-tests");
    for (name, text) in &expected {
        assert!(found[name] == *text, "{name} differs; write it with: cargo run -p rekindle-infra-tests");
    }
}

fn read(root: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(root, &path, found);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            found.insert(name, std::fs::read_to_string(&path).unwrap());
        }
    }
}

fn actions(role: &Role) -> BTreeSet<&str> {
    role.statements
        .iter()
        .filter(|statement| statement.allows())
        .flat_map(|statement| statement.actions())
        .collect()
}
