//! The resolved project: what is left of compose files when everything that makes them short is undone.
//!
//! Plain data that knows nothing of YAML. Names are those of the specification. What a file does not say is
//! `None` or empty, unless the specification gives it a value, which is then filled in.

mod at;
mod build;
mod deploy;
mod mounts;
mod namespace;
mod network;
mod port;
mod resources;
mod service;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use at::{At, Positions};
pub use build::{Build, BuildContext};
pub use deploy::{Deploy, DeviceReservation, ResourceLimits, ResourceReservations, RestartCondition, RestartPolicy};
pub use mounts::{
    BindSource, FileGrant, Mount, MountKind, Propagation, Recursive, SeLinux, TmpfsMount, VolumesFrom,
    VolumesFromSource,
};
pub use namespace::Namespace;
pub use network::{Ipam, IpamPool, Network, NetworkAttachment};
pub use port::{Port, PortMode, Protocol, PublishedPorts};
pub use resources::{BlkioConfig, BlkioThrottle, BlkioWeight, Device, Ulimit};
pub use service::{Condition, Dependency, Healthcheck, Hook, Link, Logging, PullPolicy, Restart, Service};

/// A project with every include, extension, merge, variable and profile resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Project {
    /// The project's name: what containers, networks and volumes are named after.
    pub name: String,
    /// The services that are to run, by name. Those whose profiles are not active are left out.
    pub services: BTreeMap<String, Service>,
    /// The networks that services use, by the name that they use. `default` is among them if a service uses it.
    pub networks: BTreeMap<String, Network>,
    /// The named volumes that services use, by the name that they use.
    pub volumes: BTreeMap<String, Volume>,
    /// The configs that services use, by the name that they use.
    pub configs: BTreeMap<String, FileObject>,
    /// The secrets that services use, by the name that they use.
    pub secrets: BTreeMap<String, FileObject>,
    /// The services that are left out, since none of their profiles is active.
    pub disabled: Vec<String>,
}

/// A named volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// Where it is declared, and its attributes.
    #[serde(skip)]
    pub at: Positions,
    /// The engine's name for it: as given, or `PROJECT_KEY`; the bare key of an external one.
    pub name: String,
    /// Whether it exists already, and is neither made nor removed with the project.
    pub external: bool,
    /// The volume driver; the engine's default without.
    pub driver: Option<String>,
    /// Options for the driver. With the `local` driver they can name a path of the host.
    pub driver_opts: BTreeMap<String, String>,
    /// Labels of the volume.
    pub labels: BTreeMap<String, String>,
}

/// A config or a secret: a file that is put into containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileObject {
    /// Where it is declared, and its attributes.
    #[serde(skip)]
    pub at: Positions,
    /// Its name: as given, or `PROJECT_KEY`.
    pub name: String,
    /// Where its content comes from.
    pub source: FileSource,
    /// The content itself.
    #[serde(with = "base64_bytes")]
    pub content: Vec<u8>,
    /// Labels that the file gives it.
    pub labels: BTreeMap<String, String>,
}

/// Where the content of a config or a secret comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileSource {
    /// A file of the sources, by its path from their root.
    File(String),
    /// A variable of the object, by its name.
    Environment(String),
    /// Written into the compose file (configs only).
    #[default]
    Inline,
}

mod base64_bytes {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
