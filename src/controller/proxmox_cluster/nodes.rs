//! What the status of a cluster says of its nodes.
//!
//! Figures that come and go keep the value that was told last until they differ from it by a twentieth, so that a cluster at
//! rest has nothing to write.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    api::{
        ProxmoxCluster,
        proxmox_cluster::{FoundTemplate, Node, NodeStatus, OsStatus, ProxmoxClusterSpec, StorageStatus},
    },
    controller::status::to_second,
    proxmox::{
        inventory::{NodeState, Reach, Snapshot, StorageState},
        plan::{Fleet, TemplateRef},
    },
};

const GIB: u64 = 1 << 30;
/// A load is told anew when it has changed by so many percent.
const LOAD_STEP: i64 = 10;

/// Each node of the spec, in its order.
pub fn statuses(
    cluster: &ProxmoxCluster,
    fleet: Option<&Fleet>,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Vec<NodeStatus> {
    let known = cluster.status.as_ref().map(|status| status.nodes.as_slice()).unwrap_or_default();
    let nodes = cluster.spec.nodes.iter().map(|node| {
        let known = known.iter().find(|known| known.name == node.name);
        let laid_down = fleet.and_then(|fleet| fleet.nodes.iter().find(|laid_down| laid_down.name == node.name));
        status(node, laid_down.map(|node| &node.templates), snapshot, known, now)
    });
    nodes.collect()
}

/// Each operating system of the spec, and on how many nodes its template was found.
pub fn templates(spec: &ProxmoxClusterSpec, nodes: &[NodeStatus]) -> Vec<OsStatus> {
    let of_nodes = spec.nodes.iter().flat_map(|node| &node.templates);
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for template in spec.templates.iter().chain(of_nodes) {
        counts.entry(&template.os).or_default();
    }
    for found in nodes.iter().flat_map(|node| &node.templates) {
        *counts.entry(&found.os).or_default() += 1;
    }
    counts.into_iter().map(|(os, nodes)| OsStatus { os: os.to_owned(), nodes }).collect()
}

fn status(
    node: &Node,
    templates: Option<&BTreeMap<String, TemplateRef>>,
    snapshot: &Snapshot,
    known: Option<&NodeStatus>,
    now: Timestamp,
) -> NodeStatus {
    let Some(state) = snapshot.node(&node.name) else {
        let message = Some("not asked yet".to_owned());
        return NodeStatus { name: node.name.clone(), message, since: Some(to_second(now)), ..NodeStatus::default() };
    };
    let (online, message) = match (&state.reach, &state.last_error) {
        (Reach::Online, error) => (true, error.clone()),
        (Reach::Offline, _) => (false, Some("offline".to_owned())),
        (Reach::Unknown(why), _) => (false, Some(why.clone())),
    };
    let since = match known {
        Some(known) if known.online == online && known.message == message => known.since.clone(),
        _ => Some(to_second(now)),
    };
    let found = templates.into_iter().flatten().filter_map(|(os, wanted)| {
        // Which of several is meant, nobody can say.
        match wanted.candidates(snapshot, &node.name).as_slice() {
            [(source, vmid)] => Some(FoundTemplate {
                os: os.clone(),
                vmid: i64::from(*vmid),
                node: (*source != node.name).then(|| (*source).to_owned()),
            }),
            _ => None,
        }
    });
    NodeStatus {
        name: node.name.clone(),
        online,
        version: snapshot.site_of(&node.name).and_then(|site| site.version.clone()),
        templates: found.collect(),
        running_clones: Some(i64::try_from(snapshot.running_clones(&node.name)).unwrap_or(i64::MAX)),
        message,
        since,
        ..resources(state, known)
    }
}

/// What a node has, as far as it can be known.
fn resources(state: &NodeState, known: Option<&NodeStatus>) -> NodeStatus {
    if state.max_memory == 0 {
        return NodeStatus::default();
    }
    let before = known.and_then(|known| known.memory_free.as_deref());
    let storages = state.storages.iter().filter(|storage| storage.content.iter().any(|kind| kind == "images"));
    NodeStatus {
        memory_free: Some(settled(before, state.free_memory(), state.max_memory)),
        memory_total: Some(gib(state.max_memory)),
        cpus: Some(i64::from(state.cpus)),
        cpu_load: Some(load(known.and_then(|known| known.cpu_load), i64::from(state.cpu_load / 10))),
        storages: storages.map(|storage| storage_status(storage, known)).collect(),
        ..NodeStatus::default()
    }
}

fn storage_status(storage: &StorageState, known: Option<&NodeStatus>) -> StorageStatus {
    let StorageState { name, shared, active, content: _, total, used: _, avail } = storage;
    let before = known.and_then(|known| known.storages.iter().find(|known| known.name == *name));
    StorageStatus {
        name: name.clone(),
        active: *active,
        shared: *shared,
        free: settled(before.map(|before| before.free.as_str()), *avail, *total),
        total: gib(*total),
    }
}

fn gib(bytes: u64) -> String {
    format!("{}Gi", bytes / GIB)
}

/// The figure that was told before, unless the new one differs from it by a twentieth of the whole, or by a GiB if that is
/// more.
fn settled(before: Option<&str>, bytes: u64, total: u64) -> String {
    let step = (total / 20).max(GIB);
    let told = before.and_then(|before| before.strip_suffix("Gi")?.parse::<u64>().ok());
    match (before, told) {
        (Some(before), Some(told)) if told.saturating_mul(GIB).abs_diff(bytes) < step => before.to_owned(),
        _ => gib(bytes),
    }
}

fn load(before: Option<i64>, percent: i64) -> i64 {
    before.filter(|before| before.abs_diff(percent) < LOAD_STEP.unsigned_abs()).unwrap_or(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_stays_until_it_has_changed_by_a_twentieth() {
        assert_eq!(settled(None, 10 * GIB + 1, 100 * GIB), "10Gi");
        assert_eq!(settled(Some("10Gi"), 14 * GIB, 100 * GIB), "10Gi");
        assert_eq!(settled(Some("10Gi"), 5 * GIB, 100 * GIB), "5Gi");
        assert_eq!(settled(Some("10Gi"), 15 * GIB, 100 * GIB), "15Gi");
        assert_eq!(settled(Some("3Gi"), 3 * GIB + GIB / 2, 4 * GIB), "3Gi");
        assert_eq!(settled(Some("3Gi"), 0, 4 * GIB), "0Gi");
        assert_eq!(settled(Some("much"), 3 * GIB, 4 * GIB), "3Gi");
    }

    #[test]
    fn a_load_stays_until_it_has_changed_by_a_tenth() {
        assert_eq!(load(None, 7), 7);
        assert_eq!(load(Some(7), 16), 7);
        assert_eq!(load(Some(7), 17), 17);
        assert_eq!(load(Some(30), 7), 7);
    }
}
