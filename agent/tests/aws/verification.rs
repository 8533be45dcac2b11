//! Checks signatures as AWS describes it, without the library that makes them.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use axum::http::request::Parts;
use sha2::{Digest as _, Sha256};

pub const REGION: &str = "eu-west-1";
pub const ACCESS_KEY: &str = "AKIDREKINDLEEXAMPLE0";
pub const SECRET_KEY: &str = "a-secret-access-key-that-nobody-may-see";
pub const SESSION_TOKEN: &str = "a-session-token-that-nobody-may-see";

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let inner: Vec<u8> = block.iter().map(|byte| byte ^ 0x36).chain(message.bytes()).collect();
    let outer: Vec<u8> = block.iter().map(|byte| byte ^ 0x5c).chain(Sha256::digest(inner)).collect();
    Sha256::digest(outer).to_vec()
}

fn header<'a>(parts: &'a Parts, name: &str) -> &'a str {
    parts.headers.get(name).unwrap_or_else(|| panic!("no header {name}")).to_str().unwrap()
}

/// Panics unless the request is signed with the key above, for this region and service, over what arrived.
pub fn verify(parts: &Parts, body: &[u8]) {
    let authorization = header(parts, "authorization");
    let stamp = header(parts, "x-amz-date");
    let scope = format!("{}/{REGION}/execute-api/aws4_request", &stamp[..8]);
    let begin = format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders=");
    let (signed, signature) =
        authorization.strip_prefix(&begin).expect(authorization).split_once(", Signature=").unwrap();
    for needed in ["host", "x-amz-date", "x-amz-security-token"] {
        assert!(signed.split(';').any(|name| name == needed), "{needed} is not signed: {signed}");
    }
    let headers: String =
        signed.split(';').map(|name| format!("{name}:{}\n", header(parts, name).trim())).collect();
    let canonical = format!(
        "{}\n{}\n{}\n{headers}\n{signed}\n{}",
        parts.method,
        parts.uri.path(),
        parts.uri.query().unwrap_or_default(),
        hex::encode(Sha256::digest(body)),
    );
    let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
    let mut key = hmac(format!("AWS4{SECRET_KEY}").as_bytes(), &stamp[..8]);
    for part in [REGION, "execute-api", "aws4_request"] {
        key = hmac(&key, part);
    }
    assert_eq!(signature, hex::encode(hmac(&key, &to_sign)), "the signature does not fit what arrived");
}
