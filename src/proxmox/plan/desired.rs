//! What is desired: a machine, whose it is, and where it may be made.

use std::{collections::BTreeMap, fmt};

use uuid::Uuid;

use super::Terms;
use crate::proxmox::{
    identity::{self, Mark},
    inventory::Snapshot,
    wire::Vmid,
};

/// Where a machine is: a node by our name of it, and a VMID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The node, by its name in our list.
    pub node: String,
    /// The VMID.
    pub vmid: Vmid,
}

/// The machine that the spec asks for.
#[derive(Clone, Debug)]
pub struct MachineSpec {
    /// Name in Proxmox, a DNS name.
    pub name: String,
    /// What it is cloned from.
    pub source: Source,
    /// CPU cores.
    pub cores: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Size of the boot disk in bytes.
    pub disk_bytes: u64,
    /// The storage that the boot disk is to be made on, if not that of the template.
    pub storage: Option<String>,
    /// Only what differs from the template is stored.
    pub linked: bool,
    /// Where it is made.
    pub placement: Placement,
    /// What cloud-init is told, if anything.
    pub cloud_init: Option<CloudInit>,
}

/// Where a machine is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Our names of the nodes that may be chosen; all of them, if there is none.
    pub nodes: Vec<String>,
    /// Which of those that have room is chosen.
    pub policy: Policy,
    /// What the machines that are spread have in common.
    pub group: Option<String>,
}

/// Which of the nodes that have room is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The first of the list.
    #[default]
    Ordered,
    /// The one that has most left of what it has least of.
    MostFree,
    /// The one with the fewest machines of the group.
    Spread,
}

/// What a machine is cloned from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The template that each node has for this operating system.
    Os(String),
    /// A template that is named directly.
    Template {
        /// Which one.
        template: TemplateRef,
        /// Our name of the node that has it, if that is said.
        node: Option<String>,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Os(os) => f.write_str(os),
            Self::Template { template, node: None } => template.fmt(f),
            Self::Template { template, node: Some(node) } => write!(f, "{template} on {node}"),
        }
    }
}

/// What cloud-init is told.
#[derive(Clone, Default)]
pub struct CloudInit {
    /// Name of the user.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// Public SSH keys, one each.
    pub ssh_keys: Vec<String>,
}

impl fmt::Debug for CloudInit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudInit")
            .field("user", &self.user)
            .field("ssh_keys", &self.ssh_keys.len())
            .finish_non_exhaustive()
    }
}

/// Whose machine it is.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Id of the installation of this operator.
    pub installation: String,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Uid of the object.
    pub uid: String,
}

impl Owner {
    /// The mark that the owner's machine carries at a VMID.
    pub fn mark(&self, vmid: Vmid) -> Mark {
        Mark {
            installation: self.installation.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            vmid,
        }
    }

    /// The second mark: the SMBIOS UUID of the owner's machine at a VMID.
    pub fn smbios_uuid(&self, vmid: Vmid) -> Uuid {
        identity::smbios_uuid(&self.installation, &self.uid, vmid)
    }
}

/// The nodes and what an administrator laid down for them.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// The nodes, in the order in which they are tried.
    pub nodes: Vec<FleetNode>,
    /// VMIDs for an operating system.
    pub ranges: BTreeMap<String, (Vmid, Vmid)>,
    /// VMIDs for all others, and when a range is used up.
    pub fallback: (Vmid, Vmid),
    /// Memory that is kept free on each node, in bytes.
    pub reserve_memory: u64,
    /// Room that is kept free on each storage, in bytes.
    pub reserve_storage: u64,
    /// So many clones may run on a node.
    pub clones_per_node: usize,
    /// So many clones may run of a template of a node.
    pub clones_per_template: usize,
}

/// A node on which machines may be made.
#[derive(Clone, Debug)]
pub struct FleetNode {
    /// Our name of it.
    pub name: String,
    /// No new machines here.
    pub cordoned: bool,
    /// The template for each operating system.
    pub templates: BTreeMap<String, TemplateRef>,
}

/// How a template is found on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateRef {
    /// By its VMID.
    Vmid(Vmid),
    /// By its name.
    Name(String),
    /// By a tag.
    Tag(String),
}

impl TemplateRef {
    /// The templates that are meant and can be cloned to a node, each with our name of the node that has it: those on the
    /// node itself, else those that its siblings have on storages that it shares with them. One, if all is well.
    pub fn candidates<'a>(&'a self, snapshot: &'a Snapshot, node: &'a str) -> Vec<(&'a str, Vmid)> {
        let own: Vec<_> = self.found_on(snapshot, node).map(|vmid| (node, vmid)).collect();
        let Some(site) = snapshot.site_of(node).filter(|_| own.is_empty()) else { return own };
        let shares = |vmid: Vmid| {
            let storages = site.vms.get(&vmid).and_then(|entry| entry.details.as_ref()).map(|read| &read.storages);
            let here = site.nodes.get(node).map(|state| state.storages.as_slice()).unwrap_or_default();
            storages.is_some_and(|storages| {
                storages.iter().all(|name| here.iter().any(|storage| storage.name == *name && storage.shared))
            })
        };
        let siblings = site.nodes.keys().map(String::as_str).filter(|sibling| *sibling != node);
        siblings
            .flat_map(|sibling| self.found_on(snapshot, sibling).map(move |vmid| (sibling, vmid)))
            .filter(|(_, vmid)| shares(*vmid))
            .collect()
    }

    /// The templates on a node itself that are meant.
    fn found_on<'a>(&'a self, snapshot: &'a Snapshot, node: &'a str) -> impl Iterator<Item = Vmid> + 'a {
        let templates = snapshot.templates(node).filter(move |(vmid, entry)| match self {
            Self::Vmid(id) => vmid == id,
            Self::Name(name) => entry.exact_name() == Some(name),
            Self::Tag(tag) => entry.tags.contains(tag),
        });
        templates.map(|(vmid, _)| vmid)
    }
}

impl fmt::Display for TemplateRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vmid(vmid) => write!(f, "template with VMID {vmid}"),
            Self::Name(name) => write!(f, "template named {name}"),
            Self::Tag(tag) => write!(f, "template with the tag {tag}"),
        }
    }
}

/// All that is desired of an object.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Desired {
    /// The machine is to be there and to run.
    Running {
        /// What it is to be.
        machine: MachineSpec,
        /// Where it may be made.
        fleet: Fleet,
        /// What the administrator says to it.
        terms: Terms,
    },
    /// Nothing of it is to be left.
    Gone,
}
