//! What is observed: the inventory, and what was looked at by itself.

use std::collections::BTreeMap;

use super::{Claims, Place};
use crate::proxmox::{
    inventory::Snapshot,
    wire::{VmConfig, Vmid},
};

/// All that is observed.
pub struct Observed<'a> {
    /// What the inventory says.
    pub snapshot: &'a Snapshot,
    /// What the objects of the installation hold in the cluster, this one included.
    pub claims: &'a Claims,
    /// Whether the object is not given a VMID though nobody holds it: clients know another machine by it.
    pub withheld: &'a dyn Fn(Vmid) -> bool,
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
