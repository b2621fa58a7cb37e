//! What is observed of a host, as far as one project is concerned.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

pub use super::engine::outcome::Class;
use crate::reason::Reason;

/// All that is observed.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Why nothing is known, if the host cannot be asked or its lists are not complete.
    pub unknown: Option<Reason>,
    /// All containers that carry the object's namespace and name, and those whose ids were recorded, by id.
    pub containers: BTreeMap<String, Container>,
    /// All networks that carry the object's namespace and name, by id.
    pub networks: BTreeMap<String, Network>,
    /// All volumes that carry the object's namespace and name, by name.
    pub volumes: BTreeMap<String, Volume>,
    /// What has a container's name, by name, as far as it was looked at.
    pub names: BTreeMap<String, Option<Stranger>>,
    /// The networks of a name that are not among `networks`, as far as it was looked at.
    pub network_names: BTreeMap<String, Vec<Stranger>>,
    /// Ids of the networks that the host's proxies are connected to, by the names of their containers, as far as they were looked
    /// at and are there.
    pub proxies: BTreeMap<String, Option<BTreeSet<String>>>,
    /// The volume of a name, as far as it was looked at.
    pub volume_names: BTreeMap<String, Option<Volume>>,
    /// The images, by reference, as far as they were looked at.
    pub images: BTreeMap<String, Option<Image>>,
    /// The last lines of containers' logs, by id, as far as they were looked at.
    pub logs: BTreeMap<String, String>,
    /// What is being done, and what was done, by [`Action::key`](super::plan::Action::key).
    pub tasks: BTreeMap<String, TaskSight>,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its name, without a slash.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The mark that its image carries: a container's that was committed.
    pub image_mark: Option<String>,
    /// What it does.
    pub state: ContainerState,
    /// Its health, if that is checked.
    pub health: Option<Health>,
    /// What its process ended with last.
    pub exit_code: i64,
    /// It was ended by the kernel for want of memory.
    pub oom_killed: bool,
    /// What the engine said when it could not start it.
    pub error: String,
    /// When it was started last.
    pub started_at: Option<Timestamp>,
    /// When it ended last.
    pub finished_at: Option<Timestamp>,
    /// How often the engine started it again.
    pub restarts: i64,
    /// The engine starts it again whatever it ended with, until somebody stops it.
    pub always_restarts: bool,
    /// A hash of the settings that can be changed while it runs.
    pub settings: String,
    /// Ids of the networks that it is attached to; of one that never ran the engine may not tell.
    pub networks: BTreeSet<String>,
}

/// What a container does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContainerState {
    /// It was never started.
    #[default]
    Created,
    /// It runs.
    Running,
    /// It is frozen.
    Paused,
    /// It ended, and the engine is about to start it again.
    Restarting,
    /// It is being removed.
    Removing,
    /// It ended.
    Exited,
    /// It could not be removed.
    Dead,
}

/// The health of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It was not found out yet.
    Starting,
    /// It is well.
    Healthy,
    /// It is not.
    Unhealthy,
}

/// A network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Its id.
    pub id: String,
    /// Its name, which others may have too.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it was made, in the engine's words.
    pub created: String,
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A thing that is not the object's, and has a name that the object needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stranger {
    /// Its id.
    pub id: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// An image that the host has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Its id.
    pub id: String,
    /// What it was built from, if it was built for an object.
    pub build: Option<String>,
}

/// What is known of an action that was begun by this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskSight {
    /// It is under way.
    Running(Progress),
    /// It succeeded.
    Succeeded {
        /// When.
        at: Timestamp,
        /// What was found.
        found: Option<String>,
    },
    /// It failed.
    Failed {
        /// Why.
        reason: Reason,
        /// What follows.
        class: Class,
        /// The engine itself said no.
        refused: bool,
        /// Not before this time again.
        again: Timestamp,
    },
}

/// How far something is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are there.
    pub bytes: u64,
    /// Bytes that there will be, as far as that is known.
    pub bytes_total: u64,
    /// Layers or instructions that are done.
    pub parts: u32,
    /// Layers or instructions in all.
    pub parts_total: u32,
    /// What is being done.
    pub doing: String,
}

impl ContainerState {
    /// Whether its process is there, frozen or not.
    pub fn is_up(self) -> bool {
        match self {
            Self::Running | Self::Paused | Self::Restarting => true,
            Self::Created | Self::Removing | Self::Exited | Self::Dead => false,
        }
    }

    /// The engine's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }
}
