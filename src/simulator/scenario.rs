//! What a simulated Proxmox cluster is made of: nodes, storages, templates, users.
//!
//! A scenario is plain data, readable from YAML. It says how the cluster looks at the start and how fast
//! it copies; what happens afterwards is the business of [`super::world`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::ClockMode;

/// The Proxmox VE release that is played. The two differ in some wordings and in a few behaviours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Release {
    /// Proxmox VE 8.4 on Debian 12.
    #[serde(rename = "8.4")]
    V8,
    /// Proxmox VE 9.2 on Debian 13.
    #[default]
    #[serde(rename = "9.2")]
    V9,
}

impl std::str::FromStr for Release {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "8.4" => Ok(Self::V8),
            "9.2" => Ok(Self::V9),
            other => Err(format!("'{other}' is not a simulated release: use 8.4 or 9.2")),
        }
    }
}

/// A whole cluster at its start.
///
/// In YAML every field may be left out; users, a token and their rights are then those of
/// [`Scenario::empty`], and there is nothing else.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default = "Scenario::blank", deny_unknown_fields)]
pub struct Scenario {
    /// Which Proxmox VE release answers.
    pub release: Release,
    /// How time passes; the command line may override it.
    pub clock: ClockMode,
    /// Name of the cluster. Without one, a single node answers as a stand-alone host does.
    pub cluster_name: Option<String>,
    /// The nodes, in the order of their node ids.
    pub nodes: Vec<NodeSpec>,
    /// Storage definitions, valid in the whole cluster unless limited to nodes.
    pub storages: Vec<StorageSpec>,
    /// Virtual machine templates.
    pub templates: Vec<GuestSpec>,
    /// Virtual machines that exist from the start.
    pub vms: Vec<GuestSpec>,
    /// Containers that exist from the start. They only take ids and show in lists.
    pub containers: Vec<ContainerSpec>,
    /// Bridges that exist on every node.
    pub bridges: Vec<String>,
    /// Users with the passwords of their realm.
    pub users: Vec<UserSpec>,
    /// API tokens.
    pub tokens: Vec<TokenSpec>,
    /// Roles beside Proxmox's own: name to privileges.
    pub roles: BTreeMap<String, Vec<String>>,
    /// Who has which role on which path.
    pub acl: Vec<AclSpec>,
    /// Resource pools.
    pub pools: Vec<String>,
    /// How fast a full clone copies, in MiB per second.
    pub clone_mib_per_second: u64,
    /// How long a guest needs from its start until its agent answers, in seconds.
    pub boot_seconds: u64,
    /// Whether errors carry their text in the JSON `message` too. Proxmox 8 before January 2025
    /// (pve-http-server 5.2) had it in the reason phrase alone.
    pub error_text_in_body: bool,
    /// Seed of everything that is drawn: UUIDs, MAC addresses, process ids.
    pub seed: u64,
}

/// One node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    /// Proxmox's name of the node.
    pub name: String,
    /// Memory of the host in MiB.
    #[serde(default = "defaults::memory_mib")]
    pub memory_mib: u64,
    /// Memory the host itself takes, in MiB.
    #[serde(default = "defaults::base_memory_mib")]
    pub base_memory_mib: u64,
    /// Processors of the host.
    #[serde(default = "defaults::cpus")]
    pub cpus: u32,
    /// Whether the node is up at the start.
    #[serde(default = "defaults::yes")]
    pub online: bool,
}

/// One storage definition.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageSpec {
    /// Storage id.
    pub name: String,
    /// What kind of storage it is.
    #[serde(rename = "type")]
    pub kind: StorageKind,
    /// Content types, as in `storage.cfg`.
    #[serde(default = "defaults::content")]
    pub content: Vec<String>,
    /// Whether all nodes see the same volumes.
    #[serde(default)]
    pub shared: bool,
    /// Capacity in GiB (of each node's own, unless shared).
    pub size_gib: u64,
    /// What is taken at the start by other things, in GiB.
    #[serde(default)]
    pub used_gib: u64,
    /// The nodes that have it; empty means all.
    #[serde(default)]
    pub nodes: Vec<String>,
    /// Mount point of directory storages; shows in logs and error texts.
    #[serde(default)]
    pub path: Option<String>,
}

/// The storage plug-ins that are played; they differ in volume names, formats and linked clones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum StorageKind {
    Dir,
    Nfs,
    Cifs,
    Lvm,
    LvmThin,
    ZfsPool,
    Rbd,
}

/// A template or a virtual machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestSpec {
    /// Its id.
    pub vmid: u32,
    /// Its name.
    pub name: String,
    /// The node it is on.
    pub node: String,
    /// The storage of its disk; none means no disk.
    #[serde(default)]
    pub storage: Option<String>,
    /// Size of its first disk (`scsi0`) in GiB.
    #[serde(default = "defaults::disk_gib")]
    pub disk_gib: u64,
    /// Image format on storages that have several.
    #[serde(default = "defaults::format")]
    pub format: String,
    /// Whether it has a cloud-init drive (`ide2`).
    #[serde(default = "defaults::yes")]
    pub cloud_init: bool,
    /// Processor cores.
    #[serde(default = "defaults::cores")]
    pub cores: u32,
    /// Memory in MiB.
    #[serde(default = "defaults::guest_memory_mib")]
    pub memory_mib: u64,
    /// The bridge of its first NIC (`net0`); none means no NIC.
    #[serde(default = "defaults::bridge")]
    pub bridge: Option<String>,
    /// Tags, separated by semicolons.
    #[serde(default)]
    pub tags: Option<String>,
    /// Whether the agent option is on (and the agent answers once the guest has booted).
    #[serde(default = "defaults::yes")]
    pub agent: bool,
    /// Whether it runs at the start.
    #[serde(default)]
    pub running: bool,
    /// Further configuration lines, and replacements of those above; an empty value removes the line.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

