//! What a `ProxmoxCluster` lets the tenants of a namespace ask for: one pure check over the whole of what they ask for.

mod request;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{ParseExpressionError, Selector, SelectorExt};

pub use self::request::{Disk, Nic, Request, Template};
use crate::{
    api::{
        common::VmidRange,
        proxmox_cluster::ProxmoxClusterSpec,
        size::Size,
        tenant::{Allow, AllowedNetwork, AllowedTemplates, Limits, Tenant, VlanRange},
    },
    proxmox::{
        identity,
        plan::{Reason, TAG},
    },
};

/// The word for what the policy does not allow.
pub const NOT_ALLOWED: &str = "NotAllowed";

/// An entry of a list of tenants.
pub trait Selects {
    /// The namespaces that it is about.
    fn selector(&self) -> &LabelSelector;
}

impl Selects for Tenant {
    fn selector(&self) -> &LabelSelector {
        &self.namespace_selector
    }
}

/// The entry that decides for a namespace with these labels; none, if none admits it.
///
/// # Errors
/// A selector that means nothing.
pub fn tenant_of<'a, T: Selects>(
    tenants: &'a [T],
    labels: &BTreeMap<String, String>,
) -> Result<Option<&'a T>, ParseExpressionError> {
    for tenant in tenants {
        if Selector::try_from(tenant.selector().clone())?.matches(labels) {
            return Ok(Some(tenant));
        }
    }
    Ok(None)
}

/// What the schema cannot check of the policy.
///
/// # Errors
/// The field and what is wrong with it.
pub fn validate(cluster: &ProxmoxClusterSpec) -> Result<(), String> {
    for (index, tenant) in cluster.tenants.iter().enumerate() {
        let field = format!("spec.tenants[{index}]");
        Selector::try_from(tenant.namespace_selector.clone())
            .map_err(|error| format!("{field}.namespaceSelector: {error}"))?;
        for network in tenant.allow.iter().flat_map(|allow| &allow.addresses) {
            network
                .parse::<IpNet>()
                .map_err(|_| format!("{field}.allow.addresses: {network:?} is no network, such as 10.20.0.0/16"))?;
        }
    }
    Ok(())
}

/// What is refused of a request, with the field, the value and what is allowed.
pub fn check(cluster: &ProxmoxClusterSpec, tenant: &Tenant, request: &Request<'_>) -> Option<Reason> {
    let Tenant { namespace_selector: _, allow, limits } = tenant;
    let closed = Allow::default();
    let unlimited = Limits::default();
    let mut refused = Vec::new();
    check_allowed(allow.as_ref().unwrap_or(&closed), request, &mut refused);
    check_limits(limits.as_ref().unwrap_or(&unlimited), request, &mut refused);
    check_words(cluster, request, &mut refused);
    (!refused.is_empty()).then(|| Reason::new(NOT_ALLOWED, refused.join("; ")))
}

fn check_allowed(allow: &Allow, request: &Request<'_>, refused: &mut Vec<String>) {
    let Allow { templates, adoption, networks, mac_prefixes, addresses, storages, pools } = allow;
    let Request { template, adopts, disks, nics, addresses: own, pool, cores: _, memory: _, tags: _, texts: _ } =
        request;
    if let Some(template) = template {
        refused.extend(check_template(templates.as_ref(), template));
    }
    if let Some(vmid) = adopts
        && !has_vmid(adoption, *vmid)
    {
        let allowed = list(adoption.iter().map(vmids), "no machine may be adopted");
        refused.push(format!("spec.adopt: VM {vmid} may not be adopted; {allowed}"));
    }
    for nic in nics {
        refused.extend(check_nic(networks, mac_prefixes, nic));
    }
    for (field, address) in own {
        let within = |network: &String| network.parse::<IpNet>().is_ok_and(|network| network.contains(address));
        if !addresses.iter().any(within) {
            let allowed = list(addresses.iter().cloned(), "no static address may be asked for");
            refused.push(format!("{field}: the address {address} may not be used; {allowed}"));
        }
    }
    for Disk { field, storage, .. } in disks {
        if let Some(storage) = storage
            && !matches_any(storages, storage)
        {
            let allowed = list(storages.iter().cloned(), "no storage may be named");
            refused.push(format!("{field}.storage: {storage:?} may not be used; {allowed}"));
        }
    }
    if let Some(pool) = pool
        && !matches_any(pools, pool)
    {
        let allowed = list(pools.iter().cloned(), "no pool may be named");
        refused.push(format!("spec.pool: {pool:?} may not be used; {allowed}"));
    }
}

fn check_template(allowed: Option<&AllowedTemplates>, template: &Template<'_>) -> Option<String> {
    let closed = AllowedTemplates::default();
    let AllowedTemplates { names, vmids: ranges } = allowed.unwrap_or(&closed);
    let (field, value, permitted) = match template {
        Template::Vmid(vmid) => ("spec.template.vmid", vmid.to_string(), has_vmid(ranges, *vmid)),
        Template::Name(name) => ("spec.template.name", format!("{name:?}"), matches_any(names, name)),
    };
    if permitted {
        return None;
    }
    let allowed = list(names.iter().cloned().chain(ranges.iter().map(vmids)), "no template may be named; give spec.os");
    Some(format!("{field}: {value} may not be used; {allowed}"))
}

