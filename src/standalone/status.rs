//! API errors: the `Status` objects that Kubernetes answers with, with its reasons and texts.

use std::fmt;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::fields::Conflict;
use super::json::set;
use super::registry::Kind;

/// A refusal, as it goes over the wire.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    code: StatusCode,
    reason: &'static str,
    message: String,
    details: Option<Box<Value>>,
}

impl ApiError {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None }
    }

    fn about(mut self, kind: &Kind, name: &str) -> Self {
        let mut details = json!({ "name": name, "kind": kind.plural });
        if !kind.group.is_empty() {
            set(&mut details, "group", kind.group.clone());
        }
        self.details = Some(Box::new(details));
        self
    }

    pub fn code(&self) -> StatusCode {
        self.code
    }

    /// Whether this is a failed optimistic lock (and not, say, a name that is taken).
    pub fn is_conflict(&self) -> bool {
        self.reason == "Conflict"
    }

    /// Whether somebody else has the name.
    pub fn is_taken(&self) -> bool {
        self.reason == "AlreadyExists"
    }

    /// The same, told in a longer sentence.
    pub fn with_prefix(self, prefix: &str) -> Self {
        Self { message: format!("{prefix}{}", self.message), ..self }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    pub fn forbidden(kind: &Kind, name: &str, detail: &str) -> Self {
        let message = format!("{} \"{name}\" is forbidden: {detail}", kind.resource());
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).about(kind, name)
    }

    pub fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", kind.resource());
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(kind, name)
    }

    /// A group, version or resource that is not served.
    pub fn no_resource() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource")
    }

    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    pub fn not_acceptable() -> Self {
        Self::new(
            StatusCode::NOT_ACCEPTABLE,
            "NotAcceptable",
            "only the following media types are accepted: application/json, application/yaml",
        )
    }

    pub fn unsupported_media_type(supported: &str) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            format!("the body of the request was in an unknown format - accepted media types include: {supported}"),
        )
    }

    pub fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", kind.resource());
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(kind, name)
    }

    pub fn conflict(kind: &Kind, name: &str, detail: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {detail}", kind.resource());
        Self::new(StatusCode::CONFLICT, "Conflict", message).about(kind, name)
    }

    /// A precondition of the request does not hold: `field` of the object should be `wanted`, and is `found`.
    pub fn precondition(kind: &Kind, name: &str, field: &str, wanted: &str, found: &str) -> Self {
        let what = if field == "UID" { "deleted and then recreated" } else { "modified" };
        let detail = format!(
            "the {field} in the precondition ({wanted}) does not match the {field} in record ({found}). The object might have been {what}"
        );
        let message =
            format!("Operation cannot be fulfilled on {} \"{name}\": {detail}", qualified(&kind.group, &kind.kind));
        let mut error = Self::new(StatusCode::CONFLICT, "Conflict", message).about(kind, name);
        if let Some(details) = &mut error.details {
            set(details, "kind", kind.kind.clone());
        }
        error
    }

    /// The optimistic lock failed.
    pub fn modified(kind: &Kind, name: &str) -> Self {
        Self::conflict(
            kind,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// A resource version from the future: of another store, or from before this one was restored.
    pub fn revision_too_large(asked: u64, current: u64) -> Self {
        let mut error = Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "Timeout",
            format!("Timeout: Too large resource version: {asked}, current: {current}"),
        );
        error.details = Some(Box::new(json!({
            "causes": [{ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" }],
            "retryAfterSeconds": 1,
        })));
        error
    }

    pub fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {limit}"),
        )
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
    }

    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", format!("Internal error occurred: {message}"))
    }

    /// What Kubernetes answers with when it has no class for an error.
    pub fn unexplained(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    /// Others own what was to be applied. `conflicts` must not be empty, and those with one manager
    /// stand together.
    pub fn apply_conflict(conflicts: &[Conflict]) -> Self {
        let message = match conflicts {
            [one] => format!("Apply failed with 1 conflict: conflict with {}: {}", one.manager.describe(), one.path),
            many => {
                let mut lines = Vec::new();
                let mut last = String::new();
                for Conflict { manager, path } in many {
                    let manager = manager.describe();
                    if manager != last {
                        lines.push(format!("conflicts with {manager}:"));
                    }
                    lines.push(format!("- {path}"));
                    last = manager;
                }
                format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n"))
            }
        };
        let causes: Vec<Value> = conflicts
            .iter()
            .map(|Conflict { manager, path }| {
                json!({
                    "reason": "FieldManagerConflict",
                    "message": format!("conflict with {}", manager.describe()),
                    "field": path.to_string(),
                })
            })
            .collect();
        let mut error = Self::new(StatusCode::CONFLICT, "Conflict", message);
        error.details = Some(Box::new(json!({ "causes": causes })));
        error
    }

    /// A JSON patch does not fit the object. Kubernetes does not say why.
    pub fn patch_failed() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Invalid",
            "the server rejected our request due to an error in our request",
        )
    }

    /// A patch leaves an object that cannot be read strictly.
    pub fn strict_patch(object: &Value, detail: &str) -> Self {
        let mut sorted = object.clone();
        sorted.sort_all_objects();
        let error = FieldError::invalid("patch", &sorted.to_string().into(), detail);
        Self::invalid_of("", "", "", &[error])
    }

    /// The object does not fit its kind's rules. `errors` must not be empty.
    pub fn invalid(kind: &Kind, name: &str, errors: &[FieldError]) -> Self {
        Self::invalid_of(&kind.group, &kind.kind, name, errors)
    }

    /// The options of a request, as `PatchOptions`, are not as they should be. `errors` must not be empty.
    pub fn invalid_options(options: &str, errors: &[FieldError]) -> Self {
        Self::invalid_of("meta.k8s.io", options, "", errors)
    }

    /// As [`Self::invalid`], for what Kubernetes names by its resource there.
    pub fn invalid_resource(kind: &Kind, name: &str, errors: &[FieldError]) -> Self {
        Self::invalid_of(&kind.group, &kind.plural, name, errors)
    }

    fn invalid_of(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let qualified = qualified(group, kind);
        let mut texts: Vec<String> = Vec::with_capacity(errors.len());
        for error in errors {
            let text = error.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let list = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let causes: Vec<Value> = errors
            .iter()
            .map(|error| {
                json!({
                    "reason": error.problem.reason(),
                    "message": error.body(),
                    "field": error.field,
                })
            })
            .collect();
        let mut details = json!({ "kind": kind, "causes": causes });
        for (field, text) in [("name", name), ("group", group)] {
            if !text.is_empty() {
                set(&mut details, field, text);
            }
        }
        Self {
            code: StatusCode::UNPROCESSABLE_ENTITY,
            reason: "Invalid",
            message: format!("{qualified} \"{name}\" is invalid: {list}"),
            details: Some(Box::new(details)),
        }
    }

    /// The `Status` object itself, as a watch sends it in its `ERROR` event.
    pub fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code.as_u16(),
        });
        if !self.reason.is_empty() {
            set(&mut status, "reason", self.reason);
        }
        if let Some(details) = &self.details {
            set(&mut status, "details", (**details).clone());
        }
        status
    }
}

