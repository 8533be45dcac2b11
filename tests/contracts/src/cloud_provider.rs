//! What every cloud does.
//!
//! Answers may be old and calls may be throttled, so the suite asks again until a deadline; it never takes the first
//! answer for the truth, and assumes nothing about the clock.

use std::time::Duration;

use async_trait::async_trait;
use rekindle_cloud::{
    CloudError, CloudErrorKind, CloudImage, CloudProvider, CreateImageRequest, ImageState, Instance,
    InstanceState, LaunchRequest, MACHINE_TAG, Purpose, RUN_TAG, Resource,
};
use rekindle_domain::{ImageId, InstanceId, MachineKey, RunId};
use tokio::time::Instant;

/// What the suite needs of a cloud beside the port.
#[async_trait]
pub trait CloudEnvironment: Send + Sync {
    /// An image that can be started.
    fn base_image(&self) -> ImageId;

    /// A type that this image can be started as.
    fn instance_type(&self) -> String;

    /// A zone with room for three instances; empty where a cloud has none.
    fn zone(&self) -> String;

    /// A key that the cloud knows; empty where none is needed.
    fn ssh_key_name(&self) -> String {
        String::new()
    }

    /// Powers a running instance off from inside, as its agent does.
    async fn power_off(&self, instance_id: &InstanceId);

    /// Why a promise is not asked of this place, where it is only an imitation of the cloud that gives it. An
    /// implementation has no such reason.
    fn exempts(&self, promise: CloudPromise) -> Option<&'static str> {
        let _ = promise;
        None
    }

    /// How long the suite waits for anything.
    fn patience(&self) -> Duration {
        Duration::from_mins(5)
    }
}

/// What an imitation may fail to keep. Everything else is asked of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloudPromise {
    /// The same client token gives the same instance, and belongs to one request.
    OneInstancePerToken,
    /// A second image of the same name is refused.
    OneImagePerName,
}

/// Runs the suite. What it makes it destroys again.
///
/// # Panics
/// When the cloud does not keep the contract.
pub async fn cloud_provider(cloud: &dyn CloudProvider, environment: &dyn CloudEnvironment) {
    let suite = Suite { cloud, environment };
    suite.what_is_unknown_is_gone_already().await;
    suite.an_unknown_image_cannot_be_started().await;
    suite.a_token_gives_one_instance().await;
    suite.a_token_belongs_to_one_request().await;
    suite.a_termination_can_be_repeated().await;
    suite.runs_do_not_find_each_others_resources().await;
    suite.only_a_stopped_instance_becomes_an_image().await;
}

struct Suite<'a> {
    cloud: &'a dyn CloudProvider,
    environment: &'a dyn CloudEnvironment,
}

