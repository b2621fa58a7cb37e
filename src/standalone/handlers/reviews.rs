//! What a client asks about itself, as `kubectl auth` does: there is one user here, who may do everything.

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::body;
use crate::standalone::builtin::messages;
use crate::standalone::json::{at, set};
use crate::standalone::protobuf::Message;
use crate::standalone::status::ApiError;

const AUTHORIZATION: &str = "authorization.k8s.io/v1";
const AUTHENTICATION: &str = "authentication.k8s.io/v1";

/// Whether the client may do something.
pub async fn access(request: Request<Body>) -> Response {
    let status = json!({ "allowed": true });
    answer(AUTHORIZATION, "SelfSubjectAccessReview", messages::ACCESS_REVIEW, request, status).await
}

/// What the client may do.
pub async fn rules(request: Request<Body>) -> Response {
    let status = json!({
        "resourceRules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }],
        "nonResourceRules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }],
        "incomplete": false,
    });
    answer(AUTHORIZATION, "SelfSubjectRulesReview", messages::RULES_REVIEW, request, status).await
}

/// Who the client is.
pub async fn identity(request: Request<Body>) -> Response {
    let status = json!({
        "userInfo": { "username": "admin", "groups": ["system:masters", "system:authenticated"] },
    });
    answer(AUTHENTICATION, "SelfSubjectReview", messages::SELF_REVIEW, request, status).await
}

async fn answer(version: &str, kind: &str, message: Message, request: Request<Body>, status: Value) -> Response {
    let review = match body::of_message(message, request).await {
        Ok(review) if review.is_object() => review,
        Ok(_) => return ApiError::bad_request("the body of the request is no object").into_response(),
        Err(error) => return error.into_response(),
    };
    let mut answer = json!({ "kind": kind, "apiVersion": version, "metadata": {} });
    let spec = at(&review, "/spec");
    if !spec.is_null() {
        set(&mut answer, "spec", spec.clone());
    }
    set(&mut answer, "status", status);
    (StatusCode::CREATED, Json(answer)).into_response()
}
