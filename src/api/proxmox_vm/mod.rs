//! `ProxmoxVM`: one virtual machine.

// Each column of the table has a type.
#![allow(clippy::duplicated_attributes)]

mod life;
mod status;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    common::{NameRef, SecretKeyRef},
    disks::ExtraDisk,
    network::{Address, Nic},
    power::{PowerState, Shutdown},
    size::Size,
};

pub use life::*;
pub use status::*;

/// A virtual machine that is cloned from a template, configured, started, and kept until it is deleted.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "cloudfaster.app",
    version = "v1alpha1",
    kind = "ProxmoxVM",
    namespaced,
    shortname = "pvm",
    category = "cloudfaster",
    status = "ProxmoxVMStatus",
    derive = "PartialEq",
    doc = "A virtual machine on a ProxmoxCluster.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Progress",
        type_ = "integer",
        json_path = ".status.progress",
        description = "Progress of the creation in percent"
    ),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.node"),
    printcolumn(name = "VMID", type_ = "integer", json_path = ".status.vmid"),
    printcolumn(name = "IP", type_ = "string", json_path = ".status.ipAddresses[0]"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "OS", type_ = "string", priority = 1, json_path = ".spec.os"),
    printcolumn(name = "Cores", type_ = "integer", priority = 1, json_path = ".status.cores"),
    printcolumn(name = "Memory", type_ = "string", priority = 1, json_path = ".status.memory"),
    printcolumn(name = "Message", type_ = "string", priority = 1, json_path = ".status.message")
)]
#[x_kube(validation = Rule::new("[has(self.os), has(self.template), has(self.adopt)].exists_one(given, given)").message("give exactly one of os, template and adopt"))]
#[x_kube(validation = Rule::new("has(self.os) == has(oldSelf.os) && (!has(self.os) || self.os == oldSelf.os)").message("os cannot be changed: a machine keeps the system it was cloned with; make a new machine").field_path(".os"))]
#[x_kube(validation = Rule::new("has(self.template) == has(oldSelf.template) && (!has(self.template) || self.template == oldSelf.template)").message("template cannot be changed: a machine keeps the system it was cloned with; make a new machine").field_path(".template"))]
#[x_kube(validation = Rule::new("has(self.adopt) == has(oldSelf.adopt) && (!has(self.adopt) || self.adopt.node == oldSelf.adopt.node && self.adopt.vmid == oldSelf.adopt.vmid)").message("adopt cannot be changed but for its dryRun: the object stands for that machine; make another object").field_path(".adopt"))]
#[x_kube(validation = Rule::new("!has(self.adopt) || !has(oldSelf.adopt) || !self.adopt.dryRun || oldSelf.adopt.dryRun").message("dryRun cannot be turned on again: the machine may be adopted; the annotation cloudfaster.app/paused leaves it alone").field_path(".adopt"))]
#[x_kube(validation = Rule::new("!has(self.adopt) || self.clone != 'Linked' && (!has(self.disk) || !has(self.disk.storage))").message("an adopted machine is not cloned: leave clone and disk.storage out").field_path(".adopt"))]
#[x_kube(validation = Rule::new("!has(self.adopt) || self.whenMissing != 'Recreate'").message("an adopted machine has no template that it could be made anew from: leave whenMissing out").field_path(".whenMissing"))]
#[x_kube(validation = Rule::new("self.clusterRef == oldSelf.clusterRef").message("clusterRef cannot be changed: a machine stays in its cluster; make a new machine").field_path(".clusterRef"))]
#[x_kube(validation = Rule::new("self.clone == oldSelf.clone").message("clone cannot be changed: a machine stays as it was cloned; make a new machine").field_path(".clone"))]
#[x_kube(validation = Rule::new("self.clone != 'Linked' || !has(self.disk) || !has(self.disk.storage)").message("a linked clone stays on the storage of its template: leave disk.storage out").field_path(".disk.storage"))]
#[x_kube(validation = Rule::new("has(self.disk) == has(oldSelf.disk) || has(self.adopt) || has(self.disk) && !self.disk.size.endsWith('i') || quantity(has(self.disk) ? self.disk.size : '40Gi').compareTo(quantity(has(oldSelf.disk) ? oldSelf.disk.size : '40Gi')) >= 0").message("a disk never shrinks: give at least its present size, which is 40Gi where disk was not given").field_path(".disk"))]
#[x_kube(validation = Rule::new("has(self.disk) == has(oldSelf.disk) || !(has(self.disk) ? has(self.disk.storage) : has(oldSelf.disk.storage))").message("disk.storage cannot be given later or taken away: a disk stays where it was made; make a new machine").field_path(".disk"))]
#[x_kube(validation = Rule::new("!has(self.disks) || !has(oldSelf.disks) || self.disks.all(new, oldSelf.disks.all(old, old.name != new.name || !new.size.endsWith('i') || quantity(new.size).compareTo(quantity(old.size)) >= 0))").message("a disk never shrinks: give each of disks at least its present size").field_path(".disks"))]
#[x_kube(validation = Rule::new("!has(self.disks) || !has(oldSelf.disks) || self.disks.all(new, oldSelf.disks.all(old, old.name != new.name || has(new.storage) == has(old.storage) && (!has(new.storage) || new.storage == old.storage)))").message("the storage of a disk cannot be changed: it stays where it was made; give a new disk another name").field_path(".disks"))]
#[serde(rename_all = "camelCase")]
pub struct ProxmoxVMSpec {
    /// The ProxmoxCluster that the machine is made on. Cannot be changed.
    pub cluster_ref: NameRef,
    /// Name of the operating system, one of those for which the cluster has a template, such as `UBUNTU24_SERVER`.
    /// Exactly one of `os`, `template` and `adopt` is given. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub os: Option<String>,
    /// A template of Proxmox that is named directly, where the cluster allows it. Its machines get VMIDs of the fallback
    /// range. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateRef>,
    /// A machine that is there already and becomes this object's, where the cluster allows it, instead of `os` and
    /// `template`. It is changed where the spec names something else, and left as it is in all that the spec does not
    /// name. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,
    /// Number of CPU cores, of each socket. 2 without; an adopted machine keeps what it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 512))]
    pub cores: Option<i64>,
    /// Memory, with its unit: `2Gi`. At least 16Mi. 2Gi without; an adopted machine keeps what it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!self.endsWith('i') || quantity(self).compareTo(quantity('16Mi')) >= 0").message("Proxmox needs at least 16Mi"))]
    pub memory: Option<Size>,
    /// The disk that the machine boots from: of 40Gi without; an adopted machine keeps what it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
    /// Further disks. Each is made before the first boot, or added to the machine as it runs, where it boots from a `scsi` or
    /// `virtio` disk; otherwise at its next boot. One that is gone
    /// from Proxmox is missed as a machine is (`whenMissing`). Disks that are not named are left as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 30),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub disks: Vec<ExtraDisk>,
    /// The resource pool of Proxmox that the machine is in, where the cluster allows it. Applies at once. A machine for which
    /// none is named stays in the pool that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+){0,2}$"))]
    pub pool: Option<String>,
    /// Whether all data of the template is copied, or only what differs from it stored. Cannot be changed.
    #[serde(default)]
    pub clone: CloneKind,
    /// On which node the machine is made. A change of it moves no machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// What cloud-init sets up in the guest at its first boot. Needs a template with a cloud-init drive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_init: Option<CloudInit>,
    /// Whether the machine runs: `Running`, `Stopped` or `Paused`. A change applies at once. `Running` without; an adopted
    /// machine is left as it is, on or off. The annotation `cloudfaster.app/restartedAt` restarts it, once for each new
    /// value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_state: Option<PowerState>,
    /// How the guest is asked to shut down, when it is to stop or restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown: Option<Shutdown>,
    /// What happens when a change takes effect only at the next boot: `Never` leaves it pending,
    /// which the status shows, `WhenNeeded` shuts the guest down and starts it again. A changed user, password or SSH key never restarts
    /// it.
    #[serde(default)]
    pub reboot_policy: RebootPolicy,
    /// Number of CPU sockets, each with `cores` cores. Left as the template has it without. Applies at the next boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    pub sockets: Option<i64>,
    /// Model of the CPU as Proxmox names it, such as `host` or `x86-64-v2-AES`. Left as the template has it without.
    /// Applies at the next boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$"))]
    pub cpu_type: Option<String>,
    /// Network cards. Those of the template that are not named are left as they are; one that was added by being named
    /// here is taken away when it is named no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub nics: Vec<Nic>,
    /// Tags that the machine bears in Proxmox, in lower case. Others that it has are left as they are; one that is named
    /// no more is taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "set"),
        inner(length(min = 1, max = 64), regex(pattern = "^[a-z0-9_][a-z0-9_.+-]*$"))
    )]
    pub tags: Vec<String>,
    /// The machine's notes in Proxmox. A line that says whose the machine is follows them. Notes made in Proxmox are kept
    /// without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub description: Option<String>,
    /// Whether the node starts the machine when it boots itself. Left as the template has it without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_boot: Option<bool>,
    /// Whether the machine and its disks are protected from being removed, also when this object is deleted: its deletion
    /// waits until this is false. Left as it is in Proxmox without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection: Option<bool>,
    /// What becomes of the machine when this object is deleted: `Delete` removes it with its disks, `Retain` takes the
    /// operator's mark out of its notes and leaves it, `Orphan` leaves it as it is without asking Proxmox. A change
    /// takes effect also while the deletion waits.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// What happens when the machine was Ready once and is on no node any more: `Stall` waits until it is restored from a
    /// backup under its VMID, `Recreate` makes a new one, without the data of the old one, as soon as it is sure that
    /// the old one is nowhere.
    #[serde(default)]
    pub when_missing: WhenMissing,
}

