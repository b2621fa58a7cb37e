//! Bodies: JSON, YAML or protobuf, at most so large, and strict about unknown fields if asked.

use axum::body::Body;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use super::Query;
use crate::standalone::builtin::messages;
use crate::standalone::protobuf::{self, Message};
use crate::standalone::registry::Kind;
use crate::standalone::status::{ApiError, FieldError};

/// The largest request body, in bytes: the limit of the API server.
pub const LIMIT: usize = 3 * 1024 * 1024;

/// The media type of a body, without its parameters.
pub fn media_type(headers: &HeaderMap) -> &str {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
}

pub async fn read(body: Body) -> Result<bytes::Bytes, ApiError> {
    match Limited::new(body, LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::too_large(LIMIT)),
        Err(error) => Err(ApiError::bad_request(format!("cannot read the body of the request: {error}"))),
    }
}

/// The object in a request's body.
pub async fn object(kind: &Kind, request: Request<Body>) -> Result<Value, ApiError> {
    let message = messages::of(kind.origin);
    let encoding = Encoding::of(request.headers(), message)?;
    let body = read(request.into_body()).await?;
    let object = encoding.parse(&body)?;
    if object.is_object() { Ok(object) } else { Err(ApiError::bad_request("the body of the request is no object")) }
}

/// What a request's body holds, be it a `message` or its like in JSON.
pub async fn of_message(message: Message, request: Request<Body>) -> Result<Value, ApiError> {
    let encoding = Encoding::of(request.headers(), Some(message))?;
    let body = read(request.into_body()).await?;
    encoding.parse(&body)
}

/// The options in a request's body, which may be empty.
pub async fn options(request: Request<Body>) -> Result<Value, ApiError> {
    let headers = request.headers().clone();
    let body = read(request.into_body()).await?;
    if body.is_empty() {
        return Ok(Value::Null);
    }
    Encoding::of(&headers, Some(messages::DELETE_OPTIONS))?.parse(&body)
}

enum Encoding {
    Json,
    Yaml,
    Protobuf(Message),
}

impl Encoding {
    /// `message` is what a body in protobuf holds, if it can come so.
    fn of(headers: &HeaderMap, message: Option<Message>) -> Result<Self, ApiError> {
        match (media_type(headers), message) {
            ("" | "application/json", _) => Ok(Self::Json),
            ("application/yaml", _) => Ok(Self::Yaml),
            (protobuf::MEDIA_TYPE, Some(message)) => Ok(Self::Protobuf(message)),
            (_, Some(_)) => Err(ApiError::unsupported_media_type(
                "application/json, application/yaml, application/vnd.kubernetes.protobuf",
            )),
            (_, None) => Err(ApiError::unsupported_media_type("application/json, application/yaml")),
        }
    }

    fn parse(&self, body: &[u8]) -> Result<Value, ApiError> {
        let parsed = match self {
            Self::Json => serde_json::from_slice(body).map_err(|error| error.to_string()),
            Self::Yaml => serde_saphyr::from_slice(body).map_err(|error| error.to_string()),
            Self::Protobuf(message) => protobuf::decode(body, message).map_err(|error| error.to_string()),
        };
        parsed.map_err(|error| ApiError::bad_request(format!("the object provided is unrecognized: {error}")))
    }
}

/// What is to happen to unknown fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

impl FieldValidation {
    /// `options` is what Kubernetes calls the request's options, as `CreateOptions`.
    pub fn of(options: &str, query: &Query) -> Result<Self, ApiError> {
        match query.text("fieldValidation") {
            "Ignore" => Ok(Self::Ignore),
            "" | "Warn" => Ok(Self::Warn),
            "Strict" => Ok(Self::Strict),
            other => {
                let supported = ["", "Ignore", "Strict", "Warn"];
                let error = FieldError::not_supported("fieldValidation", &other.into(), &supported);
                Err(ApiError::invalid_options(options, &[error]))
            }
        }
    }

    /// Drops the fields that the kind does not know, from an object that was sent whole.
    ///
    /// # Returns
    /// The warnings for the client.
    ///
    /// # Errors
    /// There are unknown fields, and they are to be refused.
    pub fn prune_whole(self, kind: &Kind, object: &mut Value) -> Result<Vec<String>, ApiError> {
        let Kind { kind: name, version, .. } = kind;
        self.prune(kind, object).map_err(|detail| {
            ApiError::bad_request(format!("{name} in version {version:?} cannot be handled as a {name}: {detail}"))
        })
    }

    /// As [`Self::prune_whole`], from an object that a patch has changed.
    pub fn prune_patched(self, kind: &Kind, object: &mut Value) -> Result<Vec<String>, ApiError> {
        let whole = (self == Self::Strict).then(|| object.clone());
        self.prune(kind, object)
            .map_err(|detail| ApiError::strict_patch(whole.as_ref().unwrap_or(&Value::Null), &detail))
    }

    fn prune(self, kind: &Kind, object: &mut Value) -> Result<Vec<String>, String> {
        let unknown: Vec<String> =
            kind.schema.prune(object).into_iter().map(|path| format!("unknown field {path:?}")).collect();
        match self {
            Self::Strict if !unknown.is_empty() => Err(format!("strict decoding error: {}", unknown.join(", "))),
            Self::Ignore => Ok(Vec::new()),
            Self::Strict | Self::Warn => Ok(unknown),
        }
    }
}

/// Refuses an object that says it is something else.
pub fn check_type(kind: &Kind, object: &Value) -> Result<(), ApiError> {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let (version, name) = (text("apiVersion"), text("kind"));
    let expected = kind.api_version();
    if version.is_empty() && name.is_empty() && !kind.is_custom() {
        return Ok(());
    }
    if name.is_empty() {
        return Err(ApiError::bad_request("Object 'Kind' is missing in the body of the request"));
    }
    if version != expected {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({expected})"
        )));
    }
    if name != kind.kind {
        return Err(ApiError::bad_request(format!(
            "the kind in the data ({name}) does not match the expected kind ({})",
            kind.kind
        )));
    }
    Ok(())
}
