//! Each role for EC2 allows what its functions' code asks for, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use rekindle_infra_tests::policy::roles;
use rekindle_infra_tests::{Deployment, repository};

use crate::customer;

/// What each method of the port takes on EC2, as `shared/cloud-aws` carries it out.
const METHODS: [(&str, &[&str]); 10] = [
    // Tags are given in the request itself, and an earlier request's instance is looked for before it is repeated.
    ("launch", &["CreateTags", "DescribeInstances", "RunInstances"]),
    ("describe_instance", &["DescribeInstances"]),
    // A refusal is compared with the state of the instance.
    ("terminate", &["DescribeInstances", "TerminateInstances"]),
    ("create_image", &["CreateImage", "CreateTags", "DescribeImages", "DescribeInstances"]),
    ("describe_image", &["DescribeImages"]),
    ("find_image", &["DescribeImages"]),
    ("delete_image", &["DeleteSnapshot", "DeregisterImage", "DescribeImages", "DescribeSnapshots"]),
    (
        "find_by_run",
        &[
            "DescribeImages",
            "DescribeInstances",
            "DescribeNetworkInterfaces",
            "DescribeSnapshots",
            "DescribeVolumes",
        ],
    ),
    ("find_by_machine", &["DescribeImages", "DescribeInstances"]),
    ("delete_other", &["DeleteNetworkInterface", "DeleteSnapshot", "DeleteVolume"]),
];

/// The volumes of a replica are named one by one where they are to be filled faster, so its image is looked at.
const LAUNCH_OF_A_REPLICA: [&str; 1] = ["DescribeImages"];

/// Each role, and the folders of those who use it.
const ROLES: [(&str, &[&str]); 5] = [
    ("DestroyEc2Role", &["functions/destroy", "functions/sweep"]),
    ("RecoverEc2Role", &["functions/recover", "shared/instances"]),
    ("RegisterEc2Role", &["functions/register"]),
    ("SnapshotImageEc2Role", &["functions/snapshot-image"]),
    ("StartInstanceEc2Role", &["functions/start-instance", "shared/instances"]),
];

#[test]
fn each_role_allows_what_its_functions_ask_for() {
    let roles = roles(&customer(), Deployment::OneAccount);
    for (id, folders) in ROLES {
        let role = roles.iter().find(|role| role.id == id).unwrap();
        let statements = role.statements.iter().filter(|statement| statement.allows());
        let allowed: BTreeSet<&str> = statements
            .flat_map(|statement| statement.actions())
            .filter_map(|action| action.strip_prefix("ec2:"))
            .collect();
        assert_eq!(allowed, asked_for(&code(folders)), "{id}");
    }
}

/// A builder holds restored data and runs what is in an image: it gets no key pair and reaches no production.
#[test]
fn who_starts_builders_cannot_start_replicas_and_the_other_way_round() {
    let roles = roles(&customer(), Deployment::OneAccount);
    let launches = |id: &str| {
        let role = roles.iter().find(|role| role.id == id).unwrap();
        let statements =
            role.statements.iter().filter(|statement| statement.actions().contains(&"ec2:RunInstances"));
        let reached = statements.flat_map(|statement| {
            [statement.resources(), statement.condition("StringEquals", "ec2:SubnetID")].concat()
        });
        reached.collect::<Vec<_>>().join(" ")
    };
    let (builders, replicas) = (launches("StartInstanceEc2Role"), launches("RecoverEc2Role"));
    for production in ["key-pair/", "ReplicaLaunchTemplate", "ProductionSubnet", "ProductionGroup"] {
        assert!(!builders.contains(production) && replicas.contains(production), "{production}");
    }
    assert!(builders.contains("BuilderLaunchTemplate") && !replicas.contains("BuilderLaunchTemplate"));
    for isolated in ["IsolatedSubnet3", "IsolatedGroup"] {
        assert!(builders.contains(isolated) && replicas.contains(isolated), "rehearsals: {isolated}");
    }
    let code = code(&["functions/start-instance"]);
    for asked in ["purpose:Purpose::Builder,", "ssh_key_name:String::new(),", "isolated_network:true,"] {
        assert!(code.contains(asked), "functions/start-instance asks for more than its role allows: {asked}");
    }
}

/// A function that begins to reach EC2 needs a role here.
#[test]
fn every_function_that_reaches_ec2_has_a_role_here() {
    let known: BTreeSet<String> =
        ROLES.iter().flat_map(|(_, folders)| folders.iter().map(|folder| (*folder).to_owned())).collect();
    for entry in std::fs::read_dir(repository().join("functions")).unwrap() {
        let name = format!("functions/{}", entry.unwrap().file_name().into_string().unwrap());
        let main = std::fs::read_to_string(repository().join(&name).join("src/main.rs")).unwrap();
        assert_eq!(main.contains("host.cloud("), known.contains(&name), "{name}");
    }
}

/// A method that this table does not know could take an action that no role allows.
#[test]
fn the_table_knows_every_method_of_the_port() {
    let port = std::fs::read_to_string(repository().join("shared/cloud/src/lib.rs")).unwrap();
    let port = port.split("pub trait CloudProvider").nth(1).unwrap();
    let methods: BTreeSet<&str> =
        port.split("async fn ").skip(1).map(|rest| rest.split('(').next().unwrap()).collect();
    assert_eq!(methods, METHODS.iter().map(|(method, _)| *method).collect());
}

fn asked_for(code: &str) -> BTreeSet<&'static str> {
    let used = METHODS.iter().filter(|(method, _)| code.contains(&format!("cloud.{method}(")));
    let mut actions: BTreeSet<&str> = used.flat_map(|(_, actions)| actions.iter().copied()).collect();
    // Of whoever asks for the launch: the launcher itself serves both.
    if code.contains("purpose:Purpose::Replica,") {
        actions.extend(LAUNCH_OF_A_REPLICA);
    }
    actions
}

/// All of the code in some folders but its tests, without white space: a call may be written over several lines.
fn code(folders: &[&str]) -> String {
    let mut text = String::new();
    for folder in folders {
        read(&repository().join(folder).join("src"), &mut text);
    }
    text.split_whitespace().collect()
}

fn read(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().unwrap() != "tests" {
            read(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_name().unwrap() != "tests.rs"
        {
            let file = std::fs::read_to_string(&path).unwrap();
            text.push_str(file.split("#[cfg(test)]").next().unwrap());
        }
    }
}
