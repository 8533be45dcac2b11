//! The table `[aws]` of `agent.toml`.

use std::net::IpAddr;
use std::path::{Component, Path};

use http::Uri;
use serde::Deserialize;

const LONGEST_ADDRESS: usize = 256;
const LONGEST_PATH: usize = 256;

/// Where this agent's buckets, API and key are on AWS.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsSettings {
    /// The region of everything below.
    pub region: String,
    /// Where the agent API is; instances only.
    pub agent_api: Option<String>,
    /// Where the agent API is in another account: the role to call it with.
    pub agent_api_role: Option<String>,
    /// What that role's trust policy asks for besides, if it does.
    pub agent_api_external_id: Option<String>,
    /// The bucket of descriptions, signatures and configurations.
    pub control_bucket: String,
    /// The bucket of the customer's encrypted data.
    pub data_bucket: String,
    /// The file of the data identity, encrypted with the data key; instances only.
    pub identity: Option<String>,
}

impl AwsSettings {
    /// Why these settings are refused, if they are.
    pub(crate) fn contradiction(&self) -> Option<String> {
        if !is_region(&self.region) {
            return Some(format!(
                "aws.region is {:?}, which is not a region such as eu-west-1",
                short(&self.region)
            ));
        }
        for (name, bucket) in [("control_bucket", &self.control_bucket), ("data_bucket", &self.data_bucket)] {
            if !is_bucket(bucket) {
                return Some(format!("aws.{name} is {:?}, which is not a bucket's name", short(bucket)));
            }
        }
        if self.control_bucket == self.data_bucket {
            return Some("aws.control_bucket and aws.data_bucket are the same bucket".to_owned());
        }
        let address = self.agent_api.as_deref().map(parse_agent_api);
        if let Some(Err(reason)) = address {
            return Some(format!("aws.agent_api is refused: {reason}"));
        }
        if let Some(reason) = self.contradiction_about_the_role() {
            return Some(reason);
        }
        let path = self.identity.as_deref().filter(|path| !is_file_path(path))?;
        Some(format!("aws.identity is {:?}, which is not the path of a file without ..", short(path)))
    }
}