impl Suite<'_> {
    async fn what_is_unknown_is_gone_already(&self) {
        let instance_id = InstanceId::parse("i-0123456789abcdef0").unwrap();
        let image_id = ImageId::parse("ami-0123456789abcdef0").unwrap();
        let run_id = RunId::mint();
        let look = self.calmly(async || self.cloud.describe_instance(&instance_id).await).await;
        assert_eq!(look.unwrap_err().kind, CloudErrorKind::NotFound);
        let look = self.calmly(async || self.cloud.describe_image(&image_id).await).await;
        assert_eq!(look.unwrap_err().kind, CloudErrorKind::NotFound);
        let save = self.image_request(&run_id, &instance_id);
        let saved = self.calmly(async || self.cloud.create_image(&save).await).await;
        assert_eq!(saved.unwrap_err().kind, CloudErrorKind::NotFound);
        for _ in 0..2 {
            self.calmly(async || self.cloud.terminate(&instance_id).await).await.unwrap();
            self.calmly(async || self.cloud.delete_image(&image_id).await).await.unwrap();
            self.calmly(async || self.cloud.delete_other("volume", "vol-0123456789abcdef0").await)
                .await
                .unwrap();
        }
        assert_eq!(self.find_image(&save.name).await, None);
        assert_eq!(self.find(&run_id).await, []);
    }

    async fn an_unknown_image_cannot_be_started(&self) {
        let run_id = RunId::mint();
        let mut request = self.launch_request(&run_id);
        request.image_id = ImageId::parse("ami-0123456789abcdef0").unwrap();
        let error = self.calmly(async || self.cloud.launch(&request).await).await.unwrap_err();
        let expected = [CloudErrorKind::NotFound, CloudErrorKind::Refused];
        assert!(expected.contains(&error.kind), "an unknown image was answered with {:?}", error.kind);
        self.destroy(&run_id).await;
    }

    /// Whether a promise is to be checked here.
    fn asks(&self, promise: CloudPromise) -> bool {
        let exempt = self.environment.exempts(promise);
        if let Some(reason) = exempt {
            eprintln!("{promise:?} is not checked here: {reason}");
        }
        exempt.is_none()
    }

    async fn a_token_gives_one_instance(&self) {
        let run_id = RunId::mint();
        let request = self.launch_request(&run_id);
        let instance = self.launch(&request).await;
        assert_tagged(&instance.tags, &request);
        let asks = self.asks(CloudPromise::OneInstancePerToken);
        for _ in 0..if asks { 2 } else { 0 } {
            assert_eq!(self.launch(&request).await.instance_id, instance.instance_id);
        }
        let running = self.await_state(&instance.instance_id, InstanceState::Running).await;
        assert_tagged(&running.tags, &request);
        if asks {
            assert_eq!(self.launch(&request).await.instance_id, instance.instance_id);
        }
        let found = self.await_found(&run_id, |found| found.iter().any(is_instance)).await;
        let instances: Vec<&str> =
            found.iter().filter(|resource| is_instance(resource)).map(Resource::id).collect();
        assert_eq!(instances, [instance.instance_id.as_str()]);
        self.destroy(&run_id).await;
    }

    async fn a_token_belongs_to_one_request(&self) {
        if !self.asks(CloudPromise::OneInstancePerToken) {
            return;
        }
        let run_id = RunId::mint();
        let request = self.launch_request(&run_id);
        let instance = self.launch(&request).await;
        let mut another = request.clone();
        another.machine = MachineKey::parse("acme/orders/front").unwrap();
        let error = self.calmly(async || self.cloud.launch(&another).await).await.unwrap_err();
        assert_eq!(error.kind, CloudErrorKind::Refused);
        assert_eq!(self.launch(&request).await.instance_id, instance.instance_id);
        self.destroy(&run_id).await;
    }

    async fn a_termination_can_be_repeated(&self) {
        let run_id = RunId::mint();
        let request = self.launch_request(&run_id);
        let instance = self.launch(&request).await;
        self.await_state(&instance.instance_id, InstanceState::Running).await;
        self.await_terminated(&instance.instance_id).await;
        for _ in 0..2 {
            self.calmly(async || self.cloud.terminate(&instance.instance_id).await).await.unwrap();
        }
        // A token that was used up may be refused; it never gives a second instance.
        if self.asks(CloudPromise::OneInstancePerToken)
            && let Ok(again) = self.calmly(async || self.cloud.launch(&request).await).await
        {
            assert_eq!(again.instance_id, instance.instance_id);
        }
        self.destroy(&run_id).await;
    }

    async fn runs_do_not_find_each_others_resources(&self) {
        let (one, other) = (RunId::mint(), RunId::mint());
        let of_one = self.launch(&self.launch_request(&one)).await;
        let of_other = self.launch(&self.launch_request(&other)).await;
        for (run_id, own, foreign) in [(&one, &of_one, &of_other), (&other, &of_other, &of_one)] {
            let holds = |found: &[Resource], instance: &Instance| {
                found.iter().any(|resource| resource.id() == instance.instance_id.as_str())
            };
            let found = self.await_found(run_id, |found| holds(found, own)).await;
            assert!(!holds(&found, foreign), "a run finds the instance of another one");
        }
        self.destroy(&one).await;
        let kept = self.await_found(&other, |found| found.iter().any(is_instance)).await;
        assert!(kept.iter().any(|resource| resource.id() == of_other.instance_id.as_str()));
        self.destroy(&other).await;
    }

    async fn only_a_stopped_instance_becomes_an_image(&self) {
        let run_id = RunId::mint();
        let builder = self.launch(&self.launch_request(&run_id)).await;
        self.await_state(&builder.instance_id, InstanceState::Running).await;
        let request = self.image_request(&run_id, &builder.instance_id);
        let early = self.calmly(async || self.cloud.create_image(&request).await).await.unwrap_err();
        assert_eq!(early.kind, CloudErrorKind::WrongState);
        self.environment.power_off(&builder.instance_id).await;
        self.await_state(&builder.instance_id, InstanceState::Stopped).await;
        let image = self.calmly(async || self.cloud.create_image(&request).await).await.unwrap();
        self.an_image_has_its_name_alone(&request, &image).await;
        self.await_terminated(&builder.instance_id).await;
        self.an_image_can_be_started(&run_id, &image).await;
        self.an_image_can_be_deleted_twice(&request.name, &image.image_id).await;
        self.destroy(&run_id).await;
    }

    async fn an_image_has_its_name_alone(&self, request: &CreateImageRequest, image: &CloudImage) {
        self.a_name_is_taken(request).await;
        let found =
            self.eventually("the image is found", async || self.find_image(&request.name).await).await;
        assert_eq!(found.image_id, image.image_id);
        assert_eq!(found.name, request.name);
        let available = self.await_available(&image.image_id).await;
        assert_eq!(available.tags.get(RUN_TAG).map(String::as_str), Some(request.run_id.as_str()));
        assert_eq!(available.tags.get(MACHINE_TAG), Some(&request.machine.to_string()));
        self.a_name_is_taken(request).await;
        let is_it =
            |resource: &Resource| resource.kind() == "image" && resource.id() == image.image_id.as_str();
        self.await_found(&request.run_id, |found| found.iter().any(is_it)).await;
        self.eventually("the image is found by its machine", async || {
            let found =
                self.calmly(async || self.cloud.find_by_machine(&request.machine).await).await.unwrap();
            found.iter().any(is_it).then_some(())
        })
        .await;
        let another = MachineKey::parse("acme/orders/front").unwrap();
        let found = self.calmly(async || self.cloud.find_by_machine(&another).await).await.unwrap();
        assert!(!found.iter().any(is_it), "an image is found under another machine");
    }

    async fn a_name_is_taken(&self, request: &CreateImageRequest) {
        if self.asks(CloudPromise::OneImagePerName) {
            let taken = self.calmly(async || self.cloud.create_image(request).await).await.unwrap_err();
            assert_eq!(taken.kind, CloudErrorKind::NameTaken);
        }
    }

    async fn an_image_can_be_started(&self, run_id: &RunId, image: &CloudImage) {
        let mut request = self.launch_request(run_id);
        request.image_id = image.image_id.clone();
        request.purpose = Purpose::Replica;
        let replica = self.launch(&request).await;
        self.await_state(&replica.instance_id, InstanceState::Running).await;
        self.await_terminated(&replica.instance_id).await;
    }

    async fn an_image_can_be_deleted_twice(&self, name: &str, image_id: &ImageId) {
        for _ in 0..2 {
            self.calmly(async || self.cloud.delete_image(image_id).await).await.unwrap();
        }
        self.eventually("the image is gone", async || {
            let look = self.calmly(async || self.cloud.describe_image(image_id).await).await;
            matches!(look, Err(error) if error.kind == CloudErrorKind::NotFound).then_some(())
        })
        .await;
        self.eventually("its name is free", async || self.find_image(name).await.is_none().then_some(()))
            .await;
    }
}

