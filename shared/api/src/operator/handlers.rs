//! From requests to the operator API and back.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rekindle_domain::{
    CustomerId, HumanTask, HumanTaskId, Image, MachineKey, PlanId, Rebuild, RecoveryKind, Run, RunId,
    ServiceKey,
};
use serde::Deserialize;

use super::configurations::{PublicationBody, Published};
use super::cursor::{List, PageQuery};
use super::human_tasks::DecisionBody;
use super::machines::{RefreshBody, Started};
use super::onboarding::{ChangeBody, Onboarded, OnboardingBody};
use super::recoveries::{Declared, EndBody, Ending, Preview, RecoveryBody};
use super::register::{RebuildBody, RegisterView};
use super::requests::{Asked, Caller, MaybeSaid, Named, Said};
use super::runs::{RunView, RunsQuery};
use super::services::{ServiceSummary, ServiceView};
use super::{OperatorApi, OperatorApiError};
use crate::problem::Problem;

/// The page needs its own style and nothing else; and it may not be framed by anybody.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                           frame-ancestors 'none'; sandbox";

type Api = State<OperatorApi>;
type Answer<T> = Result<Json<T>, Problem>;

#[derive(Deserialize)]
pub(super) struct CustomerPath {
    customer_id: CustomerId,
}

#[derive(Deserialize)]
pub(super) struct RunPath {
    run_id: RunId,
}

#[derive(Deserialize)]
pub(super) struct PlanPath {
    plan_id: PlanId,
}

#[derive(Deserialize)]
pub(super) struct HumanTaskPath {
    human_task_id: HumanTaskId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PreviewQuery {
    kind: Option<RecoveryKind>,
}

fn json<T>(answer: Result<T, OperatorApiError>) -> Answer<T> {
    answer.map(Json).map_err(Problem::from)
}

fn accepted<T>(answer: Result<T, OperatorApiError>) -> Result<(StatusCode, Json<T>), Problem> {
    json(answer).map(|answer| (StatusCode::ACCEPTED, answer))
}

pub(super) async fn services(
    State(api): Api,
    _: Caller,
    Named(path): Named<CustomerPath>,
    Asked(query): Asked<PageQuery>,
) -> Answer<List<ServiceSummary>> {
    json(api.services(&path.customer_id, &query).await)
}

pub(super) async fn onboard(
    State(api): Api,
    Caller(caller): Caller,
    Said(body): Said<OnboardingBody>,
) -> Result<(StatusCode, Json<Onboarded>), Problem> {
    accepted(api.onboard(&caller, &body).await)
}

pub(super) async fn service(
    State(api): Api,
    _: Caller,
    Named(service): Named<ServiceKey>,
) -> Answer<ServiceView> {
    json(api.service(&service).await)
}

pub(super) async fn change_service(
    State(api): Api,
    _: Caller,
    Named(service): Named<ServiceKey>,
    Said(body): Said<ChangeBody>,
) -> Answer<ServiceView> {
    json(api.change_service(&service, &body).await)
}

pub(super) async fn publish_configuration(
    State(api): Api,
    Caller(caller): Caller,
    Named(service): Named<ServiceKey>,
    Said(body): Said<PublicationBody>,
) -> Result<(StatusCode, Json<Published>), Problem> {
    accepted(api.publish_configuration(&caller, &service, &body).await)
}

pub(super) async fn refresh(
    State(api): Api,
    Caller(caller): Caller,
    Named(machine): Named<MachineKey>,
    MaybeSaid(body): MaybeSaid<RefreshBody>,
) -> Result<(StatusCode, Json<Started>), Problem> {
    accepted(api.refresh(&caller, &machine, &body).await)
}

pub(super) async fn images(
    State(api): Api,
    _: Caller,
    Named(machine): Named<MachineKey>,
    Asked(query): Asked<PageQuery>,
) -> Answer<List<Image>> {
    json(api.images(&machine, &query).await)
}

pub(super) async fn preview(
    State(api): Api,
    Caller(caller): Caller,
    Asked(query): Asked<PreviewQuery>,
    Said(body): Said<RecoveryBody>,
) -> Answer<Preview> {
    let kind = query.kind.unwrap_or(RecoveryKind::Disaster);
    json(api.preview(&caller, kind, &body).await)
}

pub(super) async fn plan(State(api): Api, _: Caller, Named(path): Named<PlanPath>) -> Answer<Preview> {
    json(api.plan(&path.plan_id).await)
}

pub(super) async fn declare_disaster(
    State(api): Api,
    Caller(caller): Caller,
    Said(body): Said<RecoveryBody>,
) -> Result<(StatusCode, Json<Declared>), Problem> {
    accepted(api.declare(&caller, RecoveryKind::Disaster, &body).await)
}

pub(super) async fn ask_for_rehearsal(
    State(api): Api,
    Caller(caller): Caller,
    Said(body): Said<RecoveryBody>,
) -> Result<(StatusCode, Json<Declared>), Problem> {
    accepted(api.declare(&caller, RecoveryKind::Rehearsal, &body).await)
}

pub(super) async fn end_recovery(
    State(api): Api,
    Caller(caller): Caller,
    Named(path): Named<RunPath>,
    Said(body): Said<EndBody>,
) -> Result<(StatusCode, Json<Ending>), Problem> {
    accepted(api.end_recovery(&caller, &path.run_id, &body).await)
}

pub(super) async fn runs(State(api): Api, _: Caller, Asked(query): Asked<RunsQuery>) -> Answer<List<Run>> {
    json(api.runs(&query).await)
}

pub(super) async fn run(State(api): Api, _: Caller, Named(path): Named<RunPath>) -> Answer<RunView> {
    json(api.run(&path.run_id).await)
}

pub(super) async fn report_json(
    State(api): Api,
    _: Caller,
    Named(path): Named<RunPath>,
) -> Result<Response, Problem> {
    let report = api.report_json(&path.run_id).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], report).into_response())
}

pub(super) async fn report_page(
    State(api): Api,
    _: Caller,
    Named(path): Named<RunPath>,
) -> Result<Response, Problem> {
    let page = api.report_page(&path.run_id).await?;
    let policy = (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    Ok(([kind, policy], page).into_response())
}

pub(super) async fn register(State(api): Api, _: Caller) -> Answer<RegisterView> {
    json(api.register_view().await)
}

pub(super) async fn ask_for_rebuild(
    State(api): Api,
    Caller(caller): Caller,
    Said(body): Said<RebuildBody>,
) -> Result<(StatusCode, Json<Rebuild>), Problem> {
    accepted(api.ask_for_rebuild(&caller, &body).await)
}

pub(super) async fn human_tasks(
    State(api): Api,
    _: Caller,
    Asked(query): Asked<PageQuery>,
) -> Answer<List<HumanTask>> {
    json(api.human_tasks(&query).await)
}

pub(super) async fn human_task(
    State(api): Api,
    _: Caller,
    Named(path): Named<HumanTaskPath>,
) -> Answer<HumanTask> {
    json(api.human_task(&path.human_task_id).await)
}

pub(super) async fn decide(
    State(api): Api,
    Caller(caller): Caller,
    Named(path): Named<HumanTaskPath>,
    Said(body): Said<DecisionBody>,
) -> Answer<HumanTask> {
    json(api.decide(&caller, &path.human_task_id, &body).await)
}
