//! What the instance metadata service says of this instance.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use aws_config::imds::client::Client;
use aws_config::imds::client::error::ImdsError;
use rekindle_step::StepError;

use super::api::flat;
use crate::error::failed;

/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-metadata.html>
const SERVICE: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html>
const PUBLIC_KEYS: &str = "/latest/meta-data/public-keys/";
const INSTANCE_ID: &str = "/latest/meta-data/instance-id";
const TIME_TO_ANSWER: Duration = Duration::from_secs(2);
const MOST_KEYS: usize = 16;
const LONGEST_KEY: usize = 16 * 1024;
const LONGEST_NAME: usize = 255;

/// A key pair's public half, which the instance was launched with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublicKey {
    /// The key pair's name.
    pub(super) name: String,
    /// A line of `authorized_keys` without the name: algorithm and key.
    pub(super) key: String,
}

/// The instance metadata service, version 2: every question carries a token that is asked for first.
pub(super) struct Metadata(Client);

impl Metadata {
    /// The service at its usual place, or where `AWS_EC2_METADATA_SERVICE_ENDPOINT` says; nobody is asked where
    /// `AWS_EC2_METADATA_DISABLED` is `true`.
    pub(super) fn reach() -> Result<Self, StepError> {
        if std::env::var("AWS_EC2_METADATA_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err(failed("the instance metadata are switched off"));
        }
        let client = Client::builder()
            .connect_timeout(TIME_TO_ANSWER)
            .read_timeout(TIME_TO_ANSWER)
            .operation_timeout(TIME_TO_ANSWER * 4)
            .build();
        Ok(Self(client))
    }

    /// The keys that the instance was launched with; none when it was launched without.
    pub(super) async fn public_keys(&self) -> Result<Vec<PublicKey>, StepError> {
        let Some(listed) = self.get(PUBLIC_KEYS).await? else { return Ok(Vec::new()) };
        let mut keys = Vec::new();
        for (index, name) in names(&listed)? {
            let text = self.get(&format!("{PUBLIC_KEYS}{index}/openssh-key")).await?.unwrap_or_default();
            let key = key_of(&text).ok_or_else(|| failed("the instance metadata hold a key that is none"))?;
            keys.push(PublicKey { name, key });
        }
        Ok(keys)
    }

    /// The instance's own id, which is also the name of the session of its role.
    pub(super) async fn instance_id(&self) -> Result<String, StepError> {
        let unknown = || failed("the instance metadata do not say which instance this is");
        let text = self.get(INSTANCE_ID).await?.ok_or_else(unknown)?;
        if is_instance_id(text.trim()) { Ok(text.trim().to_owned()) } else { Err(unknown()) }
    }

    async fn get(&self, path: &str) -> Result<Option<String>, StepError> {
        match self.0.get(path).await {
            Ok(text) => Ok(Some(text.into())),
            Err(ImdsError::ErrorResponse(answer)) if answer.response().status().as_u16() == 404 => Ok(None),
            Err(error) => Err(failed(format!("the instance metadata could not be read: {}", flat(&error)))),
        }
    }
}

/// `i-` and eight or seventeen hexadecimal digits.
fn is_instance_id(text: &str) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let digits = text.strip_prefix("i-");
    digits.is_some_and(|digits| matches!(digits.len(), 8 | 17) && digits.bytes().all(is_hex))
}

/// Lines such as `0=acme-operators`. A name becomes a part of a line of `authorized_keys`, so it must be one word of
/// printable text.
fn names(listed: &str) -> Result<Vec<(u16, String)>, StepError> {
    let unusable = || failed("the instance metadata list keys in a form that is not known");
    let lines: Vec<&str> = listed.lines().filter(|line| !line.is_empty()).collect();
    if lines.len() > MOST_KEYS {
        return Err(unusable());
    }
    let one = |line: &&str| {
        let (index, name) = line.split_once('=')?;
        let sound = !name.is_empty() && name.len() <= LONGEST_NAME && !name.chars().any(char::is_control);
        sound.then_some((index.parse().ok()?, name.to_owned()))
    };
    lines.iter().map(|line| one(line).ok_or_else(unusable)).collect()
}

/// Algorithm and key of an OpenSSH public key; none if the text is something else. Options, which could let a command
/// run, never pass.
fn key_of(text: &str) -> Option<String> {
    if text.len() > LONGEST_KEY || text.trim_end().contains(['\n', '\r']) {
        return None;
    }
    let mut words = text.split_ascii_whitespace();
    let (algorithm, key) = (words.next()?, words.next()?);
    let known = ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256"].contains(&algorithm);
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    (known && key.bytes().all(base64)).then(|| format!("{algorithm} {key}"))
}

/// The address from which this machine would speak to the metadata service: that of its primary network interface,
/// whatever else (bridges of containers, for example) has an address. Nothing is sent.
pub(super) fn private_address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((SERVICE, 80)).ok()?;
    match socket.local_addr().ok()? {
        SocketAddr::V4(address) if !address.ip().is_loopback() && !address.ip().is_unspecified() => {
            Some(*address.ip())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot read its own text has failed")]
    use super::*;

    #[test]
    fn names_of_keys_are_read_as_the_service_lists_them() {
        assert_eq!(names("0=acme-operators").unwrap(), [(0, "acme-operators".to_owned())]);
        assert_eq!(names("0=a b\n1=c=d\n").unwrap(), [(0, "a b".to_owned()), (1, "c=d".to_owned())]);
        assert!(names("").unwrap().is_empty());
        let many = "0=a\n".repeat(17);
        for bad in ["acme", "x=acme", "0=", "<html>", "0=a\u{7}", many.as_str()] {
            assert!(names(bad).is_err(), "accepted: {bad:?}");
        }
    }

    #[test]
    fn an_instance_is_known_by_its_id_only() {
        assert!(is_instance_id("i-0123456789abcdef0") && is_instance_id("i-01234567"));
        for bad in ["", "i-", "i-0123456789ABCDEF0", "m-0123456789abcdef0", "i-0123456789abcdef0 ", "<html>"]
        {
            assert!(!is_instance_id(bad), "{bad}");
        }
    }

    #[test]
    fn only_a_plain_public_key_passes() {
        assert_eq!(key_of("ssh-ed25519 AAAAC3Nz acme\n").unwrap(), "ssh-ed25519 AAAAC3Nz");
        let long = format!("ssh-rsa {}", "A".repeat(LONGEST_KEY));
        for bad in [
            "",
            "ssh-rsa",
            "command=\"/bin/sh\" ssh-rsa AAAA",
            "ssh-rsa AAAA\nssh-rsa BBBB",
            "ssh-rsa AA$(A",
            long.as_str(),
        ] {
            assert!(key_of(bad).is_none(), "accepted: {bad}");
        }
    }
}
