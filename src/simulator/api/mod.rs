//! The API: routes, rights, parameters, and the calls themselves.
//!
//! A call is a function of the world and a request; it answers, refuses, or says how long it has to wait.
//! The order of the checks is Proxmox's: route, identity, rights, node, parameters.

mod access;
mod cluster;
mod config;
mod guests;
mod nodes;
mod pools;
mod route;
mod snapshots;
mod storage;
mod tasks;

use std::time::Duration;

use serde_json::{Map, Value};

use super::access::Credentials;
use super::faults::NodeTrouble;
use super::schema::{self, Params};
use super::world::task::Owner;
use super::world::{LOCK_TIMEOUT, World, lock_error};
use route::Route;

/// A request as the API sees it.
#[derive(Clone, Debug)]
pub(crate) struct ApiRequest {
    pub method: String,
    /// After `/api2/json`, as sent.
    pub path: String,
    pub params: Params,
    pub credentials: Credentials,
    /// The node whose API was asked; none for the cluster's common address.
    pub entry: Option<String>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct ApiResponse {
    pub status: u16,
    /// Without one the standard phrase is sent.
    pub reason: Option<String>,
    pub body: Body,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Empty,
    Json(Value),
    Text(String),
}

/// What came of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The answer, to be given no earlier than that.
    Done { response: ApiResponse, not_before: Duration },
    /// Nothing yet: ask again then, or when something has changed.
    Wait { until: Duration },
}

/// An error of a call.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub status: u16,
    pub reason: String,
    pub errors: Option<Map<String, Value>>,
    pub empty: bool,
    pub after: Duration,
}

impl ApiError {
    pub fn new(status: u16, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), errors: None, empty: false, after: Duration::ZERO }
    }

    /// 500 with that text.
    pub fn plain(reason: impl Into<String>) -> Self {
        Self::new(500, reason)
    }

    /// 403 for want of a privilege.
    pub fn denied(path: &str, privileges: &str) -> Self {
        Self::new(403, format!("Permission check failed ({path}, {privileges})"))
    }

    /// 400 because of one parameter.
    pub fn param(field: &str, text: impl Into<String>) -> Self {
        Self::params(Map::from_iter([(field.to_owned(), Value::from(text.into()))]))
    }

    /// 400 because of several parameters.
    pub fn params(errors: Map<String, Value>) -> Self {
        Self { errors: Some(errors), ..Self::new(400, "Parameter verification failed.") }
    }

    /// Without a body, after that time.
    pub fn bare(status: u16, reason: impl Into<String>, after: Duration) -> Self {
        Self { empty: true, after, ..Self::new(status, reason) }
    }
}

/// Why a call does not answer.
#[derive(Debug)]
pub(crate) enum Stop {
    Error(ApiError),
    Wait(Duration),
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

type Answer = Result<Value, Stop>;

/// A call in progress: the world, who asks, and what for.
pub(crate) struct Call<'a> {
    pub world: &'a mut World,
    pub owner: Owner,
    pub params: Params,
    pub node: String,
    pub vmid: u32,
    /// Further parts of the path.
    pub rest: Vec<String>,
    /// The node that was asked.
    pub entry: String,
    /// When the request came.
    pub arrived: Duration,
    /// How much later the answer goes out.
    pub delay: Duration,
    /// Keys beside `data` in the answer, such as `total`.
    pub extra: Map<String, Value>,
}

/// Handles a request; `arrived` stays the same when it is asked again.
pub(crate) fn handle(world: &mut World, request: &ApiRequest, arrived: Duration) -> Outcome {
    let mut delay = Duration::ZERO;
    let mut extra = Map::new();
    let result = answer(world, request, arrived, &mut delay, &mut extra);
    world.flush_reports();
    match result {
        Ok(data) => {
            let mut body = Map::from_iter([("data".to_owned(), data)]);
            body.extend(extra);
            let response = ApiResponse { status: 200, reason: None, body: Body::Json(Value::Object(body)) };
            Outcome::Done { response, not_before: arrived + delay }
        }
        Err(Stop::Wait(until)) => Outcome::Wait { until },
        Err(Stop::Error(error)) => {
            let not_before = arrived + error.after.max(delay);
            Outcome::Done { response: error_response(world, error), not_before }
        }
    }
}

fn error_response(world: &World, error: ApiError) -> ApiResponse {
    let body = if error.empty {
        Body::Empty
    } else {
        let mut body = Map::from_iter([("data".to_owned(), Value::Null)]);
        if let Some(errors) = error.errors {
            body.insert("errors".into(), Value::Object(errors));
        }
        if world.error_text_in_body {
            // A call that does not exist is refused before there is a handler that ends its lines.
            let end = if error.status == 501 { "" } else { "\n" };
            body.insert("message".into(), Value::from(format!("{}{end}", error.reason)));
        }
        Body::Json(Value::Object(body))
    };
    ApiResponse { status: error.status, reason: Some(error.reason), body }
}