fn qualified(group: &str, kind: &str) -> String {
    if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response =
            (self.code, [(header::CONTENT_TYPE, "application/json")], self.to_status().to_string()).into_response();
        if self.code == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// The path, as in `spec.disks[0].size`.
    pub field: String,
    pub problem: Problem,
}

/// The classes of field errors, with what their texts need.
#[derive(Debug, Clone, PartialEq)]
pub enum Problem {
    Required(String),
    /// Objects and lists are not shown.
    Invalid {
        value: Option<String>,
        detail: String,
    },
    TypeInvalid {
        value: String,
        detail: String,
    },
    NotSupported {
        value: String,
        supported: Vec<String>,
    },
    Duplicate(Option<String>),
    Forbidden(String),
    TooLong(usize),
    TooMany {
        actual: usize,
        most: usize,
    },
}

impl Problem {
    fn reason(&self) -> &'static str {
        match self {
            Self::Required(_) => "FieldValueRequired",
            Self::Invalid { .. } => "FieldValueInvalid",
            Self::TypeInvalid { .. } => "FieldValueTypeInvalid",
            Self::NotSupported { .. } => "FieldValueNotSupported",
            Self::Duplicate(_) => "FieldValueDuplicate",
            Self::Forbidden(_) => "FieldValueForbidden",
            Self::TooLong(_) => "FieldValueTooLong",
            Self::TooMany { .. } => "FieldValueTooMany",
        }
    }
}

impl FieldError {
    pub fn new(field: impl Into<String>, problem: Problem) -> Self {
        let field = field.into();
        // That is how Kubernetes writes the path of the object itself.
        let field = if field.is_empty() { "<nil>".to_owned() } else { field };
        Self { field, problem }
    }

    /// A value that breaks a rule.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: impl Into<String>) -> Self {
        Self::new(field, Problem::Invalid { value: Some(shown(value)), detail: detail.into() })
    }

    pub fn required(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(field, Problem::Required(detail.into()))
    }

    pub fn forbidden(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(field, Problem::Forbidden(detail.into()))
    }

    /// A value that is none of those that are known.
    pub fn not_supported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let supported = supported.iter().map(|&text| text.to_owned()).collect();
        Self::new(field, Problem::NotSupported { value: shown(value), supported })
    }

    /// As the subresource `part` tells it, whose values have no other paths than those within it.
    pub fn seen_from(&mut self, part: &str) {
        if let Problem::Invalid { detail, .. } | Problem::TypeInvalid { detail, .. } = &mut self.problem
            && let Some(rest) = detail.strip_prefix(&format!("{part}."))
        {
            *detail = rest.to_owned();
        }
    }

    /// The text without the path.
    pub fn body(&self) -> String {
        match &self.problem {
            Problem::Required(detail) if detail.is_empty() => "Required value".to_owned(),
            Problem::Required(detail) => format!("Required value: {detail}"),
            Problem::Invalid { value: None, detail } => format!("Invalid value: {detail}"),
            Problem::Invalid { value: Some(value), detail } | Problem::TypeInvalid { value, detail } => {
                format!("Invalid value: {value}: {detail}")
            }
            Problem::NotSupported { value, supported } => {
                let quoted: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
                format!("Unsupported value: {value}: supported values: {}", quoted.join(", "))
            }
            Problem::Duplicate(None) => "Duplicate value".to_owned(),
            Problem::Duplicate(Some(value)) => format!("Duplicate value: {value}"),
            Problem::Forbidden(detail) => format!("Forbidden: {detail}"),
            Problem::TooLong(most) => format!("Too long: may not be more than {most} bytes"),
            Problem::TooMany { actual, most } => {
                format!("Too many: {actual}: must have at most {most} items")
            }
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// A value as Kubernetes shows it in field errors.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => "\"null\"".to_owned(),
        scalar_or_not => {
            let mut sorted = scalar_or_not.clone();
            sorted.sort_all_objects();
            sorted.to_string()
        }
    }
}