/// What the checks are made of.
impl Suite<'_> {
    fn launch_request(&self, run_id: &RunId) -> LaunchRequest {
        LaunchRequest {
            client_token: format!("contract-{}", RunId::mint()),
            run_id: run_id.clone(),
            machine: MachineKey::parse("acme/orders/database").unwrap(),
            image_id: self.environment.base_image(),
            instance_type: self.environment.instance_type(),
            zone: self.environment.zone(),
            purpose: Purpose::Builder,
            ssh_key_name: self.environment.ssh_key_name(),
            isolated_network: true,
        }
    }

    fn image_request(&self, run_id: &RunId, instance_id: &InstanceId) -> CreateImageRequest {
        CreateImageRequest {
            name: format!("contract-{run_id}"),
            run_id: run_id.clone(),
            machine: MachineKey::parse("acme/orders/database").unwrap(),
            instance_id: instance_id.clone(),
        }
    }

    async fn launch(&self, request: &LaunchRequest) -> Instance {
        self.calmly(async || self.cloud.launch(request).await).await.unwrap()
    }

    async fn find(&self, run_id: &RunId) -> Vec<Resource> {
        self.calmly(async || self.cloud.find_by_run(run_id).await).await.unwrap()
    }

    async fn find_image(&self, name: &str) -> Option<CloudImage> {
        self.calmly(async || self.cloud.find_image(name).await).await.unwrap()
    }

    /// An instance as the cloud says it is; nothing, when it says that it does not know it.
    async fn look(&self, instance_id: &InstanceId) -> Option<Instance> {
        match self.calmly(async || self.cloud.describe_instance(instance_id).await).await {
            Ok(instance) => Some(instance),
            Err(error) if error.kind == CloudErrorKind::NotFound => None,
            Err(error) => panic!("an instance cannot be described: {error}"),
        }
    }

    async fn await_state(&self, instance_id: &InstanceId, state: InstanceState) -> Instance {
        let what = format!("the instance {instance_id} is {state:?}");
        self.eventually(&what, async || {
            self.look(instance_id).await.filter(|instance| instance.state == state)
        })
        .await
    }

    async fn await_available(&self, image_id: &ImageId) -> CloudImage {
        self.eventually("the image is available", async || {
            let look = self.calmly(async || self.cloud.describe_image(image_id).await).await;
            look.ok().filter(|image| image.state == ImageState::Available)
        })
        .await
    }

    /// Terminates an instance that was seen, again until it is terminated: a call may have found it too young.
    async fn await_terminated(&self, instance_id: &InstanceId) {
        self.eventually("the instance is terminated", async || {
            self.calmly(async || self.cloud.terminate(instance_id).await).await.unwrap();
            let look = self.look(instance_id).await;
            look.is_none_or(|instance| instance.state == InstanceState::Terminated).then_some(())
        })
        .await;
    }

    async fn await_found(&self, run_id: &RunId, is_it: impl Fn(&[Resource]) -> bool) -> Vec<Resource> {
        self.eventually("what carries the tag is found", async || {
            Some(self.find(run_id).await).filter(|found| is_it(found))
        })
        .await
    }

    /// Destroys all that a run has left; it is done when two finds after each other are empty.
    async fn destroy(&self, run_id: &RunId) {
        let mut was_empty = false;
        self.eventually("nothing is left", async || {
            let found = self.find(run_id).await;
            for resource in &found {
                self.destroy_resource(resource).await;
            }
            let is_done = was_empty && found.is_empty();
            was_empty = found.is_empty();
            is_done.then_some(())
        })
        .await;
    }

    async fn destroy_resource(&self, resource: &Resource) {
        let destroyed = self
            .calmly(async || match resource {
                Resource::Instance(instance) => self.cloud.terminate(&instance.instance_id).await,
                Resource::Image(image) => self.cloud.delete_image(&image.image_id).await,
                Resource::Other { kind, id } => self.cloud.delete_other(kind, id).await,
            })
            .await;
        match destroyed {
            Ok(()) => {}
            // A volume is in use until its instance is terminated.
            Err(error) if error.kind == CloudErrorKind::WrongState => {}
            Err(error) => panic!("{} {} cannot be destroyed: {error}", resource.kind(), resource.id()),
        }
    }

    /// Repeats a call that only came too often.
    async fn calmly<T>(&self, call: impl AsyncFn() -> Result<T, CloudError>) -> Result<T, CloudError> {
        let deadline = Instant::now() + self.environment.patience();
        loop {
            match call().await {
                Err(error) if error.kind == CloudErrorKind::Throttled && Instant::now() < deadline => {
                    self.rest().await;
                }
                answer => return answer,
            }
        }
    }

    /// Asks until there is an answer.
    async fn eventually<T>(&self, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + self.environment.patience();
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            assert!(Instant::now() < deadline, "in vain it was waited until {what}");
            self.rest().await;
        }
    }

    async fn rest(&self) {
        tokio::time::sleep(self.cloud.characteristics().poll_interval).await;
    }
}

fn is_instance(resource: &Resource) -> bool {
    matches!(resource, Resource::Instance(_))
}

fn assert_tagged(tags: &std::collections::BTreeMap<String, String>, request: &LaunchRequest) {
    assert_eq!(tags.get(RUN_TAG).map(String::as_str), Some(request.run_id.as_str()));
    assert_eq!(tags.get(MACHINE_TAG), Some(&request.machine.to_string()));
}
