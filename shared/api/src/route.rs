//! Addresses as data: routers are made from them, and tests ask each of them.

use axum::Router;
use axum::routing::MethodRouter;

/// One address of an API with one method.
#[derive(Debug, Clone, Copy)]
pub struct Route<Api: 'static> {
    /// For example `GET`.
    pub method: &'static str,
    /// With what it names in braces, for example `/v1/runs/{run_id}`.
    pub path: &'static str,
    handler: fn() -> MethodRouter<Api>,
}

pub(crate) const fn route<Api>(
    method: &'static str,
    path: &'static str,
    handler: fn() -> MethodRouter<Api>,
) -> Route<Api> {
    Route { method, path, handler }
}

/// The router that answers at these addresses.
pub(crate) fn router<Api: Clone + Send + Sync>(routes: &[Route<Api>]) -> Router<Api> {
    routes.iter().fold(Router::new(), |router, route| router.route(route.path, (route.handler)()))
}
