//! Networks: each project's are its own, unless the host's administrator says otherwise.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Refused, Terms, names};
use crate::{
    api::docker_tenant::{AllowedPorts, HostNamespace},
    controller::policy::{list, matches_any, range},
    docker::compose::model::{Ipam, IpamPool, Network, NetworkAttachment, Port, PublishedPorts},
};

/// Options that concern nobody but the network itself.
const OPTIONS: [&str; 2] = ["com.docker.network.driver.mtu", "com.docker.network.bridge.enable_icc"];

/// Where Linux takes ports from that nobody asked for.
const EPHEMERAL: (i64, i64) = (32_768, 60_999);

/// Refuses a network that may not be made or joined.
pub fn check(terms: &Terms<'_>, key: &str, network: &Network, refused: &mut Refused) {
    let Network {
        at,
        name,
        external,
        driver,
        driver_opts,
        ipam,
        internal: _,
        attachable: _,
        enable_ipv4: _,
        enable_ipv6: _,
        labels,
    } = network;
    let path = format!("networks.{key}");
    if *external {
        check_joined(terms, at.of("external"), &format!("{path}.external"), name, refused);
        return;
    }
    names::check(terms, at.of("name"), &format!("{path}.name"), name, refused);
    names::check_labels(terms, at, &path, "labels", labels, refused);
    match driver.as_deref() {
        None | Some("bridge" | "default") => {}
        Some(driver) if matches_any(&terms.allow.network_drivers, driver) => {}
        Some(driver) => {
            let allowed = std::iter::once("bridge".to_owned()).chain(terms.allow.network_drivers.iter().cloned());
            refused.add(at.of("driver"), &format!("{path}.driver"), driver, &list(allowed, ""));
        }
    }
    let Ipam { driver: ipam_driver, config, options } = ipam;
    if let Some(driver) = ipam_driver.as_deref().filter(|driver| *driver != "default")
        && !matches_any(&terms.allow.network_drivers, driver)
    {
        let allowed = std::iter::once("default".to_owned()).chain(terms.allow.network_drivers.iter().cloned());
        refused.add(at.of("ipam.driver"), &format!("{path}.ipam.driver"), driver, &list(allowed, ""));
    }
    check_options(terms, at.of("driver_opts"), &format!("{path}.driver_opts"), driver_opts.keys(), refused);
    check_options(terms, at.of("ipam.options"), &format!("{path}.ipam.options"), options.keys(), refused);
    for pool in config {
        // The engine keeps the range and the gateway within the subnet.
        let IpamPool { subnet, ip_range: _, gateway: _, aux_addresses: _ } = pool;
        if let Some(subnet) = subnet
            && !is_open(&terms.allow.subnets, subnet)
        {
            let allowed = list(terms.allow.subnets.iter().cloned(), "leave it out, and the engine chooses one");
            refused.add(at.of("ipam.config"), &format!("{path}.ipam.config.subnet"), subnet, &allowed);
        }
    }
}

fn is_open(allowed: &[String], subnet: &str) -> bool {
    let Ok(subnet) = subnet.parse::<IpNet>() else { return false };
    allowed.iter().any(|open| open.parse::<IpNet>().is_ok_and(|open| open.contains(&subnet.trunc())))
}

fn check_options<'a>(
    terms: &Terms<'_>,
    at: &crate::docker::compose::model::At,
    attribute: &str,
    options: impl Iterator<Item = &'a String>,
    refused: &mut Refused,
) {
    for option in options {
        if !OPTIONS.contains(&option.as_str()) && !matches_any(&terms.allow.network_options, option) {
            let allowed = OPTIONS.map(str::to_owned).into_iter().chain(terms.allow.network_options.iter().cloned());
            refused.add(at, attribute, option, &list(allowed, ""));
        }
    }
}

/// A network that is there already, whosever it is.
pub fn check_joined(
    terms: &Terms<'_>,
    at: &crate::docker::compose::model::At,
    attribute: &str,
    name: &str,
    refused: &mut Refused,
) {
    let (open, remedy) = match name {
        "none" => return,
        "host" => (terms.shares(HostNamespace::Network), "the host's network is not opened".to_owned()),
        // Docker's own, which all are on that name no other.
        "default" => (matches_any(&terms.allow.external_networks, "bridge"), joinable(terms)),
        other => (matches_any(&terms.allow.external_networks, other), joinable(terms)),
    };
    if !open {
        refused.add(at, attribute, name, &remedy);
    }
}

fn joinable(terms: &Terms<'_>) -> String {
    list(terms.allow.external_networks.iter().cloned(), "no external network may be joined")
}

/// Refuses what a service asks of a network that it is on.
pub fn check_attachment(
    terms: &Terms<'_>,
    path: &str,
    key: &str,
    attachment: &NetworkAttachment,
    refused: &mut Refused,
) {
    // Names and addresses are those of a network that is the project's own, or was opened to it.
    let NetworkAttachment {
        at,
        aliases: _,
        ipv4_address: _,
        ipv6_address: _,
        link_local_ips: _,
        mac_address: _,
        interface_name: _,
        driver_opts,
        priority: _,
        gw_priority: _,
    } = attachment;
    check_options(terms, at, &format!("{path}.networks.{key}.driver_opts"), driver_opts.keys(), refused);
}

/// Refuses a port of the host that may not be published.
pub fn check_port(terms: &Terms<'_>, path: &str, port: &Port, refused: &mut Refused) {
    let Port { at, name: _, target, published, host_ip, protocol: _, app_protocol: _, mode: _ } = port;
    let (first, last) = match published {
        Some(PublishedPorts { first, last }) => (i64::from(*first), i64::from(*last)),
        None => EPHEMERAL,
    };
    let on = |ips: &[String]| {
        let same = |ip: &String, given: &IpAddr| ip.parse::<IpAddr>().is_ok_and(|ip| ip == *given);
        ips.is_empty() || host_ip.as_ref().is_some_and(|given| ips.iter().any(|ip| same(ip, given)))
    };
    let open = |entry: &AllowedPorts| entry.from <= first && last <= entry.to && on(&entry.host_ips);
    if terms.allow.ports.iter().any(open) {
        return;
    }
    let told = |AllowedPorts { from, to, host_ips }: &AllowedPorts| match host_ips.is_empty() {
        true => range(*from, *to),
        false => format!("{} on {}", range(*from, *to), host_ips.join(" or ")),
    };
    let allowed = list(terms.allow.ports.iter().map(told), "no port of the host may be published; use expose");
    let address = host_ip.map_or_else(String::new, |ip| format!(" on {ip}"));
    let (value, remedy) = match published {
        Some(_) => (format!("{}{address}", range(first, last)), allowed),
        None => (
            format!("any{address} for {target}"),
            format!("a port that the engine chooses needs {}; {allowed}", range(first, last)),
        ),
    };
    refused.add(at, &format!("{path}.ports"), &value, &remedy);
}
