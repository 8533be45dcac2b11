//! The suite bites: with steps that are broken on purpose it fails.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use rekindle_cloud::{
    Characteristics, CloudError, CloudImage, CloudProvider, CreateImageRequest, Instance, LaunchRequest,
    Resource,
};
use rekindle_domain::job::JobResult;
use rekindle_domain::{
    Image, ImageId, ImageVerdict, InstanceId, JobId, JobOutcome, Lineage, MachineKey, RefreshPlan, Run,
    RunId, RunState,
};
use rekindle_embedded_host::WrapStep;
use rekindle_flow_tests::faults::Fault;
use rekindle_flow_tests::invariants::{Before, violations};
use rekindle_flow_tests::matrix::{in_virtual_time, places, violations_with};
use rekindle_flow_tests::scenario::Scenario;
use rekindle_flow_tests::world::{Breakage, Variation, World, WrapCloud};
use rekindle_function_destroy::Destroy;
use rekindle_function_register::RegisterImage;
use rekindle_step::{
    CallbackError, DynamicStep, ExecutionState, StartError, Step as _, StepContext, StepError, Workflow,
    erase,
};
use serde_json::Value;

use crate::stories;

type Attached = Arc<OnceLock<Arc<dyn Workflow>>>;

/// Puts a step in place of the sound one of the same name.
fn instead(made: Arc<dyn DynamicStep>) -> WrapStep {
    Arc::new(move |sound| if sound.name() == made.name() { made.clone() } else { sound })
}

/// Everything that does not hold when a Task of a refresh is struck in a broken world.
fn broken(state: &str, fault: Fault, variation: Variation) -> Vec<String> {
    let place = places().into_iter().find(|place| place.name().1 == state).unwrap();
    violations_with(Scenario::Refresh, &place, fault, variation)
}

/// Every step is delivered twice.
pub fn twice() -> Breakage {
    struct Twice(Arc<dyn DynamicStep>);
    #[async_trait]
    impl DynamicStep for Twice {
        fn name(&self) -> &'static str {
            self.0.name()
        }
        async fn invoke(&self, input: Value, context: &StepContext) -> Result<Value, StepError> {
            self.0.invoke(input.clone(), context).await?;
            self.0.invoke(input, context).await
        }
    }
    Arc::new(|_, _| Arc::new(|sound| Arc::new(Twice(sound))))
}

/// What a destroy does not see.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blindness {
    /// Things of this kind.
    Kind(&'static str),
    /// That the cloud needs time to show everything.
    Lag,
}

struct HalfBlind {
    cloud: Arc<dyn CloudProvider>,
    blindness: Blindness,
}

#[async_trait]
impl CloudProvider for HalfBlind {
    fn characteristics(&self) -> Characteristics {
        let characteristics = self.cloud.characteristics();
        match self.blindness {
            Blindness::Kind(_) => characteristics,
            Blindness::Lag => Characteristics { settling_time: Duration::ZERO, ..characteristics },
        }
    }
    async fn launch(&self, request: &LaunchRequest) -> Result<Instance, CloudError> {
        self.cloud.launch(request).await
    }
    async fn describe_instance(&self, id: &InstanceId) -> Result<Instance, CloudError> {
        self.cloud.describe_instance(id).await
    }
    async fn terminate(&self, id: &InstanceId) -> Result<(), CloudError> {
        self.cloud.terminate(id).await
    }
    async fn create_image(&self, request: &CreateImageRequest) -> Result<CloudImage, CloudError> {
        self.cloud.create_image(request).await
    }
    async fn describe_image(&self, id: &ImageId) -> Result<CloudImage, CloudError> {
        self.cloud.describe_image(id).await
    }
    async fn find_image(&self, name: &str) -> Result<Option<CloudImage>, CloudError> {
        match self.blindness {
            Blindness::Kind("image") => Ok(None),
            _ => self.cloud.find_image(name).await,
        }
    }
    async fn delete_image(&self, id: &ImageId) -> Result<(), CloudError> {
        match self.blindness {
            Blindness::Kind("image") => Ok(()),
            _ => self.cloud.delete_image(id).await,
        }
    }
    async fn find_by_run(&self, run_id: &RunId) -> Result<Vec<Resource>, CloudError> {
        let mut found = self.cloud.find_by_run(run_id).await?;
        found.retain(|resource| self.blindness != Blindness::Kind(kind_of(resource)));
        Ok(found)
    }
    async fn find_by_machine(&self, machine: &MachineKey) -> Result<Vec<Resource>, CloudError> {
        self.cloud.find_by_machine(machine).await
    }
    async fn delete_other(&self, kind: &str, id: &str) -> Result<(), CloudError> {
        self.cloud.delete_other(kind, id).await
    }
}

fn kind_of(resource: &Resource) -> &'static str {
    ["instance", "image", "volume", "snapshot"]
        .into_iter()
        .find(|kind| resource.kind() == *kind)
        .unwrap_or("something else")
}

/// A product that does not see everything.
fn half_blind(blindness: Blindness) -> Variation {
    let wrap_cloud: WrapCloud =
        Arc::new(move |cloud| Arc::new(HalfBlind { cloud: Arc::new(cloud), blindness }));
    Variation { wrap_cloud: Some(wrap_cloud), ..Variation::default() }
}

#[test]
fn a_destroy_that_forgets_a_kind_is_noticed() {
    let cases = [
        ("instance", "StartInstance", Fault::KilledInTheMiddle),
        ("image", "Register", Fault::PermanentBeforeTheEffect),
        ("volume", "Register", Fault::PermanentBeforeTheEffect),
        ("snapshot", "Register", Fault::PermanentBeforeTheEffect),
    ];
    for (kind, state, fault) in cases {
        let found = broken(state, fault, half_blind(Blindness::Kind(kind)));
        let told = format!("the {kind} ");
        let is_noticed = found.iter().any(|what| what.starts_with(&told) && what.ends_with("is left"));
        assert!(is_noticed, "a destroy without eyes for the {kind} passes: {found:?}");
    }
}