impl AwsSettings {
    fn contradiction_about_the_role(&self) -> Option<String> {
        match (&self.agent_api_role, &self.agent_api_external_id) {
            (None, None) => None,
            (None, Some(_)) => {
                Some("aws.agent_api_external_id is for aws.agent_api_role, which is not there".to_owned())
            }
            (Some(_), _) if self.agent_api.is_none() => {
                Some("aws.agent_api_role is for aws.agent_api, which is not there".to_owned())
            }
            (Some(role), _) if !is_role(role) => Some(format!(
                "aws.agent_api_role is {:?}, which is not the ARN of a role such as \
                 arn:aws:iam::111122223333:role/rekindle/caller",
                short(role)
            )),
            (_, Some(id)) if !is_external_id(id) => Some(
                "aws.agent_api_external_id is not 2 to 1224 letters, digits and characters of =,.@:/-+_"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>
fn is_role(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = parts.as_slice() else { return false };
    let name = resource.strip_prefix("role/").unwrap_or_default();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-/".contains(&byte);
    ["aws", "aws-cn", "aws-us-gov"].contains(partition)
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && text.len() <= 2048
        && !name.is_empty()
        && !name.starts_with('/')
        && !name.ends_with('/')
        && name.bytes().all(allowed)
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
fn is_external_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@:/_-".contains(&byte);
    (2..=1224).contains(&text.len()) && text.bytes().all(allowed)
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

/// `eu-west-1`, `us-gov-east-1`: it becomes part of host names and signatures.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    match parts.split_last() {
        Some((number, words)) => {
            text.len() <= 32
                && words.len() >= 2
                && words.iter().all(letters)
                && (1..=2).contains(&number.len())
                && number.bytes().all(|byte| byte.is_ascii_digit())
        }
        None => false,
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
fn is_bucket(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let (first, last) = (text.bytes().next(), text.bytes().next_back());
    (3..=63).contains(&text.len())
        && first.is_some_and(allowed)
        && last.is_some_and(allowed)
        && text.bytes().all(|byte| allowed(byte) || byte == b'-' || byte == b'.')
        && !text.contains("..")
        && text.parse::<std::net::Ipv4Addr>().is_err()
}

fn is_file_path(text: &str) -> bool {
    let sound = |part| matches!(part, Component::Normal(_) | Component::RootDir);
    let path = Path::new(text);
    text.len() <= LONGEST_PATH
        && path.file_name().is_some()
        && !text.ends_with('/')
        && path.components().all(sound)
        && !text.chars().any(char::is_control)
}

/// The address of an agent API: `https`, or plain `http` where nobody can listen in.
///
/// # Errors
/// Why it is refused.
pub(crate) fn parse_agent_api(text: &str) -> Result<Uri, String> {
    if text.len() > LONGEST_ADDRESS {
        return Err(format!("it is longer than {LONGEST_ADDRESS} bytes"));
    }
    let uri: Uri = text.parse().map_err(|_| "it is not an address".to_owned())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("it does not begin with https://".to_owned());
    };
    if authority.as_str().contains('@') || uri.query().is_some() || text.contains('#') {
        return Err("it holds more than a host and a path".to_owned());
    }
    match scheme {
        "https" => Ok(uri),
        "http" if is_loopback(authority.host()) => Ok(uri),
        "http" => Err("plain http is for tests on this machine only; use https".to_owned()),
        _ => Err("it does not begin with https://".to_owned()),
    }
}

/// Whether this host is this machine. Names that end in `.localhost` are, whoever is asked (RFC 6761, section 6.3).
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse::<IpAddr>() {
        return address.is_loopback();
    }
    is_localhost_name(host)
}

/// `localhost` and every name below it.
pub(crate) fn is_localhost_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot read its own text has failed")]
    use super::*;

    fn good() -> AwsSettings {
        AwsSettings {
            region: "eu-west-1".to_owned(),
            agent_api: Some("https://a1b2.execute-api.eu-west-1.amazonaws.com".to_owned()),
            agent_api_role: None,
            agent_api_external_id: None,
            control_bucket: "acme-control".to_owned(),
            data_bucket: "acme-data".to_owned(),
            identity: Some("etc/rekindle/identity.kms".to_owned()),
        }
    }

    #[test]
    fn the_settings_of_the_contract_are_accepted() {
        assert_eq!(good().contradiction(), None);
        let production = AwsSettings { agent_api: None, identity: None, ..good() };
        assert_eq!(production.contradiction(), None);
        let gov = AwsSettings { region: "us-gov-east-1".to_owned(), ..good() };
        assert_eq!(gov.contradiction(), None);
    }

    #[test]
    fn what_is_not_a_region_a_bucket_or_a_path_is_refused_with_its_name() {
        let region = |text: &str| AwsSettings { region: text.to_owned(), ..good() };
        let bucket = |text: &str| AwsSettings { data_bucket: text.to_owned(), ..good() };
        let identity = |text: &str| AwsSettings { identity: Some(text.to_owned()), ..good() };
        for (settings, name) in [
            (region(""), "region"),
            (region("eu-west"), "region"),
            (region("EU-WEST-1"), "region"),
            (region("eu-west-1.example"), "region"),
            (bucket("ab"), "data_bucket"),
            (bucket("Acme"), "data_bucket"),
            (bucket("acme/data"), "data_bucket"),
            (bucket("10.0.0.1"), "data_bucket"),
            (bucket("acme-control"), "the same bucket"),
            (identity("../identity"), "identity"),
            (identity("etc/"), "identity"),
            (identity(""), "identity"),
        ] {
            let reason = settings.contradiction().unwrap();
            assert!(reason.contains(name), "{reason}");
        }
    }

    #[test]
    fn a_role_for_the_api_is_an_arn_and_belongs_to_an_api() {
        let with = |role: &str, external_id: Option<&str>| AwsSettings {
            agent_api_role: Some(role.to_owned()),
            agent_api_external_id: external_id.map(str::to_owned),
            ..good()
        };
        let arn = "arn:aws:iam::111122223333:role/rekindle/rekindle-eu-west-1-agent-caller";
        assert_eq!(with(arn, None).contradiction(), None);
        assert_eq!(with(arn, Some("agreed:with/acme")).contradiction(), None);
        for bad in [
            "",
            "rekindle-eu-west-1-agent-caller",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:user/rekindle",
            "arn:aws:iam::1111:role/rekindle",
            "arn:aws:sts::111122223333:assumed-role/rekindle/i-01234567",
            "arn:aws:iam::111122223333:role/rekindle caller",
        ] {
            assert!(with(bad, None).contradiction().unwrap().contains("agent_api_role"), "{bad}");
        }
        assert!(with(arn, Some("x")).contradiction().unwrap().contains("external_id"));
        assert!(AwsSettings { agent_api: None, ..with(arn, None) }.contradiction().is_some());
        let alone = AwsSettings { agent_api_external_id: Some("agreed".to_owned()), ..good() };
        assert!(alone.contradiction().unwrap().contains("agent_api_role"));
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for good in [
            "https://x.execute-api.eu-west-1.amazonaws.com",
            "https://agents.example.com/live",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "http://localhost",
            "http://a1b2.execute-api.localhost:4566",
        ] {
            parse_agent_api(good).unwrap();
        }
        for bad in [
            "http://agents.example.com",
            "http://localhost.example.com",
            "http://notlocalhost",
            "http://169.254.169.254",
            "ftp://localhost",
            "https://user@example.com",
            "https://example.com?x=1",
            "https://example.com/#x",
            "example.com",
            "",
        ] {
            assert!(parse_agent_api(bad).is_err(), "accepted: {bad}");
        }
        assert!(parse_agent_api(&format!("https://{}.com", "a".repeat(300))).is_err());
    }
}
