//! How the image of a service is built.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::mounts::FileGrant;
use super::resources::Ulimit;

/// How the image of a service is built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Build {
    /// What is built from.
    pub context: BuildContext,
    /// The Dockerfile's path, from the context's root. `None` if it is written inline.
    pub dockerfile: Option<String>,
    /// The Dockerfile itself.
    pub dockerfile_inline: Option<String>,
    /// Build arguments; those without a value and without a variable of that name are left out.
    pub args: BTreeMap<String, String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Images to take layers from.
    pub cache_from: Vec<String>,
    /// Where to put the cache.
    pub cache_to: Vec<String>,
    /// Whether the cache is not used.
    pub no_cache: bool,
    /// Stages for which the cache is not used.
    pub no_cache_filter: Vec<String>,
    /// Further contexts by name: a path of the sources from their root, a URL, or `service:` and a name.
    pub additional_contexts: BTreeMap<String, String>,
    /// Whether base images are always pulled.
    pub pull: bool,
    /// The stage to build.
    pub target: Option<String>,
    /// The network of `RUN`.
    pub network: Option<String>,
    /// The size of `/dev/shm` in bytes.
    pub shm_size: Option<i64>,
    /// Addresses of further hosts.
    pub extra_hosts: BTreeMap<String, Vec<String>>,
    /// Secrets that `RUN` may mount.
    pub secrets: Vec<FileGrant>,
    /// Further tags of the image.
    pub tags: Vec<String>,
    /// Limits of processes.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// The platforms to build for.
    pub platforms: Vec<String>,
    /// Whether `RUN` gets all rights on the host.
    pub privileged: bool,
    /// Rights beyond the usual, as in `network.host`.
    pub entitlements: Vec<String>,
    /// Whether and how to attest the build's provenance.
    pub provenance: Option<String>,
    /// Whether and how to attest what the image holds.
    pub sbom: Option<String>,
}

/// What is built from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildContext {
    /// A folder of the sources, by its path from their root; `.` is the root itself.
    Project(String),
    /// A git repository or an archive, by its URL.
    Remote(String),
}

impl Default for BuildContext {
    fn default() -> Self {
        Self::Project(".".to_owned())
    }
}
