//! What belongs to the customer: data bucket, keys, launch templates.

use rekindle_cloud::{MACHINE_TAG, RUN_TAG};
use rekindle_infra_tests::Deployment;
use rekindle_infra_tests::policy::{Statement, statements};
use serde_json::{Value, json};

use crate::{customer, orchestrator};

fn document(id: &str, part: &str) -> Vec<Statement> {
    let template = customer();
    statements(Deployment::OneAccount, &template.resource(id).unwrap().properties()[part])
}

fn named<'a>(statements: &'a [Statement], sid: &str) -> &'a Statement {
    statements.iter().find(|statement| statement.sid() == sid).unwrap()
}

#[test]
fn only_instances_read_and_only_backup_hosts_write() {
    let policy = document("DataBucketPolicy", "PolicyDocument");
    assert!(policy.iter().all(|statement| !statement.allows()), "a bucket's policy here refuses only");
    let read = named(&policy, "OnlyInstancesRead");
    assert!(read.actions().contains(&"s3:GetObject") && read.actions().contains(&"s3:GetObjectVersion"));
    assert_eq!(read.condition("ArnNotEquals", "aws:PrincipalArn"), ["${InstanceRole.Arn}"]);
    let write = named(&policy, "OnlyBackupHostsWrite");
    assert!(write.actions().contains(&"s3:PutObject") && write.actions().contains(&"s3:DeleteObject"));
    assert_eq!(write.condition("ArnNotEquals", "aws:PrincipalArn"), ["${BackupRole.Arn}"]);
}

#[test]
fn bucket_and_key_refuse_the_orchestrator() {
    let bucket = document("DataBucketPolicy", "PolicyDocument");
    let key = document("DataKey", "KeyPolicy");
    for (policy, everything) in [(&bucket, "s3:*"), (&key, "kms:*")] {
        let never = named(policy, "NeverTheOrchestrator");
        assert!(!never.allows());
        assert_eq!(never.actions(), [everything]);
        let refused = never.condition("ArnLike", "aws:PrincipalArn");
        assert!(refused.iter().any(|arn| arn.ends_with(":role/rekindle/${OrchestratorStack}/*")));
        assert!(
            refused
                .iter()
                .any(|arn| arn.ends_with(":role/rekindle/${OrchestratorStack}-${AWS::Region}-ec2/*"))
        );
    }
}

#[test]
fn nobody_may_both_administer_and_use_the_data_key() {
    for statement in document("DataKey", "KeyPolicy").iter().filter(|statement| statement.allows()) {
        let using =
            ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:CreateGrant"];
        let uses = statement.actions().iter().any(|action| using.contains(action) || action.contains('*'));
        let one_role = !statement.condition("ArnEquals", "aws:PrincipalArn").is_empty();
        assert!(!uses || one_role, "{}", statement.sid());
    }
}

#[test]
fn buckets_are_private_versioned_and_encrypted_with_keys_of_their_own() {
    for (template, id, key) in
        [(orchestrator(), "ControlBucket", "ControlKey"), (customer(), "DataBucket", "DataKey")]
    {
        let bucket = template.resource(id).unwrap();
        let properties = bucket.properties();
        let encryption = &properties["BucketEncryption"]["ServerSideEncryptionConfiguration"][0];
        assert_eq!(
            encryption["ServerSideEncryptionByDefault"]["KMSMasterKeyID"],
            json!({"Fn::GetAtt": [key, "Arn"]})
        );
        assert_eq!(properties["VersioningConfiguration"]["Status"], "Enabled");
        let blocked = properties["PublicAccessBlockConfiguration"].as_object().unwrap();
        assert!(blocked.len() == 4 && blocked.values().all(|value| value == true));
        let policy = template.resource(&format!("{id}Policy")).unwrap();
        let policy = statements(Deployment::OneAccount, &policy.properties()["PolicyDocument"]);
        assert_eq!(named(&policy, "OnlyOverTls").condition("Bool", "aws:SecureTransport"), ["false"]);
    }
}

#[test]
fn launch_templates_decide_what_a_request_must_not() {
    let template = customer();
    let mut seen = 0;
    for launch in template.of_type("AWS::EC2::LaunchTemplate") {
        let data = &launch.properties()["LaunchTemplateData"];
        assert_eq!(data["MetadataOptions"]["HttpTokens"], "required");
        assert_eq!(data["MetadataOptions"]["HttpPutResponseHopLimit"], 1);
        assert_eq!(data["InstanceInitiatedShutdownBehavior"], "stop");
        assert_eq!(data["IamInstanceProfile"]["Arn"], json!({"Fn::GetAtt": ["InstanceProfile", "Arn"]}));
        let disk = &data["BlockDeviceMappings"][0]["Ebs"];
        assert_eq!(disk["Encrypted"], true);
        assert_eq!(disk["KmsKeyId"], json!({"Fn::GetAtt": ["DiskKey", "Arn"]}));
        assert_eq!(
            disk["DeleteOnTermination"], true,
            "what a run leaves behind is found, and costs until then"
        );
        for absent in ["UserData", "NetworkInterfaces", "KeyName", "ImageId"] {
            assert_eq!(data[absent], Value::Null, "{absent}");
        }
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[test]
fn policies_ask_for_the_tags_that_the_code_sets() {
    let text =
        std::fs::read_to_string(rekindle_infra_tests::repository().join("infra/customer-account.yaml"))
            .unwrap();
    for tag in [RUN_TAG, MACHINE_TAG] {
        assert!(
            text.contains(&format!("aws:RequestTag/{tag}:"))
                && text.contains(&format!("ec2:ResourceTag/{tag}:"))
        );
    }
}