fn check_nic(networks: &[AllowedNetwork], mac_prefixes: &[String], nic: &Nic<'_>) -> Vec<String> {
    let Nic { field, bridge, vlan, mac } = nic;
    let mut refused = Vec::new();
    let tagged = |AllowedNetwork { bridge: _, vlans }: &AllowedNetwork| match vlan {
        None => vlans.is_empty(),
        Some(vlan) => vlans.iter().any(|VlanRange { from, to }| (*from..=*to).contains(vlan)),
    };
    let known: Vec<_> = networks.iter().filter(|network| matches(&network.bridge, bridge)).collect();
    if known.is_empty() {
        let bridges = networks.iter().map(|network| network.bridge.clone());
        let allowed = list(bridges, "no bridge may be named");
        refused.push(format!("{field}.bridge: {bridge:?} may not be used; {allowed}"));
    } else if !known.iter().any(|network| tagged(network)) {
        let vlans = known.iter().flat_map(|network| &network.vlans).map(|VlanRange { from, to }| range(*from, *to));
        let allowed = list(vlans, "a network card there has no VLAN tag");
        let value = vlan.map_or_else(|| "to go without a tag is".to_owned(), |vlan| format!("{vlan} is"));
        refused.push(format!("{field}.vlan: {value} not allowed on {bridge}; {allowed}"));
    }
    if let Some(mac) = mac
        && !mac_prefixes.iter().any(|prefix| begins(mac, prefix))
    {
        let allowed = list(mac_prefixes.iter().map(|prefix| format!("{prefix}…")), "no MAC address may be asked for");
        refused.push(format!("{field}.mac: {mac} may not be used; {allowed}"));
    }
    refused
}

fn check_limits(limits: &Limits, request: &Request<'_>, refused: &mut Vec<String>) {
    let Limits { cores: most_cores, memory: most_memory, disk_size, disks: most_disks, machines: _ } = limits;
    let Request { cores, memory, disks, .. } = request;
    if let Some((cores, most)) = cores.zip(*most_cores)
        && cores > most
    {
        refused.push(format!("spec.cores: {cores} in all are asked for, and at most {most} are allowed"));
    }
    let more = |field: &str, size: &Size, most: &Option<Size>| {
        let most = (*most).filter(|most| size > most)?;
        Some(format!("{field}: {size} is asked for, and at most {most} is allowed"))
    };
    refused.extend(memory.as_ref().and_then(|memory| more("spec.memory", memory, most_memory)));
    refused.extend(disks.iter().filter_map(|disk| more(&format!("{}.size", disk.field), &disk.size, disk_size)));
    let count = i64::try_from(disks.len()).unwrap_or(i64::MAX);
    if let Some(most) = most_disks
        && count > *most
    {
        refused.push(format!("spec.disks: {count} disks in all are asked for, and at most {most} are allowed"));
    }
}

/// Marks and tags are how the operator and administrators tell whose a machine is: no tenant writes them.
fn check_words(cluster: &ProxmoxClusterSpec, request: &Request<'_>, refused: &mut Vec<String>) {
    let of_nodes = cluster.nodes.iter().flat_map(|node| &node.templates);
    let of_templates: Vec<String> = cluster
        .templates
        .iter()
        .chain(of_nodes)
        .filter_map(|template| Some(template.tag.as_ref()?.to_lowercase()))
        .collect();
    for tag in request.tags {
        // Proxmox compares tags without regard to case.
        let lower = tag.to_lowercase();
        let reserved = cluster.reserved_tags.iter().any(|pattern| matches(&pattern.to_lowercase(), &lower));
        if reserved || lower.starts_with(TAG) || of_templates.contains(&lower) {
            refused.push(format!("spec.tags: {tag:?} is reserved"));
        }
    }
    for (field, text) in &request.texts {
        if identity::contains_mark(text) {
            refused
                .push(format!("{field}: holds what looks like a mark of the operator, by which it knows its machines"));
        }
    }
}

/// Whether a name is meant by a pattern; `*` at its end stands for any ending.
pub fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

/// Whether a name is meant by any of the patterns.
pub fn matches_any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, name))
}

fn begins(mac: &str, prefix: &str) -> bool {
    mac.to_ascii_uppercase().starts_with(&prefix.to_ascii_uppercase())
}

fn has_vmid(ranges: &[VmidRange], vmid: i64) -> bool {
    ranges.iter().any(|VmidRange { from, to }| (*from..=*to).contains(&vmid))
}

fn vmids(VmidRange { from, to }: &VmidRange) -> String {
    range(*from, *to)
}

/// A range in words.
pub fn range(from: i64, to: i64) -> String {
    if from == to { from.to_string() } else { format!("{from}–{to}") }
}

/// What is allowed, in words.
pub fn list(allowed: impl Iterator<Item = String>, none: &str) -> String {
    let allowed: Vec<_> = allowed.collect();
    if allowed.is_empty() { none.to_owned() } else { format!("allowed: {}", allowed.join(", ")) }
}

/// The addresses of a request as the plan compares them.
pub fn addresses(request: &Request<'_>) -> crate::proxmox::wire::Addresses {
    let Request { nics, addresses, .. } = request;
    crate::proxmox::wire::Addresses {
        macs: nics.iter().filter_map(|nic| nic.mac).map(str::to_ascii_uppercase).collect(),
        ips: addresses.iter().map(|(_, address)| *address).collect::<std::collections::BTreeSet<IpAddr>>(),
    }
}
