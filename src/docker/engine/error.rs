//! What a call can end with, other than its answer. No secret is in any of it.

use std::{fmt, io, time::Duration};

use bollard::errors::Error as Bollard;

use super::{request::Request, transport::ConnectFailure};

/// Why a call gave no result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The engine refused, or began and failed.
    #[error(transparent)]
    Refused(#[from] Box<Refusal>),

    /// There is no connection. Nothing was sent.
    #[error("{endpoint} cannot be reached: {reason}")]
    Unreachable { endpoint: String, reason: String },

    /// Whoever answers is not who is expected: a certificate or a host key that is not believed. Nothing was sent.
    #[error("{endpoint} is not trusted: {reason}")]
    NotTrusted { endpoint: String, reason: String },

    /// We are not let in: a client certificate, a key or a right on the socket is missing. Nothing was sent.
    #[error("{endpoint} does not let us in: {reason}")]
    NotAdmitted { endpoint: String, reason: String },

    /// The connection ended after the request was sent and before the answer was complete: a change
    /// may or may not have happened.
    #[error("the answer to \"{request}\" was lost: {reason}")]
    ReplyLost { request: Request, reason: String },

    /// No answer in time, or a stream that fell silent: a change may or may not have happened.
    #[error("no answer to \"{request}\" within {} s", after.as_secs())]
    Timeout { request: Request, after: Duration },

    /// The engine said that it succeeded, in a way that is not understood.
    #[error("the answer to \"{request}\" is not understood: {reason}")]
    Decode { request: Request, reason: String },

    /// The engine is too old to be worked with.
    #[error("the engine speaks API {got} (Docker {version}); at least {needed} is needed (Docker 20.10)")]
    TooOld { version: String, got: String, needed: String },

    /// What there is on the host may not be used so. Nothing was sent.
    #[error("{0}")]
    NotAllowed(String),

    /// What was asked cannot be sent, or the settings cannot work. Nothing was sent.
    #[error("{0}")]
    Invalid(String),
}

/// What the engine said when it refused, or when it began and failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub request: Request,
    /// The status code; none if the answer began well and an error came in its course.
    pub status: Option<u16>,
    /// The engine's own sentence.
    pub text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.request, self.text.trim())
    }
}

impl std::error::Error for Refusal {}

impl Error {
    /// Whether it is certain that a change did not happen.
    pub fn certainly_no_effect(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::NotTrusted { .. } | Self::NotAdmitted { .. } => true,
            Self::TooOld { .. } | Self::NotAllowed(_) | Self::Invalid(_) => true,
            // A start that fails with 500 may have made networks and files; it did not start.
            Self::Refused(refusal) => refusal.status.is_some_and(|status| status < 500),
            Self::ReplyLost { .. } | Self::Timeout { .. } | Self::Decode { .. } => false,
        }
    }

    /// The engine's refusal, if that is what it is.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Unreachable { .. }
            | Self::NotTrusted { .. }
            | Self::NotAdmitted { .. }
            | Self::ReplyLost { .. }
            | Self::Timeout { .. }
            | Self::Decode { .. }
            | Self::TooOld { .. }
            | Self::NotAllowed(_)
            | Self::Invalid(_) => None,
        }
    }

    /// What was asked about, or something that it needs, is not there (404).
    pub fn is_not_found(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.status == Some(404))
    }

    /// It is not in the state that the request is for, or its name is taken (409).
    pub fn is_conflict(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.status == Some(409))
    }

    pub(super) fn refused(request: Request, status: Option<u16>, text: impl Into<String>) -> Self {
        Self::Refused(Box::new(Refusal { request, status, text: text.into() }))
    }

    /// What an error of the library's means.
    pub(super) fn from_library(endpoint: &str, request: Request, error: Bollard) -> Self {
        let lost = |request, reason: String| Self::ReplyLost { request, reason };
        match error {
            Bollard::DockerResponseServerError { status_code, message } => {
                let text = if message.trim().is_empty() { format!("status {status_code}") } else { message };
                Self::refused(request, Some(status_code), text)
            }
            Bollard::DockerStreamError { error } => Self::refused(request, None, error),
            Bollard::DockerContainerWaitError { error, code } => {
                Self::refused(request, None, format!("exit code {code} {error}"))
            }
            Bollard::RequestTimeoutError => lost(request, "no answer".to_owned()),
            Bollard::JsonDataError { message, column: _ } => Self::Decode { request, reason: message },
            Bollard::JsonSerdeError { err } => Self::Decode { request, reason: err.to_string() },
            Bollard::StrParseError { err } => Self::Decode { request, reason: err.to_string() },
            Bollard::HttpHeaderNotFoundError(name) => Self::Decode { request, reason: format!("it lacks {name}") },
            Bollard::HttpHeaderToStrError { err } => Self::Decode { request, reason: err.to_string() },
            Bollard::Base64DecodeError { err } => Self::Decode { request, reason: err.to_string() },
            Bollard::APIVersionParseError {} => {
                Self::Decode { request, reason: "its API version is no version".to_owned() }
            }
            Bollard::IOError { err } => match connect_failure(&err) {
                Some(failure) => failure.into_error(endpoint),
                None => lost(request, err.to_string()),
            },
            Bollard::HyperLegacyError { err } => match connect_failure(&err) {
                Some(failure) => failure.into_error(endpoint),
                None if err.is_connect() => {
                    Self::Unreachable { endpoint: endpoint.to_owned(), reason: last_cause(&err) }
                }
                None => lost(request, last_cause(&err)),
            },
            Bollard::HyperResponseError { err } => match connect_failure(&err) {
                Some(failure) => failure.into_error(endpoint),
                None => lost(request, last_cause(&err)),
            },
            Bollard::StrFmtError { err } => cannot_be_sent(&request, &err),
            Bollard::HttpClientError { err } => cannot_be_sent(&request, &err),
            Bollard::URLEncodedError { err } => cannot_be_sent(&request, &err),
            Bollard::URLParseError { err } => cannot_be_sent(&request, &err),
            Bollard::InvalidURIError { err } => cannot_be_sent(&request, &err),
            Bollard::InvalidURIPartsError { err } => cannot_be_sent(&request, &err),
            Bollard::UnsupportedURISchemeError { uri } => cannot_be_sent(&request, &uri),
            Bollard::SocketNotFoundError(path) => {
                Self::Unreachable { endpoint: endpoint.to_owned(), reason: format!("there is no {path}") }
            }
            error @ (Bollard::MissingSessionBuildkitError {} | Bollard::MissingVersionBuildkitError {}) => {
                cannot_be_sent(&request, &error)
            }
        }
    }
}

fn cannot_be_sent(request: &Request, reason: &dyn fmt::Display) -> Error {
    Error::Invalid(format!("\"{request}\" cannot be sent: {reason}"))
}

/// Why there is no connection, if that is behind this error: the connector failed, or the server did not let us in, which by
/// TLS 1.3 it says only when we believe to be connected.
fn connect_failure(error: &(dyn std::error::Error + 'static)) -> Option<ConnectFailure> {
    causes(error).find_map(|cause| {
        let refused = || cause.downcast_ref::<rustls::Error>().and_then(ConnectFailure::of_alert);
        cause.downcast_ref::<ConnectFailure>().cloned().or_else(refused)
    })
}

fn last_cause(error: &(dyn std::error::Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// The error and what is behind it.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |cause| {
        // An I/O error's source skips the error that it wraps.
        match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped as &(dyn std::error::Error + 'static)),
            None => cause.source(),
        }
    })
}
