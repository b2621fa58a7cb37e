//! The steps that lead from what is observed to what is desired.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::super::{desired::Slot, recorded::Recorded};
use crate::reason::Reason;

/// Something that must be looked at before the plan can say more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// What has a container's name.
    ContainerName(String),
    /// What has a network's name.
    NetworkName(String),
    /// What has a volume's name.
    VolumeName(String),
    /// The networks of a proxy, by the name of its container.
    Proxy(String),
    /// An image, by reference.
    Image(String),
    /// The last lines of a container's log, by id.
    Log(String),
}

/// A container that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creation {
    /// Which.
    pub slot: Slot,
    /// The name that it is made under.
    pub name: String,
    /// Its proper name, if that is not free yet.
    pub proper_name: String,
    /// What it is made from, as a hash.
    pub config: String,
    /// The id of its image.
    pub image: String,
    /// Ids of its networks, by key.
    pub networks: BTreeMap<String, String>,
    /// Ids of the containers whose namespaces or volumes it shares, by service.
    pub shared: BTreeMap<String, String>,
}

/// A change outside. Each is safe to repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Pulls an image.
    Pull {
        /// Its reference.
        image: String,
        /// What for: it is the same pull as another for the same cause.
        cause: String,
    },
    /// Builds an image.
    Build {
        /// The service that says how.
        service: String,
        /// Its reference.
        image: String,
        /// A hash of what it is built from.
        cause: String,
    },
    /// Makes a network.
    CreateNetwork {
        /// Its key.
        key: String,
    },
    /// Connects the host's proxy to a network.
    ConnectProxy {
        /// The network's id.
        network: String,
        /// The name of the proxy's container.
        proxy: String,
    },
    /// Removes a network.
    RemoveNetwork {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// Ids of containers of the object's that are attached to it and do not run, and the name of the host's proxy if it is.
        detach: Vec<String>,
    },
    /// Makes a volume.
    CreateVolume {
        /// Its key.
        key: String,
    },
    /// Puts content into a volume.
    Deliver {
        /// The volume's key.
        key: String,
        /// Its name.
        volume: String,
    },
    /// Looks what was written into a volume beside what was delivered.
    Survey {
        /// The volume's name.
        volume: String,
    },
    /// Removes a volume and what is in it.
    RemoveVolume {
        /// Its name.
        name: String,
    },
    /// Makes a container, which is not started.
    Create(Box<Creation>),
    /// Gives a container another name.
    Rename {
        /// Its id.
        id: String,
        /// The new name.
        name: String,
    },
    /// Starts a container. If it never ran, its files are delivered before.
    Start {
        /// Its id.
        id: String,
        /// Which.
        slot: Slot,
    },
    /// Lets a frozen container go on.
    Unpause {
        /// Its id.
        id: String,
    },
    /// Runs the commands that follow a start.
    AfterStart {
        /// Its id.
        id: String,
        /// Which.
        slot: Slot,
        /// When it was started: the commands run once for each start of ours.
        started_at: Option<Timestamp>,
    },
    /// Stops a container, after the commands that come before.
    Stop {
        /// Its id.
        id: String,
        /// Which.
        slot: Slot,
    },
    /// Removes a container that does not run.
    Remove {
        /// Its id.
        id: String,
    },
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Look at these, then plan again.
    Look(Vec<Look>),
    /// Write this down, then plan again. Nothing outside changes.
    Record(Box<Recorded>),
    /// Change these things outside. They do not depend on one another and can be begun at once; none is under way.
    Act(Vec<Action>),
    /// Wait for an event or a task, and look again by this time at the latest.
    Wait(Reason, Option<Timestamp>),
    /// It is as desired.
    Rest {
        /// When to look again even if nothing happens.
        again: Option<Timestamp>,
        /// What is worth a warning.
        warnings: Vec<Reason>,
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
            Self::Wait(..) => "Wait",
            Self::Rest { .. } => "Rest",
            Self::Stall(_) => "Stall",
            Self::Release => "Release",
        }
    }
}

impl Action {
    /// What tells it from every other: two with the same key are the same.
    pub fn key(&self) -> String {
        match self {
            Self::Pull { image, cause } => format!("pull {image} {cause}"),
            Self::Build { service: _, image, cause } => format!("build {image} {cause}"),
            Self::CreateNetwork { key } => format!("create network {key}"),
            Self::ConnectProxy { network, proxy } => format!("connect {proxy} {network}"),
            Self::RemoveNetwork { id, .. } => format!("remove network {id}"),
            Self::CreateVolume { key } => format!("create volume {key}"),
            Self::Deliver { key: _, volume } => format!("deliver {volume}"),
            Self::Survey { volume } => format!("survey {volume}"),
            Self::RemoveVolume { name } => format!("remove volume {name}"),
            Self::Create(creation) => format!("create {}", creation.name),
            Self::Rename { id, name } => format!("rename {id} {name}"),
            Self::Start { id, .. } => format!("start {id}"),
            Self::Unpause { id } => format!("unpause {id}"),
            Self::AfterStart { id, started_at, .. } => {
                format!("after start {id} {}", started_at.map(|at| at.to_string()).unwrap_or_default())
            }
            Self::Stop { id, .. } => format!("stop {id}"),
            Self::Remove { id } => format!("remove {id}"),
        }
    }

    /// What kind of change it is, for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pull { .. } => "Pull",
            Self::Build { .. } => "Build",
            Self::CreateNetwork { .. } => "CreateNetwork",
            Self::ConnectProxy { .. } => "ConnectProxy",
            Self::RemoveNetwork { .. } => "RemoveNetwork",
            Self::CreateVolume { .. } => "CreateVolume",
            Self::Deliver { .. } => "Deliver",
            Self::Survey { .. } => "Survey",
            Self::RemoveVolume { .. } => "RemoveVolume",
            Self::Create(_) => "Create",
            Self::Rename { .. } => "Rename",
            Self::Start { .. } => "Start",
            Self::Unpause { .. } => "Unpause",
            Self::AfterStart { .. } => "AfterStart",
            Self::Stop { .. } => "Stop",
            Self::Remove { .. } => "Remove",
        }
    }
}
