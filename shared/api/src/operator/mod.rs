//! What people who operate Rekindle may ask, declare and decide.
//!
//! [`OperatorApi`] does the work and knows no HTTP; [`operator_router`] reads requests and writes answers. The addresses
//! are data, [`OPERATOR_ROUTES`]: the router is made from them, and a test holds `infra/openapi.json` against them.
//!
//! Four rules hold everywhere:
//!
//! * **Who asks is for the transport to say**, by the extension [`CallerPrincipal`]. Nothing in a body makes somebody
//!   another one.
//! * **The same request again is the same request.** What starts a run takes a client token; the claim on it is written
//!   before anything is started, with all that is started.
//! * **What is lost for good is confirmed.** A plan is shown before it is carried out, a decision repeats the digest of
//!   what it is about, and ending a recovery repeats its id.
//! * **No answer holds a task token**, a key, or anything of the customer's data.
//!
//! # Refusals
//! `application/problem+json` with a `code` that does not change. [`Code`] is the list.
//!
//! | status | codes |
//! |---|---|
//! | 400 | `body-unreadable`, `query-invalid`, `cursor-invalid`, `id-invalid` |
//! | 403 | `caller-unknown`, `requester-cannot-decide` |
//! | 404 | `not-found`, `customer-unknown`, `service-unknown`, `machine-unknown`, `run-unknown`, `plan-unknown`, `human-task-unknown`, `report-not-written` |
//! | 405 | `method-not-allowed` |
//! | 409 | `service-exists`, `version-moved`, `client-token-reused`, `not-a-recovery`, `no-proven-image`, `dependency-circle`, `register-current`, `rebuild-at-work`, `subject-changed`, `deadline-passed`, `already-decided`, `task-exited` |
//! | 413 | `body-too-large` |
//! | 422 | `body-invalid`, `customer-foreign`, `not-confirmed`, `target-image-ambiguous`, `target-image-unknown`, `target-image-foreign`, `target-image-unproven`, `target-image-alone` |
//! | 500 | `internal` |
//! | 503 | `register-unavailable`, `store-unavailable`, `workflow-unavailable`: send the same request again |

mod client_token;
mod code;
mod configurations;
mod cursor;
mod error;
mod handlers;
mod human_tasks;
mod machines;
mod names;
mod onboarding;
mod plans;
mod readiness;
mod recoveries;
mod register;
mod requests;
mod routes;
mod runs;
mod service_body;
mod services;

use std::sync::Arc;

use rekindle_cmdb::Register;
use rekindle_step::{Clock, Workflow};
use rekindle_store::ObjectStore;

pub use client_token::ClientToken;
pub use code::Code;
pub use configurations::{PublicationBody, Published};
pub use cursor::{LARGEST_LIMIT, List, PageQuery};
pub use error::OperatorApiError;
pub use human_tasks::DecisionBody;
pub use machines::{RefreshBody, Started};
pub use names::{Deployment, Names};
pub use onboarding::{ChangeBody, Onboarded, OnboardingBody};
pub use readiness::{Readiness, ReadinessState};
pub use recoveries::{Declared, EndBody, Ending, Preview, RecoveryBody};
pub use register::{RebuildBody, RegisterView, Standing};
pub use requests::CallerPrincipal;
pub use routes::{OPERATOR_ROUTES, operator_router};
pub use runs::{RunView, RunsQuery, RunsState};
pub use service_body::{MachineBody, ServiceBody};
pub use services::{LatestImage, MachineView, ServiceSummary, ServiceView};

/// The operator API. Cheap to clone.
#[derive(Clone)]
pub struct OperatorApi {
    register: Register,
    control: Arc<dyn ObjectStore>,
    workflow: Arc<dyn Workflow>,
    clock: Arc<dyn Clock>,
    deployment: Deployment,
}

impl OperatorApi {
    /// The API over these ports. `control` is the control bucket; names are made from `deployment`.
    pub fn new(
        register: Register,
        control: Arc<dyn ObjectStore>,
        workflow: Arc<dyn Workflow>,
        clock: Arc<dyn Clock>,
        deployment: Deployment,
    ) -> Self {
        Self { register, control, workflow, clock, deployment }
    }
}

impl std::fmt::Debug for OperatorApi {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("OperatorApi").finish_non_exhaustive()
    }
}
