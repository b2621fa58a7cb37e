//! What a node has for a machine, and how it suits.

use std::collections::HashMap;

use super::{Context, Fleet, FleetNode, MachineSpec, Policy, Reason, sites::Template};
use crate::proxmox::{
    inventory::{NodeState, StorageState},
    wire::Vmid,
};

/// Shares are told in thousandths.
const THOUSAND: u64 = 1000;

/// What a node has for a machine.
pub(super) struct Room<'a> {
    /// The template that it is cloned from.
    pub template: Template<'a>,
    state: &'a NodeState,
    /// Memory beyond the reserve, in bytes.
    memory: u64,
    /// The storage that its boot disk goes to.
    pub storage: &'a StorageState,
    /// The storages that its disks go to.
    pub demands: Vec<Demand<'a>>,
}

/// What the disks of a machine need on a storage.
#[derive(Clone, Copy)]
pub(super) struct Demand<'a> {
    /// The storage.
    pub storage: &'a StorageState,
    /// Bytes.
    pub bytes: u64,
}

impl Context<'_> {
    /// What the node has for this machine, or what it lacks.
    pub(super) fn room<'b>(
        &self,
        spec: &MachineSpec,
        fleet: &Fleet,
        node: &FleetNode,
        state: &'b NodeState,
        template: Template<'b>,
    ) -> Result<Room<'b>, Reason> {
        if spec.cloud_init.is_some() && !template.has_cloudinit {
            return Err(Reason::new(
                "NoCloudInitDrive",
                format!("template {} has no cloud-init drive, which spec.cloudInit needs", template.vmid),
            ));
        }
        let Some(of_template) = template.storage else {
            return Err(Reason::new("NoTemplate", format!("template {} has no boot disk", template.vmid)));
        };
        if template.disk_bytes > spec.disk_bytes.unwrap_or(u64::MAX) {
            return Err(Reason::new(
                "DiskTooSmall",
                format!(
                    "the disk of template {} has {}, more than spec.disk.size",
                    template.vmid,
                    gib(template.disk_bytes)
                ),
            ));
        }
        if let Some(cores) = spec.cores.filter(|cores| u64::from(*cores) > u64::from(state.cpus)) {
            return Err(Reason::new("NotEnoughCpus", format!("has {} CPUs, {cores} are asked for", state.cpus)));
        }
        let memory = self.free_memory(&node.name, state).saturating_sub(fleet.reserve_memory);
        let needed = spec.memory_mib.unwrap_or(0).saturating_mul(1 << 20);
        if needed > memory {
            return Err(Reason::new(
                "NotEnoughMemory",
                format!("{} of memory free, {} asked for", gib(memory), gib(needed)),
            ));
        }
        let name = spec.storage.as_deref().unwrap_or(of_template);
        let storage = usable_storage(state, name)?;
        if template.node != node.name && !storage.shared {
            let message = format!("the template is on {}, and storage {name} is not shared with it", template.node);
            return Err(Reason::new("StorageNotShared", message));
        }
        let mut demands = Vec::new();
        for (name, bytes) in spec.demands(name) {
            let demand = Demand { storage: usable_storage(state, name)?, bytes };
            if let Some(reason) = self.lack_of_storage(&node.name, demand, demand.storage.avail) {
                return Err(reason);
            }
            demands.push(demand);
        }
        Ok(Room { template, state, memory, storage, demands })
    }

    /// Whether what is needed does not fit beside what is being made.
    pub(super) fn lack_of_storage(&self, node: &str, demand: Demand<'_>, available: u64) -> Option<Reason> {
        let Demand { storage, bytes } = demand;
        let in_flight = self.disks_in_flight(node, storage);
        let room = available.saturating_sub(in_flight).saturating_sub(self.reserve_storage);
        (bytes > room).then(|| {
            let message = format!("{} free on {}, {} asked for", gib(room), storage.name, gib(bytes));
            Reason::new("NotEnoughStorage", message)
        })
    }

    /// What is being written to a storage and does not show there in full yet: of a shared one, from whichever node.
    fn disks_in_flight(&self, node: &str, storage: &StorageState) -> u64 {
        let siblings = if storage.shared { self.siblings(node) } else { Vec::new() };
        let nodes = std::iter::once(node).chain(siblings.iter().map(String::as_str));
        nodes.map(|node| self.others().disks_on(node, &storage.name)).fold(0, u64::saturating_add)
    }

    /// How a node that has room suits the machine: the less the better.
    pub(super) fn preference(&self, spec: &MachineSpec, node: &FleetNode, room: &Room<'_>) -> u64 {
        match spec.placement.policy {
            Policy::Ordered => 0,
            Policy::MostFree => THOUSAND.saturating_sub(self.scarcest(spec, node, room)),
            Policy::Spread => self.others().of_group(spec.placement.group.as_deref(), &node.name) as u64,
        }
    }

    /// What would be left of what the node has least of, in thousandths of the whole.
    fn scarcest(&self, spec: &MachineSpec, node: &FleetNode, room: &Room<'_>) -> u64 {
        let Room { template: _, state, memory, storage: _, demands } = room;
        let share = |left: u64, whole: u64| left.saturating_mul(THOUSAND).checked_div(whole).unwrap_or(0);
        let MachineSpec { cores, memory_mib, .. } = spec;
        let asked = memory_mib.unwrap_or(0).saturating_mul(1 << 20);
        let memory = share(memory.saturating_sub(asked), state.max_memory);
        let left = |Demand { storage, bytes }: &Demand<'_>| {
            let taken = self.disks_in_flight(&node.name, storage).saturating_add(*bytes);
            share(storage.avail.saturating_sub(taken), storage.total)
        };
        let disk = demands.iter().map(left).min().unwrap_or(THOUSAND);
        // What was placed here and does not run yet does not show in the load.
        let cores = self.others().cores_on(&node.name).saturating_add(u64::from(cores.unwrap_or(0)));
        let load = u64::from(state.cpu_load).saturating_add(share(cores, u64::from(state.cpus)));
        memory.min(disk).min(THOUSAND.saturating_sub(load))
    }

    /// Memory that is neither used nor promised: a node's own figure rises only as guests touch theirs, so what the
    /// machines may take counts, and so does what is being made and does not show yet.
    fn free_memory(&self, node: &str, state: &NodeState) -> u64 {
        let mut unlisted: HashMap<Vmid, u64> = self.others().memory_on(node).collect();
        let mut promised: u64 = 0;
        for (vmid, entry) in self.machines_on(node) {
            let claimed = unlisted.remove(&vmid).unwrap_or(0);
            promised = promised.saturating_add(entry.max_memory.max(claimed));
        }
        let promised = unlisted.into_values().fold(promised, u64::saturating_add);
        state.max_memory.saturating_sub(state.used_memory.max(promised))
    }
}

/// A storage that a node has and that answers.
pub(super) fn usable_storage<'a>(state: &'a NodeState, name: &str) -> Result<&'a StorageState, Reason> {
    let found = state.storages.iter().find(|storage| storage.name == name && storage.active);
    found.ok_or_else(|| Reason::new("StorageOffline", format!("storage {name} is not available")))
}

/// Bytes for people.
fn gib(bytes: u64) -> String {
    let mib = bytes >> 20;
    if mib.is_multiple_of(1024) { format!("{} GiB", mib >> 10) } else { format!("{mib} MiB") }
}
