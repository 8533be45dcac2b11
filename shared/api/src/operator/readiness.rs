//! What a recovery of a service would bring back if it was declared now: the very plan says it, not a guess.

use rekindle_domain::{RecoveryKind, RecoveryPlan, RunId, Seconds, Service};
use rekindle_requests::recovery::{PlanError, Request, plan};
use serde::Serialize;

use super::OperatorApi;
use super::error::OperatorApiError;

/// Whether a service could be recovered, and how well.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Readiness {
    /// In one word.
    pub state: ReadinessState,
    /// In one sentence.
    pub sentence: String,
    /// How old the data would be.
    pub recovery_point: Option<Seconds>,
    /// How long it would take.
    pub predicted_recovery_time: Option<Seconds>,
}

/// Whether a service could be recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ReadinessState {
    /// Within its objectives.
    Ready,
    /// It could, but later, or with older data, than the business asked for.
    ObjectivesMissed,
    /// It could not.
    NotReady,
}

impl OperatorApi {
    pub(super) async fn readiness(&self, service: &Service) -> Result<Readiness, OperatorApiError> {
        let now = self.clock.now();
        let request = Request {
            kind: RecoveryKind::Disaster,
            customer_id: service.key.customer_id.clone(),
            services: vec![service.key.service_id.clone()],
            requested_by: "rekindle".to_owned(),
            reason: "readiness".to_owned(),
            declared_at: now,
            at_or_before: None,
            target: None,
        };
        match plan(&self.register, &request, &RunId::mint(), now).await {
            Ok(plan) => Ok(planned(service, &plan)),
            Err(PlanError::Unplannable(reason)) => Ok(Readiness {
                state: ReadinessState::NotReady,
                sentence: reason.to_string(),
                recovery_point: None,
                predicted_recovery_time: None,
            }),
            Err(error) => Err(error.into()),
        }
    }
}

fn planned(service: &Service, plan: &RecoveryPlan) -> Readiness {
    let (point, time) = (plan.predicted_recovery_point, plan.predicted_recovery_time);
    let objectives = service.objectives;
    let (state, sentence) = if point.0 > objectives.recovery_point.0 {
        let sentence =
            format!("The newest proven data is {point} old, and may be {} old.", objectives.recovery_point);
        (ReadinessState::ObjectivesMissed, sentence)
    } else if time.0 > objectives.recovery_time.0 {
        let sentence =
            format!("It is predicted to serve after {time}, and has {}.", objectives.recovery_time);
        (ReadinessState::ObjectivesMissed, sentence)
    } else {
        (ReadinessState::Ready, format!("It would serve after {time}, with data up to {point} old."))
    };
    Readiness { state, sentence, recovery_point: Some(point), predicted_recovery_time: Some(time) }
}
