//! A corpus of attacks in `attacks.yaml`, each told with its line, and allowed by nothing but what opens it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Terms, check, set_defaults, validate};
use crate::{
    api::{docker_host::DockerHostSpec, docker_tenant::DockerTenant},
    docker::compose::{self, model::Project},
};

const PROJECT: &str = "shop-web-1a2b3c4d";

/// What a compose file tries.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attack {
    name: String,
    compose: String,
    #[serde(default)]
    given: Value,
    refused: String,
    opened: Option<Value>,
}

fn attacks() -> Vec<Attack> {
    serde_saphyr::from_str(include_str!("attacks.yaml")).unwrap()
}

/// An entry that is of some use, with changes.
fn tenant(changes: &[&Value]) -> DockerTenant {
    let mut tenant = json!({
        "namespaceSelector": {},
        "allow": {"images": ["docker.io/library/*"], "ports": [{"from": 30000, "to": 30099}]},
        "limits": {"cpus": 2, "memory": "1Gi", "pids": 500, "containers": 5},
    });
    for change in changes.iter().filter(|change| !change.is_null()) {
        json_patch::merge(&mut tenant, change);
    }
    serde_json::from_value(tenant).unwrap()
}

fn host(tenant: &DockerTenant) -> DockerHostSpec {
    let host = json!({"endpoint": "unix:///srv/engine/docker.sock", "reservedLabels": ["example.com/*"]});
    let host: DockerHostSpec = serde_json::from_value(host).unwrap();
    DockerHostSpec { tenants: vec![tenant.clone()], ..host }
}

fn load(text: &str) -> Project {
    let sources = compose::Sources::inline("compose.yaml", text);
    let variables = [("TRUE", "true"), ("CLIMB", "../.."), ("PASSWORD", "hunter2")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let request = compose::Request {
        sources: &sources,
        files: &["compose.yaml".to_owned()],
        variables: &variables.into(),
        profiles: &[],
        name: PROJECT,
    };
    compose::load(request).unwrap_or_else(|problems| panic!("{problems}\n{text}")).project
}

fn refused(tenant: &DockerTenant, project: &Project) -> Option<String> {
    let host = host(tenant);
    validate(&host).unwrap();
    check(&Terms::new(&host, tenant, PROJECT), project).reason().map(|reason| reason.message)
}

#[test]
fn every_attack_is_refused_with_its_line_and_its_reason() {
    let attacks = attacks();
    assert!(attacks.len() >= 60, "only {} attacks", attacks.len());
    let mut wrong = Vec::new();
    for Attack { name, compose, given, refused: expected, .. } in &attacks {
        let told = refused(&tenant(&[given]), &load(compose)).unwrap_or_default();
        let line = compose.lines().position(|line| line.contains("# <-")).map(|line| line + 1);
        let place = format!("compose.yaml:{}: ", line.unwrap_or_else(|| panic!("{name}: no line is marked")));
        if !told.contains(expected) || !told.contains(&place) {
            wrong.push(format!("{name}: expected {place}{expected}\n  told: {told}"));
        }
    }
    assert!(wrong.is_empty(), "{} attacks:\n{}", wrong.len(), wrong.join("\n"));
    println!("{} attacks are refused", attacks.len());
}

#[test]
fn what_is_opened_is_allowed() {
    let wrong: Vec<_> = attacks()
        .into_iter()
        .filter_map(|Attack { name, compose, given, opened, .. }| {
            let told = refused(&tenant(&[&given, &opened?]), &load(&compose))?;
            Some(format!("{name}: {told}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} are refused though they are opened:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn an_innocent_project_is_allowed() {
    let project = load(include_str!("innocent.yaml"));
    assert_eq!(refused(&tenant(&[]), &project), None);
}

#[test]
fn without_an_image_nothing_is_of_use() {
    let told = refused(&tenant(&[&json!({"allow": null})]), &load("services: {web: {image: nginx}}")).unwrap();
    assert!(told.contains("\"docker.io/library/nginx:latest\" is not allowed; no image may be used"), "{told}");
}

#[test]
fn everything_that_is_refused_is_told_at_once() {
    let services: String = (0..20).map(|n| format!("  s{n:02}: {{image: nginx, privileged: true}}\n")).collect();
    let told = refused(&tenant(&[]), &load(&format!("services:\n{services}"))).unwrap();
    assert!(told.contains("services.s00.privileged") && told.contains("services.s10.privileged"), "{told}");
    // The containers are too many besides.
    assert!(told.ends_with("and 9 more"), "{told}");
}

#[test]
fn who_asks_for_no_limit_gets_the_default_and_who_asks_for_one_keeps_it() {
    let defaults = json!({"defaults": {"cpus": 0.5, "memory": "256Mi"}});
    let mut project = load(
        "
services:
  plain: {image: nginx}
  own: {image: nginx, cpus: 1.5, mem_limit: 64m, pids_limit: 7}
  deployed: {image: nginx, deploy: {resources: {limits: {cpus: '0.1', memory: 32M, pids: 9}}}}
  quota: {image: nginx, cpu_quota: 5000, cpu_period: 10000}
  unlimited: {image: nginx, cpu_quota: -1, mem_limit: 0}
",
    );
    set_defaults(&tenant(&[&defaults]), &mut project);
    let of = |name: &str| {
        let service = &project.services[name];
        (service.nano_cpus, service.cpu_quota, service.mem_limit, service.pids_limit)
    };
    let mib = 1 << 20;
    assert_eq!(of("plain"), (Some(500_000_000), None, Some(256 * mib), Some(500)));
    assert_eq!(of("own"), (Some(1_500_000_000), None, Some(64 * mib), Some(7)));
    assert_eq!(of("deployed"), (None, None, None, None));
    assert_eq!(of("quota"), (None, Some(5000), Some(256 * mib), Some(500)));
    assert_eq!(of("unlimited"), (Some(500_000_000), None, Some(256 * mib), Some(500)));
}

#[test]
fn an_entry_that_means_nothing_is_told_by_its_field() {
    for (change, told) in [
        (
            json!({"allow": {"subnets": ["10.0.0.0/99"]}}),
            "spec.tenants[0].allow.subnets: \"10.0.0.0/99\" is no network",
        ),
        (json!({"allow": {"ports": [{"from": 1, "to": 2, "hostIps": ["::x"]}]}}), "\"::x\" is no address"),
        (json!({"allow": {"hostPaths": [{"path": "/srv/../etc"}]}}), "\"/srv/../etc\" must not hold"),
        (
            json!({"defaults": {"memory": "2Gi"}}),
            "spec.tenants[0].defaults.memory: 2Gi is more than limits.memory, 1Gi",
        ),
        (json!({"defaults": {"cpus": 3}}), "spec.tenants[0].defaults.cpus: 3 is more than limits.cpus, 2"),
    ] {
        let error = validate(&host(&tenant(&[&change]))).unwrap_err();
        assert!(error.contains(told), "{error}");
    }
}
