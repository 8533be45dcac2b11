//! What the roles for EC2 allow, by IAM's own simulator: no emulator of EC2 enforces them.
//!
//! Each case that is refused differs in one thing from one that is allowed, so that a refusal is not an accident of how
//! the question is put.

use serde_json::{Value, json};

use super::{Setting, Verdict, is_missing};
use crate::error::TaskError;

const MACHINE: &str = "ec2:ResourceTag/rekindle:machine";
const RUN: &str = "ec2:ResourceTag/rekindle:run";
const OWNER: &str = "ec2:Owner";

/// An account that nobody's images are in.
const STRANGER: &str = "000000000000";

/// Where a stack is, and whose.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// `arn:aws:iam::<account>:role/rekindle/<stack>-<region>`: what the ARNs of its roles begin with.
    beginning: String,
    partition: String,
    account: String,
    region: String,
    customer: String,
}

/// One question to the simulator.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Case {
    /// The need of the role, as in its name.
    need: &'static str,
    /// What is asked, in words.
    what: &'static str,
    action: &'static str,
    resource: String,
    /// Keys of conditions with their values.
    context: Vec<(&'static str, String)>,
    is_allowed: bool,
}

pub(super) fn ask(setting: &Setting<'_>) -> Result<Verdict, TaskError> {
    let Some(stack) = setting.stack else {
        return Ok(Verdict::CouldNotBeAsked("whose roles? Give --stack".to_owned()));
    };
    let described = setting.ask(&["cloudformation", "describe-stacks", "--stack-name", stack])?;
    let Some(place) = place(&described["Stacks"][0], stack) else {
        let why =
            format!("the stack {stack} names no CustomerId or no InstanceRoleArn: is it one of Rekindle's?");
        return Ok(Verdict::CouldNotBeAsked(why));
    };
    let cases = cases(&place);
    if let Some(reason) = is_missing(setting, &role(&place, cases[0].need))? {
        return Ok(Verdict::CouldNotBeAsked(reason));
    }
    let mut wrong = Vec::new();
    for case in &cases {
        let (role, context) = (role(&place, case.need), entries(case));
        let arguments = question(case, &role, &context);
        wrong.extend(objection(case, &setting.ask(&arguments)?));
    }
    Ok(Verdict::of(wrong.is_empty(), wrong.join("; ")))
}

/// From what CloudFormation says of the stack.
fn place(stack: &Value, name: &str) -> Option<Place> {
    let value = |list: &str, key: &str, named: &str, value: &str| {
        let mut all = stack[list].as_array().into_iter().flatten();
        all.find(|item| item[key] == named)?[value].as_str().map(str::to_owned)
    };
    let customer = value("Parameters", "ParameterKey", "CustomerId", "ParameterValue")?;
    let instance = value("Outputs", "OutputKey", "InstanceRoleArn", "OutputValue")?;
    let beginning = instance.strip_suffix("-instance")?.to_owned();
    let region = beginning.rsplit('/').next()?.strip_prefix(name)?.strip_prefix('-')?.to_owned();
    let mut parts = beginning.split(':').skip(1);
    let (partition, account) = (parts.next()?.to_owned(), parts.nth(2)?.to_owned());
    Some(Place { beginning, partition, account, region, customer })
}

/// As infra/customer-account.yaml names them.
fn role(place: &Place, need: &str) -> String {
    let names = place.beginning.rsplit('/').next().unwrap_or_default();
    format!("{}-ec2/{names}-{need}", place.beginning)
}

