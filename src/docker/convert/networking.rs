//! Which networks a container is on, and under which names.

use std::collections::HashMap;

use bollard::models::{EndpointIpamConfig, EndpointSettings, NetworkingConfig};

use crate::docker::{
    compose::model::{Link, NetworkAttachment},
    engine::ApiVersion,
    identity,
};

use super::{Context, Error, container_name, host, list, map};

/// From this version on, an engine takes several networks when a container is created.
const SEVERAL_NETWORKS: ApiVersion = ApiVersion::new(1, 44);

/// The option by which the interface inside is named.
const INTERFACE: &str = "com.docker.network.endpoint.ifname";

/// How a container is connected.
pub(super) struct Networking {
    /// The primary network, or whose network it lives in.
    pub mode: String,
    pub links: Vec<String>,
    pub config: Option<NetworkingConfig>,
    pub connect: Vec<(String, EndpointSettings)>,
}

pub(super) fn networking(context: &Context<'_>) -> Result<Networking, Error> {
    let links = links(context);
    if let Some(mode) = &context.service.network_mode {
        let mode = host::namespace(context, "network_mode", mode)?;
        return Ok(Networking { mode, links, config: None, connect: Vec::new() });
    }
    let attachments = context.service.networks_by_priority();
    let mut endpoints = Vec::new();
    for (at, (key, attachment)) in attachments.iter().enumerate() {
        let Some(id) = context.given.networks.get(*key) else {
            return Err(Error::Unknown { kind: "network with the key", name: (*key).to_owned() });
        };
        endpoints.push((id.clone(), endpoint(context, key, attachment, at == 0, &links)?));
    }
    let Some((primary, _)) = endpoints.first() else {
        return Ok(Networking { mode: "none".to_owned(), links, config: None, connect: Vec::new() });
    };
    let mode = primary.clone();
    let connect = if context.api < SEVERAL_NETWORKS { endpoints.split_off(1) } else { Vec::new() };
    let config = NetworkingConfig { endpoints_config: Some(endpoints.into_iter().collect::<HashMap<_, _>>()) };
    Ok(Networking { mode, links, config: Some(config), connect })
}

fn endpoint(
    context: &Context<'_>,
    key: &str,
    attachment: &NetworkAttachment,
    is_primary: bool,
    links: &[String],
) -> Result<EndpointSettings, Error> {
    let NetworkAttachment {
        at,
        aliases,
        ipv4_address,
        ipv6_address,
        link_local_ips,
        mac_address,
        interface_name,
        driver_opts,
        priority: _,
        gw_priority,
    } = attachment;
    let mut driver_opts = driver_opts.clone();
    if let Some(name) = interface_name {
        context.needs(49, "28.1", at, "networks.interface_name")?;
        driver_opts.insert(INTERFACE.to_owned(), name.clone());
    }
    let mut names = vec![container_name(context.project, context.name, context.number)];
    // A proxy meets many projects, and would take the name of a service for that of something of its own.
    let meets_proxy =
        context.project.networks.get(key).is_some_and(|network| network.labels.contains_key(identity::PROXY));
    if !meets_proxy {
        names.push(context.name.to_owned());
    }
    let own = context.service.mac_address.as_ref().filter(|_| is_primary);
    Ok(EndpointSettings {
        aliases: Some(names.into_iter().chain(aliases.iter().cloned()).collect()),
        links: list(links),
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: ipv4_address.map(|address| address.to_string()),
            ipv6_address: ipv6_address.map(|address| address.to_string()),
            link_local_ips: list(link_local_ips),
        }),
        mac_address: mac_address.as_ref().or(own).cloned(),
        driver_opts: map(&driver_opts),
        gw_priority: Some(*gw_priority).filter(|priority| *priority != 0),
        ..EndpointSettings::default()
    })
}

/// The containers of the linked services, each under the further name and under those that it has anyway.
fn links(context: &Context<'_>) -> Vec<String> {
    let Context { project, number, service, .. } = context;
    let mut links = Vec::new();
    for Link { at: _, target, alias } in &service.links {
        let replicas = project.services.get(target).map_or(0, |service| service.replicas());
        for of_target in 1..=replicas {
            let container = container_name(project, target, of_target);
            links.push(format!("{container}:{}", alias.as_ref().unwrap_or(target)));
            links.push(format!("{container}:{target}-{number}"));
            links.push(format!("{container}:{}-{target}-{number}", project.name));
        }
    }
    let external = service
        .external_links
        .iter()
        .map(|Link { at: _, target, alias }| format!("{target}:{}", alias.as_ref().unwrap_or(target)));
    links.extend(external);
    links
}
