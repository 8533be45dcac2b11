//! Runs and their reports.

use rekindle_domain::report::StepRecord;
use rekindle_domain::{HumanTask, Report, Run, RunId};
use rekindle_requests::reports::{LONGEST_REPORT_BYTES, report_key};
use rekindle_store::{StoreError, get_or_not_found};
use serde::{Deserialize, Serialize};

use super::OperatorApi;
use super::code::Code;
use super::cursor::{List, PageQuery, list};
use super::error::OperatorApiError;

/// Which runs are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunsState {
    /// Those that are not Ended, or owe a report.
    #[default]
    Open,
    /// Those that are Ended and reported.
    Ended,
}

/// Which page of which runs is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunsQuery {
    /// Which runs.
    #[serde(default)]
    pub state: RunsState,
    /// At most so many.
    pub limit: Option<usize>,
    /// The `next` of the page before.
    pub next: Option<String>,
}

/// A run with what belongs to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunView {
    /// The run.
    pub run: Run,
    /// What it did, in the order in which it began.
    pub steps: Vec<StepRecord>,
    /// What was asked of people.
    pub human_tasks: Vec<HumanTask>,
}

impl OperatorApi {
    /// Runs that are not Ended, or owe a report, the oldest first; or all others, the newest first.
    ///
    /// # Errors
    /// When the page is not one of this list.
    pub async fn runs(&self, query: &RunsQuery) -> Result<List<Run>, OperatorApiError> {
        let name = match query.state {
            RunsState::Open => "runs open",
            RunsState::Ended => "runs ended",
        };
        let page = PageQuery { limit: query.limit, next: query.next.clone() };
        let (limit, after) = (page.limit()?, page.position(name)?);
        let runs = match query.state {
            RunsState::Open => self.register.unfinished_runs_page(limit, after.as_deref()).await,
            RunsState::Ended => self.register.ended_runs_page(limit, after.as_deref()).await,
        };
        list(name, runs)
    }

    /// A run with its steps and the questions that it asked.
    ///
    /// # Errors
    /// When there is no such run.
    pub async fn run(&self, run_id: &RunId) -> Result<RunView, OperatorApiError> {
        let run = self.known_run(run_id).await?;
        let steps = self.register.steps(run_id).await?;
        let human_tasks = self.human_tasks_of(run_id, run.plan_id.as_ref()).await?;
        Ok(RunView { run, steps, human_tasks })
    }

    pub(super) async fn known_run(&self, run_id: &RunId) -> Result<Run, OperatorApiError> {
        let run = self.register.run(run_id).await?;
        run.ok_or_else(|| {
            let what = format!(
                "There is no run {run_id}. One that was just started is known as soon as its first step has begun: \
                 ask again in a moment."
            );
            OperatorApiError::new(Code::RunUnknown, what)
        })
    }

    /// A report as JSON.
    ///
    /// # Errors
    /// When the run or its report does not exist.
    pub async fn report_json(&self, run_id: &RunId) -> Result<Vec<u8>, OperatorApiError> {
        let report = self.written_report(run_id).await?;
        match self.kept(&report, "json").await? {
            Some(bytes) => Ok(bytes),
            None => serde_json::to_vec_pretty(&report).map_err(|error| OperatorApiError::internal(&error)),
        }
    }

    /// A report as a page that stands alone.
    ///
    /// # Errors
    /// When the run or its report does not exist.
    pub async fn report_page(&self, run_id: &RunId) -> Result<Vec<u8>, OperatorApiError> {
        let report = self.written_report(run_id).await?;
        self.kept(&report, "html").await?.ok_or_else(|| {
            let detail =
                format!("The page of run {run_id} is not stored yet; its report can be read as JSON.");
            OperatorApiError::new(Code::ReportNotWritten, detail)
        })
    }

    async fn written_report(&self, run_id: &RunId) -> Result<Report, OperatorApiError> {
        self.known_run(run_id).await?;
        let report = self.register.report(run_id).await?;
        report.ok_or_else(|| {
            let detail = format!("Run {run_id} is not at its end, or the sweep has yet to write its report.");
            OperatorApiError::new(Code::ReportNotWritten, detail)
        })
    }

    /// What was kept in the control bucket. A report is in the register first.
    async fn kept(&self, report: &Report, ending: &str) -> Result<Option<Vec<u8>>, OperatorApiError> {
        let Some(customer_id) = &report.customer_id else { return Ok(None) };
        let key = report_key(customer_id.as_str(), &report.run_id, ending)
            .map_err(|error| OperatorApiError::internal(&error))?;
        match get_or_not_found(self.control.as_ref(), &key, LONGEST_REPORT_BYTES).await {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error @ StoreError::Unavailable { .. }) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the control bucket did not answer");
                Err(OperatorApiError::new(Code::StoreUnavailable, "Send the same request again in a moment."))
            }
            Err(error) => Err(OperatorApiError::internal(&error)),
        }
    }
}