fn cases(place: &Place) -> Vec<Case> {
    let arn =
        |account: &str, what: &str| format!("arn:{}:ec2:{}:{account}:{what}", place.partition, place.region);
    let image = arn("", "image/ami-0123456789abcdef0");
    let instance = arn(&place.account, "instance/i-0123456789abcdef0");
    let key_pair = arn(&place.account, "key-pair/live");
    let machine = (MACHINE, format!("{}/live/check", place.customer));
    let run = (RUN, "live".to_owned());
    let own = (OWNER, place.account.clone());
    let case =
        |need, action, resource: &String, what, context: &[&(&'static str, String)], is_allowed| Case {
            need,
            what,
            action,
            resource: resource.clone(),
            context: context.iter().map(|entry| (*entry).clone()).collect(),
            is_allowed,
        };
    let stranger = (OWNER, STRANGER.to_owned());
    let everything = "*".to_owned();
    vec![
        case("register", "ec2:DescribeImages", &everything, "look at images", &[], true),
        case("register", "ec2:DescribeVolumes", &everything, "look at volumes", &[], false),
        case(
            "start-instance",
            "ec2:RunInstances",
            &image,
            "start the customer's image",
            &[&machine, &own],
            true,
        ),
        case(
            "start-instance",
            "ec2:RunInstances",
            &image,
            "start a foreign image",
            &[&machine, &stranger],
            false,
        ),
        case("start-instance", "ec2:RunInstances", &image, "start an image without the tag", &[&own], false),
        case(
            "recover",
            "ec2:RunInstances",
            &key_pair,
            "start with the customer's key pair",
            &[&machine],
            true,
        ),
        case("recover", "ec2:RunInstances", &key_pair, "start with any key pair", &[], false),
        case(
            "recover",
            "ec2:TerminateInstances",
            &instance,
            "terminate a run's instance",
            &[&machine, &run],
            true,
        ),
        case("recover", "ec2:TerminateInstances", &instance, "terminate any instance", &[&machine], false),
        case(
            "snapshot-image",
            "ec2:CreateImage",
            &instance,
            "save a run's instance",
            &[&machine, &run],
            true,
        ),
        case("snapshot-image", "ec2:CreateImage", &instance, "save any instance", &[&machine], false),
        case("destroy", "ec2:DeregisterImage", &image, "deregister a run's image", &[&machine, &run], true),
        case("destroy", "ec2:DeregisterImage", &image, "deregister a base image", &[&machine], false),
    ]
}

fn entries(case: &Case) -> String {
    let entries = case.context.iter().map(|(key, value)| {
        json!({"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"})
    });
    Value::Array(entries.collect()).to_string()
}

fn question<'q>(case: &'q Case, role: &'q str, context: &'q str) -> Vec<&'q str> {
    let mut arguments = vec!["iam", "simulate-principal-policy", "--policy-source-arn", role];
    arguments.extend(["--action-names", case.action, "--resource-arns", &case.resource]);
    arguments.extend(["--context-entries", context]);
    arguments
}

