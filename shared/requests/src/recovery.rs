//! What a recovery is asked for, and the plan that follows from what the register knows.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rekindle_cmdb::{Register, RegisterError};
use rekindle_domain::{CustomerId, Flow, RecoveryKind, RecoveryPlan, RunId, Service, ServiceId, TargetImage};
use rekindle_planning::{RecoveryRequest, RecoverySituation, RecoveryUnplannable, plan_recovery};
use rekindle_step::{ErrorName, StartError, StepError, Workflow};
use serde::{Deserialize, Serialize};

use crate::register_standing;

/// What a person or a schedule asks for: the input of the execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Disaster or rehearsal.
    pub kind: RecoveryKind,
    /// Whose services.
    pub customer_id: CustomerId,
    /// Which services; empty means all of the customer.
    pub services: Vec<ServiceId>,
    /// Who asks.
    pub requested_by: String,
    /// In their own words.
    pub reason: String,
    /// When the disaster was declared; recovery time is measured from here.
    pub declared_at: Timestamp,
    /// Recover to the newest images at or before this instant.
    pub at_or_before: Option<Timestamp>,
    /// Recover this image of the one service that is named, and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetImage>,
}

/// Why there is no plan, for those who answer differently to different reasons.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// What is known could not be read.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// What is known does not make a plan.
    #[error(transparent)]
    Unplannable(#[from] RecoveryUnplannable),
}

impl From<PlanError> for StepError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Register(error) => error.into(),
            PlanError::Unplannable(error) => unplannable(error),
        }
    }
}

/// Starts a recovery; one that runs already under this id, or has ended, is the same recovery.
///
/// # Errors
/// Transient, when the workflow engine cannot be reached.
pub async fn start_recovery(
    workflow: &dyn Workflow,
    run_id: &RunId,
    request: &Request,
) -> Result<(), StepError> {
    let input = serde_json::to_value(request)
        .map_err(|error| StepError::permanent("the request cannot be written as JSON").because(error))?;
    match workflow.start_execution(Flow::Recover.state_machine(), run_id.as_str(), input).await {
        Ok(()) | Err(StartError::AlreadyExists(_)) => Ok(()),
        Err(error) => {
            Err(StepError::transient(format!("the recovery {run_id} could not be started")).because(error))
        }
    }
}

/// The plan that a recovery would carry out if it was declared now. Nothing is stored and nothing is started.
///
/// # Errors
/// When a service is unknown, services wait for each other, or nothing is proven: the sentence names the newest
/// failed verdict.
pub async fn plan(
    register: &Register,
    request: &Request,
    run_id: &RunId,
    now: Timestamp,
) -> Result<RecoveryPlan, PlanError> {
    let services = register.services(&request.customer_id).await?;
    let mut situations = Vec::new();
    for service in services {
        situations.push(situation(register, service).await?);
    }
    let wanted = RecoveryRequest {
        run_id: run_id.clone(),
        kind: request.kind,
        requested_by: request.requested_by.clone(),
        reason: request.reason.clone(),
        declared_at: request.declared_at,
        services: request.services.clone(),
        at_or_before: request.at_or_before,
        target: request.target.clone(),
    };
    let mut plan = plan_recovery(&wanted, &situations, now)?;
    plan.warning = register_standing::warning(register).await;
    Ok(plan)
}

async fn situation(register: &Register, service: Service) -> Result<RecoverySituation, RegisterError> {
    let mut images = BTreeMap::new();
    let mut newest_failures = BTreeMap::new();
    for machine in &service.machines {
        let key = service.key.machine(machine.machine_id.clone());
        images.insert(key.clone(), register.images(&key).await?);
        let state = register.machine_state(&key).await?;
        if let Some(failure) = state.newest_failure {
            newest_failures.insert(key, format!("{} ({}, {})", failure.cause, failure.error, failure.at));
        }
    }
    let measured_start = register.measured_start(&service.key).await?;
    Ok(RecoverySituation { service, images, newest_failures, measured_start })
}

fn unplannable(error: RecoveryUnplannable) -> StepError {
    match error {
        RecoveryUnplannable::UnknownService(_) => {
            StepError::new(ErrorName::UnknownService, error.to_string()).next_step("Check the service's name")
        }
        RecoveryUnplannable::Circle(_) => {
            StepError::permanent(error.to_string()).next_step("Remove one of the dependencies")
        }
        RecoveryUnplannable::NothingProven(_) | RecoveryUnplannable::TargetImage(_) => {
            StepError::new(ErrorName::NoProvenImage, error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test whose fixtures do not parse has failed")]
    use super::*;

    const OLDER: &str = r#"{"kind":"disaster","customer_id":"acme","services":["orders"],"requested_by":"ann",
        "reason":"fire","declared_at":"2026-11-22T00:00:00Z","at_or_before":null}"#;

    /// An execution keeps the input that it was started with, and a function may be newer or older than it.
    #[test]
    fn a_request_without_a_target_is_what_older_versions_write_and_read() {
        let request: Request = serde_json::from_str(OLDER).unwrap();
        assert_eq!(request.target, None);
        assert!(!serde_json::to_string(&request).unwrap().contains("target"));
    }
}
