//! The register itself: whether it is the one it was, and its rebuild after a restore.
//!
//! This interface has no right to look at the cloud. It records what is asked for; the next sweep carries it out, and
//! what came of it is read here.

use rekindle_cmdb::ClientClaim;
use rekindle_domain::{Digest, Rebuild, RebuildMode, RebuildState, RunId};
use rekindle_planning::RegisterStanding;
use rekindle_requests::register_standing::by_the_table;
use serde::{Deserialize, Serialize};

use super::OperatorApi;
use super::client_token::{ClientToken, request_digest};
use super::code::Code;
use super::error::OperatorApiError;

/// What a rebuild is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RebuildBody {
    /// By which the same request again is known.
    pub client_token: ClientToken,
    /// Say what would be done, or do it.
    pub mode: RebuildMode,
    /// To do it: the `findings_digest` of the dry run that was looked at.
    #[serde(default)]
    pub confirm: Option<Digest>,
}

/// Whether the register is the one it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is.
    Current,
    /// Nothing is known of it yet: the first sweep gives it its first epoch.
    New,
    /// It was restored to an earlier time, and not rebuilt since.
    Restored,
}

/// The register, and its newest rebuild.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegisterView {
    /// Whether it is the one it was.
    pub standing: Standing,
    /// In one sentence.
    pub sentence: String,
    /// Its epoch, when it is.
    pub epoch: Option<u64>,
    /// The newest rebuild.
    pub rebuild: Option<Rebuild>,
}

impl OperatorApi {
    /// Whether the register is the one it was, and what became of its newest rebuild.
    ///
    /// # Errors
    /// When the register does not answer.
    pub async fn register_view(&self) -> Result<RegisterView, OperatorApiError> {
        let (standing, sentence, epoch) = match by_the_table(&self.register).await? {
            RegisterStanding::Current(epoch) => {
                (Standing::Current, "It is the one it was.".to_owned(), Some(epoch.epoch))
            }
            RegisterStanding::New => {
                (Standing::New, "The next sweep gives it its first epoch.".to_owned(), None)
            }
            RegisterStanding::Restored { sentence } => (Standing::Restored, sentence, None),
        };
        Ok(RegisterView { standing, sentence, epoch, rebuild: self.register.rebuild().await? })
    }

    /// Records that the register is to be rebuilt, or what that would do is to be shown. The same request with the same
    /// client token again is the same one.
    ///
    /// # Errors
    /// When the token was used for something else, when another rebuild is at work, and, for one that acts, when the
    /// register needs none or what is confirmed is not what the newest dry run has shown.
    pub async fn ask_for_rebuild(
        &self,
        caller: &str,
        body: &RebuildBody,
    ) -> Result<Rebuild, OperatorApiError> {
        let request = request_digest("POST /v1/register/rebuild", body)?;
        if let Some(claim) = self.earlier_claim(caller, &body.client_token, &request).await? {
            return self.recorded(&claim).await;
        }
        let newest = self.register.rebuild().await?;
        self.refuse_rebuild(body, newest.as_ref()).await?;
        let rebuild = Rebuild {
            rebuild_id: RunId::mint(),
            table_id: self.register.table_id().await?,
            mode: body.mode,
            confirmed: body.confirm.clone(),
            requested_by: caller.to_owned(),
            requested_at: self.clock.now(),
            state: RebuildState::Requested,
            note: "the next sweep begins it".to_owned(),
            at: self.clock.now(),
            findings: None,
            findings_digest: None,
        };
        let start = serde_json::to_value(&rebuild).map_err(|error| OperatorApiError::internal(&error))?;
        let claim = ClientClaim {
            request,
            run_id: rebuild.rebuild_id.clone(),
            start,
            claimed_at: rebuild.requested_at,
        };
        let claim = self.claim(caller, &body.client_token, &claim).await?;
        self.recorded(&claim).await
    }

    async fn refuse_rebuild(
        &self,
        body: &RebuildBody,
        newest: Option<&Rebuild>,
    ) -> Result<(), OperatorApiError> {
        if let Some(at_work) = newest.filter(|rebuild| rebuild.is_at_work()) {
            return Err(is_at_work(at_work));
        }
        if body.mode == RebuildMode::DryRun {
            return Ok(());
        }
        if !matches!(by_the_table(&self.register).await?, RegisterStanding::Restored { .. }) {
            let detail = "Nothing shows that it was restored. A sweep notices it within minutes: look again.";
            return Err(OperatorApiError::new(Code::RegisterCurrent, detail));
        }
        let shown = newest.and_then(|rebuild| rebuild.findings_digest.as_ref());
        if body.confirm.is_none() || body.confirm.as_ref() != shown {
            let detail =
                "Ask for a dry run, look at what it found, and repeat its findings_digest in confirm.";
            return Err(OperatorApiError::new(Code::NotConfirmed, detail));
        }
        Ok(())
    }

    /// The rebuild that a token was used for. Where it was cut off between the claim and the record, it is recorded now,
    /// unless another one is at work by then.
    async fn recorded(&self, claim: &ClientClaim) -> Result<Rebuild, OperatorApiError> {
        let asked: Rebuild = serde_json::from_value(claim.start.clone())
            .map_err(|error| OperatorApiError::internal(&error))?;
        if asked.table_id != self.register.table_id().await? {
            let note = "it is over: the register was restored since. Ask again with another client token";
            return Ok(over(asked, note));
        }
        let stored = self.register.rebuild().await?;
        if let Some(stored) = &stored {
            if stored.rebuild_id == asked.rebuild_id {
                return Ok(stored.clone());
            }
            if stored.requested_at >= asked.requested_at {
                return Ok(over(asked, "it is over: a newer one has come in its place"));
            }
            if stored.is_at_work() {
                return Err(is_at_work(stored));
            }
        }
        if self.register.put_rebuild(&asked, stored.as_ref()).await? {
            return Ok(asked);
        }
        match self.register.rebuild().await? {
            Some(faster) => Err(is_at_work(&faster)),
            None => Ok(asked),
        }
    }
}

fn over(asked: Rebuild, note: &str) -> Rebuild {
    Rebuild { note: note.to_owned(), ..asked }
}

fn is_at_work(rebuild: &Rebuild) -> OperatorApiError {
    let detail = format!(
        "The rebuild {} that {} asked for is at work. Wait until GET /v1/register shows its end.",
        rebuild.rebuild_id, rebuild.requested_by
    );
    OperatorApiError::new(Code::RebuildAtWork, detail)
}
