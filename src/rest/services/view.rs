//! A service as old clients know it.

use std::sync::Arc;

use axum::{Json, extract::State};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use utoipa::ToSchema;

use super::{object, request};
use crate::{
    api::{
        DockerHost, DockerService,
        conditions::{Conditioned, READY, STALLED},
        docker_service::{DockerServiceStatus, ServicePhase, ServiceState},
    },
    rest::{
        Shim,
        access::{Caller, Segments},
        keys::Scope,
        problem::{Detail, Problem},
    },
};

/// A service.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Service {
    /// What it is known by.
    #[schema(example = "0b9c1e0a-5d5e-4a0c-9a53-3d2f0b1f6c11")]
    pub service_id: String,
    /// Its name.
    #[schema(example = "shop")]
    pub service_name: String,
    /// Where it stands.
    pub status: ServiceStatus,
    /// Where people reach it.
    pub urls: Urls,
    /// What it is made of, as it was asked for.
    #[schema(example = json!(["PHP", "MySQL"]))]
    pub service_types: Vec<String>,
    /// The type that answers people.
    #[schema(example = "PHP")]
    pub primary_app_type: Option<String>,
}

/// Where people reach a service.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Urls {
    /// The service itself; nothing for databases alone, and before it is known.
    #[schema(example = "https://shop.example.com")]
    pub main: Option<String>,
    /// Its Filebrowser.
    #[schema(example = "https://shop-filebrowser.example.com")]
    pub filebrowser: Option<String>,
}

/// Where a service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServiceStatus {
    /// It is being made, or started.
    Creating,
    /// It runs.
    Enabled,
    /// It does not run.
    Disabled,
    /// It cannot be made or kept as it was asked for.
    Error,
}

/// A service as clients see it, and its host, if that is known.
pub fn view(service: &DockerService, host: Option<&DockerHost>) -> Service {
    let spec = &service.spec;
    let status = service.status.clone().unwrap_or_default();
    let composed = || request::compose(&spec.types, spec.source.is_some(), spec.filebrowser.is_some()).ok();
    let primary = status.types.first().cloned().or_else(|| Some(composed()?.primary));
    let seen = status.urls.clone().unwrap_or_default();
    let proxy = host.and_then(|host| host.spec.proxy.as_ref());
    // Before it was looked at, by what it was asked for.
    let expected = || composed().filter(|_| status.urls.is_none());
    let [main, filebrowser] = match proxy {
        Some(proxy) => {
            let scheme = if proxy.plaintext { "http" } else { "https" };
            service.host_names(&proxy.domain).map(|name| Some(format!("{scheme}://{name}")))
        }
        None => [None, None],
    };
    let main = seen.main.or_else(|| expected()?.main.and(main)).or(status.url);
    let filebrowser = seen.filebrowser.or_else(|| expected()?.filebrowser.and(filebrowser));
    Service {
        service_id: service.uid().unwrap_or_default(),
        service_name: service.annotations().get(object::SERVICE_NAME).cloned().unwrap_or_else(|| service.name_any()),
        status: stands(service),
        urls: Urls { main, filebrowser },
        service_types: spec.types.clone(),
        primary_app_type: primary,
    }
}

/// Where a service stands, in the old words.
pub fn stands(service: &DockerService) -> ServiceStatus {
    if is_stalled(service) {
        return ServiceStatus::Error;
    }
    let phase = service.status.as_ref().and_then(|status| status.phase);
    match phase {
        Some(ServicePhase::Running) => ServiceStatus::Enabled,
        Some(ServicePhase::Stopping | ServicePhase::Stopped | ServicePhase::Deleting) => ServiceStatus::Disabled,
        Some(ServicePhase::Degraded | ServicePhase::Stalled) => ServiceStatus::Error,
        None
        | Some(
            ServicePhase::Pending
            | ServicePhase::Pulling
            | ServicePhase::Building
            | ServicePhase::Delivering
            | ServicePhase::Creating
            | ServicePhase::Starting,
        ) => match service.spec.state {
            ServiceState::Running => ServiceStatus::Creating,
            ServiceState::Stopped => ServiceStatus::Disabled,
        },
    }
}

/// Whether nothing happens until a person changes something, as far as its present spec is concerned.
pub fn is_stalled(service: &DockerService) -> bool {
    holds(service, STALLED)
}

/// Whether it is as its present spec says.
pub fn is_ready(service: &DockerService) -> bool {
    holds(service, READY)
}

