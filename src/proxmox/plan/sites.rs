//! What the plan asks of the inventory beyond its plain data.

use jiff::SignedDuration;

use super::{
    Context, Intent, Place, Planned, Reason, Seen, Step, Task, TaskAction,
    whose::{Whose, whose},
};
use crate::proxmox::{
    inventory::{Claim, GuestKind, Reach, SiteState, TaskState, VmEntry},
    wire::Vmid,
};

/// So long a host that belongs to no cluster may be silent before it counts as gone.
const LONG: SignedDuration = SignedDuration::from_secs(60);

/// What else has a VMID in a cluster.
pub(super) enum Elsewhere {
    /// Nothing.
    Nobody,
    /// Somebody's machine or container.
    Somebody,
    /// Our machine, which was moved there.
    Ours(Place),
}

/// A template whose config was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Template<'a> {
    /// Our name of the node that has it.
    pub node: &'a str,
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
    /// Whether the node that answers for the cluster says that it has no quorum.
    pub(super) fn lacks_quorum(&self, node: &str) -> bool {
        self.snapshot().site_of(node).is_some_and(|site| site.at.is_some() && !site.quorate)
    }

    /// Whether the node's cluster can change anything.
    pub(super) fn is_quorate(&self, node: &str) -> bool {
        self.snapshot().site_of(node).is_some_and(|site| site.quorate && !site.stale)
    }

    /// Whether a node is gone: its cluster says so, it is named no more, or it has been silent for long.
    pub(super) fn is_gone(&self, node: &str) -> bool {
        let Some(state) = self.node(node) else { return true };
        let silent = self.snapshot().site_of(node).and_then(|site| site.failing_since);
        state.reach == Reach::Offline || silent.is_some_and(|since| self.now.duration_since(since) > LONG)
    }

    /// Whether what guests there are, and whose, is just being read for the first time.
    pub(super) fn is_reading(&self) -> bool {
        let reading = |site: &SiteState| {
            let mut machines = site.vms.values().filter(|entry| entry.kind == GuestKind::Qemu).peekable();
            site.error.is_none()
                && !site.stale
                && (site.at.is_none() || machines.peek().is_some() && machines.all(|entry| entry.details.is_none()))
        };
        self.snapshot().sites().any(|(_, site)| reading(site))
    }

    /// A template, once its config was read.
    pub(super) fn template(&self, node: &'a str, vmid: Vmid) -> Option<Template<'a>> {
        let details = self.snapshot().vm(node, vmid)?.details.as_ref()?;
        Some(Template {
            node,
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

    /// What else has the VMID in the place's cluster: a machine on another node, or a container.
    pub(super) fn elsewhere(&self, place: &Place) -> Planned<Elsewhere> {
        let Some(entry) = self.snapshot().vm(&place.node, place.vmid) else { return Ok(Elsewhere::Nobody) };
        let node = match &entry.node {
            Some(node) if entry.kind == GuestKind::Qemu => node.clone(),
            _ => return Ok(Elsewhere::Somebody),
        };
        if node == place.node {
            return Ok(Elsewhere::Nobody);
        }
        let other = Place { node, vmid: place.vmid };
        Ok(match self.sight(&other)? {
            // The list is from before.
            Seen::Absent => Elsewhere::Nobody,
            Seen::Present(machine) if whose(self.owner, &other, &machine.config) == Whose::Ours => {
                Elsewhere::Ours(other)
            }
            Seen::Present(_) | Seen::Unknown(_) => Elsewhere::Somebody,
        })
    }

    /// Proxmox' name of the node where another guest of the place's cluster has the VMID, as far as the list knows: its
    /// volumes carry it too.
    pub(super) fn other_holder(&self, place: &Place) -> Option<&'a str> {
        let entry = self.snapshot().vm(&place.node, place.vmid)?;
        let other = entry.kind != GuestKind::Qemu || entry.node.as_deref() != Some(&place.node);
        other.then_some(&entry.proxmox_node)
    }

    /// Proxmox' own name of a node.
    pub(super) fn proxmox_name(&self, node: &str) -> &'a str {
        self.node(node).map_or("", |state| &state.proxmox_name)
    }

    /// Whether two of our nodes belong to one cluster.
    pub(super) fn is_same_site(&self, one: &str, other: &str) -> bool {
        let site = |name: &str| self.node(name).map(|node| node.site);
        site(one).is_some() && site(one) == site(other)
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

    /// Whether a clone runs that may be the one to the place: of the attempt's template, if that is known.
    pub(super) fn is_cloning(&self, place: &Place, intent: Option<&Intent>) -> bool {
        match intent.and_then(|intent| Some((intent.template_node.as_ref().unwrap_or(&place.node), intent.template?))) {
            Some((node, template)) => self.snapshot().running_clones_of(node, template) > 0,
            None => self.running_tasks(&place.node, |kind, _| kind == "qmclone") > 0,
        }
    }

    /// Whether the list shows the place with this lock, so that it and its tasks are not from before or after.
    pub(super) fn lists_lock(&self, place: &Place, lock: Option<&str>) -> bool {
        self.is_quorate(&place.node)
            && self.lists(place)
            && self.snapshot().vm(&place.node, place.vmid).is_some_and(|entry| entry.lock.as_deref() == lock)
    }

    /// A machine of ours that stands where it cannot be reached: on a node of a cluster that is none of our nodes.
    pub(super) fn claim_out_of_reach(&self) -> Option<Step> {
        let claims = self.snapshot().claims(&self.owner.uid);
        let claim =
            claims.into_iter().find(|claim| claim.node.is_none() && claim.mark == self.owner.mark(claim.vmid))?;
        Some(Step::Stall(Reason::new(
            "OutOfReach",
            format!(
                "VM {} carries the mark of this object on {}, which the ProxmoxCluster does not name; add that node to \
                 it, or move the machine",
                claim.vmid, claim.proxmox_node
            ),
        )))
    }

    /// Whether a task runs that is filed under the place's VMID.
    pub(super) fn is_busy(&self, place: &Place) -> bool {
        let vmid = place.vmid.to_string();
        self.running_tasks(&place.node, |_, id| id == vmid) > 0
    }

    /// The task that waits for the place's guest to shut down, whoever asked for it.
    pub(super) fn running_shutdown(&self, place: &Place) -> Option<Task> {
        let (site, state) = (self.snapshot().site_of(&place.node)?, self.node(&place.node)?);
        let vmid = place.vmid.to_string();
        let mut running = site.tasks.iter().filter(|(_, task)| **task == TaskState::Running).map(|(upid, _)| upid);
        let upid = running
            .find(|upid| upid.node() == state.proxmox_name && upid.kind() == "qmshutdown" && upid.id() == vmid)?;
        Some(Task { upid: upid.clone(), node: place.node.clone(), action: TaskAction::Shutdown })
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
        let claims = self.snapshot().claims_of_name(&owner.name);
        claims
            .filter(|claim| claim.mark.installation == owner.installation && claim.mark.namespace == owner.namespace)
            .collect()
    }

    /// Where there are machines with our second mark, which says the VMID too.
    pub(super) fn second_marks(&self) -> Vec<Place> {
        let machines = self.snapshot().sites().flat_map(|(_, site)| &site.vms);
        machines
            .filter(|(vmid, entry)| {
                let uuid = entry.details.as_ref().and_then(|details| details.smbios_uuid);
                uuid.is_some_and(|uuid| uuid == self.owner.smbios_uuid(**vmid))
            })
            .filter_map(|(vmid, entry)| Some(Place { node: entry.node.clone()?, vmid: *vmid }))
            .collect()
    }

    /// The nodes of which it is not known whether a machine on them carries our mark.
    pub(super) fn unsearched(&self) -> Vec<String> {
        let sites = self.snapshot().sites().filter(|(_, site)| !site.marks_complete());
        sites.flat_map(|(_, site)| site.nodes.keys().cloned()).collect()
    }
}