/// Why an answer is not as it should be.
fn objection(case: &Case, answer: &Value) -> Option<String> {
    let decision = answer["EvaluationResults"][0]["EvalDecision"].as_str().unwrap_or("not answered");
    let is_as_it_should_be = match decision {
        "allowed" => case.is_allowed,
        "explicitDeny" | "implicitDeny" => !case.is_allowed,
        _ => false,
    };
    let should = if case.is_allowed { "be allowed" } else { "be refused" };
    (!is_as_it_should_be)
        .then(|| format!("{} has to {should} to {}: the answer is {decision}", case.need, case.what))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use std::collections::BTreeSet;

    use super::super::super::traces::Traces;
    use super::*;
    use crate::aws::tests::Played;
    use crate::interruption::Interruption;
    use crate::repository::Repository;

    fn described() -> Value {
        json!({
            "Parameters": [{"ParameterKey": "CustomerId", "ParameterValue": "acme"}],
            "Outputs": [{
                "OutputKey": "InstanceRoleArn",
                "OutputValue": "arn:aws:iam::111122223333:role/rekindle/my-stack-eu-west-1-instance",
            }],
        })
    }

    fn here() -> Place {
        place(&described(), "my-stack").unwrap()
    }

    #[test]
    fn roles_are_named_as_the_template_names_them() {
        let place = here();
        assert_eq!((place.region.as_str(), place.account.as_str()), ("eu-west-1", "111122223333"));
        let role = role(&place, "register");
        assert_eq!(
            role,
            "arn:aws:iam::111122223333:role/rekindle/my-stack-eu-west-1-ec2/my-stack-eu-west-1-register"
        );
        let template = Repository::find().unwrap().top().join("infra/customer-account.yaml");
        let template = std::fs::read_to_string(template).unwrap();
        for need in needs() {
            let name = format!("RoleName: !Sub \"${{OrchestratorStack}}-${{AWS::Region}}-{need}\"");
            assert!(template.contains(&name), "{need}");
        }
        assert_eq!(template.matches("Ec2Role:").count(), needs().len(), "a role is not asked about");
    }

    #[test]
    fn a_stack_that_is_not_ours_is_no_place() {
        assert_eq!(place(&described(), "other"), None);
        assert_eq!(place(&json!({"Outputs": described()["Outputs"]}), "my-stack"), None);
    }

    fn needs() -> BTreeSet<&'static str> {
        cases(&here()).iter().map(|case| case.need).collect()
    }

    #[test]
    fn every_refusal_differs_in_one_thing_from_what_is_allowed() {
        let cases = cases(&here());
        for need in needs() {
            let of_need = |is_allowed| {
                cases.iter().filter(move |case| case.need == need && case.is_allowed == is_allowed)
            };
            assert!(of_need(true).count() > 0 && of_need(false).count() > 0, "{need}");
            for refused in of_need(false).filter(|case| case.resource != "*") {
                let differences = of_need(true)
                    .filter(|case| case.action == refused.action && case.resource == refused.resource)
                    .map(|case| case.context.iter().filter(|entry| !refused.context.contains(entry)).count());
                assert_eq!(differences.collect::<Vec<_>>(), [1], "{refused:?}");
            }
        }
    }

    #[test]
    fn whatever_is_not_the_expected_decision_is_an_objection() {
        let cases = cases(&here());
        let answer = |decision: &str| json!({"EvaluationResults": [{"EvalDecision": decision}]});
        let allowed = cases.iter().find(|case| case.is_allowed).unwrap();
        let refused = cases.iter().find(|case| !case.is_allowed).unwrap();
        assert_eq!(objection(allowed, &answer("allowed")), None);
        assert_eq!(objection(refused, &answer("implicitDeny")), None);
        assert_eq!(objection(refused, &answer("explicitDeny")), None);
        assert!(objection(allowed, &answer("implicitDeny")).unwrap().contains("be allowed"));
        assert!(objection(refused, &answer("allowed")).unwrap().contains("be refused"));
        for case in [allowed, refused] {
            assert!(objection(case, &Value::Null).unwrap().contains("not answered"));
        }
    }

    #[test]
    fn a_case_is_asked_with_its_tags() {
        let cases = cases(&here());
        let case = cases.iter().find(|case| case.what == "start a foreign image").unwrap();
        let context = entries(case);
        let asked = question(case, "arn:role", &context).join(" ");
        assert!(asked.contains("--policy-source-arn arn:role --action-names ec2:RunInstances"), "{asked}");
        assert!(asked.contains("--resource-arns arn:aws:ec2:eu-west-1::image/ami-"), "{asked}");
        let entries: Value = serde_json::from_str(&context).unwrap();
        assert_eq!(entries[0]["ContextKeyValues"], json!(["acme/live/check"]));
        assert_eq!(entries[1]["ContextKeyValues"], json!([STRANGER]));
    }

    fn asked(cases: &str) -> (Verdict, Played) {
        let stacks = json!({"Stacks": [described()]});
        let played = Played::answering(&format!("*describe-stacks*) echo '{stacks}' ;; {cases}"));
        let repository = Repository::find().unwrap();
        let aws = played.aws(&repository);
        let traces = Traces::of_new_run(&aws).unwrap();
        let interruption = Interruption::watch().unwrap();
        let setting = Setting { traces: &traces, stack: Some("my-stack"), interruption: &interruption };
        (ask(&setting).unwrap(), played)
    }

    #[test]
    fn a_role_that_allows_everything_does_not_hold() {
        let arn = role(&here(), "register");
        let there = format!(r#"*get-role*) echo '{{"Role":{{"Arn":"{arn}"}}}}' ;;"#);
        let wide = r#"*simulate*) echo '{"EvaluationResults":[{"EvalDecision":"allowed"}]}' ;;"#;
        let (verdict, played) = asked(&format!("{there} {wide}"));
        let why = verdict.words();
        assert!(why.contains("DOES NOT HOLD: ") && verdict.is_bad(), "{why}");
        assert!(why.contains("start-instance has to be refused to start a foreign image"), "{why}");
        assert_eq!(played.times("iam simulate-principal-policy"), cases(&here()).len());
    }

    #[test]
    fn roles_of_another_account_could_not_be_asked_about() {
        let (verdict, played) = asked("*get-role*) refuse NoSuchEntity ;;");
        assert!(matches!(verdict, Verdict::CouldNotBeAsked(_)), "{verdict:?}");
        assert_eq!(played.times("iam simulate-principal-policy"), 0);
    }
}
