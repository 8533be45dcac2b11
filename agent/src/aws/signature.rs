//! Signs requests to the agent API.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use http::{HeaderName, HeaderValue, Request};

/// An HTTP API with IAM authorisation is this service in signatures.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-access-control-iam.html>
const SERVICE: &str = "execute-api";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Adds `Authorization`, `X-Amz-Date` and, for credentials of a session, `X-Amz-Security-Token`. Body, host, path and
/// query are signed, and every header that is there already.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
pub(super) fn sign_request(
    request: &mut Request<Vec<u8>>,
    region: &str,
    credentials: Credentials,
    at: SystemTime,
) -> Result<(), BoxError> {
    let identity: Identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(SERVICE)
        .time(at)
        .settings(SigningSettings::default())
        .build()?
        .into();
    let uri = request.uri().to_string();
    let headers = readable_headers(request)?;
    let signable = SignableRequest::new(
        request.method().as_str(),
        &uri,
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())),
        SignableBody::Bytes(request.body()),
    )?;
    let (instructions, _) = sign(signable, &parameters)?.into_parts();
    for (name, value) in instructions.headers() {
        let mut value = HeaderValue::from_str(value)?;
        // Whoever shows the request shows `Sensitive` in its place.
        value.set_sensitive(true);
        request.headers_mut().insert(HeaderName::from_bytes(name.as_bytes())?, value);
    }
    Ok(())
}

fn readable_headers(request: &Request<Vec<u8>>) -> Result<Vec<(String, String)>, BoxError> {
    let readable = |(name, value): (&HeaderName, &HeaderValue)| {
        Ok((name.as_str().to_owned(), value.to_str()?.to_owned()))
    };
    request.headers().iter().map(readable).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot make its own request has failed")]
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_signature_names_its_scope_and_covers_the_token_and_no_header_shows_itself() {
        let uri = "https://a1b2.execute-api.eu-west-1.amazonaws.com/v1/job?wait_seconds=20";
        let mut request = Request::get(uri).header("content-type", "application/json").body(vec![]).unwrap();
        let credentials =
            Credentials::new("AKIDEXAMPLE", "the-secret", Some("the-token".into()), None, "test");
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        sign_request(&mut request, "eu-west-1", credentials, at).unwrap();
        let authorization = request.headers()["authorization"].to_str().unwrap();
        let begins = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261118/eu-west-1/execute-api/aws4_request, \
                      SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=";
        assert!(authorization.starts_with(begins), "{authorization}");
        assert_eq!(request.headers()["x-amz-security-token"], "the-token");
        let shown = format!("{request:?}");
        assert!(!shown.contains("the-token") && !shown.contains("Signature="), "{shown}");
    }
}
