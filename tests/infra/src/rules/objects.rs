//! Objects: the control bucket, and nothing else.

use crate::policy::Statement;

pub(super) fn wrong(statement: &Statement, action: &str) -> Option<String> {
    let allowed: &[&str] = match action {
        "s3:GetObject" | "s3:PutObject" => &["${ControlBucket.Arn}/customers/${CustomerId}/"],
        "s3:ListBucket" => &["${ControlBucket.Arn}"],
        _ => return Some(format!("nobody has said that {action} is safe")),
    };
    let elsewhere = statement
        .resources()
        .into_iter()
        .find(|resource| !allowed.iter().any(|beginning| resource.starts_with(beginning)));
    if let Some(elsewhere) = elsewhere {
        return Some(format!(
            "{action} reaches {elsewhere}, which is not in the customer's part of the control bucket"
        ));
    }
    let lists_all = action == "s3:ListBucket"
        && statement.condition("StringLike", "s3:prefix") != ["customers/${CustomerId}/*"];
    lists_all.then(|| format!("{action} lists more than the customer's part"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::rules::testing::wrong;

    #[test]
    fn data_objects_cannot_be_read() {
        for resource in [
            "${DataBucket.Arn}/customers/${CustomerId}/*",
            "arn:aws:s3:::rekindle-data-1-eu-west-1/*",
            "arn:aws:s3:::*",
            "${ControlBucket.Arn}/*",
            "${ControlBucket.Arn}-data/customers/${CustomerId}/x",
        ] {
            let statement = json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": resource});
            assert!(wrong(statement).contains("not in the customer's part"), "{resource}");
        }
    }

    #[test]
    fn versions_deletes_and_unbounded_lists_are_refused() {
        for action in ["s3:GetObjectVersion", "s3:DeleteObject", "s3:PutBucketPolicy"] {
            let statement = json!({"Effect": "Allow", "Action": action, "Resource": "${ControlBucket.Arn}/customers/${CustomerId}/x"});
            assert!(wrong(statement).contains("nobody has said"), "{action}");
        }
        let list = json!({"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "${ControlBucket.Arn}"});
        assert!(wrong(list).contains("lists more"));
    }
}
