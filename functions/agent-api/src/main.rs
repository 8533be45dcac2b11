//! The function `agent-api` on AWS Lambda: what instances ask and report.

use std::process::ExitCode;

use rekindle_api::{AgentApi, CallerInstance, agent_router};
use rekindle_lambda_host::{Callers, serve_http};

fn main() -> ExitCode {
    serve_http("agent-api", Callers::instances(CallerInstance), |host| {
        Ok(agent_router(AgentApi::new(host.register()?, host.workflow()?, host.clock())))
    })
}
