//! The same request again is the same request: a client token, and what it was used for.

use rekindle_cmdb::ClientClaim;
use rekindle_domain::Digest;
use serde::{Deserialize, Serialize};

use super::OperatorApi;
use super::code::Code;
use super::error::OperatorApiError;

/// The longest client token.
const LONGEST_TOKEN: usize = 64;

/// A name that the caller gives to one request, and to no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientToken(String);

impl TryFrom<String> for ClientToken {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if (1..=LONGEST_TOKEN).contains(&text.len()) && text.bytes().all(fits) {
            return Ok(Self(text));
        }
        Err(format!("a client token has 1 to {LONGEST_TOKEN} letters, digits, hyphens, dots and underscores"))
    }
}

impl From<ClientToken> for String {
    fn from(token: ClientToken) -> Self {
        token.0
    }
}

/// Names a request by its content, so that it can be told from another one with the same token.
pub(super) fn request_digest<T: Serialize>(operation: &str, body: &T) -> Result<Digest, OperatorApiError> {
    let bytes = serde_json::to_vec(&(operation, body)).map_err(|error| OperatorApiError::internal(&error))?;
    Ok(Digest::of(&bytes))
}

impl OperatorApi {
    /// What the caller used this token for before.
    pub(super) async fn earlier_claim(
        &self,
        caller: &str,
        token: &ClientToken,
        request: &Digest,
    ) -> Result<Option<ClientClaim>, OperatorApiError> {
        let claim = self.register.client_claim(caller, &token.0).await?;
        claim.map(|claim| same(claim, request)).transpose()
    }

    /// Uses the token for this; or finds that the same request used it at the same time, and answers with that.
    pub(super) async fn claim(
        &self,
        caller: &str,
        token: &ClientToken,
        claim: &ClientClaim,
    ) -> Result<ClientClaim, OperatorApiError> {
        let stored = self.register.claim_client_token(caller, &token.0, claim).await?;
        same(stored, &claim.request)
    }
}

fn same(claim: ClientClaim, request: &Digest) -> Result<ClientClaim, OperatorApiError> {
    if claim.request == *request {
        return Ok(claim);
    }
    let detail = format!("It was used for the run {}. Take a new one for a new request.", claim.run_id);
    Err(OperatorApiError::new(Code::ClientTokenReused, detail))
}
