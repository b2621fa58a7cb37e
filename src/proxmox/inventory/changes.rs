//! What is different between two states of a site: whom to wake.

use std::collections::{BTreeMap, BTreeSet};

use crate::proxmox::wire::{Upid, Vmid};

use super::state::{SiteId, SiteState, VmEntry};

/// What changed in a site from one poll to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub site: SiteId,
    /// Guests that appeared, vanished, or are not as they were (load and uptime aside).
    pub vms: BTreeSet<Vmid>,
    /// Tasks that began, ended, or were forgotten.
    pub tasks: BTreeSet<Upid>,
    /// Nodes of ours that can be reached now, or no more.
    pub nodes: BTreeSet<String>,
    /// Whether its error or its quorum is different.
    pub state: bool,
    /// Whether all marks are known now, or not any more: of concern to whoever searches a machine, and to nobody else.
    pub marks: bool,
}

impl Changes {
    /// From one state of a site to the next.
    pub(super) fn between(site: SiteId, before: &SiteState, now: &SiteState) -> Self {
        let summary = |state: &SiteState| {
            (state.error.clone(), state.quorate, state.stale, state.cluster.clone(), state.version.clone())
        };
        Self {
            site,
            vms: differing(&before.vms, &now.vms, is_same_guest),
            tasks: differing(&before.tasks, &now.tasks, PartialEq::eq),
            nodes: differing(&before.nodes, &now.nodes, |one, other| one.reach == other.reach),
            state: summary(before) != summary(now),
            marks: before.marks_complete() != now.marks_complete(),
        }
    }

    pub fn is_empty(&self) -> bool {
        let Self { site: _, vms, tasks, nodes, state, marks } = self;
        vms.is_empty() && tasks.is_empty() && nodes.is_empty() && !state && !marks
    }
}

fn is_same_guest(one: &VmEntry, other: &VmEntry) -> bool {
    let VmEntry {
        node,
        proxmox_node,
        kind,
        name,
        template,
        status,
        lock,
        tags,
        pool,
        max_memory,
        max_disk,
        uptime: _,
        details,
        details_due: _,
    } = one;
    let place =
        (node, proxmox_node, kind, template) == (&other.node, &other.proxmox_node, &other.kind, &other.template);
    let state =
        (status, lock, max_memory, max_disk) == (&other.status, &other.lock, &other.max_memory, &other.max_disk);
    let texts = (name, tags, pool) == (&other.name, &other.tags, &other.pool);
    place && state && texts && *details == other.details
}

/// The keys whose values differ, or that only one of the maps has.
fn differing<K: Ord + Clone, V>(
    one: &BTreeMap<K, V>,
    other: &BTreeMap<K, V>,
    same: impl Fn(&V, &V) -> bool,
) -> BTreeSet<K> {
    let here = one.iter().filter(|(key, value)| match other.get(key) {
        Some(now) => !same(value, now),
        None => true,
    });
    let new = other.keys().filter(|key| !one.contains_key(key));
    here.map(|(key, _)| key).chain(new).cloned().collect()
}