fn answer(
    world: &mut World,
    request: &ApiRequest,
    arrived: Duration,
    delay: &mut Duration,
    extra: &mut Map<String, Value>,
) -> Answer {
    if !matches!(request.method.as_str(), "GET" | "POST" | "PUT" | "DELETE") {
        return Err(ApiError::bare(501, format!("method '{}' not available", request.method), Duration::ZERO).into());
    }
    let entry = match &request.entry {
        Some(node) => node.clone(),
        None => world.entry_node().map(|node| node.name.clone()).unwrap_or_default(),
    };
    let segments: Vec<String> = request.path.split('/').filter(|part| !part.is_empty()).map(percent_decode).collect();
    let route = Route::find(&request.method, &segments);
    let is_login = matches!(route, Some(Route::Login));
    let owner = if is_login { Owner { user: String::new(), token: None } } else { identify(world, request)? };
    let Some(route) = route else {
        let path = format!("/{}", segments.join("/"));
        return Err(ApiError::new(501, format!("Method '{} {path}' not implemented", request.method)).into());
    };
    let (node, vmid_text, rest) = route::variables(&segments);
    let mut params = request.params.clone();
    let mut call = Call {
        world,
        owner,
        params: Params::default(),
        vmid: 0,
        node,
        rest,
        entry,
        arrived,
        delay: Duration::ZERO,
        extra: Map::new(),
    };
    route.check_rights(&call, vmid_text.as_deref(), &params)?;
    if route.is_on_a_node() {
        call.reach_node(&route)?;
    }
    params =
        schema::verify(route.schema(), params, call.world.is_v9(), vmid_text.as_deref()).map_err(ApiError::params)?;
    call.vmid = vmid_text.and_then(|text| text.parse().ok()).unwrap_or(0);
    call.params = params;
    let result = route.call(&mut call);
    *delay = call.delay;
    *extra = call.extra;
    result
}

/// 401 comes after three seconds and has no body.
fn identify(world: &World, request: &ApiRequest) -> Result<Owner, Stop> {
    let refuse = |reason: &str| Stop::Error(ApiError::bare(401, reason, Duration::from_secs(3)));
    let write = request.method != "GET";
    let owner = world
        .access
        .identify(&request.credentials, write, world.unix_time())
        .map_err(|refusal| refuse(refusal.reason()))?;
    if world.faults.token_revoked(&owner.full()) {
        return Err(refuse("Authentication failed!"));
    }
    Ok(owner)
}

fn percent_decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

impl Call<'_> {
    /// The nodes pass requests on to each other; this is where that fails.
    fn reach_node(&mut self, route: &Route) -> Result<(), Stop> {
        if self.node == "localhost" {
            self.node = self.entry.clone();
        }
        let Some(node) = self.world.node(&self.node) else {
            let name = &self.node;
            return Err(ApiError::plain(format!(
                "hostname lookup '{name}' failed - failed to get address info for: {name}: Name or service not known"
            ))
            .into());
        };
        let (reason, seconds) = match self.world.trouble(node) {
            None => return Ok(()),
            Some(NodeTrouble::DaemonDown) if !route.needs_daemon() => return Ok(()),
            Some(NodeTrouble::DaemonDown | NodeTrouble::Refused) => ("Connection refused", 0),
            Some(NodeTrouble::NoRoute) => ("No route to host", 3),
            Some(NodeTrouble::TimedOut) => ("Connection timed out", 30),
        };
        Err(ApiError::bare(595, reason, Duration::from_secs(seconds)).into())
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        self.params.get(key)
    }

    pub fn flag(&self, key: &str) -> bool {
        self.text(key) == Some("1")
    }

    pub fn number(&self, key: &str) -> Option<u64> {
        self.text(key).and_then(|text| text.parse().ok())
    }

    pub fn may(&self, path: &str, privilege: &str) -> bool {
        self.world.access.has(&self.owner, path, privilege)
            || path.strip_prefix("/vms/").and_then(|vmid| vmid.parse::<u32>().ok()).is_some_and(|vmid| {
                let pools = self.world.pools.iter().filter(|(_, members)| members.contains(&vmid));
                pools
                    .into_iter()
                    .any(|(pool, _)| self.world.access.has(&self.owner, &format!("/pool/{pool}"), privilege))
            })
    }

    pub fn require(&self, path: &str, privilege: &str) -> Result<(), ApiError> {
        if self.may(path, privilege) { Ok(()) } else { Err(ApiError::denied(path, privilege)) }
    }

    pub fn require_any(&self, path: &str, privileges: &[&str]) -> Result<(), ApiError> {
        if privileges.iter().any(|privilege| self.may(path, privilege)) {
            Ok(())
        } else {
            Err(ApiError::denied(path, &privileges.join("|")))
        }
    }

    pub fn is_root(&self) -> bool {
        self.owner.user == "root@pam" && self.owner.token.is_none()
    }

    /// `skiplock`, which is for root alone.
    pub fn skiplock(&self) -> Result<bool, ApiError> {
        match self.text("skiplock") {
            Some("1") if !self.is_root() => Err(ApiError::param("skiplock", "Only root may use this option.")),
            text => Ok(text == Some("1")),
        }
    }

    pub fn quorum(&self) -> Result<(), ApiError> {
        if self.world.has_quorum() { Ok(()) } else { Err(ApiError::plain("cluster not ready - no quorum?")) }
    }

    /// Waits for the lock of the configuration file, ten seconds at most.
    pub fn config_lock(&self) -> Result<(), Stop> {
        if !self.world.is_config_locked(self.vmid) {
            return Ok(());
        }
        let until = self.arrived + LOCK_TIMEOUT;
        if self.world.now < until { Err(Stop::Wait(until)) } else { Err(ApiError::plain(lock_error(self.vmid)).into()) }
    }
}
