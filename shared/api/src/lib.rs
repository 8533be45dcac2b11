//! HTTP routers: what an instance's agent may ask and report