#[test]
fn a_destroy_that_believes_the_first_look_is_noticed() {
    in_virtual_time(async {
        let world = World::new(half_blind(Blindness::Lag)).await;
        stories::refreshes::lose_a_launch(&world).await;
        let found = violations(&world, &Before::default()).await;
        assert!(found.iter().any(|what| what.ends_with("is left")), "{found:?}");
    });
}

/// A register that takes whatever right it needs, so that nothing stands in the way of a stale builder.
struct Unconditional {
    sound: RegisterImage,
}

#[async_trait]
impl DynamicStep for Unconditional {
    fn name(&self) -> &'static str {
        RegisterImage::NAME
    }

    async fn invoke(&self, input: Value, _context: &StepContext) -> Result<Value, StepError> {
        let plan: RefreshPlan = serde_json::from_value(input["plan"].clone()).unwrap();
        let register = &self.sound.register;
        let mut right = register.run(&plan.run_id).await?.unwrap();
        let mut fence = plan.fence;
        if right.state != RunState::Open {
            let now = self.sound.clock.now();
            right = Run {
                run_id: RunId::mint(),
                fence: None,
                state: RunState::Open,
                opened_at: now,
                version: 0,
                ..right
            };
            let stale = register.machine_state(&plan.machine).await?.lease;
            fence = register.take_lease(&right, stale.as_ref()).await?.lease.fence;
        }
        let image_id: ImageId = serde_json::from_value(input["image_id"].clone()).unwrap();
        let id =
            JobId { run_id: plan.run_id.clone(), machine: plan.machine.clone(), step: "verify".to_owned() };
        let job = register.job(&id).await?.unwrap();
        let Some(JobOutcome::Succeeded { result: JobResult::Verified { verdict } }) = job.outcome else {
            return Err(StepError::permanent("there is no verdict"));
        };
        let image = Image {
            image_id: image_id.clone(),
            machine: plan.machine.clone(),
            run_id: right.run_id.clone(),
            backup_id: plan.sets.last().unwrap().clone(),
            group_id: None,
            position: plan.target,
            revision: plan.revision.clone(),
            configuration_counter: plan.configuration_counter,
            recovery_point: verdict.recovery_point.unwrap(),
            verdict: ImageVerdict::DataProven,
            evidence: verdict,
            lineage: Lineage {
                parent_image_id: plan.parent_image_id,
                from_base: plan.from_base,
                applied: plan.sets,
            },
            available_at: self.sound.clock.now(),
            size_bytes: None,
        };
        register.register_image(&image, fence).await?;
        if right.run_id != plan.run_id {
            register.release_lease(&right.run_id, self.sound.clock.now()).await?;
        }
        Ok(serde_json::json!({ "image_id": image_id }))
    }
}

#[test]
fn a_register_without_its_condition_is_noticed() {
    let breakage: Breakage = Arc::new(|ports, _| {
        let (register, cloud, clock) = (ports.register.clone(), ports.cloud.clone(), ports.clock.clone());
        instead(Arc::new(Unconditional { sound: RegisterImage { register, cloud, clock } }))
    });
    let variation = Variation { breakage: Some(breakage.clone()), ..Variation::default() };
    let found = broken("Report", Fault::AnswerLost, variation);
    assert!(found.is_empty(), "it is sound until it is stale: {found:?}");
    let variation = Variation { breakage: Some(breakage), ..Variation::default() };
    let found = broken("Register", Fault::TimedOutAlways, variation);
    assert!(found.iter().any(|what| what.contains("the registered image")), "{found:?}");
}

/// A runner that takes executions and forgets them.
struct Forgetful(Attached);

#[async_trait]
impl Workflow for Forgetful {
    async fn start_execution(&self, _machine: &str, _name: &str, _input: Value) -> Result<(), StartError> {
        Ok(())
    }
    async fn describe_execution(&self, machine: &str, name: &str) -> Result<ExecutionState, StartError> {
        self.0.get().unwrap().describe_execution(machine, name).await
    }
    async fn stop_execution(&self, machine: &str, name: &str, cause: &str) -> Result<(), StartError> {
        self.0.get().unwrap().stop_execution(machine, name, cause).await
    }
    async fn send_task_success(&self, token: &str, output: Value) -> Result<(), CallbackError> {
        self.0.get().unwrap().send_task_success(token, output).await
    }
    async fn send_task_failure(&self, token: &str, error: &str, cause: &str) -> Result<(), CallbackError> {
        self.0.get().unwrap().send_task_failure(token, error, cause).await
    }
    async fn send_task_heartbeat(&self, token: &str) -> Result<(), CallbackError> {
        self.0.get().unwrap().send_task_heartbeat(token).await
    }
}

/// A lease that is let go without a successor, although more was wanted.
fn release_that_ignores_what_is_wanted() -> Breakage {
    Arc::new(|ports, workflow| {
        instead(erase(Destroy {
            register: ports.register.clone(),
            cloud: ports.cloud.clone(),
            workflow: Arc::new(Forgetful(workflow)),
            clock: ports.clock.clone(),
        }))
    })
}

#[test]
fn a_lost_wake_up_is_noticed() {
    in_virtual_time(async {
        let breakage = Some(release_that_ignores_what_is_wanted());
        let world = World::new(Variation { breakage, ..Variation::default() }).await;
        assert!(!stories::refreshes::registers_what_arrives_meanwhile(&world).await);
    });
}
