//! What requests ask for, and who answers them: a file per verb.

mod apply;
mod body;
mod create;
mod delete;
mod manager;
mod read;
mod reviews;
mod update;
mod view;
mod watch;

pub use delete::{Deleted, FOREGROUND, ORPHAN, Options, delete};
pub use update::save;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{Method, Request};
use serde_json::json;

use super::plane::Plane;
use super::registry::Kind;
use super::status::{ApiError, FieldError};
use super::store::{Key, Name};
use super::{discovery, openapi};

/// The routes of the Kubernetes API.
pub fn router(plane: Arc<Plane>) -> Router {
    use axum::routing::{any, get, post};
    let healthy = || get(|| async { "ok" });
    Router::new()
        .route("/healthz", healthy())
        .route("/livez", healthy())
        .route("/readyz", healthy())
        .route("/version", get(discovery::version))
        .route("/api", get(discovery::core))
        .route("/apis", get(discovery::groups))
        .route("/api/{version}", get(discovery::core_resources))
        .route("/apis/{group}", get(discovery::group))
        .route("/apis/{group}/{version}", get(discovery::resources))
        .route("/openapi/v2", get(openapi::v2))
        .route("/openapi/v3", get(openapi::index))
        .route("/openapi/v3/{*path}", get(openapi::document))
        .route("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", post(reviews::access))
        .route("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", post(reviews::rules))
        .route("/apis/authentication.k8s.io/v1/selfsubjectreviews", post(reviews::identity))
        .route("/api/{version}/{*path}", any(core_objects))
        .route("/apis/{group}/{version}/{*path}", any(objects))
        .fallback(|| async { ApiError::no_resource() })
        .with_state(plane)
}

async fn core_objects(
    State(plane): State<Arc<Plane>>,
    Path((version, path)): Path<(String, String)>,
    request: Request<Body>,
) -> Response {
    answer(plane, "", &version, &path, request).await
}

async fn objects(
    State(plane): State<Arc<Plane>>,
    Path((group, version, path)): Path<(String, String, String)>,
    request: Request<Body>,
) -> Response {
    answer(plane, &group, &version, &path, request).await
}

async fn answer(plane: Arc<Plane>, group: &str, version: &str, path: &str, request: Request<Body>) -> Response {
    let answered = match Target::find(&plane, group, version, path) {
        Ok(target) => dispatch(plane, target, request).await,
        Err(error) => Err(error),
    };
    answered.unwrap_or_else(IntoResponse::into_response)
}

/// What a path names.
struct Target {
    kind: Arc<Kind>,
    /// `None` for a kind without namespaces, and for all of them.
    namespace: Option<String>,
    name: Option<String>,
    subresource: Option<String>,
}

