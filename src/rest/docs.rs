//! The endpoints, and what is said of them: the OpenAPI document is generated from both, and shown as a page at `/docs`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use tokio::time::Instant;
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa::{
    Modify, OpenApi, ToSchema,
    openapi::security::{ApiKey, ApiKeyValue, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{
    Done, Shim,
    access::{Caller, HEADER},
    machines,
    problem::{Detail, Problem},
    services, users, webhooks,
};

/// Where the document is.
const DOCUMENT: &str = "/openapi.json";
/// The page uses nothing from elsewhere. Its styles are in the page itself, as are the pictures.
const POLICY: &str =
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

/// What the document says besides the endpoints.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "CloudFaster",
        description = "The API of the clients from before the operator: what they make is kept as custom resources in \
                       Kubernetes.",
    ),
    tags(
        (name = "Virtual machines", description = "Machines on Proxmox"),
        (name = "Docker services", description = "Compose projects on Docker hosts"),
        (name = "Users", description = "Whose things they are"),
        (name = "The rest", description = "Whether it answers, and whether a key is right"),
    ),
    security(("ApiKey" = [])),
    modifiers(&Keys),
)]
struct Document;

struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let key = ApiKeyValue::with_description("X-API-Key", "A key of `cloudfaster apikey create`");
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("ApiKey", SecurityScheme::ApiKey(ApiKey::Header(key)));
    }
}

fn endpoints() -> OpenApiRouter<Arc<Shim>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(machines::create_vm))
        .routes(routes!(machines::get_vm))
        .routes(routes!(machines::control_vm))
        .routes(routes!(services::create_service))
        .routes(routes!(services::get_service))
        .routes(routes!(services::control_service))
        .routes(routes!(webhooks::receive))
        .routes(routes!(users::create_user))
        .routes(routes!(users::get_user))
        .routes(routes!(welcome))
        .routes(routes!(heartbeat))
        .routes(routes!(protected))
}

/// The OpenAPI document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    endpoints().into_openapi()
}

/// Everything that is answered.
pub fn router(shim: Arc<Shim>) -> Router {
    let (endpoints, document) = endpoints().split_for_parts();
    let addresses: Arc<[String]> = document.paths.paths.keys().cloned().chain([DOCUMENT.to_owned()]).collect();
    let config = Config::from(DOCUMENT).validator_url("none").try_it_out_enabled(true).display_request_duration(true);
    let page: Router<Arc<Shim>> = SwaggerUi::new("/docs").config(config).url(DOCUMENT, document).into();
    let page = page.layer(middleware::map_response(async |mut response: Response| {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        response
    }));
    let origins = &shim.settings.rest_cors_origin;
    let mut router = endpoints
        .merge(page)
        .fallback(async move |request: Request| elsewhere(&addresses, &request))
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(shim.clone(), observe));
    if !origins.is_empty() {
        let cors = CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins.iter().cloned()))
            .allow_methods([http::Method::GET, http::Method::POST])
            .allow_headers([
                header::CONTENT_TYPE,
                header::HeaderName::from_static(HEADER),
                header::HeaderName::from_static("idempotency-key"),
            ])
            .expose_headers([header::RETRY_AFTER]);
        router = router.layer(cors);
    }
    router.with_state(shim)
}

/// Counts a request by its route.
async fn observe(State(shim): State<Arc<Shim>>, route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let method = match *request.method() {
        http::Method::GET => "GET",
        http::Method::POST => "POST",
        _ => "other",
    };
    let begun = Instant::now();
    let mut response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    shim.telemetry.metrics.rest(method, route, response.status().as_u16(), begun.elapsed());
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// FastAPI sends those who end an address with a slash to the one without.
fn elsewhere(addresses: &[String], request: &Request) -> Response {
    let path = request.uri().path();
    let shorter = path.trim_end_matches('/');
    // Never to another server, as `//example.com` would be: none of ours begins so.
    if shorter.len() < path.len() && addresses.iter().any(|address| is_of(address, shorter)) {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        return Redirect::temporary(&format!("{shorter}{query}")).into_response();
    }
    Problem::Told(StatusCode::NOT_FOUND, "Not Found".to_owned()).into_response()
}

/// Whether a path is of an address with names in braces, which stand for anything.
fn is_of(address: &str, path: &str) -> bool {
    let fits = |(segment, given): (&str, &str)| segment == given || (segment.starts_with('{') && !given.is_empty());
    address.split('/').count() == path.split('/').count() && address.split('/').zip(path.split('/')).all(fits)
}

async fn wrong_method() -> Problem {
    Problem::Told(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed".to_owned())
}

/// A word to whoever asks.
#[derive(Serialize, ToSchema)]
struct Message {
    /// The word.
    message: &'static str,
}

/// Says welcome
#[utoipa::path(
    get,
    path = "/",
    tag = "The rest",
    security(()),
    responses((status = 200, description = "It is here", body = Message)),
)]
async fn welcome() -> Json<Message> {
    Json(Message { message: "Welcome to the CloudFaster API" })
}

/// Tells whether it answers
#[utoipa::path(
    get,
    path = "/heartbeat",
    tag = "The rest",
    security(()),
    responses((status = 200, description = "It answers", body = Done)),
)]
async fn heartbeat() -> Json<Done> {
    Json(Done::default())
}

/// Tells whether a key is right
#[utoipa::path(
    get,
    path = "/protected",
    tag = "The rest",
    responses(
        (status = 200, description = "The key is right", body = Message),
        (status = 401, description = "The API key is missing or wrong", body = Detail),
        (status = 429, description = "Too many requests", body = Detail),
        (status = 503, description = "The control plane does not answer", body = Detail),
    ),
)]
async fn protected(_caller: Caller) -> Json<Message> {
    Json(Message { message: "The API Key is valid" })
}
