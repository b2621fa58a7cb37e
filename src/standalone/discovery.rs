//! Discovery: which groups, versions and resources there are, and the version of the server.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use serde_json::{Value, json};

use super::json;
use super::plane::Plane;
use super::registry::Kind;
use super::status::ApiError;

/// The Kubernetes version whose API is served.
const MAJOR: &str = "1";
const MINOR: &str = "37";

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

pub async fn version() -> Json<Value> {
    Json(json!({
        "major": MAJOR,
        "minor": MINOR,
        "gitVersion": format!("v{MAJOR}.{MINOR}.0+cloudfaster.{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    }))
}

/// A version with its kinds.
type Version<'a> = (&'a str, Vec<&'a Arc<Kind>>);

/// Versions by group, in which the newest stable one comes first.
fn groups_of(plane: &Plane) -> BTreeMap<&str, Vec<Version<'_>>> {
    let mut groups: BTreeMap<&str, Vec<Version<'_>>> = BTreeMap::new();
    for (group, version, kinds) in plane.registry.versions() {
        groups.entry(group).or_default().push((version, kinds.collect()));
    }
    for versions in groups.values_mut() {
        versions.sort_by_key(|(version, _)| std::cmp::Reverse(maturity(version)));
    }
    groups
}

/// Stable versions before betas before alphas, newer before older.
fn maturity(version: &str) -> (u8, u32, u32) {
    let rest = version.strip_prefix('v').unwrap_or(version);
    let split = |rest: &str, stage: &str| {
        let (major, minor) = rest.split_once(stage)?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    if let Ok(major) = rest.parse() {
        (3, major, 0)
    } else if let Some((major, minor)) = split(rest, "beta") {
        (2, major, minor)
    } else if let Some((major, minor)) = split(rest, "alpha") {
        (1, major, minor)
    } else {
        (0, 0, 0)
    }
}

pub async fn core(State(plane): State<Arc<Plane>>, headers: HeaderMap) -> Response {
    if wants_aggregated(&headers) {
        return aggregated(&plane, |group| group.is_empty());
    }
    Json(json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [],
    }))
    .into_response()
}

pub async fn groups(State(plane): State<Arc<Plane>>, headers: HeaderMap) -> Response {
    if wants_aggregated(&headers) {
        return aggregated(&plane, |group| !group.is_empty());
    }
    let groups: Vec<Value> = groups_of(&plane)
        .iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, versions)| group_value(group, versions))
        .collect();
    Json(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })).into_response()
}

pub async fn group(State(plane): State<Arc<Plane>>, Path(group): Path<String>) -> Result<Json<Value>, ApiError> {
    let groups = groups_of(&plane);
    let versions = groups.get(group.as_str()).ok_or_else(ApiError::no_resource)?;
    let mut value = group_value(&group, versions);
    json::set(&mut value, "kind", "APIGroup");
    json::set(&mut value, "apiVersion", "v1");
    Ok(Json(value))
}

fn group_value(group: &str, versions: &[Version<'_>]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|(version, _)| json!({ "groupVersion": format!("{group}/{version}"), "version": version }))
        .collect();
    json!({ "name": group, "versions": versions, "preferredVersion": versions.first() })
}

pub async fn core_resources(
    State(plane): State<Arc<Plane>>,
    Path(version): Path<String>,
) -> Result<Json<Value>, ApiError> {
    resource_list(&plane, "", &version)
}

pub async fn resources(
    State(plane): State<Arc<Plane>>,
    Path((group, version)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    resource_list(&plane, &group, &version)
}

fn resource_list(plane: &Plane, group: &str, version: &str) -> Result<Json<Value>, ApiError> {
    let kinds = plane.registry.version(group, version).ok_or_else(ApiError::no_resource)?;
    let mut resources = Vec::new();
    for kind in kinds.values() {
        resources.push(json!({
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": kind.verbs,
            "shortNames": kind.short_names,
            "categories": kind.categories,
        }));
        if kind.status_subresource {
            resources.push(json!({
                "name": format!("{}/status", kind.plural),
                "singularName": "",
                "namespaced": kind.namespaced,
                "kind": kind.kind,
                "verbs": STATUS_VERBS,
            }));
        }
    }
    let group_version = match group {
        "" => version.to_owned(),
        group => format!("{group}/{version}"),
    };
    Ok(Json(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    })))
}

const STATUS_VERBS: &[&str] = &["get", "patch", "update"];

fn wants_aggregated(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|choice| {
        let mut parts: Vec<&str> = choice.split(';').map(str::trim).collect();
        parts.sort_unstable();
        parts == ["application/json", "as=APIGroupDiscoveryList", "g=apidiscovery.k8s.io", "v=v2"]
    })
}

/// All groups, versions and resources in one answer.
fn aggregated(plane: &Plane, include: impl Fn(&str) -> bool) -> Response {
    let items: Vec<Value> = groups_of(plane)
        .iter()
        .filter(|(group, _)| include(group))
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|(version, kinds)| {
                    let resources: Vec<Value> = kinds.iter().map(|kind| aggregated_resource(kind)).collect();
                    json!({ "version": version, "resources": resources, "freshness": "Current" })
                })
                .collect();
            json!({
                "metadata": { "name": group, "creationTimestamp": null },
                "versions": versions,
            })
        })
        .collect();
    let list = json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    });
    ([(header::CONTENT_TYPE, AGGREGATED)], list.to_string()).into_response()
}

fn aggregated_resource(kind: &Kind) -> Value {
    let response_kind = json!({
        "group": kind.group,
        "version": kind.version,
        "kind": kind.kind,
    });
    let subresources = if kind.status_subresource {
        json!([{
            "subresource": "status",
            "responseKind": response_kind,
            "verbs": STATUS_VERBS,
        }])
    } else {
        json!([])
    };
    json!({
        "resource": kind.plural,
        "responseKind": response_kind,
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": kind.verbs,
        "shortNames": kind.short_names,
        "categories": kind.categories,
        "subresources": subresources,
    })
}
