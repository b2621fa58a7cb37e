//! The words of the plan: what is desired, recorded and observed, and the steps that lead from one to the other.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use uuid::Uuid;

use crate::proxmox::{
    identity::{self, Mark},
    inventory::Snapshot,
    wire::{Upid, VmConfig, Vmid},
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
    /// Name of the operating system.
    pub os: String,
    /// CPU cores.
    pub cores: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Size of the boot disk in bytes.
    pub disk_bytes: u64,
    /// What cloud-init is told, if anything.
    pub cloud_init: Option<CloudInit>,
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

impl std::fmt::Debug for CloudInit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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

/// All that is desired of an object.
#[derive(Clone, Debug)]
pub enum Desired {
    /// The machine is to be there and to run.
    Running {
        /// What it is to be.
        machine: MachineSpec,
        /// Where it may be made.
        fleet: Fleet,
    },
    /// Nothing of it is to be left.
    Gone,
}

/// What was recorded before: the write-ahead log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The object holds our finalizer, yet nothing is recorded: the status was lost.
    pub lost: bool,
    /// What we set out to do.
    pub intent: Option<Intent>,
    /// The task that is awaited.
    pub task: Option<Task>,
    /// How the attempts ended, the oldest first.
    pub attempts: Vec<Attempt>,
    /// How many attempts were begun.
    pub attempts_total: i64,
    /// What could not be removed yet.
    pub leftovers: Vec<Leftover>,
}

/// What we set out to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Where.
    pub place: Place,
    /// VMID of the template; not known of a machine that was found by its marks.
    pub template: Option<Vmid>,
    /// Counts the attempts from 1.
    pub attempt: i64,
    /// How far it got.
    pub stage: Stage,
    /// Why it was given up.
    pub reason: Option<Reason>,
    /// Failures that were tried again here.
    pub retries: i64,
    /// When it was written down.
    pub since: Timestamp,
}

/// How far an attempt got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It may be cloned, and never ran.
    Creating,
    /// Its start was posted.
    Starting,
    /// It was Ready once.
    Established,
    /// It failed and is being removed.
    Abandoning,
}

/// Why something is as it is: one word for machines, a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// In CamelCase, as in a condition.
    pub word: String,
    /// A sentence.
    pub message: String,
}

impl Reason {
    /// A reason from its word and its sentence.
    pub fn new(word: &str, message: impl Into<String>) -> Self {
        Self { word: word.to_owned(), message: message.into() }
    }
}

/// A task that is awaited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub upid: Upid,
    /// Our name of the node.
    pub node: String,
    /// What it does.
    pub action: TaskAction,
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskAction {
    /// Clones.
    Clone,
    /// Grows the disk.
    Resize,
    /// Starts.
    Start,
    /// Stops hard.
    Stop,
    /// Destroys.
    Destroy,
    /// Frees a volume.
    FreeVolume,
}

/// How an attempt on a node ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Our name of the node.
    pub node: String,
    /// The VMID, if it came to that.
    pub vmid: Option<Vmid>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// Why.
    pub reason: Reason,
    /// When.
    pub time: Timestamp,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The machine runs there.
    Succeeded,
    /// It was begun and failed.
    Failed,
    /// The node could not take it.
    Skipped,
}

/// What could not be removed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Where.
    pub place: Place,
    /// Why it is still there.
    pub reason: String,
    /// What an administrator types on the node.
    pub command: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// All that is observed.
#[derive(Debug)]
pub struct Observed<'a> {
    /// What the inventory says.
    pub snapshot: &'a Snapshot,
    /// What other objects hold.
    pub others: &'a Claims,
    /// Machines that were asked for by themselves.
    pub machines: &'a BTreeMap<Place, Sight>,
    /// Volumes that carry a VMID, on the image storages of a node.
    pub volumes: &'a BTreeMap<Place, Volumes>,
    /// Tasks.
    pub tasks: &'a BTreeMap<String, TaskSight>,
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
}

/// What an object holds on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Where.
    pub place: Place,
    /// Memory in bytes.
    pub memory: u64,
    /// Disk in bytes, while it is not allocated in full.
    pub disk: u64,
}

/// Something that must be looked at before the plan can say more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// A machine on the node that should have it.
    Machine(Place),
    /// The volumes that carry a VMID.
    Volumes(Place),
    /// A task.
    Task(Task),
}

/// A change outside. Each is safe to repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Clones a template, in full, with the mark in the description.
    Clone {
        /// The node and the new VMID.
        place: Place,
        /// The template.
        template: Vmid,
        /// Name of the new machine.
        name: String,
        /// The description with the mark.
        description: String,
    },
    /// Changes the config.
    Configure {
        /// The machine.
        place: Place,
        /// Keys and values.
        set: Vec<(String, String)>,
        /// Digest of the config that this was computed from.
        digest: Option<String>,
    },
    /// Adds our tag to those the machine has. Best effort.
    Tag {
        /// The machine.
        place: Place,
        /// All tags.
        tags: String,
    },
    /// Grows a disk to a size.
    Resize {
        /// The machine.
        place: Place,
        /// The disk, as `scsi0`.
        disk: String,
        /// The absolute size in bytes.
        bytes: u64,
    },
    /// Starts the machine.
    Start(Place),
    /// Stops it hard.
    Stop(Place),
    /// Removes it with its disks.
    Destroy(Place),
    /// Removes a volume.
    FreeVolume {
        /// The node and the VMID that the volume carries.
        place: Place,
        /// Proxmox' id of it.
        volume: String,
    },
    /// Stops a task.
    StopTask(Task),
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Look at something, then plan again.
    Look(Look),
    /// Write this down, then plan again. Nothing outside changes.
    Record(Box<Recorded>),
    /// Change something outside.
    Act(Action),
    /// Write this down and come back later, each time later than before: something failed that may pass.
    Retry(Box<Recorded>, Reason),
    /// Wait: for an event, or for the time that the reason's class says.
    Wait(Reason),
    /// It is as desired, but for changes that need a reboot.
    Rest {
        /// Keys of the config that wait for a reboot.
        reboot_required: Vec<String>,
    },
    /// Nothing more can be done without help.
    Stall(Reason),
    /// Nothing is left: the finalizer can go.
    Release,
}
