//! Networks, ports, and names of other hosts.

use std::collections::BTreeMap;

use super::positions;
use super::reader::{Fields, Item};
use crate::docker::compose::canonical::port_range;
use crate::docker::compose::model::{
    Ipam, IpamPool, Link, Network, NetworkAttachment, Port, PortMode, Protocol, PublishedPorts,
};
use crate::docker::compose::tree::Value;

pub fn network(item: &Item<'_>) -> Network {
    let mut fields = item.fields();
    let external = fields.flag("external");
    let network = Network {
        at: positions(item),
        name: fields.text("name").unwrap_or_default(),
        external,
        driver: fields.text("driver"),
        driver_opts: fields.pairs("driver_opts"),
        ipam: fields.item("ipam").map(|item| ipam(&item)).unwrap_or_default(),
        internal: fields.flag("internal"),
        attachable: fields.flag("attachable"),
        enable_ipv4: fields.item("enable_ipv4").and_then(|item| item.boolean()),
        enable_ipv6: fields.item("enable_ipv6").and_then(|item| item.boolean()),
        labels: fields.pairs("labels"),
    };
    fields.finish();
    network
}

fn ipam(item: &Item<'_>) -> Ipam {
    let mut fields = item.fields();
    let ipam = Ipam {
        driver: fields.text("driver"),
        config: fields.list("config").iter().map(pool).collect(),
        options: fields.pairs("options"),
    };
    fields.finish();
    ipam
}

fn pool(item: &Item<'_>) -> IpamPool {
    let mut fields = item.fields();
    let pool = IpamPool {
        subnet: fields.text("subnet"),
        ip_range: fields.text("ip_range"),
        gateway: fields.text("gateway"),
        aux_addresses: fields.pairs("aux_addresses"),
    };
    fields.finish();
    pool
}

pub fn attachments(item: &Item<'_>) -> BTreeMap<String, NetworkAttachment> {
    item.entries().into_iter().map(|(name, item)| (name.to_owned(), attachment(&item))).collect()
}

fn attachment(item: &Item<'_>) -> NetworkAttachment {
    let mut fields = item.fields();
    let attachment = NetworkAttachment {
        at: item.at(),
        aliases: fields.texts("aliases"),
        ipv4_address: address(&mut fields, "ipv4_address"),
        ipv6_address: address(&mut fields, "ipv6_address"),
        link_local_ips: fields.texts("link_local_ips"),
        mac_address: fields.text("mac_address"),
        interface_name: fields.text("interface_name"),
        driver_opts: fields.pairs("driver_opts"),
        priority: fields.number("priority").unwrap_or_default(),
        gw_priority: fields.number("gw_priority").unwrap_or_default(),
    };
    fields.finish();
    attachment
}

fn address<T: std::str::FromStr>(fields: &mut Fields<'_>, key: &'static str) -> Option<T> {
    let item = fields.item(key)?;
    item.parsed("an address of its family", "correct it", |text| text.parse().ok())
}

pub fn port(item: &Item<'_>) -> Option<Port> {
    let mut fields = item.fields();
    let target = fields.required("target").and_then(|item| item.number::<u16>());
    let published = fields.item("published").filter(|item| item.node.text() != Some(""));
    let range = |text: &str| port_range(text).map(|(first, last)| PublishedPorts { first, last });
    let published =
        published.and_then(|item| item.parsed("a port, or a range of them", "write one as in `8080`", range));
    let host_ip = fields.item("host_ip").filter(|item| item.node.text() != Some(""));
    let protocol = fields
        .item("protocol")
        .and_then(|item| item.one_of(&[Protocol::Tcp, Protocol::Udp, Protocol::Sctp], Protocol::as_str));
    let mode = fields.item("mode").and_then(|item| item.one_of(&[PortMode::Ingress, PortMode::Host], PortMode::as_str));
    let port = Port {
        at: item.at(),
        name: fields.text("name"),
        target: target.unwrap_or_default(),
        published,
        host_ip: host_ip.and_then(|item| item.parsed("an address of the host", "correct it", |text| text.parse().ok())),
        protocol: protocol.unwrap_or_default(),
        app_protocol: fields.text("app_protocol"),
        mode: mode.unwrap_or_default(),
    };
    fields.finish();
    target.map(|_| port)
}

pub fn links(items: Vec<Item<'_>>) -> Vec<Link> {
    let link = |item: &Item<'_>| {
        let text = item.text()?;
        let (target, alias) = match text.split_once(':') {
            Some((target, alias)) => (target.to_owned(), Some(alias.to_owned())),
            None => (text, None),
        };
        Some(Link { at: item.at(), target, alias })
    };
    items.iter().filter_map(link).collect()
}

/// Hosts and their addresses: `host=address`, `host:address`, or a mapping.
pub fn extra_hosts(item: &Item<'_>) -> BTreeMap<String, Vec<String>> {
    let mut hosts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let unbracketed = |address: &str| {
        let inner = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
        inner.filter(|inner| !inner.is_empty()).unwrap_or(address).to_owned()
    };
    let mut add = |host: &str, addresses: Vec<String>, item: &Item<'_>| {
        if host.is_empty() || host.contains([':', '=']) {
            item.complain("this has no valid name of a host", "write `HOST=ADDRESS`");
        } else {
            hosts.entry(host.to_owned()).or_default().extend(addresses);
        }
    };
    if item.node.list().is_some() {
        for item in item.list() {
            let Some(text) = item.text() else { continue };
            match text.split_once('=').or_else(|| text.split_once(':')) {
                Some((host, addresses)) => add(host, addresses.split(',').map(unbracketed).collect(), &item),
                None => item.complain("an address is missing", "write `HOST=ADDRESS`"),
            }
        }
        return hosts;
    }
    for (host, item) in item.entries() {
        let addresses = match &item.node.value {
            Value::List(_) => item.list().iter().filter_map(Item::text).collect(),
            _ => item.text().into_iter().collect::<Vec<_>>(),
        };
        add(host, addresses.iter().map(|address| unbracketed(address)).collect(), &item);
    }
    hosts
}
