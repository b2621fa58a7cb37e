//! What the plan asks of the inventory beyond its plain data.

use jiff::SignedDuration;

use super::{Context, Intent, Place};
use crate::proxmox::{
    inventory::{Claim, TaskState, VmEntry},
    wire::Vmid,
};

/// So long a host that belongs to no cluster may be silent before it counts as gone.
const LONG: SignedDuration = SignedDuration::from_secs(60);

/// A template whose config was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Template<'a> {
    /// Its VMID.
    pub vmid: Vmid,
    /// Size of its boot disk in bytes.
    pub disk_bytes: u64,
    /// The storage of its boot disk, where a full clone goes too.
    pub storage: Option<&'a str>,
    /// Whether it has a drive for cloud-init.
    pub has_cloudinit: bool,
}

impl<'a> Context<'a> {
    /// Whether the node's cluster can change anything.
    pub(super) fn is_quorate(&self, node: &str) -> bool {
        self.snapshot().site_of(node).is_some_and(|site| site.quorate && !site.stale)
    }

    /// Whether a node has been silent for so long that it counts as gone.
    pub(super) fn long_unreachable(&self, node: &str) -> bool {
        let since = self.snapshot().site_of(node).and_then(|site| site.failing_since);
        since.is_some_and(|since| self.now.duration_since(since) > LONG)
    }

    /// A template, once its config was read.
    pub(super) fn template(&self, node: &str, vmid: Vmid) -> Option<Template<'a>> {
        let details = self.snapshot().vm(node, vmid)?.details.as_ref()?;
        Some(Template {
            vmid,
            disk_bytes: details.boot_disk_size.unwrap_or(0),
            storage: details.boot_storage.as_deref(),
            has_cloudinit: details.has_cloudinit,
        })
    }

    /// The guests on a node that can take memory: all but templates.
    pub(super) fn machines_on(&self, node: &str) -> impl Iterator<Item = (Vmid, &'a VmEntry)> {
        let guests = self.snapshot().site_of(node).into_iter().flat_map(|site| &site.vms);
        guests
            .filter(move |(_, entry)| !entry.template && entry.node.as_deref() == Some(node))
            .map(|(vmid, entry)| (*vmid, entry))
    }

    /// Whether another node of the place's cluster has the VMID.
    pub(super) fn is_elsewhere(&self, place: &Place) -> bool {
        self.snapshot().vm(&place.node, place.vmid).is_some_and(|entry| entry.node.as_deref() != Some(&place.node))
    }

    /// Whether the list has the VMID on that very node.
    pub(super) fn lists(&self, place: &Place) -> bool {
        self.snapshot().vm(&place.node, place.vmid).is_some_and(|entry| entry.node.as_deref() == Some(&place.node))
    }

    /// Our names of the other nodes of a node's cluster.
    pub(super) fn siblings(&self, node: &str) -> Vec<String> {
        let site = self.snapshot().site_of(node);
        site.into_iter().flat_map(|site| site.nodes.keys()).filter(|name| *name != node).cloned().collect()
    }

    /// How many clones run on the intent's node from its template; from any, if that is not known.
    pub(super) fn running_clones(&self, intent: &Intent) -> usize {
        let node = &intent.place.node;
        match intent.template {
            Some(template) => self.snapshot().running_clones_of(node, template),
            None => self.running_tasks(node, |kind, _| kind == "qmclone"),
        }
    }

    /// Whether a task runs that is filed under the place's VMID.
    pub(super) fn is_busy(&self, place: &Place) -> bool {
        let vmid = place.vmid.to_string();
        self.running_tasks(&place.node, |_, id| id == vmid) > 0
    }

    fn running_tasks(&self, node: &str, wanted: impl Fn(&str, &str) -> bool) -> usize {
        let (Some(site), Some(state)) = (self.snapshot().site_of(node), self.node(node)) else { return 0 };
        let running = site.tasks.iter().filter(|(upid, task)| {
            **task == TaskState::Running && upid.node() == state.proxmox_name && wanted(upid.kind(), upid.id())
        });
        running.count()
    }

    /// Machines that carry a mark with the object's namespace and name, whatever its uid.
    pub(super) fn claims_of_name(&self) -> Vec<Claim> {
        let owner = self.owner;
        let claims = self.snapshot().all_claims();
        claims
            .filter(|claim| {
                claim.mark.installation == owner.installation
                    && claim.mark.namespace == owner.namespace
                    && claim.mark.name == owner.name
            })
            .collect()
    }

    /// The nodes of which it is not known whether a machine on them carries our mark.
    pub(super) fn unsearched(&self) -> Vec<String> {
        let sites = self.snapshot().sites().filter(|(_, site)| !site.marks_complete());
        sites.flat_map(|(_, site)| site.nodes.keys().cloned()).collect()
    }
}