impl Target {
    fn find(plane: &Plane, group: &str, version: &str, path: &str) -> Result<Self, ApiError> {
        let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        let (namespace, rest) = match segments.as_slice() {
            // `namespaces/x` and `namespaces/x/status` are namespaces themselves.
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() && !matches!(rest, ["status"]) => {
                (Some((*namespace).to_owned()), rest)
            }
            rest => (None, rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (plural, None, None),
            [plural, name] => (plural, Some(*name), None),
            [plural, name, subresource] => (plural, Some(*name), Some(*subresource)),
            _ => return Err(ApiError::no_resource()),
        };
        let kind = plane.registry.find(group, version, plural).ok_or_else(ApiError::no_resource)?;
        let scope_fits = match (&namespace, name) {
            (Some(_), _) => kind.namespaced,
            (None, Some(_)) => !kind.namespaced,
            (None, None) => true,
        };
        let subresource_exists = match subresource {
            None => true,
            Some("status") => kind.status_subresource,
            Some(_) => false,
        };
        if !scope_fits || !subresource_exists {
            return Err(ApiError::no_resource());
        }
        Ok(Self {
            kind: Arc::clone(kind),
            namespace,
            name: name.map(str::to_owned),
            subresource: subresource.map(str::to_owned),
        })
    }

    fn key(&self, name: &str) -> Key {
        Key { shelf: Arc::clone(&self.kind.shelf), name: Name::new(self.namespace.clone().unwrap_or_default(), name) }
    }

    fn is_status(&self) -> bool {
        self.subresource.is_some()
    }
}

async fn dispatch(plane: Arc<Plane>, target: Target, request: Request<Body>) -> Result<Response, ApiError> {
    let query = Query::of(&request);
    let allow = |verb: &str| {
        if target.kind.allows(verb) { Ok(()) } else { Err(ApiError::method_not_allowed()) }
    };
    match (request.method(), &target.name) {
        (&Method::GET, None) if query.flag("watch") => {
            allow("watch")?;
            watch::watch(&plane, &target, &query, request.headers())
        }
        (&Method::GET, None) => {
            allow("list")?;
            read::list(&plane, &target, &query, request.headers())
        }
        (&Method::GET, Some(name)) => {
            allow("get")?;
            read::get(&plane, &target, name, &query, request.headers())
        }
        // A collection of all namespaces has nowhere to put a new object.
        (&Method::POST, None) if target.kind.namespaced == target.namespace.is_some() => {
            allow("create")?;
            create::create(&plane, &target, &query, request).await
        }
        (&Method::PUT, Some(name)) => {
            allow("update")?;
            update::put(&plane, &target, name, &query, request).await
        }
        (&Method::PATCH, Some(name)) => {
            allow("patch")?;
            update::patch(&plane, &target, name, &query, request).await
        }
        (&Method::DELETE, Some(name)) if !target.is_status() => {
            allow("delete")?;
            delete::one(&plane, &target, name, &query, request).await
        }
        (&Method::DELETE, None) if target.kind.namespaced == target.namespace.is_some() => {
            allow("deletecollection")?;
            delete::collection(&plane, &target, &query, request).await
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// The query parameters; of those that are given twice, the last counts.
struct Query(HashMap<String, String>);

impl Query {
    fn of(request: &Request<Body>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    /// As Kubernetes reads truth values: whatever does not say no says yes.
    fn flag(&self, name: &str) -> bool {
        match self.text(name) {
            "" => self.0.contains_key(name),
            text => text != "0" && !text.eq_ignore_ascii_case("false"),
        }
    }

    /// A number that is greater than 0, if one is given.
    fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        match self.text(name) {
            "" => Ok(None),
            text => match text.parse::<i64>() {
                Ok(number) => Ok(u64::try_from(number).ok().filter(|&number| number > 0)),
                Err(_) => Err(ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))),
            },
        }
    }

    /// The resource version that is asked for; 0 stands for any.
    fn revision(&self) -> Result<u64, ApiError> {
        match self.text("resourceVersion") {
            "" => Ok(0),
            text => text.parse().map_err(|_| {
                ApiError::bad_request(format!(
                    "invalid resource version: resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
                ))
            }),
        }
    }

    /// Whether nothing is to be stored. `options` is what Kubernetes calls the request's options, as `CreateOptions`.
    fn dry_run(&self, options: &str) -> Result<bool, ApiError> {
        match self.text("dryRun") {
            "" => Ok(false),
            "All" => Ok(true),
            other => {
                let error = FieldError::not_supported("dryRun", &json!([other]), &["All"]);
                Err(ApiError::invalid_options(options, &[error]))
            }
        }
    }

    /// Refuses options of lists and watches that contradict each other.
    fn check_list(&self, is_watch: bool) -> Result<(), ApiError> {
        const MATCH: &str = "resourceVersionMatch";
        let forbidden = |detail: &str| FieldError::forbidden(MATCH, detail);
        let wanted = self.text(MATCH);
        let initial = self.0.contains_key("sendInitialEvents");
        let mut errors = Vec::new();
        if is_watch {
            if initial && wanted != "NotOlderThan" {
                errors.push(forbidden("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
            }
            if !wanted.is_empty() && !initial {
                errors.push(forbidden(
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                ));
            }
            if !wanted.is_empty() && wanted != "NotOlderThan" {
                errors.push(FieldError::not_supported(MATCH, &wanted.into(), &["NotOlderThan"]));
            }
        } else {
            if !wanted.is_empty() && self.text("resourceVersion").is_empty() {
                errors.push(forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided"));
            }
            if !wanted.is_empty() && !self.text("continue").is_empty() {
                errors.push(forbidden("resourceVersionMatch is forbidden when continue is provided"));
            }
            if !matches!(wanted, "" | "Exact" | "NotOlderThan") {
                errors.push(FieldError::not_supported(MATCH, &wanted.into(), &["Exact", "NotOlderThan", ""]));
            }
            if wanted == "Exact" && self.text("resourceVersion") == "0" {
                errors.push(forbidden("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
            }
            if initial {
                errors.push(FieldError::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid_options("ListOptions", &errors)) }
    }
}
