//! Who may call the agents' interface from another account, and as whom.

use rekindle_infra_tests::Deployment::SeparateAccounts;
use rekindle_infra_tests::Role;
use rekindle_infra_tests::policy::roles;
use serde_json::json;

use crate::{customer, orchestrator};

fn caller() -> Role {
    roles(&orchestrator(), SeparateAccounts).into_iter().find(|role| role.id == "AgentCallerRole").unwrap()
}

#[test]
fn only_the_customers_instances_assume_the_role_for_callers() {
    let trust = caller().trust;
    assert_eq!(trust.len(), 1);
    // Nothing beside it: with sts:TagSession or sts:SetSourceIdentity a session would bring along what it likes.
    assert_eq!(trust[0].actions(), ["sts:AssumeRole"]);
    assert_eq!(
        trust[0].body["Principal"],
        json!({"AWS": "arn:${AWS::Partition}:iam::${CustomerAccount}:root"})
    );
    let name = customer().resource("InstanceRole").unwrap().properties()["RoleName"]["Fn::Sub"].clone();
    let name = name.as_str().unwrap().replace("${OrchestratorStack}", "${AWS::StackName}");
    let instances = format!("arn:${{AWS::Partition}}:iam::${{CustomerAccount}}:role/rekindle/{name}");
    assert_eq!(trust[0].condition("ArnEquals", "aws:PrincipalArn"), [instances]);
    let conditions: Vec<&String> = trust[0].body["Condition"].as_object().unwrap().keys().collect();
    assert_eq!(conditions, ["ArnEquals", "StringLike"], "…IfExists would hold where a key is missing");
}

/// EC2 names sessions of the instance role by the instance's id, as long as nobody else makes any.
#[test]
fn only_ec2_makes_sessions_of_the_instance_role() {
    let roles = roles(&customer(), SeparateAccounts);
    let instance = roles.iter().find(|role| role.id == "InstanceRole").unwrap();
    assert_eq!(instance.trust.len(), 1);
    assert_eq!(instance.trust[0].body["Principal"], json!({"Service": "ec2.amazonaws.com"}));
    assert_eq!(instance.trust[0].actions(), ["sts:AssumeRole"]);
}

#[test]
fn an_instance_can_name_its_session_by_no_other_id_than_its_own() {
    let role = caller();
    let patterns = role.trust[0].condition("StringLike", "aws:userid");
    assert_eq!(patterns.len(), 1);
    let pattern = patterns[0];
    let may = |own: &str, claimed: &str| {
        let pattern = pattern.replace("${sts:RoleSessionName}", claimed);
        is_session_name(claimed) && is_like(&pattern, &format!("AROAEXAMPLEID:{own}"))
    };
    let own = "i-0123456789abcdef0";
    assert!(may(own, own));
    for other in [
        "i-0fedcba9876543210",
        "0123456789abcdef0",
        "abcdef0",
        "i-0123456789abcdef",
        "i-0123456789ABCDEF0",
        "*",
        "i-*",
        "i-0123456789abcdef?",
        "AROAEXAMPLEID:i-0123456789abcdef0",
        "",
    ] {
        assert!(!may(own, other), "{own} may call itself {other}");
    }
    // That it is this check that says no, and not the one before it.
    assert!(is_like("*:i-*", "AROAEXAMPLEID:i-1") && !is_like(pattern, "AROAEXAMPLEID:i-1"));
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
fn is_session_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    (2..=64).contains(&text.len()) && text.bytes().all(allowed)
}

/// As `StringLike` compares: `*` is any text, `?` any letter, and case counts.
fn is_like(pattern: &str, text: &str) -> bool {
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some('*'), None) => is_like(&pattern[1..], text),
        (Some('*'), Some(first)) => {
            is_like(&pattern[1..], text) || is_like(pattern, &text[first.len_utf8()..])
        }
        (Some(wanted), Some(first)) if wanted == '?' || wanted == first => {
            is_like(&pattern[wanted.len_utf8()..], &text[first.len_utf8()..])
        }
        _ => false,
    }
}
