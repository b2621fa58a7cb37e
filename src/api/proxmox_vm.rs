//! `ProxmoxVM`: one virtual machine.

// Each column of the table has a type.
#![allow(clippy::duplicated_attributes)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    common::{NameRef, SecretKeyRef},
    conditions::Conditioned,
    size::Size,
};

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
    printcolumn(name = "Cores", type_ = "integer", priority = 1, json_path = ".spec.cores"),
    printcolumn(name = "Memory", type_ = "string", priority = 1, json_path = ".spec.memory"),
    printcolumn(name = "Message", type_ = "string", priority = 1, json_path = ".status.message")
)]
#[x_kube(validation = Rule::new("has(self.os) != has(self.template)").message("give exactly one of os and template"))]
#[x_kube(validation = Rule::new("has(self.os) == has(oldSelf.os) && (!has(self.os) || self.os == oldSelf.os)").message("os cannot be changed: a machine keeps the system it was cloned with; make a new machine").field_path(".os"))]
#[x_kube(validation = Rule::new("has(self.template) == has(oldSelf.template) && (!has(self.template) || self.template == oldSelf.template)").message("template cannot be changed: a machine keeps the system it was cloned with; make a new machine").field_path(".template"))]
#[x_kube(validation = Rule::new("self.clusterRef == oldSelf.clusterRef").message("clusterRef cannot be changed: a machine stays in its cluster; make a new machine").field_path(".clusterRef"))]
#[x_kube(validation = Rule::new("self.clone == oldSelf.clone").message("clone cannot be changed: a machine stays as it was cloned; make a new machine").field_path(".clone"))]
#[x_kube(validation = Rule::new("self.clone != 'Linked' || !has(self.disk.storage)").message("a linked clone stays on the storage of its template: leave disk.storage out").field_path(".disk.storage"))]
#[serde(rename_all = "camelCase")]
pub struct ProxmoxVMSpec {
    /// The ProxmoxCluster that the machine is made on. Cannot be changed.
    pub cluster_ref: NameRef,
    /// Name of the operating system, one of those for which the cluster has a template, such as `UBUNTU24_SERVER`. Either
    /// this or `template` is given. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub os: Option<String>,
    /// A template of Proxmox that is named directly, where the cluster allows it. Its machines get VMIDs of the fallback
    /// range. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateRef>,
    /// Number of CPU cores.
    #[serde(default = "default_cores")]
    #[schemars(range(min = 1, max = 512))]
    pub cores: i64,
    /// Memory, with its unit: `2Gi`. At least 16Mi.
    #[serde(default = "default_memory")]
    #[x_kube(validation = Rule::new("!self.endsWith('i') || quantity(self).compareTo(quantity('16Mi')) >= 0").message("Proxmox needs at least 16Mi"))]
    pub memory: Size,
    /// The disk that the machine boots from.
    #[serde(default = "default_disk")]
    pub disk: Disk,
    /// Whether all data of the template is copied, or only what differs from it stored. Cannot be changed.
    #[serde(default)]
    pub clone: CloneKind,
    /// On which node the machine is made. A change of it moves no machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// What cloud-init sets up in the guest at its first boot. Needs a template with a cloud-init drive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_init: Option<CloudInit>,
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

fn default_cores() -> i64 {
    2
}

#[allow(clippy::expect_used, reason = "a literal, and a test reads it")]
fn default_memory() -> Size {
    "2Gi".parse().expect("a size")
}

#[allow(clippy::expect_used, reason = "a literal, and a test reads it")]
fn default_disk() -> Disk {
    Disk { size: "40Gi".parse().expect("a size"), storage: None }
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
}

/// Where a machine stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Nothing was made yet: something is awaited, or no node has room.
    Pending,
    /// The template is being cloned.
    Cloning,
    /// The clone is being configured and its disk grown.
    Configuring,
    /// It was started for the first time.
    Starting,
    /// It runs.
    Running,
    /// It was running once and does not run now.
    Stopped,
    /// An attempt failed; what it left is being removed before the next.
    CleaningUp,
    /// It is being deleted.
    Deleting,
    /// Nothing happens until the spec changes or somebody mends it; the message says what.
    Stalled,
}

