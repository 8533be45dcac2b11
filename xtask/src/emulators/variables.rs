//! What the emulators and their callers are told.

use std::path::PathBuf;

use super::Wishes;

/// The one account that there is.
const ACCOUNT: &str = "123456789012";

/// Where everything is.
pub(crate) const REGION: &str = "eu-west-1";

/// Where the emulators listen and work.
pub(super) struct Places {
    pub(super) main_port: u16,
    pub(super) temporary: PathBuf,
}

/// Every program that is to use the emulators; functions inherit it too.
pub(super) fn of_callers(main_port: u16, ec2_port: u16) -> Vec<(String, String)> {
    owned([
        ("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{main_port}")),
        ("AWS_ENDPOINT_URL_EC2", &format!("http://127.0.0.1:{ec2_port}")),
        ("AWS_REGION", REGION),
        ("AWS_DEFAULT_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_PAGER", ""),
        ("MINISTACK_ACCOUNT_ID", ACCOUNT),
        ("NO_PROXY", "127.0.0.1,localhost"),
        ("no_proxy", "127.0.0.1,localhost"),
    ])
}

pub(super) fn of_ministack(places: &Places, wishes: Wishes) -> Vec<(String, String)> {
    let temporary = places.temporary.display().to_string();
    let mut variables = owned([
        ("BIND_HOST", "127.0.0.1"),
        ("GATEWAY_PORT", &places.main_port.to_string()),
        ("MINISTACK_REGION", REGION),
        // Both would listen on every interface, whatever BIND_HOST says.
        ("IOT_MTLS_ENABLED", "0"),
        ("SFTP_ENABLED", "0"),
        // Nothing may depend on whether this machine has containers, and nobody's containers may be touched.
        ("LAMBDA_EXECUTOR", "local"),
        ("DOCKER_HOST", "unix:///nonexistent"),
        ("PERSIST_STATE", "0"),
        ("S3_PERSIST", "0"),
        ("STATE_DIR", &temporary),
        ("S3_DATA_DIR", &temporary),
        ("TMPDIR", &temporary),
        ("PYTHONUNBUFFERED", "1"),
        ("AUTH", if wishes.authorize { "true" } else { "false" }),
    ]);
    if let Some(part) = wishes.wait_scale {
        variables.extend(owned([("SFN_WAIT_SCALE", &part.to_string())]));
    }
    variables
}

/// As strict as it can be: images, types and key pairs that do not exist are refused, as on AWS.
pub(super) fn of_moto(places: &Places) -> Vec<(String, String)> {
    owned([
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", REGION),
        ("MOTO_ACCOUNT_ID", ACCOUNT),
        ("MOTO_ENABLE_AMI_VALIDATION", "true"),
        ("MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION", "true"),
        ("MOTO_ENABLE_KEYPAIR_VALIDATION", "true"),
        ("DOCKER_HOST", "unix:///nonexistent"),
        ("TMPDIR", &places.temporary.display().to_string()),
        ("PYTHONUNBUFFERED", "1"),
    ])
}

fn owned<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// As a shell reads it, or as a program does.
pub(super) fn shown(variables: &[(String, String)], as_json: bool) -> String {
    if as_json {
        let object: serde_json::Map<String, serde_json::Value> =
            variables.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        return serde_json::Value::Object(object).to_string();
    }
    let lines: Vec<String> =
        variables.iter().map(|(name, value)| format!("export {name}='{value}'")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_listens_outside_of_loopback() {
        let places = Places { main_port: 1, temporary: PathBuf::from("/t") };
        let variables = of_ministack(&places, Wishes::default());
        let is = |name: &str, value: &str| variables.contains(&(name.to_owned(), value.to_owned()));
        assert!(is("BIND_HOST", "127.0.0.1") && is("IOT_MTLS_ENABLED", "0") && is("SFTP_ENABLED", "0"));
    }

    #[test]
    fn the_variables_are_read_by_shells_and_by_programs() {
        let variables = owned([("A", "1"), ("B", "")]);
        assert_eq!(shown(&variables, false), "export A='1'\nexport B=''");
        assert_eq!(shown(&variables, true), r#"{"A":"1","B":""}"#);
    }
}
