//! What is desired: a machine, whose it is, and where it may be made.

use std::{collections::BTreeMap, fmt};

use uuid::Uuid;

use super::{Power, Terms};
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
#[derive(Clone, Debug, Default)]
pub struct MachineSpec {
    /// Name in Proxmox, a DNS name.
    pub name: String,
    /// What it is cloned from.
    pub source: Source,
    /// CPU cores; as they are, if not given.
    pub cores: Option<u32>,
    /// Memory in MiB; as it is, if not given.
    pub memory_mib: Option<u64>,
    /// Size of the boot disk in bytes; as it is, if not given.
    pub disk_bytes: Option<u64>,
    /// The storage that the boot disk is to be made on, if not that of the template.
    pub storage: Option<String>,
    /// The disks beside it, by their names.
    pub disks: BTreeMap<String, ExtraDisk>,
    /// The pool that it is in; as it is, if not given.
    pub pool: Option<String>,
    /// Only what differs from the template is stored.
    pub linked: bool,
    /// Where it is made.
    pub placement: Placement,
    /// What cloud-init is told, if anything.
    pub cloud_init: Option<CloudInit>,
    /// Whether it runs, and how that changes.
    pub power: PowerSpec,
    /// CPU sockets; as they are, if not given.
    pub sockets: Option<u32>,
    /// Model of the CPU, as Proxmox names it; as it is, if not given.
    pub cpu_type: Option<String>,
    /// Network cards, by their key in Proxmox. Others are left as they are.
    pub nics: BTreeMap<String, Nic>,
    /// Whether its node starts it when it boots itself; as it is, if not given.
    pub on_boot: Option<bool>,
    /// Whether Proxmox refuses to remove it; as it is, if not given.
    pub protection: Option<bool>,
    /// The user's part of the notes; as it is, if not given.
    pub description: Option<String>,
    /// Tags beside ours.
    pub tags: Vec<String>,
    /// It is made anew when it ran once and is nowhere any more.
    pub recreate: bool,
}

/// A disk beside the one that the machine boots from. What is not given stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraDisk {
    /// Size in bytes.
    pub bytes: u64,
    /// The storage that it is made on, if not that of the boot disk.
    pub storage: Option<String>,
    /// What the guest deletes becomes free on the storage.
    pub discard: Option<bool>,
    /// The guest is told that it is a solid-state disk.
    pub ssd: Option<bool>,
    /// A thread of its own serves it.
    pub io_thread: Option<bool>,
    /// Backups have it in them.
    pub backup: Option<bool>,
    /// Its volume is removed when the spec names it no more.
    pub delete: bool,
}

impl MachineSpec {
    /// Bytes that the machine's disks need on each storage, its boot disk being on this one.
    pub fn demands<'a>(&'a self, boot_storage: &'a str) -> BTreeMap<&'a str, u64> {
        let mut demands = BTreeMap::from([(boot_storage, self.disk_bytes.unwrap_or(0))]);
        for disk in self.disks.values() {
            let bytes = demands.entry(disk.storage.as_deref().unwrap_or(boot_storage)).or_default();
            *bytes = bytes.saturating_add(disk.bytes);
        }
        demands
    }
}

/// A network card. What is not given stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// The bridge it is on.
    pub bridge: String,
    /// What the guest sees: `virtio`, `e1000`, …
    pub model: Option<String>,
    /// The VLAN, 0 for none.
    pub vlan: Option<u16>,
    /// Whether Proxmox' firewall is on for it.
    pub firewall: Option<bool>,
    /// Its address.
    pub mac: Option<String>,
}

/// Whether a machine runs, and how that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PowerSpec {
    /// What it is to be at rest; as it is, if not given.
    pub state: Option<Power>,
    /// How the guest is asked to end.
    pub shutdown: ShutdownSpec,
    /// What the last restart was asked for with; another value asks for another restart.
    pub restart: Option<String>,
    /// It is restarted for changes that take effect at no other time.
    pub reboot: bool,
}

impl Default for PowerSpec {
    fn default() -> Self {
        Self { state: Some(Power::Running), shutdown: ShutdownSpec::default(), restart: None, reboot: false }
    }
}

/// How a guest is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownSpec {
    /// Seconds that it has for it.
    pub seconds: u32,
    /// It is ended hard when its time is over.
    pub force: bool,
}

impl Default for ShutdownSpec {
    fn default() -> Self {
        Self { seconds: 180, force: false }
    }
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
    /// Nothing: it is there already, and becomes ours.
    Machine {
        /// Where it is said to be.
        place: Place,
        /// It is only looked at.
        dry_run: bool,
    },
}

impl Source {
    /// The machine that is to be adopted.
    pub(super) fn adoptee(&self) -> Option<&Place> {
        match self {
            Self::Os(_) | Self::Template { .. } => None,
            Self::Machine { place, dry_run: _ } => Some(place),
        }
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::Os(String::new())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Os(os) => f.write_str(os),
            Self::Template { template, node: None } => template.fmt(f),
            Self::Template { template, node: Some(node) } => write!(f, "{template} on {node}"),
            Self::Machine { place: Place { node, vmid }, dry_run: _ } => write!(f, "VM {vmid} on {node}"),
        }
    }
}

/// What cloud-init is told.
#[derive(Clone, Debug, Default)]
pub struct CloudInit {
    /// Name of the user.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Password>,
    /// Public SSH keys, one each.
    pub ssh_keys: Vec<String>,
    /// Addresses, by the key in Proxmox, `ipconfig0`: the parts of the value, `ip` and `gw`, `ip6` and `gw6`.
    pub addresses: BTreeMap<String, BTreeMap<String, String>>,
    /// Name servers.
    pub dns_servers: Vec<String>,
    /// The domain in which names are looked for.
    pub search_domain: Option<String>,
}

/// A password. Proxmox never tells it again.
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    /// What the user types.
    pub text: String,
    /// Which version of its source this is: another version may be another password.
    pub version: String,
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Password").field("version", &self.version).finish_non_exhaustive()
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
    Gone {
        /// Whether the spec protects it, which holds also against the deletion of its object.
        protection: Option<bool>,
        /// Whether its machine was there before it.
        adopted: bool,
    },
    /// Its machine stays as it is, without our marks. Nothing else of it is to be left.
    LetGo {
        /// Whether its machine was there before it.
        adopted: bool,
    },
}

impl Desired {
    /// Whether the object is to end.
    pub fn is_end(&self) -> bool {
        match self {
            Self::Running { .. } => false,
            Self::Gone { .. } | Self::LetGo { .. } => true,
        }
    }
}
