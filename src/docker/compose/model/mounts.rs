//! What is mounted into containers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::at::At;

/// An entry of `volumes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where it is written.
    #[serde(skip)]
    pub at: At,
    /// The path inside the container, without superfluous slashes and dots.
    pub target: String,
    /// Whether the container may only read.
    pub read_only: bool,
    /// A hint for Docker Desktop, passed on to the engine.
    pub consistency: Option<String>,
    /// What is mounted.
    pub kind: MountKind,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountKind {
    /// A path of the host, or of the sources.
    Bind {
        /// Which.
        source: BindSource,
        /// How mounts made later are passed on; the engine's `rprivate` without.
        propagation: Option<Propagation>,
        /// Whether the engine makes a folder where the path is missing.
        create_host_path: bool,
        /// What of the mounts below the path comes along; everything without.
        recursive: Option<Recursive>,
        /// Relabelling for SELinux.
        selinux: Option<SeLinux>,
    },
    /// A volume.
    Volume {
        /// The key of a volume of the project; an anonymous volume without.
        source: Option<String>,
        /// Whether a fresh volume stays empty instead of taking what the image has at the target.
        nocopy: bool,
        /// A path inside the volume to mount instead of its root.
        subpath: Option<String>,
        /// Labels of an anonymous volume.
        labels: BTreeMap<String, String>,
        /// Relabelling for SELinux.
        selinux: Option<SeLinux>,
    },
    /// A file system in memory.
    Tmpfs {
        /// Its greatest size in bytes; unlimited without.
        size: Option<i64>,
        /// Its permission bits; 1777 (octal) without.
        mode: Option<u32>,
    },
    /// The content of an image.
    Image {
        /// The image.
        source: String,
        /// A path inside the image to mount instead of its root.
        subpath: Option<String>,
    },
}

/// What a bind mount binds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BindSource {
    /// An absolute path of the host, without superfluous slashes and dots.
    Absolute(String),
    /// A path inside the sources, from their root and without a leading `./`; `.` is the root itself.
    Project(String),
}

/// How mounts made later are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of mount(2)")]
pub enum Propagation {
    Private,
    RPrivate,
    Shared,
    RShared,
    Slave,
    RSlave,
}

impl Propagation {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Private, Self::RPrivate, Self::Shared, Self::RShared, Self::Slave, Self::RSlave];

    /// As the engine and compose files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::RPrivate => "rprivate",
            Self::Shared => "shared",
            Self::RShared => "rshared",
            Self::Slave => "slave",
            Self::RSlave => "rslave",
        }
    }
}

/// What of the mounts below a bound path comes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recursive {
    /// All, read-only as far as the kernel can.
    Enabled,
    /// None.
    Disabled,
    /// All, writable even if the mount itself is read-only.
    Writable,
    /// All, and it is an error if they cannot be read-only.
    Readonly,
}

impl Recursive {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Enabled, Self::Disabled, Self::Writable, Self::Readonly];

    /// As compose files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Writable => "writable",
            Self::Readonly => "readonly",
        }
    }
}

/// Relabelling for SELinux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeLinux {
    /// `z`: several containers share it.
    Shared,
    /// `Z`: this container has it alone.
    Private,
}

impl SeLinux {
    /// As the engine and compose files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "z",
            Self::Private => "Z",
        }
    }
}

/// An entry of `tmpfs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TmpfsMount {
    /// Where it is written.
    #[serde(skip)]
    pub at: At,
    /// The path inside the container.
    pub target: String,
    /// Mount options, as in `size=64m,mode=755`.
    pub options: Option<String>,
}

/// An entry of `volumes_from`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumesFrom {
    /// Where it is written.
    #[serde(skip)]
    pub at: At,
    /// Whose volumes.
    pub source: VolumesFromSource,
    /// The access mode, `ro` or `rw`; as the other has it without.
    pub mode: Option<String>,
}

/// Whose volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumesFromSource {
    /// Those of a service of the same project.
    Service(String),
    /// Those of any container of the host, by name or id.
    Container(String),
}

/// An entry of `configs` or `secrets` of a service: the file it gets to see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileGrant {
    /// Where it is written.
    #[serde(skip)]
    pub at: At,
    /// The key of a config or secret of the project.
    pub source: String,
    /// The absolute path inside the container: `/SOURCE` for a config and `/run/secrets/SOURCE` for a secret unless given.
    pub target: String,
    /// The owner, a numeric id.
    pub uid: Option<String>,
    /// The group, a numeric id.
    pub gid: Option<String>,
    /// The permission bits.
    pub mode: Option<u32>,
}
