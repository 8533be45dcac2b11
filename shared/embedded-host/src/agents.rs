//! The agent API for one instance, over the Unix socket that is mounted into it and into no other: which socket a
//! request comes through says which instance asks.

use std::os::unix::net::UnixListener;

use axum::Extension;
use rekindle_api::{AgentApi, CallerInstance, agent_router};
use rekindle_domain::InstanceId;

/// Answers the agent of one instance until the socket is gone.
///
/// # Errors
/// When the socket cannot be used.
pub async fn serve_agent(
    agents: AgentApi,
    instance_id: InstanceId,
    listener: UnixListener,
) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let router = agent_router(agents).layer(Extension(CallerInstance(instance_id)));
    axum::serve(listener, router).await
}
