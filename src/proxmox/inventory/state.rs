//! What is known of one site: its nodes, its guests, its tasks.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use uuid::Uuid;

use crate::proxmox::{
    client,
    identity::{Found, Mark},
    wire::{Addresses, NodeMember, Upid, VmConfig, Vmid, VolumeKind},
};

/// A site's place in the settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteId(pub usize);

/// What is known of one site: a cluster or a stand-alone host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SiteState {
    /// The cluster's name; a stand-alone host has none.
    pub cluster: Option<String>,
    /// Every node of the cluster, also those that are not in the settings.
    pub members: Vec<NodeMember>,
    /// Proxmox's version: `9.2.11`.
    pub version: Option<String>,
    /// Whether the node that answered last has quorum.
    pub quorate: bool,
    /// Why the last poll failed.
    pub error: Option<SiteError>,
    /// Since when every poll has failed.
    pub failing_since: Option<Timestamp>,
    /// When what is shown was asked for; never yet, if nothing.
    pub at: Option<Timestamp>,
    /// Whether a later poll failed or was without quorum, so that all this is from before.
    pub stale: bool,
    /// By our own names.
    pub nodes: BTreeMap<String, NodeState>,
    pub vms: BTreeMap<Vmid, VmEntry>,
    /// What runs, and what ended lately.
    pub tasks: BTreeMap<Upid, TaskState>,
}

impl SiteState {
    /// Whether a poll has come to its end, with whatever result.
    pub fn was_asked(&self) -> bool {
        self.at.is_some() || self.stale
    }
}

/// Why a site tells nothing. The texts hold no secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiteError {
    #[error("the credentials were refused: {0}")]
    Auth(String),
    #[error("{0}")]
    Fingerprint(String),
    #[error("{0}")]
    Certificate(String),
    #[error("{0}")]
    Unreachable(String),
    /// What is there is not what the settings say: other clusters, or the same one twice.
    #[error("{0}")]
    Mismatch(String),
    #[error("{0}")]
    Other(String),
}

impl From<&client::Error> for SiteError {
    fn from(error: &client::Error) -> Self {
        let text = error.to_string();
        match error {
            client::Error::Api(refusal) if refusal.is_auth() => Self::Auth(refusal.text.clone()),
            client::Error::Fingerprint { .. } => Self::Fingerprint(text),
            client::Error::Certificate { .. } => Self::Certificate(text),
            client::Error::Unreachable { .. } | client::Error::Timeout { .. } => Self::Unreachable(text),
            client::Error::Api(_)
            | client::Error::ReplyLost { .. }
            | client::Error::Decode { .. }
            | client::Error::Settings(_) => Self::Other(text),
        }
    }
}

/// Whether a node can be asked to do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    Online,
    /// Its cluster says so.
    Offline,
    /// Nobody can tell, and why.
    Unknown(String),
}

impl Default for Reach {
    fn default() -> Self {
        Self::Unknown("Proxmox was not asked yet".to_owned())
    }
}

/// A node of ours.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeState {
    pub site: SiteId,
    /// Proxmox's own name.
    pub proxmox_name: String,
    pub reach: Reach,
    /// Bytes.
    pub max_memory: u64,
    /// Bytes in use: only what guests have touched.
    pub used_memory: u64,
    /// Bytes that the guests have been promised, running or not, less templates.
    pub guest_memory: u64,
    pub cpus: u32,
    /// Load of all CPUs together, in thousandths; ten seconds late.
    pub cpu_load: u32,
    pub storages: Vec<StorageState>,
    /// Why it cannot be used, if so.
    pub last_error: Option<String>,
}

impl NodeState {
    /// Bytes of memory that no guest uses or has been promised.
    pub fn free_memory(&self) -> u64 {
        self.max_memory.saturating_sub(self.used_memory.max(self.guest_memory))
    }
}

/// A storage as one node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageState {
    pub name: String,
    /// Listed once for each node, but the same for all.
    pub shared: bool,
    pub active: bool,
    /// `images`, `rootdir`, …
    pub content: Vec<String>,
    /// Bytes.
    pub total: u64,
    /// Bytes.
    pub used: u64,
    /// Bytes, **at most**: the list does not know what a file system keeps to itself. The exact number
    /// is in [`client::Client::node_storages`].
    pub avail: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GuestKind {
    #[default]
    Qemu,
    /// A container: it occupies its VMID.
    Lxc,
}

