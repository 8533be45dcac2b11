//! The agent API for one instance, over the Unix socket that is mounted into it and into no other: which socket a
//! request comes through says which instance asks.

use std::os::unix::net::{UnixListener, UnixStream};

use axum::{Extension, Router};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rekindle_api::{AgentApi, CallerInstance, agent_router};
use rekindle_domain::InstanceId;
use tokio::sync::mpsc;

/// Answers the agent of one instance until accepting on the socket fails, because the instance is gone.
///
/// # Errors
/// When the socket cannot be used.
pub async fn serve_agent(
    agents: AgentApi,
    instance_id: InstanceId,
    listener: UnixListener,
) -> std::io::Result<()> {
    listener.set_nonblocking(false)?;
    let mut connections = accept_apart(listener)?;
    let router = agent_router(agents).layer(Extension(CallerInstance(instance_id)));
    while let Some(connection) = connections.recv().await {
        connection.set_nonblocking(true)?;
        tokio::spawn(serve_connection(router.clone(), tokio::net::UnixStream::from_std(connection)?));
    }
    Ok(())
}

/// Accepts on a thread of its own. A listener that was shut down answers "not now" for ever to those who do not wait,
/// and is always ready: an asynchronous accept would spin. One that waits is told that it is over.
fn accept_apart(listener: UnixListener) -> std::io::Result<mpsc::Receiver<UnixStream>> {
    let (accepted, connections) = mpsc::channel(8);
    std::thread::Builder::new().name("agent-api".to_owned()).spawn(move || {
        while let Ok((connection, _)) = listener.accept() {
            if accepted.blocking_send(connection).is_err() {
                return;
            }
        }
    })?;
    Ok(connections)
}

async fn serve_connection(router: Router, connection: tokio::net::UnixStream) {
    let service = TowerToHyperService::new(router);
    let served =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of an agent has ended");
    }
}