impl Phase {
    /// Whether a person would want to be warned.
    pub fn is_trouble(self) -> bool {
        match self {
            Self::CleaningUp | Self::Stalled | Self::Stopped => true,
            Self::Pending | Self::Cloning | Self::Configuring | Self::Starting | Self::Running | Self::Deleting => {
                false
            }
        }
    }
}

/// What was recorded and observed of a machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxmoxVMStatus {
    /// The generation of the spec that this status speaks of; -1 before anybody looked.
    #[serde(default)]
    pub observed_generation: i64,
    /// Where the machine stands in its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Progress of the creation in percent, in tens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub progress: Option<i64>,
    /// What happens now, or what is wrong and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `Ready`, `Reconciling` and `Stalled` by the rules of kstatus, `RebootRequired`, and `Paused`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The node that the machine is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The machine's VMID in Proxmox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmid: Option<i64>,
    /// Addresses that the guest agent reports, loopback and link-local ones left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_addresses: Vec<String>,
    /// What the operator set out to do; written before anything is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// The Proxmox task that is awaited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// The last 20 attempts to make the machine, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// How many attempts were made in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_total: Option<i64>,
    /// What failed attempts left in Proxmox and could not be removed yet. It is removed as soon as that is possible.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leftovers: Vec<Leftover>,
}

impl Conditioned for ProxmoxVM {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    fn conditions_mut(&mut self) -> (&mut Vec<Condition>, Option<&mut Option<String>>) {
        let status = self
            .status
            .get_or_insert_with(|| ProxmoxVMStatus { observed_generation: -1, ..ProxmoxVMStatus::default() });
        (&mut status.conditions, Some(&mut status.message))
    }
}

/// What the operator set out to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// The node, by its name in the ProxmoxCluster.
    pub node: String,
    /// The VMID that was chosen.
    pub vmid: i64,
    /// VMID of the template that is cloned; not known of a machine that was found by its marks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<i64>,
    /// The node that has the template, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_node: Option<String>,
    /// The storage that the disk is made on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    /// Counts the attempts, from 1.
    pub attempt: i64,
    /// How far it got; never goes back.
    pub stage: Stage,
    /// Why it was given up, in one word, in the stage `Abandoning`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it was given up, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Failures of calls that were tried again on the same node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<i64>,
    /// When this was written down.
    pub since: Time,
}

/// How far an attempt got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Stage {
    /// It may be cloned; it was never started.
    Creating,
    /// Its start was posted: it may have run.
    Starting,
    /// It was Ready once.
    Established,
    /// It failed and is being removed.
    Abandoning,
}

/// A Proxmox task that is awaited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Proxmox's unique id of the task.
    pub upid: String,
    /// The node it was given to, by its name in the ProxmoxCluster.
    pub node: String,
    /// What the task does.
    pub action: TaskAction,
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaskAction {
    /// Clones the template.
    Clone,
    /// Grows the disk.
    Resize,
    /// Starts the machine.
    Start,
    /// Stops the machine hard.
    Stop,
    /// Removes the machine with its disks.
    Destroy,
    /// Removes a volume that nothing refers to any more.
    FreeVolume,
}

/// An attempt to make the machine on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The node, by its name in the ProxmoxCluster.
    pub node: String,
    /// The VMID that was used, if it came to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmid: Option<i64>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// Why, in one word.
    pub reason: String,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it ended.
    pub time: Time,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AttemptOutcome {
    /// The machine runs there.
    Succeeded,
    /// It was begun there and failed.
    Failed,
    /// The node could not take it; nothing was done there.
    Skipped,
}

/// Something in Proxmox that could not be removed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Leftover {
    /// The node, by its name in the ProxmoxCluster.
    pub node: String,
    /// The VMID that it was made with.
    pub vmid: i64,
    /// Why it could not be removed.
    pub reason: String,
    /// What an administrator types on the node to help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// When it was noticed.
    pub since: Time,
}
