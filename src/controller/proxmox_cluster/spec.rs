//! From the spec to the words of the plan.

use std::collections::BTreeMap;

use crate::{
    api::proxmox_cluster::{ProxmoxClusterSpec, Template},
    proxmox::plan::{Fleet, FleetNode, TemplateRef},
};

/// The nodes, with the templates that hold for each.
///
/// # Errors
/// What of the spec means nothing, though the schema lets it in.
pub fn fleet_of(spec: &ProxmoxClusterSpec) -> Result<Fleet, String> {
    let number = |vmid: i64| u32::try_from(vmid).map_err(|_| format!("{vmid} is no VMID"));
    let template = |template: &Template| match (template.vmid, &template.name, &template.tag) {
        (Some(vmid), ..) => number(vmid).map(TemplateRef::Vmid),
        (_, Some(name), _) => Ok(TemplateRef::Name(name.clone())),
        (_, _, Some(tag)) => Ok(TemplateRef::Tag(tag.to_lowercase())),
        (None, None, None) => Err(format!("the template for {} is not said", template.os)),
    };
    let mut nodes = Vec::new();
    for node in &spec.nodes {
        let mut templates = BTreeMap::new();
        // The node's own come last and win.
        for each in spec.templates.iter().chain(&node.templates) {
            templates.insert(each.os.clone(), template(each)?);
        }
        nodes.push(FleetNode { name: node.name.clone(), cordoned: node.cordoned, templates });
    }
    let mut ranges = BTreeMap::new();
    for range in &spec.vmid_ranges {
        ranges.insert(range.os.clone(), (number(range.from)?, number(range.to)?));
    }
    let fallback = (number(spec.fallback_vmid_range.from)?, number(spec.fallback_vmid_range.to)?);
    let reserve = spec.reserve.clone().unwrap_or_default();
    let count = |number: i64| usize::try_from(number).unwrap_or(1);
    Ok(Fleet {
        clones_per_node: count(spec.clones.per_node),
        clones_per_template: count(spec.clones.per_template),
        nodes,
        ranges,
        fallback,
        reserve_memory: reserve.memory.map_or(0, |size| size.bytes().unsigned_abs()),
        reserve_storage: reserve.storage.map_or(0, |size| size.bytes().unsigned_abs()),
    })
}