/// What happens when a change takes effect only at the next boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RebootPolicy {
    /// It waits for the next boot, whenever that comes, and shows as pending.
    #[default]
    Never,
    /// The machine is restarted for it.
    WhenNeeded,
}

/// A template that is named directly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.vmid) != has(self.name)").message("give exactly one of vmid and name"))]
#[serde(rename_all = "camelCase")]
pub struct TemplateRef {
    /// VMID of the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 999_999_999))]
    pub vmid: Option<i64>,
    /// Name of the template in Proxmox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
    /// The node that has the template, by its name in the ProxmoxCluster. Without it each node uses its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub node: Option<String>,
}

/// In mebibytes.
const GIB: i64 = 1 << 10;

/// What a spec asks for of a machine's size and power; nothing, where an adopted one is to keep what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// CPU cores of each socket.
    pub cores: Option<i64>,
    /// Memory.
    pub memory: Option<Size>,
    /// The disk that it boots from.
    pub disk: Option<Disk>,
    /// Whether it runs.
    pub power_state: Option<PowerState>,
}

impl ProxmoxVMSpec {
    /// What is asked for, with what a machine has that is made without being asked. The schema knows no defaults: it would
    /// give them to adopted machines, too.
    pub fn shape(&self) -> Shape {
        let Self { cores, memory, disk, power_state, adopt, .. } = self;
        let (cores, memory, disk, power_state) = (*cores, *memory, disk.clone(), *power_state);
        if adopt.is_some() {
            return Shape { cores, memory, disk, power_state };
        }
        Shape {
            cores: cores.or(Some(2)),
            memory: memory.or(Some(Size::of_mebibytes(2 * GIB))),
            disk: disk.or(Some(Disk { size: Size::of_mebibytes(40 * GIB), storage: None })),
            power_state: power_state.or(Some(PowerState::default())),
        }
    }
}

