//! Reading requests: who asks, what the address names, what the query and the body say.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::code::Code;
use super::error::OperatorApiError;
use crate::LONGEST_BODY_BYTES;
use crate::plain_text::plain;
use crate::problem::Problem;

/// The longest name of a caller: an ARN of IAM can have 2048 characters.
const LONGEST_PRINCIPAL: usize = 2_048;
/// How approvals of a policy and rehearsals of a schedule are recorded; no person may be called so.
const NOT_PEOPLE: [&str; 2] = ["policy:", "schedule:"];

/// Who asks: an ARN, or the `sub` of a token. The transport sets it as an extension of the request; nothing else can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerPrincipal(pub String);

fn refused(code: Code, detail: &str) -> Problem {
    OperatorApiError::new(code, detail).into()
}

fn is_no_person(name: &str) -> bool {
    let name = name.to_lowercase();
    NOT_PEOPLE.iter().any(|prefix| name.starts_with(prefix))
}

/// The caller's name, fit to be recorded and shown.
pub(super) struct Caller(pub(super) String);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let said = parts.extensions.get::<CallerPrincipal>().map(|CallerPrincipal(name)| name.trim());
        match said {
            Some(name) if name.is_empty() || is_no_person(name) => {
                Err(refused(Code::CallerUnknown, "The transport gave a name that nobody can have."))
            }
            Some(name) if plain(name, LONGEST_PRINCIPAL) == name => Ok(Self(name.to_owned())),
            Some(_) => Err(refused(Code::CallerUnknown, "The caller's name cannot be recorded.")),
            None => Err(refused(Code::CallerUnknown, "The transport did not say who asks.")),
        }
    }
}

/// What the address names.
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(named)| Self(named)).map_err(|error| refused(Code::IdInvalid, &error.body_text()))
    }
}

/// What the query asks for.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(asked)| Self(asked)).map_err(|error| refused(Code::QueryInvalid, &error.body_text()))
    }
}

/// What the body says.
pub(super) struct Said<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequest<S> for Said<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = bounded(request, state).await?;
        read(&body).map(Self)
    }
}

/// What the body says, where it may be left out.
pub(super) struct MaybeSaid<T>(pub(super) T);

impl<T: DeserializeOwned + Default + Send, S: Send + Sync> FromRequest<S> for MaybeSaid<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = bounded(request, state).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        read(&body).map(Self)
    }
}

/// A list would be read as the fields of an object in their order: nobody means that.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(refused(Code::BodyUnreadable, "The body is not a JSON object."));
    }
    serde_json::from_slice(body).map_err(|error| refused(Code::BodyUnreadable, &error.to_string()))
}

async fn bounded<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            refused(Code::BodyTooLarge, &format!("At most {LONGEST_BODY_BYTES} bytes are read."))
        }
        _ => refused(Code::BodyUnreadable, "The body did not arrive."),
    })
}
