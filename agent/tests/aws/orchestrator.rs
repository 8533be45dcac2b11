//! The agent API as it is, over the embedded register, behind the signatures that API Gateway asks for.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use jiff::{SignedDuration, Timestamp};
use rekindle_api::{AgentApi, CallerInstance, agent_router};
use rekindle_cmdb::{EmbeddedRegister, InstanceBinding, NewJob, Register};
use rekindle_contract_tests::StartedExecutions;
use rekindle_domain::job::{Hello, JobId};
use rekindle_domain::{
    Flow, ImageId, InstanceId, Job, JobOutcome, JobWork, MachineKey, Run, RunId, RunState,
};
use rekindle_step::SystemClock;

use crate::verification::verify;

pub struct Orchestrator {
    register: Register,
    api: AgentApi,
    run_id: RunId,
    instance: InstanceId,
    machine: MachineKey,
}

impl Orchestrator {
    /// One open run with one instance of this machine. Nobody waits for its answers: they are read from the register.
    pub async fn start(machine: &MachineKey) -> Self {
        let register = EmbeddedRegister::in_memory().await.unwrap();
        let api =
            AgentApi::new(register.clone(), Arc::new(StartedExecutions::default()), Arc::new(SystemClock));
        let (run_id, instance) = (RunId::mint(), InstanceId::parse("i-0123456789abcdef0").unwrap());
        register.open_run(&open_run(&run_id)).await.unwrap();
        let binding = InstanceBinding {
            instance_id: instance.clone(),
            run_id: run_id.clone(),
            machine: machine.clone(),
            purpose: "builder".to_owned(),
            image_id: ImageId::parse("ami-1").unwrap(),
            bound_at: Timestamp::now(),
        };
        register.bind_instance(&binding).await.unwrap();
        Self { register, api, run_id, instance, machine: machine.clone() }
    }

    /// Serves the API as API Gateway does: a request whose signature does not hold does not get through.
    pub async fn listen(&self) -> u16 {
        let caller = CallerInstance(self.instance.clone());
        let router = agent_router(self.api.clone()).layer(from_fn(move |request: Request, next: Next| {
            let caller = caller.clone();
            async move {
                let (mut parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                verify(&parts, &body);
                parts.extensions.insert(caller);
                next.run(Request::from_parts(parts, Body::from(body))).await
            }
        }));
        crate::recorded::serve(router).await
    }

    /// Posts a job, and waits for what came of it.
    pub async fn ask(&self, work: JobWork) -> JobOutcome {
        let id = JobId {
            run_id: self.run_id.clone(),
            machine: self.machine.clone(),
            step: work.name().to_owned(),
        };
        let deadline = Timestamp::now() + SignedDuration::from_secs(120);
        let new = NewJob {
            job: Job { id: id.clone(), work, deadline, heartbeat_seconds: 3 },
            instance_id: self.instance.clone(),
            token: "token".into(),
            now: Timestamp::now(),
        };
        self.register.post_job(&new).await.unwrap();
        self.api.wake();
        for _ in 0..600 {
            if let Some(outcome) = self.register.job(&id).await.unwrap().unwrap().outcome {
                return outcome;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{id} was not done");
    }

    pub async fn greeting(&self) -> Hello {
        self.register.hello(&self.instance).await.unwrap().expect("the instance did not greet").hello
    }
}

fn open_run(run_id: &RunId) -> Run {
    Run {
        run_id: run_id.clone(),
        flow: Flow::Recover,
        machine: None,
        fence: None,
        wanted_seen: None,
        plan_id: None,
        state: RunState::Open,
        opened_at: Timestamp::now(),
        deadline: Timestamp::now() + SignedDuration::from_hours(1),
        last_intent_at: None,
        closed_at: None,
        first_empty_at: None,
        outcome: None,
        cause: None,
        reported: false,
        version: 0,
    }
}