/// The disk that the machine boots from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.storage) == has(oldSelf.storage) && (!has(self.storage) || self.storage == oldSelf.storage)").message("storage cannot be changed: a disk stays where it was made; make a new machine").field_path(".storage"))]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// Size with its unit: `40Gi`; at least that of the template's disk. It can grow and never shrinks.
    #[x_kube(validation = Rule::new("!self.endsWith('i') || quantity(self).compareTo(quantity(oldSelf)) >= 0").message("a disk never shrinks: give at least its present size"))]
    pub size: Size,
    /// Storage that the disk is made on, where the cluster allows it; that of the template without it. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub storage: Option<String>,
}

/// How a template is cloned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CloneKind {
    /// All its data is copied.
    #[default]
    Full,
    /// Only what differs from it is stored: made in a moment, and as long as it lives the template cannot be removed.
    Linked,
}

/// On which node a machine is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.policy != 'Spread' || has(self.group)").message("Spread needs a group: machines of one group are put on different nodes"))]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// The nodes that may be chosen, by their names in the ProxmoxCluster; all of them without it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub nodes: Vec<String>,
    /// Which of the nodes that have room is chosen.
    #[serde(default)]
    pub policy: PlacementPolicy,
    /// Machines of this namespace that name the same group are put on different nodes by `Spread`, as long as another one has
    /// room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub group: Option<String>,
}

/// Which of the nodes that have room is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PlacementPolicy {
    /// The first in the order of the ProxmoxCluster.
    #[default]
    Ordered,
    /// The one that has most left of what it has least of: memory, CPU, or room on the storage.
    MostFree,
    /// The one with the fewest machines of the group.
    Spread,
}

/// What cloud-init sets up in the guest at its first boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudInit {
    /// Name of the user that is made; the image's own default without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = "^[a-z_][a-z0-9_-]*$"))]
    pub user: Option<String>,
    /// The user's password, in a Secret of the machine's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,
    /// Public SSH keys, each as one line of an `authorized_keys` file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 16, max = 4096), regex(pattern = "^[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\\n\\r]*)?$"))
    )]
    pub ssh_keys: Vec<String>,
    /// Secrets of the machine's namespace that hold further public SSH keys, a key per line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub ssh_key_secret_refs: Vec<SecretKeyRef>,
    /// Addresses of the network cards, one entry for each card.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["nic"])
    )]
    pub addresses: Vec<Address>,
    /// Addresses of name servers; those of the node without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 2, max = 45), regex(pattern = "^[0-9A-Fa-f:.]+$")))]
    pub dns_servers: Vec<String>,
    /// The domain in which names are looked for; that of the node without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$")
    )]
    pub search_domain: Option<String>,
}