/// A VM or container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VmEntry {
    /// Our name of the node, if the settings have it.
    pub node: Option<String>,
    /// Proxmox's own name of the node.
    pub proxmox_node: String,
    pub kind: GuestKind,
    /// Ten seconds late; absent during a clone; for a while the previous VM's.
    pub name: Option<String>,
    pub template: bool,
    /// `running`, `stopped`, `unknown`: ten seconds late.
    pub status: String,
    /// `clone`, `backup`, …: exact.
    pub lock: Option<String>,
    pub tags: Vec<String>,
    /// Exact.
    pub pool: Option<String>,
    /// Bytes.
    pub max_memory: u64,
    /// Bytes.
    pub max_disk: u64,
    /// Seconds.
    pub uptime: u64,
    /// What its configuration says, once it was read.
    pub details: Option<Arc<VmDetails>>,
    /// Whether the configuration has to be read (again): the details are missing or of before.
    pub details_due: bool,
}

impl VmEntry {
    /// Its name, from its configuration where that was read: the list's lags.
    pub fn exact_name(&self) -> Option<&str> {
        self.details.as_ref().and_then(|details| details.name.as_deref()).or(self.name.as_deref())
    }

    /// Whether its marks are known as they are now.
    pub fn marks_known(&self) -> bool {
        match self.kind {
            GuestKind::Lxc => true,
            GuestKind::Qemu => !self.details_due && self.details.as_ref().is_some_and(|read| !read.temporary),
        }
    }
}

/// What a VM's configuration says that no list does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmDetails {
    pub marks: Found,
    /// Proxmox's digest of the whole configuration: another one if anything in it is different.
    pub digest: Option<String>,
    /// The second mark, if it is ours.
    pub smbios_uuid: Option<Uuid>,
    /// The name, exact.
    pub name: Option<String>,
    /// A clone before its first drive is copied: its marks are still to come.
    pub temporary: bool,
    /// Bytes.
    pub memory: u64,
    /// The key of the disk that it boots from: `scsi0`.
    pub boot_disk: Option<String>,
    /// The storage that it is on.
    pub boot_storage: Option<String>,
    /// Bytes.
    pub boot_disk_size: Option<u64>,
    pub has_cloudinit: bool,
    /// The storages of all its drives.
    pub storages: BTreeSet<String>,
    /// What it was given that no other VM may have.
    pub addresses: Addresses,
}

impl From<&VmConfig> for VmDetails {
    fn from(config: &VmConfig) -> Self {
        Self {
            marks: Mark::find(config.description()),
            digest: config.digest().map(str::to_owned),
            smbios_uuid: config.smbios_uuid(),
            name: config.name().map(str::to_owned),
            temporary: config.is_temporary_clone(),
            memory: config.memory_mib().saturating_mul(1 << 20),
            boot_disk: config.boot_disk().map(str::to_owned),
            boot_storage: config.boot_storage(),
            boot_disk_size: config.boot_disk_size(),
            has_cloudinit: config.cloudinit_drive().is_some(),
            storages: config
                .volumes()
                .iter()
                .filter(|volume| volume.kind != VolumeKind::Unused)
                .filter_map(|volume| Some(volume.volid.split_once(':')?.0.to_owned()))
                .collect(),
            addresses: Addresses::from(config),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskState {
    Running,
    Ended {
        /// `OK`, or `WARNINGS: n`.
        ok: bool,
        /// `OK`, or the error.
        text: String,
    },
}

impl SiteState {
    /// Whether every VM's marks are known: then a mark that is not found is not there (on the nodes
    /// that are reachable).
    pub fn marks_complete(&self) -> bool {
        self.is_current() && self.vms.values().all(VmEntry::marks_known)
    }

    /// Whether the lists are those of the last poll, from a node with quorum.
    pub fn is_current(&self) -> bool {
        self.at.is_some() && !self.stale && self.error.is_none()
    }
}

/// A cluster or host as an error names it.
pub(super) fn describe(cluster: Option<&str>, members: &[NodeMember]) -> String {
    let names: Vec<_> = members.iter().map(|node| node.name.as_str()).collect();
    match cluster {
        Some(name) => format!("the cluster {name:?} ({})", names.join(", ")),
        None => format!("the stand-alone host {:?}", names.join(", ")),
    }
}
