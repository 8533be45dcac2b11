//! Instances: looked at and destroyed.

use aws_sdk_ec2::types::{Instance as Description, InstanceStateName};
use rekindle_cloud::{CloudError, CloudErrorKind, Instance, InstanceState};
use rekindle_domain::InstanceId;

use crate::cloud::Ec2Cloud;
use crate::error::{explain, unless_unknown};
use crate::tags;

impl Ec2Cloud {
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html>
    pub(crate) async fn look_at_instance(&self, id: &InstanceId) -> Result<Instance, CloudError> {
        let what = || format!("the instance {id} could not be looked at");
        let answer = self.ec2.describe_instances().instance_ids(id.as_str()).send().await;
        let answer = answer.map_err(|error| explain(what(), error))?;
        let mut instances = answer.reservations().iter().flat_map(|reservation| reservation.instances());
        let found = instances.find(|instance| instance.instance_id() == Some(id.as_str()));
        let unknown =
            || CloudError::new(CloudErrorKind::NotFound, format!("EC2 does not know the instance {id}"));
        let found = found.ok_or_else(unknown)?;
        note_end(found);
        instance(found)
    }

    /// Policies allow it for instances with a run's tag. One that is long gone has no tags any more, so a refusal may
    /// only mean that there is nothing left to terminate.
    ///
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TerminateInstances.html>
    pub(crate) async fn terminate_instance(&self, id: &InstanceId) -> Result<(), CloudError> {
        let answer = self.ec2.terminate_instances().instance_ids(id.as_str()).send().await;
        let what = format!("the instance {id} could not be terminated");
        match unless_unknown(answer.map(drop).map_err(|error| explain(what, error))) {
            Err(error) if error.kind == CloudErrorKind::Refused && self.is_gone(id).await => Ok(()),
            result => result,
        }
    }

    async fn is_gone(&self, id: &InstanceId) -> bool {
        match self.look_at_instance(id).await {
            Ok(instance) => instance.state == InstanceState::Terminated,
            Err(error) => error.kind == CloudErrorKind::NotFound,
        }
    }
}

/// The port's words for what EC2 describes.
pub(crate) fn instance(description: &Description) -> Result<Instance, CloudError> {
    let id = description.instance_id().unwrap_or_default();
    let unreadable = |what: &str| {
        CloudError::new(CloudErrorKind::Uncertain, format!("EC2 described the instance {id} {what}"))
    };
    let name = description.state().and_then(|state| state.name());
    Ok(Instance {
        instance_id: InstanceId::parse(id)
            .map_err(|error| unreadable("without a usable id").because(error))?,
        state: name.and_then(state).ok_or_else(|| unreadable("in no known state"))?,
        tags: tags::as_map(description.tags()),
    })
}

/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html>
fn state(name: &InstanceStateName) -> Option<InstanceState> {
    match name {
        InstanceStateName::Pending => Some(InstanceState::Pending),
        InstanceStateName::Running => Some(InstanceState::Running),
        InstanceStateName::Stopping => Some(InstanceState::Stopping),
        InstanceStateName::Stopped => Some(InstanceState::Stopped),
        InstanceStateName::ShuttingDown => Some(InstanceState::ShuttingDown),
        InstanceStateName::Terminated => Some(InstanceState::Terminated),
        _ => None,
    }
}

pub(crate) fn is_terminated(description: &Description) -> bool {
    description.state().and_then(|state| state.name()) == Some(&InstanceStateName::Terminated)
}

/// A launch may be granted and then fail, for a key that may not be used or a quota of volumes. Only EC2's reason tells.
fn note_end(description: &Description) {
    let Some(reason) = description.state_reason().filter(|_| is_terminated(description)) else { return };
    tracing::info!(
        instance_id = description.instance_id(),
        code = reason.code(),
        message = reason.message(),
        "the instance is terminated"
    );
}