/// A container.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerSpec {
    /// Its id, from the same range as those of virtual machines.
    pub vmid: u32,
    /// Its name.
    pub name: String,
    /// The node it is on.
    pub node: String,
}

/// A user with a password.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSpec {
    /// `name@realm`; `root@pam` may do everything.
    pub name: String,
    /// Password in the realm; without one there is no login.
    #[serde(default)]
    pub password: Option<String>,
    /// Whether the user is enabled.
    #[serde(default = "defaults::yes")]
    pub enabled: bool,
}

/// An API token.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    /// `name@realm!token`.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// With privilege separation the token has only the rights that both it and its user have.
    #[serde(default)]
    pub privsep: bool,
    /// Whether its date of expiry has passed.
    #[serde(default)]
    pub expired: bool,
}

/// One line of the access control list.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AclSpec {
    /// Path, such as `/` or `/vms/9000`.
    pub path: String,
    /// User or token id.
    pub who: String,
    /// Role.
    pub role: String,
    /// Whether it counts for the paths below.
    #[serde(default = "defaults::yes")]
    pub propagate: bool,
}

mod defaults {
    pub fn yes() -> bool {
        true
    }
    pub fn memory_mib() -> u64 {
        64 * 1024
    }
    pub fn base_memory_mib() -> u64 {
        2048
    }
    pub fn cpus() -> u32 {
        16
    }
    pub fn content() -> Vec<String> {
        vec!["images".into(), "rootdir".into()]
    }
    pub fn disk_gib() -> u64 {
        4
    }
    pub fn format() -> String {
        "qcow2".into()
    }
    pub fn cores() -> u32 {
        1
    }
    pub fn guest_memory_mib() -> u64 {
        1024
    }
    pub fn bridge() -> Option<String> {
        Some("vmbr0".into())
    }
}

impl Scenario {
    /// Reads a scenario from YAML.
    ///
    /// # Errors
    /// Names the line and the field that does not fit.
    pub fn from_yaml(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }

    /// The same with another release.
    #[must_use]
    pub fn release(mut self, release: Release) -> Self {
        self.release = release;
        self
    }

    /// The same with another clock.
    #[must_use]
    pub fn clock(mut self, clock: ClockMode) -> Self {
        self.clock = clock;
        self
    }

    /// The same with one more template.
    #[must_use]
    pub fn template(mut self, template: GuestSpec) -> Self {
        self.templates.push(template);
        self
    }

    /// The same with one more virtual machine.
    #[must_use]
    pub fn vm(mut self, vm: GuestSpec) -> Self {
        self.vms.push(vm);
        self
    }

    /// The same with one more storage.
    #[must_use]
    pub fn storage(mut self, storage: StorageSpec) -> Self {
        self.storages.push(storage);
        self
    }

    pub(crate) fn boot_time(&self) -> Duration {
        Duration::from_secs(self.boot_seconds)
    }
}

impl NodeSpec {
    /// A node of 64 GiB and 16 processors.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            memory_mib: defaults::memory_mib(),
            base_memory_mib: defaults::base_memory_mib(),
            cpus: defaults::cpus(),
            online: true,
        }
    }
}

impl StorageSpec {
    /// A storage for images on every node, not shared.
    pub fn new(name: &str, kind: StorageKind, size_gib: u64) -> Self {
        Self {
            name: name.into(),
            kind,
            content: defaults::content(),
            shared: false,
            size_gib,
            used_gib: 0,
            nodes: Vec::new(),
            path: None,
        }
    }

    /// The same, with one set of volumes for all nodes.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// The same, with other content types.
    #[must_use]
    pub fn content(mut self, content: &[&str]) -> Self {
        self.content = content.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// The same, on these nodes only.
    #[must_use]
    pub fn nodes(mut self, nodes: &[&str]) -> Self {
        self.nodes = nodes.iter().map(|&node| node.to_owned()).collect();
        self
    }
}

impl GuestSpec {
    /// A guest with one core, 1 GiB of memory, a NIC on `vmbr0`, an agent, and no disk yet.
    pub fn new(vmid: u32, name: &str, node: &str) -> Self {
        Self {
            vmid,
            name: name.into(),
            node: node.into(),
            storage: None,
            disk_gib: defaults::disk_gib(),
            format: defaults::format(),
            cloud_init: true,
            cores: defaults::cores(),
            memory_mib: defaults::guest_memory_mib(),
            bridge: defaults::bridge(),
            tags: None,
            agent: true,
            running: false,
            config: BTreeMap::new(),
        }
    }

    /// The same with a disk of that many GiB on that storage.
    #[must_use]
    pub fn disk(mut self, storage: &str, gib: u64) -> Self {
        self.storage = Some(storage.into());
        self.disk_gib = gib;
        self
    }

    /// The same with tags.
    #[must_use]
    pub fn tags(mut self, tags: &str) -> Self {
        self.tags = Some(tags.into());
        self
    }

    /// The same with one more configuration line.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.config.insert(key.into(), value.into());
        self
    }
}

impl TokenSpec {
    /// A token with all its user's rights.
    pub fn new(id: &str, secret: &str) -> Self {
        Self { id: id.into(), secret: secret.into(), privsep: false, expired: false }
    }
}

impl AclSpec {
    /// A line that counts for the paths below too.
    pub fn new(path: &str, who: &str, role: &str) -> Self {
        Self { path: path.into(), who: who.into(), role: role.into(), propagate: true }
    }
}
