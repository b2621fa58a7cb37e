//! What the specification fills in: the default network, names, and dependencies that other attributes imply.

use std::collections::BTreeSet;

use super::model::{
    At, Condition, Dependency, FileObject, MountKind, Namespace, Network, NetworkAttachment, Positions, Project,
    Service, VolumesFromSource,
};

/// The network that services are on if they do not say otherwise.
pub const DEFAULT_NETWORK: &str = "default";

/// Fills in.
pub fn normalize(project: &mut Project) {
    for service in project.services.values_mut() {
        imply_dependencies(service);
        if service.network_mode.is_none() && service.networks.is_empty() {
            let at = service.at.declared().clone();
            service
                .networks
                .insert(DEFAULT_NETWORK.to_owned(), NetworkAttachment { at, ..NetworkAttachment::default() });
        }
    }
    let default = project.services.values().find(|service| service.networks.contains_key(DEFAULT_NETWORK));
    if let Some(service) = default {
        let at = Positions::new(service.at.declared().clone());
        let network = || Network { at, ..Network::default() };
        project.networks.entry(DEFAULT_NETWORK.to_owned()).or_insert_with(network);
    }
    leave_out_unused(project);
    let full = |key: &str, external: bool| if external { key.to_owned() } else { format!("{}_{key}", project.name) };
    let name = |key: &str, name: &mut String, external: bool| {
        if name.is_empty() {
            *name = full(key, external);
        }
    };
    project.networks.iter_mut().for_each(|(key, network)| name(key, &mut network.name, network.external));
    project.volumes.iter_mut().for_each(|(key, volume)| name(key, &mut volume.name, volume.external));
    let objects = project.configs.iter_mut().chain(project.secrets.iter_mut());
    objects.for_each(|(key, FileObject { name: own, .. })| name(key, own, false));
}

/// Networks and volumes that no service uses are not made.
fn leave_out_unused(project: &mut Project) {
    let services = || project.services.values();
    let networks: BTreeSet<String> = services().flat_map(|service| service.networks.keys().cloned()).collect();
    let volumes: BTreeSet<String> = services()
        .flat_map(|service| &service.volumes)
        .filter_map(|mount| match &mount.kind {
            MountKind::Volume { source, .. } => source.clone(),
            MountKind::Bind { .. } | MountKind::Tmpfs { .. } | MountKind::Image { .. } => None,
        })
        .collect();
    project.networks.retain(|name, _| networks.contains(name));
    project.volumes.retain(|name, _| volumes.contains(name));
}

fn imply_dependencies(service: &mut Service) {
    let mut implied: Vec<(String, bool, At)> = Vec::new();
    for link in &service.links {
        implied.push((link.target.clone(), true, link.at.clone()));
    }
    let namespaces = [
        ("network_mode", &service.network_mode),
        ("ipc", &service.ipc),
        ("pid", &service.pid),
        ("uts", &service.uts),
        ("cgroup", &service.cgroup),
    ];
    for (attribute, namespace) in namespaces {
        if let Some(Namespace::Service(name)) = namespace {
            implied.push((name.clone(), true, service.at.of(attribute).clone()));
        }
    }
    for source in &service.volumes_from {
        if let VolumesFromSource::Service(name) = &source.source {
            implied.push((name.clone(), false, source.at.clone()));
        }
    }
    for (name, restart, at) in implied {
        let dependency = Dependency { at, condition: Condition::ServiceStarted, restart, required: true };
        service.depends_on.entry(name).or_insert(dependency);
    }
}

/// The services whose images a build takes as further contexts.
pub fn built_from(service: &Service) -> impl Iterator<Item = (&String, &str)> {
    let contexts = service.build.iter().flat_map(|build| &build.additional_contexts);
    contexts.filter_map(|(name, context)| Some((name, context.strip_prefix("service:")?)))
}
