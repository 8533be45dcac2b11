//! What state machines pass to the steps that give a job to an agent.

use rekindle_cmdb::TaskToken;
use rekindle_domain::{Bytes, InstanceId, JobId, JobWork, MachineKey, PlanId, RefreshPlan, RunId};
use serde::Deserialize;

use crate::agent_job::Assignment;

/// A Task of a refresh that its builder's agent does.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuilderTask {
    /// The work.
    pub plan: RefreshPlan,
    /// The builder.
    pub instance_id: InstanceId,
    /// By which the waiting state is answered.
    pub task_token: TaskToken,
}

impl BuilderTask {
    /// The job of this step.
    pub fn assignment(self, step: &str, work: JobWork, stored: Bytes) -> Assignment {
        Assignment {
            id: JobId { run_id: self.plan.run_id, machine: self.plan.machine, step: step.to_owned() },
            work,
            instance_id: self.instance_id,
            stored,
            task_token: self.task_token,
        }
    }
}

/// A Task of a recovery that its replica's agent does.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaTask {
    /// The recovery.
    pub run_id: RunId,
    /// Its plan: the digest that was approved.
    pub plan_id: PlanId,
    /// Which machine.
    pub machine: MachineKey,
    /// Which attempt: 0 for the planned image.
    pub attempt: usize,
    /// The replica.
    pub instance_id: InstanceId,
    /// By which the waiting state is answered.
    pub task_token: TaskToken,
}

impl ReplicaTask {
    /// The job of this step and attempt.
    pub fn assignment(self, step: &str, work: JobWork) -> Assignment {
        Assignment {
            id: JobId { run_id: self.run_id, machine: self.machine, step: attempt_step(step, self.attempt) },
            work,
            instance_id: self.instance_id,
            stored: Bytes(0),
            task_token: self.task_token,
        }
    }
}

/// The name of a job of one attempt.
pub fn attempt_step(step: &str, attempt: usize) -> String {
    format!("{step}-{attempt}")
}
