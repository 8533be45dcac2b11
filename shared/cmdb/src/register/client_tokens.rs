//! What a request with a client token was taken for, so that the same request again is the same one.
//!
//! The claim is written before anything is started, with all that a start needs. So whoever asks again after a crash
//! starts the very same execution, and no second one.

use jiff::Timestamp;
use rekindle_domain::{Digest, RunId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::attributes::{from_item, to_item};
use crate::document;
use crate::error::RegisterError;
use crate::expression::Expression;
use crate::keys;
use crate::register::Register;

/// What a client token stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientClaim {
    /// Digest of what was asked for, to tell the same request from another one.
    pub request: Digest,
    /// The run that it started.
    pub run_id: RunId,
    /// What is started, in full.
    pub start: Value,
    /// When it was claimed.
    pub claimed_at: Timestamp,
}

/// What lies beside the input, which can be longer than an item.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimItem {
    request: Digest,
    run_id: RunId,
    claimed_at: Timestamp,
}

impl Register {
    /// Claims a client token of a caller, once. Answers with what it stands for: this claim, or the earlier one.
    /// Whether the earlier one was the same request is for the caller to compare.
    ///
    /// # Errors
    /// When the register cannot be reached.
    pub async fn claim_client_token(
        &self,
        caller: &str,
        token: &str,
        claim: &ClientClaim,
    ) -> Result<ClientClaim, RegisterError> {
        let beside = ClaimItem {
            request: claim.request.clone(),
            run_id: claim.run_id.clone(),
            claimed_at: claim.claimed_at,
        };
        let mut item = to_item(&keys::client_token(&scoped(caller, token)), &beside)?;
        document::store(&self.table, &mut item, &claim.start).await?;
        if self.table.put(item, Expression::absent()).send().await? {
            return Ok(claim.clone());
        }
        let stored = self.client_claim(caller, token).await?;
        stored.ok_or_else(|| RegisterError::Unknown {
            kind: "client token",
            id: scoped(caller, token).to_string(),
        })
    }

    /// What a client token of a caller stands for.
    ///
    /// # Errors
    /// When the register cannot be reached.
    pub async fn client_claim(
        &self,
        caller: &str,
        token: &str,
    ) -> Result<Option<ClientClaim>, RegisterError> {
        let key = keys::client_token(&scoped(caller, token));
        let Some(item) = self.table.get(&key).await? else { return Ok(None) };
        let start = document::load(&self.table, &item).await?;
        let ClaimItem { request, run_id, claimed_at } = from_item(&key, item)?;
        Ok(Some(ClientClaim { request, run_id, start, claimed_at }))
    }
}

/// A token belongs to its caller: nobody can take another one's away, or learn what it was used for. The length keeps
/// the two apart, whatever they hold.
fn scoped(caller: &str, token: &str) -> Digest {
    Digest::of(format!("{} {caller} {token}", caller.len()).as_bytes())
}