fn holds(service: &DockerService, kind: &str) -> bool {
    let is_current = |status: &DockerServiceStatus| Some(status.observed_generation) == service.meta().generation;
    service.status.as_ref().is_some_and(is_current)
        && service.conditions().iter().any(|condition| condition.type_ == kind && condition.status == "True")
}

/// Shows a service
///
/// The status is `creating` while the service is being made or started, `enabled` while it runs, `disabled` while it does not, and
/// `error` when it cannot be made or kept as it was asked for.
#[utoipa::path(
    get,
    path = "/service/{service_id}",
    tag = "Docker services",
    params(("service_id" = String, Path, description = "What the service is known by",
            example = "0b9c1e0a-5d5e-4a0c-9a53-3d2f0b1f6c11")),
    responses(
        (status = 200, description = "The service", body = Service),
        (status = 401, description = "The API key is missing or wrong", body = Detail),
        (status = 403, description = "The API key lacks the scope `read` or `services`", body = Detail),
        (status = 404, description = "There is no such service, or it is another user's", body = Detail),
        (status = 429, description = "Too many requests", body = Detail),
        (status = 503, description = "The control plane does not answer", body = Detail),
    ),
)]
pub async fn get_service(
    State(shim): State<Arc<Shim>>,
    caller: Caller,
    Segments(service_id): Segments<String>,
) -> Result<Json<Service>, Problem> {
    caller.needs(&[Scope::Read, Scope::Services])?;
    let service = shim.services.with_uid(&service_id, |service| caller.sees(service)).ok_or_else(missing)?;
    Ok(Json(view(&service, shim.host_of(&service).as_deref())))
}

/// There is no such service, as far as the caller is concerned.
pub fn missing() -> Problem {
    Problem::not_found("Service")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(state: &str, status: Value) -> DockerService {
        serde_json::from_value(json!({
            "apiVersion": "cloudfaster.app/v1alpha1", "kind": "DockerService",
            "metadata": {"name": "shop-1", "uid": "u", "generation": 2, "annotations": {object::SERVICE_NAME: "Shop"}},
            "spec": {"hostRef": {"name": "main"}, "types": ["MySQL", "PHP"], "filebrowser": {}, "hostname": "shop", "state": state},
            "status": status,
        }))
        .unwrap()
    }

    fn stalled(generation: i64) -> Value {
        let condition = json!({
            "type": "Stalled", "status": "True", "reason": "X", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        json!({"observedGeneration": generation, "phase": "Running", "conditions": [condition]})
    }

    #[test]
    fn the_old_words_are_told_by_phase_and_conditions() {
        use ServiceStatus::{Creating, Disabled, Enabled, Error};
        let phase = |phase: &str| json!({"observedGeneration": 2, "phase": phase});
        for (state, status, expected) in [
            ("Running", Value::Null, Creating),
            ("Running", phase("Pulling"), Creating),
            ("Running", phase("Running"), Enabled),
            ("Running", phase("Degraded"), Error),
            ("Running", phase("Stalled"), Error),
            ("Running", stalled(2), Error),
            ("Running", stalled(1), Enabled),
            ("Stopped", phase("Stopping"), Disabled),
            ("Stopped", phase("Pending"), Disabled),
        ] {
            assert_eq!(stands(&service(state, status.clone())), expected, "{state} {status}");
        }
    }

    #[test]
    fn urls_are_known_from_the_start_by_the_host_and_then_by_what_was_seen() {
        let host = |proxy: Value| -> DockerHost {
            DockerHost::new("main", serde_json::from_value(json!({"endpoint": "unix:///x", "proxy": proxy})).unwrap())
        };
        let proxied = host(json!({"kind": "Caddy", "domain": "example.com"}));
        let urls = |main: Option<&str>, filebrowser: Option<&str>| Urls {
            main: main.map(str::to_owned),
            filebrowser: filebrowser.map(str::to_owned),
        };
        let new = view(&service("Running", Value::Null), Some(&proxied));
        assert_eq!(new.urls, urls(Some("https://shop.example.com"), Some("https://shop-filebrowser.example.com")));
        assert_eq!((new.service_id.as_str(), new.service_name.as_str()), ("u", "Shop"));
        assert_eq!(new.primary_app_type.as_deref(), Some("PHP"));
        let seen = json!({"urls": {"main": "https://a.example.org"}, "types": ["PHP", "MySQL"]});
        assert_eq!(view(&service("Running", seen), Some(&proxied)).urls, urls(Some("https://a.example.org"), None));
        let published = json!({"url": "http://docker1:30000"});
        let published = view(&service("Running", published), Some(&host(Value::Null)));
        assert_eq!(published.urls, urls(Some("http://docker1:30000"), None));
    }
}
