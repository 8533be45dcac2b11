//! The addresses of the operator API, as data.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{get, post, put};

use super::OperatorApi;
use super::code::Code;
use super::error::OperatorApiError;
use super::handlers as answer;
use crate::LONGEST_BODY_BYTES;
use crate::problem::Problem;
use crate::route::{Route, route, router};

/// Every address that is answered.
pub const OPERATOR_ROUTES: &[Route<OperatorApi>] = &[
    route("GET", "/v1/customers/{customer_id}/services", || get(answer::services)),
    route("POST", "/v1/services", || post(answer::onboard)),
    route("GET", "/v1/customers/{customer_id}/services/{service_id}", || get(answer::service)),
    route("PUT", "/v1/customers/{customer_id}/services/{service_id}", || put(answer::change_service)),
    route("POST", "/v1/customers/{customer_id}/services/{service_id}/configurations", || {
        post(answer::publish_configuration)
    }),
    route(
        "POST",
        "/v1/customers/{customer_id}/services/{service_id}/machines/{machine_id}/refreshes",
        || post(answer::refresh),
    ),
    route("GET", "/v1/customers/{customer_id}/services/{service_id}/machines/{machine_id}/images", || {
        get(answer::images)
    }),
    route("POST", "/v1/recovery-plans", || post(answer::preview)),
    route("GET", "/v1/plans/{plan_id}", || get(answer::plan)),
    route("POST", "/v1/recoveries", || post(answer::declare_disaster)),
    route("POST", "/v1/rehearsals", || post(answer::ask_for_rehearsal)),
    route("POST", "/v1/recoveries/{run_id}/end", || post(answer::end_recovery)),
    route("GET", "/v1/runs", || get(answer::runs)),
    route("GET", "/v1/runs/{run_id}", || get(answer::run)),
    route("GET", "/v1/runs/{run_id}/report", || get(answer::report_json)),
    route("GET", "/v1/runs/{run_id}/report.html", || get(answer::report_page)),
    route("GET", "/v1/register", || get(answer::register)),
    route("POST", "/v1/register/rebuild", || post(answer::ask_for_rebuild)),
    route("GET", "/v1/human-tasks", || get(answer::human_tasks)),
    route("GET", "/v1/human-tasks/{human_task_id}", || get(answer::human_task)),
    route("POST", "/v1/human-tasks/{human_task_id}/decision", || post(answer::decide)),
];

/// The router of the operator API. The transport adds [`super::CallerPrincipal`].
pub fn operator_router(api: OperatorApi) -> Router {
    router(OPERATOR_ROUTES)
        .fallback(async || refused(Code::NotFound, "The operator API has no such address."))
        .method_not_allowed_fallback(async || {
            refused(Code::MethodNotAllowed, "This address does not answer to this method.")
        })
        .layer(DefaultBodyLimit::max(LONGEST_BODY_BYTES))
        .layer(map_response(guarded))
        .with_state(api)
}

fn refused(code: Code, detail: &str) -> Problem {
    OperatorApiError::new(code, detail).into()
}

/// What is answered is for the one who asked, and is what it says it is.
async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
