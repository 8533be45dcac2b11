//! HTTP routers: what an instance's agent may ask and report, and what people who operate Rekindle may ask for.
//!
//! Instances pull; nobody pushes into them. Which instance asks is for the transport to say, by the extension
//! [`CallerInstance`]: the Unix socket that is mounted into one instance only, or the signature of the instance's role.
//! Nothing in a request's body can make an instance another one, and nothing in an answer holds a task token.
//!
//! [`AgentApi`] does the work and knows no HTTP; [`agent_router`] reads requests and writes answers. [`operator`] is made
//! alike.

mod agent;
mod agent_router;
pub mod operator;
mod plain_text;
mod problem;
mod route;

pub use agent::{AgentApi, AgentApiError};
pub use agent_router::{AGENT_ROUTES, CallerInstance, LONGEST_BODY_BYTES, agent_router};
pub use operator::{CallerPrincipal, Deployment, OperatorApi, operator_router};
pub use route::Route;
