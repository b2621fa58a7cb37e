//! What is desired of a project on a host: as much of the resolved compose project as decisions need.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::compose::model::{Condition, Dependency, Restart};

/// What is desired.
#[derive(Clone, Debug)]
pub enum Desired {
    /// The project is there.
    Present(Box<Deployment>),
    /// Nothing of it is.
    Gone(Removal),
}

/// What a deletion takes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Containers and networks; volumes stay.
    KeepVolumes,
    /// Volumes too.
    WithVolumes,
    /// Nothing: everything is left as it is, and the host is not asked.
    Orphan,
}

/// Whether a project runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its containers run.
    Running,
    /// Its containers are there, and do not run.
    Stopped,
}

/// A project that is to be there.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The compose project's name.
    pub project: String,
    /// Identifies the release: one-shots run once for each, and `always` pulls once for each.
    pub release: String,
    /// Whether it runs.
    pub state: State,
    /// What a restart was asked for with; another value asks for another one.
    pub restart: Option<String>,
    /// How long a new container may take to become healthy.
    pub health_deadline: SignedDuration,
    /// Whether what was there before comes back if this does not come up.
    pub rollback: bool,
    /// It was there before, and comes back since another did not come up.
    pub returning: bool,
    /// The services, by name.
    pub services: BTreeMap<String, Service>,
    /// The networks that services use, by key.
    pub networks: BTreeMap<String, Network>,
    /// The named volumes that services use, by key.
    pub volumes: BTreeMap<String, Volume>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// How many containers.
    pub replicas: u32,
    /// The name of its only container, if that was given.
    pub container_name: Option<String>,
    /// The image's reference, with a tag or a digest.
    pub image: String,
    /// How the image gets to the host.
    pub fetch: Fetch,
    /// A hash of everything that its containers are made from, content of configs and secrets included. Of what has an
    /// id on the host only (the image, networks, other containers) the names are in it.
    pub config: String,
    /// Keys of the networks that its containers are attached to.
    pub networks: BTreeSet<String>,
    /// Keys of the volumes that it mounts.
    pub volumes: BTreeSet<String>,
    /// Services whose namespaces its containers live in.
    pub lives_in: BTreeSet<String>,
    /// Services whose volumes its containers mount.
    pub mounts_of: BTreeSet<String>,
    /// What must have been reached before it starts, by service.
    pub depends_on: BTreeMap<String, Dependency>,
    /// When the engine starts its containers again.
    pub restart: Restart,
    /// Whether commands are to run in a container once it was started.
    pub post_start: bool,
}

/// How an image gets to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// Not at all.
    Never,
    /// It is pulled if the host lacks it.
    Missing,
    /// It is pulled for each release and each restart.
    Always,
    /// It is pulled if that was longer ago.
    Every(SignedDuration),
    /// It is built; a hash of what from.
    Build(String),
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its name on the host.
    pub name: String,
    /// It is somebody else's, and only used.
    pub external: bool,
    /// A hash of everything that it is made from.
    pub config: String,
    /// The host's proxy, by the name of its container, which is connected to it.
    pub proxy: Option<String>,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name on the host.
    pub name: String,
    /// It is somebody else's, and only used.
    pub external: bool,
    /// A hash of everything that it is made from.
    pub config: String,
    /// It belongs to a release: content is delivered into it before any container is made, and it goes when no container needs
    /// it any more.
    pub content: bool,
}

/// A container of a service: its service and its number, from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// Name of the service.
    pub service: String,
    /// Counts the service's containers from 1.
    pub number: u32,
}

impl Slot {
    /// The container of this number of a service.
    pub fn new(service: &str, number: u32) -> Self {
        Self { service: service.to_owned(), number }
    }
}

impl Deployment {
    /// The same as what comes back in the place of another one. If it fails too, nothing more is tried.
    #[must_use]
    pub fn in_place_of(self, other: &Self) -> Self {
        Self { state: other.state, restart: other.restart.clone(), rollback: false, returning: true, ..self }
    }

    /// The proper name of a container.
    pub fn container_name(&self, slot: &Slot) -> String {
        let given = self.services.get(&slot.service).and_then(|service| service.container_name.clone());
        given.unwrap_or_else(|| format!("{}-{}-{}", self.project, slot.service, slot.number))
    }

    /// Names of the volumes with delivered content that a service mounts.
    pub fn contents_of(&self, service: &Service) -> impl Iterator<Item = &str> {
        let volumes = service.volumes.iter().filter_map(|key| self.volumes.get(key));
        volumes.filter(|volume| volume.content).map(|volume| volume.name.as_str())
    }

    /// Whether a service is expected to do its work and end.
    pub fn completes(&self, name: &str) -> bool {
        let dependencies = self.services.values().filter_map(|service| service.depends_on.get(name));
        dependencies.into_iter().any(|dependency| dependency.condition == Condition::ServiceCompletedSuccessfully)
    }
}

impl Service {
    /// Services whose containers must be there before its own can be made.
    pub fn made_with(&self) -> impl Iterator<Item = &String> {
        self.lives_in.union(&self.mounts_of)
    }

    /// Whether the image is taken as the host has it, so that a tag that moves changes nothing by itself.
    pub fn keeps_image(&self) -> bool {
        match self.fetch {
            Fetch::Never | Fetch::Missing => true,
            Fetch::Always | Fetch::Every(_) | Fetch::Build(_) => false,
        }
    }
}
