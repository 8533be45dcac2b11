//! Keys: the control key through S3, the key of disks through EC2, never the data key.

use crate::policy::Statement;

const CONTROL: &str = "${ControlKey.Arn}";
const DISKS: &str = "${DiskKey.Arn}";

pub(super) fn wrong(statement: &Statement, action: &str) -> Option<String> {
    let via = match statement.resources().as_slice() {
        [key] if *key == CONTROL => "s3.${AWS::Region}.amazonaws.com",
        [key] if *key == DISKS => "ec2.${AWS::Region}.amazonaws.com",
        other => {
            return Some(format!(
                "{action} uses {}, and not the control key or the key of disks",
                other.join(", ")
            ));
        }
    };
    let known = [
        "kms:CreateGrant",
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:GenerateDataKey",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
    ];
    if !known.contains(&action) {
        return Some(format!("nobody has said that {action} is safe"));
    }
    // Without content: it tells what the key is.
    if action == "kms:DescribeKey" {
        return None;
    }
    if statement.condition("StringEquals", "kms:ViaService") != [via] {
        return Some(format!("{action} can be asked of the key directly, and not only through {via}"));
    }
    let for_aws = statement.condition("Bool", "kms:GrantIsForAWSResource") == ["true"];
    (action == "kms:CreateGrant" && !for_aws).then(|| format!("{action} can be made for anybody"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::rules::testing::wrong;

    #[test]
    fn the_data_key_and_any_other_cannot_be_used() {
        for key in ["${DataKey.Arn}", "${Customer.Outputs.DataKeyArn}", "arn:aws:kms:eu-west-1:1:key/*"] {
            let statement = json!({"Effect": "Allow", "Action": "kms:Decrypt", "Resource": key,
                "Condition": {"StringEquals": {"kms:ViaService": "s3.${AWS::Region}.amazonaws.com"}}});
            assert!(wrong(statement).contains("not the control key"), "{key}");
        }
        let both = json!({"Effect": "Allow", "Action": "kms:Decrypt", "Resource": ["${ControlKey.Arn}", "${DataKey.Arn}"]});
        assert!(wrong(both).contains("not the control key"));
    }

    #[test]
    fn disks_are_decrypted_by_ec2_alone() {
        let direct = json!({"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "${DiskKey.Arn}"});
        assert!(wrong(direct).contains("directly"));
        let grant = json!({"Effect": "Allow", "Action": "kms:CreateGrant", "Resource": "${DiskKey.Arn}",
            "Condition": {"StringEquals": {"kms:ViaService": "ec2.${AWS::Region}.amazonaws.com"}}});
        assert!(wrong(grant).contains("for anybody"));
        let policy = json!({"Effect": "Allow", "Action": "kms:PutKeyPolicy", "Resource": "${DiskKey.Arn}"});
        assert!(wrong(policy).contains("nobody has said"));
    }
}
