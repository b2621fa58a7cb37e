//! From HTTP to [`ApiRequest`] and back: bodies, cookies, reason phrases, what closes a connection.

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, PRAGMA, SERVER,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use serde_json::Value;

use super::{Options, control};
use crate::simulator::access::Credentials;
use crate::simulator::api::{ApiRequest, ApiResponse, Body};
use crate::simulator::schema::{Param, Params};
use crate::simulator::{Release, Simulator};

/// The largest body of a request.
const LARGEST_BODY: usize = 512 * 1024;

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed without an answer")]
pub(super) struct Closed;

/// Answers one request; the last one on a connection closes it.
pub(super) async fn respond(
    simulator: &Simulator,
    options: &Options,
    request: Request<Incoming>,
    last: bool,
) -> Result<Response<Full<Bytes>>, Closed> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, LARGEST_BODY).collect().await else {
        return Ok(text(501, "for data too large"));
    };
    let body = body.to_bytes();
    let path = head.uri.path().to_owned();
    let query = head.uri.query().unwrap_or_default();
    if path == "/simulator" || path.starts_with("/simulator/") {
        return Ok(if options.control {
            control::respond(simulator, &head.method, &path, &body)
        } else {
            text(404, "no such file")
        });
    }
    let squeezed = format!("/{}", path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"));
    let Some(path) = squeezed.strip_prefix("/api2/json").or_else(|| squeezed.strip_prefix("/api2/extjs")) else {
        return Ok(text(404, &format!("no such file '{squeezed}'")));
    };
    let params = match params(&head.method, &head.headers, query, &body, simulator.release()) {
        Ok(params) => params,
        Err(response) => return Ok(render(response, last)),
    };
    let request = ApiRequest {
        method: head.method.to_string(),
        path: path.to_owned(),
        params,
        credentials: credentials(&head.headers),
        entry: options.node.clone(),
    };
    let response = simulator.answer(request).await.ok_or(Closed)?;
    Ok(render(response, last))
}

fn credentials(headers: &HeaderMap) -> Credentials {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let cookie = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix("PVEAuthCookie="))
        .map(|ticket| percent_encoding::percent_decode_str(ticket).decode_utf8_lossy().into_owned());
    Credentials { authorization: text(AUTHORIZATION.as_str()), cookie, csrf: text("CSRFPreventionToken") }
}

/// The parameters: of the query for reads and deletes, of the body for the others.
fn params(
    method: &Method,
    headers: &HeaderMap,
    query: &str,
    body: &[u8],
    release: Release,
) -> Result<Params, ApiResponse> {
    let refuse =
        |status: u16, reason: String| ApiResponse { status, body: Body::Text(reason.clone()), reason: Some(reason) };
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mime = kind.split(';').next().unwrap_or_default().trim();
    let is_write = *method == Method::POST || *method == Method::PUT;
    if !is_write {
        if !body.is_empty() {
            return Err(refuse(501, format!("Unexpected content for method '{method}'")));
        }
        return Ok(form(query.as_bytes()));
    }
    match mime {
        _ if body.is_empty() => Ok(Params::default()),
        "" | "application/x-www-form-urlencoded" => Ok(form(body)),
        "application/json" => json(body, release).map_err(|reason| refuse(500, reason)),
        other => Err(refuse(506, format!("upload 'Content-Type '{other}' not implemented"))),
    }
}

fn form(text: &[u8]) -> Params {
    let mut params = Params::default();
    for (key, value) in form_urlencoded::parse(text) {
        params.add(key.into_owned(), value.into_owned());
    }
    params
}

fn json(body: &[u8], release: Release) -> Result<Params, String> {
    let line = if release == Release::V9 { 934 } else { 917 };
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        // Proxmox's parser is in Perl; only the shape of its message can be kept.
        let at = error.column().saturating_sub(1);
        let rest = body.get(at..).map(String::from_utf8_lossy).unwrap_or_default();
        let rest = rest.trim_end_matches('}');
        format!(
            "'\"' expected, at character offset {at} (before \"{rest}\") at /usr/share/perl5/PVE/APIServer/AnyEvent.pm line {line}.\n"
        )
    })?;
    let mut params = Params::default();
    for (key, value) in value.as_object().into_iter().flatten() {
        let param = match value {
            Value::Null => Param::Null,
            Value::Bool(flag) => Param::Text(u8::from(*flag).to_string()),
            Value::Number(number) => Param::Text(number.to_string()),
            Value::String(text) => Param::Text(text.clone()),
            Value::Array(_) | Value::Object(_) => Param::Several,
        };
        params.insert(key.clone(), param);
    }
    Ok(params)
}

/// An error outside the API.
pub(super) fn text(status: u16, reason: &str) -> Response<Full<Bytes>> {
    render(ApiResponse { status, reason: Some(reason.to_owned()), body: Body::Text(reason.to_owned()) }, false)
}

fn render(response: ApiResponse, last: bool) -> Response<Full<Bytes>> {
    let (kind, body) = match response.body {
        Body::Empty => (None, Bytes::new()),
        Body::Json(value) => (Some("application/json;charset=UTF-8"), Bytes::from(value.to_string())),
        Body::Text(text) => (Some("text/html"), Bytes::from(text)),
    };
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static("pve-api-daemon/3.0"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=0"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    if let Some(kind) = kind {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    if response.status >= 400 || last {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    // A status line has one line: Proxmox puts the first one of the text there.
    let line = response.reason.as_deref().and_then(|reason| reason.lines().next());
    if let Some(phrase) = line.and_then(|line| ReasonPhrase::try_from(line.as_bytes()).ok()) {
        answer.extensions_mut().insert(phrase);
    }
    answer
}
