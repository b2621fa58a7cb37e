//! What is answered when something is wrong, in FastAPI's shapes: old clients read `detail`.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::fault::Fault;
use crate::{artifacts, kubernetes::describe};

/// When a client may try again, in seconds, where nothing better is known.
const RETRY_AFTER: u64 = 5;

/// An error in a sentence.
#[derive(Serialize, ToSchema)]
pub struct Detail {
    /// What is wrong.
    #[schema(example = "VM not found")]
    detail: String,
}

/// A form that does not validate.
#[derive(Serialize, ToSchema)]
pub struct Invalid {
    /// Each thing that is wrong with it.
    detail: Vec<Fault>,
}

/// Why a request is not answered as it was meant.
#[derive(Debug)]
pub enum Problem {
    /// An error in a sentence.
    Told(StatusCode, String),
    /// The form does not validate.
    Invalid(Vec<Fault>),
    /// It cannot be done now; when to try again, in seconds.
    Later(StatusCode, String, u64),
}

impl Problem {
    /// There is no such thing, or it is none of the caller's business.
    pub fn not_found(what: &str) -> Self {
        Self::Told(StatusCode::NOT_FOUND, format!("{what} not found"))
    }

    /// The caller may not.
    pub fn forbidden(why: impl Into<String>) -> Self {
        Self::Told(StatusCode::FORBIDDEN, why.into())
    }

    /// What is asked for is in the way of something that is there.
    pub fn conflict(why: impl Into<String>) -> Self {
        Self::Told(StatusCode::CONFLICT, why.into())
    }

    /// It cannot be done now.
    pub fn unavailable(why: impl Into<String>) -> Self {
        Self::Later(StatusCode::SERVICE_UNAVAILABLE, why.into(), RETRY_AFTER)
    }

    /// One thing is wrong with the request.
    pub fn fault(fault: Fault) -> Self {
        Self::Invalid(vec![fault])
    }

    /// In a word, for the log.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Told(StatusCode::NOT_FOUND, _) => "not_found",
            Self::Told(StatusCode::CONFLICT, _) => "conflict",
            Self::Told(StatusCode::FORBIDDEN, _) => "forbidden",
            Self::Told(..) => "refused",
            Self::Invalid(_) => "invalid",
            Self::Later(..) => "unavailable",
        }
    }
}

/// What Kubernetes answers, where nothing else is said of it.
impl From<kube::Error> for Problem {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 422 => {
                Self::fault(Fault::of_body("value_error", format!("Value error, {}", status.message)))
            }
            // An administrator's quota or policy says no.
            kube::Error::Api(status) if status.is_forbidden() => Self::forbidden(status.message.clone()),
            kube::Error::Api(status) if status.is_conflict() => Self::conflict(status.message.clone()),
            _ => {
                tracing::warn!(error = describe(&error), "Kubernetes does not do what it was asked");
                Self::unavailable("The control plane does not answer; try again later")
            }
        }
    }
}

/// What becomes of an archive that comes in.
impl From<artifacts::Error> for Problem {
    fn from(error: artifacts::Error) -> Self {
        match &error {
            artifacts::Error::TooLarge { .. } => {
                Self::Told(StatusCode::PAYLOAD_TOO_LARGE, format!("The file cannot be taken: {error}"))
            }
            artifacts::Error::Archive(_) => {
                Self::Told(StatusCode::BAD_REQUEST, format!("The file cannot be taken: {error}"))
            }
            _ => {
                tracing::warn!(%error, "an uploaded archive cannot be kept");
                Self::unavailable("The file cannot be kept just now; try again later")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        match self {
            Self::Told(status, detail) => (status, Json(Detail { detail })).into_response(),
            Self::Invalid(detail) => (StatusCode::UNPROCESSABLE_ENTITY, Json(Invalid { detail })).into_response(),
            Self::Later(status, detail, seconds) => {
                let after = [(header::RETRY_AFTER, HeaderValue::from(seconds))];
                (status, after, Json(Detail { detail })).into_response()
            }
        }
    }
}
