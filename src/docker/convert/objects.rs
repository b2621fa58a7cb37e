//! Networks and volumes of a project.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{Ipam as EngineIpam, IpamConfig, NetworkCreateRequest, VolumeCreateRequest};

use crate::docker::{
    compose::model::{Ipam, IpamPool, Network, Project, Volume},
    labels,
};

use super::{COMPOSE_VERSION, Error, list, map};

/// How a network of the project is made.
///
/// # Errors
/// The project has no such network of its own.
pub fn network(project: &Project, key: &str) -> Result<NetworkCreateRequest, Error> {
    let Some(network) = project.networks.get(key).filter(|network| !network.external) else {
        return Err(Error::Unknown { kind: "network of its own", name: key.to_owned() });
    };
    let Network {
        at: _,
        name,
        external: _,
        driver,
        driver_opts,
        ipam,
        internal,
        attachable,
        enable_ipv4,
        enable_ipv6,
        labels,
    } = network;
    Ok(NetworkCreateRequest {
        name: name.clone(),
        driver: driver.clone(),
        internal: Some(*internal),
        attachable: Some(*attachable),
        ipam: addresses(ipam),
        enable_ipv4: *enable_ipv4,
        enable_ipv6: *enable_ipv6,
        options: map(driver_opts),
        labels: Some(labelled(project, labels, labels::compose::NETWORK, key)),
        ..NetworkCreateRequest::default()
    })
}

/// How a volume of the project is made.
///
/// # Errors
/// The project has no such volume of its own.
pub fn volume(project: &Project, key: &str) -> Result<VolumeCreateRequest, Error> {
    let Some(volume) = project.volumes.get(key).filter(|volume| !volume.external) else {
        return Err(Error::Unknown { kind: "volume of its own", name: key.to_owned() });
    };
    let Volume { at: _, name, external: _, driver, driver_opts, labels } = volume;
    Ok(VolumeCreateRequest {
        name: Some(name.clone()),
        driver: driver.clone(),
        driver_opts: map(driver_opts),
        labels: Some(labelled(project, labels, labels::compose::VOLUME, key)),
        cluster_volume_spec: None,
    })
}

fn labelled(project: &Project, own: &BTreeMap<String, String>, kind: &str, key: &str) -> HashMap<String, String> {
    let compose = [(kind, key), (labels::compose::PROJECT, &project.name), (labels::compose::VERSION, COMPOSE_VERSION)];
    own.clone().into_iter().chain(compose.map(|(key, value)| (key.to_owned(), value.to_owned()))).collect()
}

fn addresses(ipam: &Ipam) -> Option<EngineIpam> {
    let Ipam { driver, config, options } = ipam;
    if driver.is_none() && config.is_empty() && options.is_empty() {
        return None;
    }
    let pools: Vec<_> = config
        .iter()
        .map(|IpamPool { subnet, ip_range, gateway, aux_addresses }| IpamConfig {
            subnet: subnet.clone(),
            ip_range: ip_range.clone(),
            gateway: gateway.clone(),
            auxiliary_addresses: map(aux_addresses),
        })
        .collect();
    Some(EngineIpam { driver: driver.clone(), config: list(&pools), options: map(options) })
}
