//! What is known of a host at one time: pure data, and questions to it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use bollard::models::{self, ContainerInspectResponse};
use jiff::Timestamp;

use crate::docker::{
    engine::{Capacity, outcome::Failure},
    labels,
};

/// Whose a thing says it is: labels are copied easily, so more has to fit before it is believed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

impl Owner {
    /// From the labels of a thing.
    pub fn of(all: &HashMap<String, String>) -> Option<Self> {
        let label = |key| all.get(key).cloned();
        Some(Self { namespace: label(labels::NAMESPACE)?, name: label(labels::NAME)?, uid: label(labels::UID)? })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.namespace, self.name)
    }
}

/// Whether the engine can be reached.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Reach {
    /// It was not tried yet.
    #[default]
    Unknown,
    Reached,
    Lost {
        failure: Failure,
        since: Timestamp,
    },
}

/// A container of this installation.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    pub owner: Option<Owner>,
    pub inspected: ContainerInspectResponse,
}

impl Container {
    pub fn id(&self) -> &str {
        self.inspected.id.as_deref().unwrap_or_default()
    }

    /// Without the slash that the engine puts before it.
    pub fn name(&self) -> &str {
        let name = self.inspected.name.as_deref().unwrap_or_default();
        name.strip_prefix('/').unwrap_or(name)
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        let labels = self.inspected.config.as_ref()?.labels.as_ref()?;
        labels.get(key).map(String::as_str)
    }
}

/// A network of this installation.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    pub owner: Option<Owner>,
    pub listed: models::Network,
}

/// A volume of this installation.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    pub owner: Option<Owner>,
    pub listed: models::Volume,
}

/// What a thing of an owner's is known by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Container(Arc<str>),
    Network(Arc<str>),
    Volume(Arc<str>),
}

/// Everything that is known of a host.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub reach: Reach,
    /// What the engine is and has, as it said last.
    pub capacity: Option<Arc<Capacity>>,
    /// When everything was listed last.
    pub listed_at: Option<Timestamp>,
    pub(super) containers: BTreeMap<Arc<str>, Arc<Container>>,
    pub(super) networks: BTreeMap<Arc<str>, Arc<Network>>,
    pub(super) volumes: BTreeMap<Arc<str>, Arc<Volume>>,
    pub(super) images: Arc<BTreeMap<String, String>>,
    pub(super) owned: BTreeMap<Arc<Owner>, Arc<BTreeSet<Key>>>,
}

impl Snapshot {
    /// Whether what is not here is not there: everything was listed since the engine was reached last.
    pub fn is_current(&self) -> bool {
        self.reach == Reach::Reached && self.listed_at.is_some()
    }

    /// Every container of this installation.
    pub fn containers(&self) -> impl Iterator<Item = &Arc<Container>> {
        self.containers.values()
    }

    /// Every network of this installation.
    pub fn networks(&self) -> impl Iterator<Item = &Arc<Network>> {
        self.networks.values()
    }

    /// Every volume of this installation.
    pub fn volumes(&self) -> impl Iterator<Item = &Arc<Volume>> {
        self.volumes.values()
    }

    /// A container of this installation, by id.
    pub fn container(&self, id: &str) -> Option<&Arc<Container>> {
        self.containers.get(id)
    }

    /// A network of this installation, by id.
    pub fn network(&self, id: &str) -> Option<&Arc<Network>> {
        self.networks.get(id)
    }

    /// A volume of this installation, by name.
    pub fn volume(&self, name: &str) -> Option<&Arc<Volume>> {
        self.volumes.get(name)
    }

    /// The containers that bear an owner's labels.
    pub fn containers_of<'a>(&'a self, owner: &Owner) -> impl Iterator<Item = &'a Arc<Container>> + use<'a> {
        self.keys(owner).filter_map(|key| match key {
            Key::Container(id) => self.containers.get(id),
            Key::Network(_) | Key::Volume(_) => None,
        })
    }

    /// The networks that bear an owner's labels.
    pub fn networks_of<'a>(&'a self, owner: &Owner) -> impl Iterator<Item = &'a Arc<Network>> + use<'a> {
        self.keys(owner).filter_map(|key| match key {
            Key::Network(id) => self.networks.get(id),
            Key::Container(_) | Key::Volume(_) => None,
        })
    }

    /// The volumes that bear an owner's labels.
    pub fn volumes_of<'a>(&'a self, owner: &Owner) -> impl Iterator<Item = &'a Arc<Volume>> + use<'a> {
        self.keys(owner).filter_map(|key| match key {
            Key::Volume(name) => self.volumes.get(name),
            Key::Container(_) | Key::Network(_) => None,
        })
    }

    /// Everybody who has something here.
    pub fn owners(&self) -> impl Iterator<Item = &Owner> {
        self.owned.keys().map(Arc::as_ref)
    }

    /// The id of the image that a tag of ours stands for.
    pub fn image(&self, reference: &str) -> Option<&str> {
        self.images.get(reference).map(String::as_str)
    }

    /// All tags of ours, and the ids of their images.
    pub fn images(&self) -> impl Iterator<Item = (&str, &str)> {
        self.images.iter().map(|(reference, id)| (reference.as_str(), id.as_str()))
    }

    fn keys<'a>(&'a self, owner: &Owner) -> impl Iterator<Item = &'a Key> + use<'a> {
        self.owned.get(owner).into_iter().flat_map(|keys| keys.iter())
    }
}
