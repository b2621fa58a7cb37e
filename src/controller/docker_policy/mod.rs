//! What a `DockerHost` lets the tenants of a namespace ask for: one pure check over the whole of a project, after every merge
//! and interpolation.
//!
//! Every field of the model is named where it is judged, or said to be harmless: a new one does not compile before
//! somebody has thought of it.

mod build;
mod container;
mod image;
mod limits;
mod mounts;
mod names;
mod network;
mod refused;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::Selector;

pub use self::{
    limits::{content as content_limits, set_defaults},
    names::admission,
    refused::Refused,
};
use super::policy::{Selects, matches_any};
use crate::{
    api::{
        docker_host::DockerHostSpec,
        docker_tenant::{AllowedHostPath, DockerAllow, DockerLimits, DockerTenant, HostNamespace},
    },
    docker::compose::model::{FileObject, Project},
};

impl Selects for DockerTenant {
    fn selector(&self) -> &LabelSelector {
        &self.namespace_selector
    }
}

/// What the schema cannot check of the policy.
///
/// # Errors
/// The field and what is wrong with it.
pub fn validate(host: &DockerHostSpec) -> Result<(), String> {
    for (index, tenant) in host.tenants.iter().enumerate() {
        let field = format!("spec.tenants[{index}]");
        Selector::try_from(tenant.namespace_selector.clone())
            .map_err(|error| format!("{field}.namespaceSelector: {error}"))?;
        let allow = tenant.allow.clone().unwrap_or_default();
        for subnet in &allow.subnets {
            subnet
                .parse::<IpNet>()
                .map_err(|_| format!("{field}.allow.subnets: {subnet:?} is no network, such as 10.200.0.0/16"))?;
        }
        for address in allow.ports.iter().flat_map(|ports| &ports.host_ips) {
            address
                .parse::<IpAddr>()
                .map_err(|_| format!("{field}.allow.ports: {address:?} is no address, such as 10.0.0.5"))?;
        }
        for AllowedHostPath { path, read_only: _ } in &allow.host_paths {
            if !mounts::is_plain(path) {
                return Err(format!("{field}.allow.hostPaths: {path:?} must not hold . or .. as a part"));
            }
        }
        limits::validate(tenant).map_err(|error| format!("{field}.defaults.{error}"))?;
    }
    Ok(())
}

/// What a project is judged by.
pub struct Terms<'a> {
    host: &'a DockerHostSpec,
    allow: DockerAllow,
    limits: DockerLimits,
    /// The project's name: names that begin with it are its own.
    project: &'a str,
}

impl<'a> Terms<'a> {
    /// The terms of a project that the tenant's entry admits.
    pub fn new(host: &'a DockerHostSpec, tenant: &DockerTenant, project: &'a str) -> Self {
        let DockerTenant { namespace_selector: _, allow, defaults: _, limits } = tenant;
        Self { host, allow: allow.clone().unwrap_or_default(), limits: limits.clone().unwrap_or_default(), project }
    }

    fn shares(&self, namespace: HostNamespace) -> bool {
        self.allow.host_namespaces.contains(&namespace)
    }

    /// Whether a name on the host is the project's own, or one that it may take.
    fn may_be_named(&self, name: &str) -> bool {
        let own = name.strip_prefix(self.project).is_some_and(|rest| rest.starts_with(['-', '_']));
        own || matches_any(&self.allow.names, name)
    }
}

/// What is refused of a project; nothing, if all of it is allowed.
pub fn check(terms: &Terms<'_>, project: &Project) -> Refused {
    let Project { name: _, services, networks, volumes, configs, secrets, disabled: _ } = project;
    let mut refused = Refused::default();
    for (key, service) in services {
        container::check(terms, key, service, &mut refused);
    }
    for (key, network) in networks {
        network::check(terms, key, network, &mut refused);
    }
    for (key, volume) in volumes {
        mounts::check_volume(terms, key, volume, &mut refused);
    }
    // Their content is of the object's own files and variables, and on the host they are files in containers.
    for FileObject { at: _, name: _, source: _, content: _, labels: _ } in configs.values().chain(secrets.values()) {}
    limits::check_count(terms, services, &mut refused);
    refused
}
