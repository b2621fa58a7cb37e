//! The steps that lead from what is observed to what is desired.

use std::fmt;

use super::{Place, Reason, Recorded, Task};
use crate::proxmox::wire::Vmid;

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

/// Keys of a config and the values that they are to have. Passwords are among them, so only the keys are ever shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigValues(pub Vec<(String, String)>);

impl fmt::Debug for ConfigValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
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
            | Self::Start(place)
            | Self::Stop(place)
            | Self::Destroy(place)
            | Self::FreeVolume { place, .. } => &place.node,
            Self::StopTask(task) => &task.node,
        }
    }

    /// What kind of change it is, for logs: its values may be secret.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Clone { .. } => "Clone",
            Self::Configure { .. } => "Configure",
            Self::Tag { .. } => "Tag",
            Self::Resize { .. } => "Resize",
            Self::Start(_) => "Start",
            Self::Stop(_) => "Stop",
            Self::Destroy(_) => "Destroy",
            Self::FreeVolume { .. } => "FreeVolume",
            Self::StopTask(_) => "StopTask",
        }
    }
}
