//! The steps that lead from what is observed to what is desired.

use std::fmt;

use super::{Password, Place, Power, Reason, Recorded, ShutdownSpec, Task};
use crate::proxmox::wire::Vmid;

/// Something that must be looked at before the plan can say more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// A machine on the node that should have it.
    Machine(Place),
    /// The volumes that carry a VMID.
    Volumes(Place),
    /// The same of a VMID that is to be taken if there are none: nobody else looks at it meanwhile.
    Vacancy(Place),
    /// A task.
    Task(Task),
    /// What the inventory says now of the cluster that a node is in.
    List(String),
}

/// Keys of a config and the values that they are to have. Passwords are among them, so only the keys are ever shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigValues(pub Vec<(String, String)>);

impl fmt::Debug for ConfigValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}

/// A password on its way to Proxmox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPassword {
    /// The password.
    pub password: Password,
    /// What it is hashed with; given as it is, without.
    pub salt: Option<Vec<u8>>,
}

/// A value that waits for the next boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its key in Proxmox.
    pub key: String,
    /// What is in force.
    pub current: Option<String>,
    /// What the next boot brings. Of a secret neither is told.
    pub next: Option<String>,
}

impl Pending {
    /// Whether it is worth a restart of its own: logins are prepared for the next boot, whenever that comes.
    pub fn needs_reboot(&self) -> bool {
        !matches!(self.key.as_str(), "ciuser" | "cipassword" | "sshkeys")
    }
}

/// A field of the spec that a machine differs from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The field, such as `disk.size`.
    pub field: String,
    /// What is there. Of a secret neither is told.
    pub present: Option<String>,
    /// What is asked for.
    pub desired: Option<String>,
}

/// A change outside. Each is safe to repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Clones a template, with the mark in the description.
    Clone {
        /// The node and the new VMID.
        place: Place,
        /// Our name of the node that has the template.
        source: String,
        /// The template.
        template: Vmid,
        /// Only what differs from the template is stored.
        linked: bool,
        /// The storage that the disks are made on, if not that of the template.
        storage: Option<String>,
        /// The pool that the new machine is put into.
        pool: Option<String>,
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
        set: ConfigValues,
        /// Keys to remove.
        delete: Vec<String>,
        /// The password for the guest's user.
        password: Option<NewPassword>,
        /// Digest of the config that this was computed from.
        digest: Option<String>,
    },
    /// Changes the tags, in a call of their own: they need rights of their own.
    Tag {
        /// The machine.
        place: Place,
        /// All tags.
        tags: String,
        /// It is our own that is added or taken away: best effort.
        ours: bool,
        /// Those that the spec names.
        named: Vec<String>,
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
    /// Changes what a machine has of disks.
    Disk {
        /// The machine.
        place: Place,
        /// The disk's name in the spec.
        name: String,
        /// What becomes of it.
        change: DiskChange,
        /// Digest of the config that this was computed from: repeated, it would make a second volume.
        digest: Option<String>,
    },
    /// Puts the machine into a pool.
    Pool {
        /// The machine.
        place: Place,
        /// The pool.
        pool: String,
    },
    /// Starts the machine.
    Start(Place),
    /// Stops it hard.
    Stop(Place),
    /// Asks the guest to end.
    Shutdown {
        /// The machine.
        place: Place,
        /// How long it has, and what then.
        how: ShutdownSpec,
    },
    /// Pauses it.
    Suspend(Place),
    /// Lets a paused guest go on.
    Resume(Place),
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

/// What becomes of a disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DiskChange {
    /// It is attached, and made if the value says so.
    Attach {
        /// Its key, as `scsi1`.
        key: String,
        /// What Proxmox keeps there.
        value: String,
    },
    /// It is detached; its volume is kept.
    Detach {
        /// Its key.
        key: String,
    },
    /// Its volume, which is detached, is removed.
    Remove {
        /// The key of the detached volume, as `unused0`.
        key: String,
    },
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
        /// What it is at rest.
        power: Power,
        /// What waits for the next boot.
        pending: Vec<Pending>,
    },
    /// Nothing is done to a machine that could be adopted: this is what would be changed.
    Preview {
        /// Where it is.
        place: Place,
        /// What is other than the spec says.
        differences: Vec<Difference>,
        /// What keeps it from being adopted as the spec is.
        problem: Option<Reason>,
    },
    /// Nothing more can be done without help.
    Stall(Reason),
    /// Nothing is left: the finalizer can go.
    Release,
}

impl Step {
    /// What kind of step it is, for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Look(_) => "Look",
            Self::Record(_) => "Record",
            Self::Act(_) => "Act",
            Self::Retry(..) => "Retry",
            Self::Wait(_) => "Wait",
            Self::Rest { .. } => "Rest",
            Self::Preview { .. } => "Preview",
            Self::Stall(_) => "Stall",
            Self::Release => "Release",
        }
    }
}

impl Action {
    /// Our name of the node that it concerns.
    pub fn node(&self) -> &str {
        match self {
            Self::Clone { place, .. }
            | Self::Configure { place, .. }
            | Self::Tag { place, .. }
            | Self::Resize { place, .. }
            | Self::Disk { place, .. }
            | Self::Pool { place, .. }
            | Self::Start(place)
            | Self::Stop(place)
            | Self::Shutdown { place, .. }
            | Self::Suspend(place)
            | Self::Resume(place)
            | Self::Destroy(place)
            | Self::FreeVolume { place, .. } => &place.node,
            Self::StopTask(task) => &task.node,
        }
    }

    /// Whether it asks for the same as another, whatever config it was computed from.
    pub fn is_same(&self, other: &Self) -> bool {
        let dateless = |action: &Self| match action.clone() {
            Self::Configure { place, set, delete, password, digest: _ } => {
                Self::Configure { place, set, delete, password, digest: None }
            }
            Self::Disk { place, name, change, digest: _ } => Self::Disk { place, name, change, digest: None },
            action => action,
        };
        dateless(self) == dateless(other)
    }

    /// What kind of change it is, for logs: its values may be secret.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Clone { .. } => "Clone",
            Self::Configure { .. } => "Configure",
            Self::Tag { .. } => "Tag",
            Self::Resize { .. } => "Resize",
            Self::Disk { .. } => "Disk",
            Self::Pool { .. } => "Pool",
            Self::Start(_) => "Start",
            Self::Stop(_) => "Stop",
            Self::Shutdown { .. } => "Shutdown",
            Self::Suspend(_) => "Suspend",
            Self::Resume(_) => "Resume",
            Self::Destroy(_) => "Destroy",
            Self::FreeVolume { .. } => "FreeVolume",
            Self::StopTask(_) => "StopTask",
        }
    }
}
