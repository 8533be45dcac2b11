//! How a call goes: it takes its time, may be one too many, may go wrong, has its effect, is answered.

use async_trait::async_trait;
use rekindle_cloud::{
    Characteristics, CloudError, CloudErrorKind, CloudImage, CloudProvider, CreateImageRequest, Instance,
    LaunchRequest, Resource,
};
use rekindle_domain::{ImageId, InstanceId, MachineKey, RunId};

use crate::call::{Call, CallOutcome};
use crate::cloud::SimulatedCloud;
use crate::fault::{Fault, When};
use crate::world::{Change, World};

impl SimulatedCloud {
    async fn call<T, Effect>(&self, call: Call, effect: Effect) -> Result<T, CloudError>
    where
        T: Send + 'static,
        Effect: FnOnce(&mut World) -> Result<T, CloudError> + Send + 'static,
    {
        let number = self.with(|world| world.note_call(call.clone()));
        let half = self.behaviour().call_time / 2;
        tokio::time::sleep(half).await;
        let answer = match self.with(|world| world.handle(&call, effect)) {
            Handled::Answered(answer) => answer,
            Handled::NeverAnswered => std::future::pending().await,
        };
        tokio::time::sleep(half).await;
        let outcome = answer
            .as_ref()
            .map_or_else(|error| CallOutcome::Failed(error.kind.clone()), |_| CallOutcome::Done);
        self.with(|world| world.note_outcome(number, outcome));
        answer
    }
}

enum Handled<T> {
    Answered(Result<T, CloudError>),
    NeverAnswered,
}

impl World {
    fn handle<T, Effect>(&mut self, call: &Call, effect: Effect) -> Handled<T>
    where
        Effect: FnOnce(&mut Self) -> Result<T, CloudError> + Send + 'static,
    {
        if let Err(error) = self.admit(call) {
            return Handled::Answered(Err(error));
        }
        let Some(fault) = self.meet_fault(call) else { return Handled::Answered(effect(self)) };
        match fault.when {
            When::BeforeEffect => {}
            When::AfterEffect => drop(effect(self)),
            When::LateEffect(delay) => {
                self.late_effects += 1;
                let late = Box::new(move |world: &mut Self| drop(effect(world)));
                self.upcoming.push((delay, Change::LateEffect(late)));
            }
            When::Hang => return Handled::NeverAnswered,
            When::HangAfterEffect => {
                drop(effect(self));
                return Handled::NeverAnswered;
            }
        }
        Handled::Answered(Err(injected(&fault)))
    }
}

fn injected(fault: &Fault) -> CloudError {
    let said = match fault.error {
        CloudErrorKind::NotFound => "the id is unknown",
        CloudErrorKind::NoCapacity => "InsufficientInstanceCapacity: no capacity",
        CloudErrorKind::NameTaken => "InvalidAMIName.Duplicate: the name is taken",
        CloudErrorKind::WrongState => "IncorrectInstanceState: the resource is in another state",
        CloudErrorKind::Throttled => "RequestLimitExceeded: too many calls",
        CloudErrorKind::Uncertain => "the connection was lost before the answer",
        CloudErrorKind::Refused => "UnauthorizedOperation: the call is refused",
    };
    CloudError::new(fault.error.clone(), format!("{:?} failed: {said}", fault.operation))
}

#[async_trait]
impl CloudProvider for SimulatedCloud {
    fn characteristics(&self) -> Characteristics {
        Characteristics {
            name: "sim",
            settling_time: self.behaviour().settling_time,
            poll_interval: self.behaviour().poll_interval,
        }
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Instance, CloudError> {
        let request = request.clone();
        self.call(Call::Launch(request.clone()), move |world| world.launch(&request)).await
    }

    async fn describe_instance(&self, instance_id: &InstanceId) -> Result<Instance, CloudError> {
        let id = instance_id.clone();
        self.call(Call::DescribeInstance(id.clone()), move |world| world.describe_instance(&id)).await
    }

    async fn terminate(&self, instance_id: &InstanceId) -> Result<(), CloudError> {
        let id = instance_id.clone();
        self.call(Call::Terminate(id.clone()), move |world| {
            world.terminate(&id);
            Ok(())
        })
        .await
    }

    async fn create_image(&self, request: &CreateImageRequest) -> Result<CloudImage, CloudError> {
        let request = request.clone();
        self.call(Call::CreateImage(request.clone()), move |world| world.create_image(&request)).await
    }

    async fn describe_image(&self, image_id: &ImageId) -> Result<CloudImage, CloudError> {
        let id = image_id.clone();
        self.call(Call::DescribeImage(id.clone()), move |world| world.describe_image(&id)).await
    }

    async fn find_image(&self, name: &str) -> Result<Option<CloudImage>, CloudError> {
        let name = name.to_owned();
        self.call(Call::FindImage(name.clone()), move |world| Ok(world.find_image(&name))).await
    }

    async fn delete_image(&self, image_id: &ImageId) -> Result<(), CloudError> {
        let id = image_id.clone();
        self.call(Call::DeleteImage(id.clone()), move |world| world.delete_image(&id)).await
    }

    async fn find_by_run(&self, run_id: &RunId) -> Result<Vec<Resource>, CloudError> {
        let id = run_id.clone();
        self.call(Call::FindByRun(id.clone()), move |world| Ok(world.find_by_run(&id))).await
    }

    async fn find_by_machine(&self, machine: &MachineKey) -> Result<Vec<Resource>, CloudError> {
        let key = machine.clone();
        self.call(Call::FindByMachine(key.clone()), move |world| Ok(world.find_by_machine(&key))).await
    }

    async fn delete_other(&self, kind: &str, id: &str) -> Result<(), CloudError> {
        let (kind, id) = (kind.to_owned(), id.to_owned());
        let call = Call::DeleteOther { kind: kind.clone(), id: id.clone() };
        self.call(call, move |world| world.delete_other(&kind, &id)).await
    }
}
