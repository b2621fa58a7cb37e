//! What is observed: the inventory, and what was looked at by itself.

use std::{
    cell::LazyCell,
    collections::{BTreeMap, BTreeSet},
};

use jiff::Timestamp;

use super::Place;
use crate::proxmox::{
    inventory::Snapshot,
    wire::{Addresses, VmConfig, Vmid},
};

/// All that is observed.
#[derive(Debug)]
pub struct Observed<'a> {
    /// What the inventory says.
    pub snapshot: &'a Snapshot,
    /// What other objects hold.
    pub others: &'a LazyClaims,
    /// Machines that were asked for by themselves.
    pub machines: &'a BTreeMap<Place, Sight>,
    /// Volumes that carry a VMID, on the image storages of a node.
    pub volumes: &'a BTreeMap<Place, Volumes>,
    /// Tasks.
    pub tasks: &'a BTreeMap<String, TaskSight>,
    /// The inventory was asked after the last change.
    pub list_is_fresh: bool,
    /// Proxmox refused the tag, so that it is not sent again.
    pub tag_refused: bool,
}

/// What other objects hold, put together when the plan asks for it: a machine at rest does not.
pub type LazyClaims = LazyCell<Claims, Box<dyn FnOnce() -> Claims>>;

/// What a look at a machine showed.
#[derive(Clone, Debug)]
pub enum Sight {
    /// The node says that it has no such machine.
    Absent,
    /// Nobody knows, and why.
    Unknown(String),
    /// It is there.
    Present(Box<Machine>),
}

/// A machine as it was seen.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The config as it will be after the next boot.
    pub config: VmConfig,
    /// The config that it runs with.
    pub current: VmConfig,
    /// Whether it runs.
    pub power: Power,
    /// The QEMU process, while it runs.
    pub process: Option<u32>,
    /// The keys for cloud-init with which its drive was not made yet, while it runs, and what the drive has instead.
    pub unprepared: BTreeMap<String, Option<String>>,
}

/// Whether a machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// QEMU runs, and the guest in it.
    Running,
    /// QEMU runs, and the guest is paused.
    Paused,
    /// There is no QEMU.
    Stopped,
}

/// What a look at a machine's volumes showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Volumes {
    /// What is there.
    Known(Stored),
    /// Nobody knows, and why.
    Unknown(String),
}

/// What the image storages of a node say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The volumes that carry the VMID, and no others.
    pub volumes: Vec<Volume>,
    /// Bytes that can still be written to each storage. The inventory's figure is only an upper bound.
    pub available: BTreeMap<String, u64>,
}

/// A volume that carries the VMID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Proxmox' id of it, `STORAGE:PATH`.
    pub id: String,
    /// It is on a storage that other clusters may use too.
    pub shared: bool,
}

/// What a look at a task showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskSight {
    /// It runs, and so many percent are done, if it says so.
    Running(Option<u8>),
    /// It succeeded, perhaps with warnings.
    Succeeded,
    /// It failed with this text.
    Failed(String),
    /// Its node knows nothing of it.
    Vanished,
    /// Nobody knows, and why.
    Unknown(String),
}

/// What the other objects of the installation hold in a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// VMIDs that some object has recorded.
    pub vmids: BTreeSet<Vmid>,
    /// Machines that may not show in the inventory yet.
    pub machines: Vec<Claim>,
    /// What failed attempts left.
    pub leftovers: Vec<Place>,
    /// Clones that were begun, or are about to be.
    pub cloning: Vec<Cloning>,
    /// Machines that wait until they may be cloned.
    pub waiting: Vec<Turn>,
    /// How many objects of the same namespace have a machine, or a place for one.
    pub of_namespace: usize,
}

/// What an object holds on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Where.
    pub place: Place,
    /// Memory in bytes.
    pub memory: u64,
    /// Disks, while they are not allocated in full.
    pub disks: Vec<ClaimedDisk>,
    /// CPU cores, while the node's load does not show them.
    pub cores: u32,
    /// What the machines that are spread have in common, if it is of the same namespace.
    pub group: Option<String>,
    /// What it was given that nobody else may have.
    pub addresses: Addresses,
}

/// Room that an object holds on a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedDisk {
    /// The storage; any, if it is not known.
    pub storage: Option<String>,
    /// Bytes.
    pub bytes: u64,
}

/// A clone that was begun, or is about to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cloning {
    /// Our name of the node that has the template.
    pub node: String,
    /// The template.
    pub template: Vmid,
    /// Its task, once that is known.
    pub upid: Option<String>,
}

/// A machine that waits until it may be cloned: the earlier one goes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    /// Since when its place is chosen.
    pub since: Timestamp,
    /// Uid of the object.
    pub uid: String,
    /// Our name of the node that has the template.
    pub node: String,
    /// The template.
    pub template: Vmid,
}
