//! The status of a `ProxmoxVM`: what was recorded and observed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AdoptionPreview, ProxmoxVM};
use crate::api::{
    conditions::Conditioned,
    disks::DiskStatus,
    power::{PowerState, Started},
    size::Size,
};

/// Where a machine stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Nothing was made yet: something is awaited, or no node has room.
    Pending,
    /// The template is being cloned.
    Cloning,
    /// The clone is being configured and its disk grown.
    Configuring,
    /// It was there before, and is being taken over.
    Adopting,
    /// It was started for the first time.
    Starting,
    /// It runs.
    Running,
    /// The guest is asked to shut down.
    Stopping,
    /// It does not run.
    Stopped,
    /// It keeps its memory and does not go on.
    Paused,
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
            Self::Pending
            | Self::Cloning
            | Self::Configuring
            | Self::Adopting
            | Self::Starting
            | Self::Running
            | Self::Stopping
            | Self::Paused
            | Self::Deleting => false,
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
    /// Whether the machine runs, as it was last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_state: Option<PowerState>,
    /// CPU cores that the machine has over all its sockets, as it was last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<i64>,
    /// Memory that the machine has, as it was last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Size of the disk that the machine boots from, as it was last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_size: Option<Size>,
    /// What the adoption would change, while `spec.adopt.dryRun` is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adoption: Option<AdoptionPreview>,
    /// When the machine was last started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Started>,
    /// The value of the annotation `cloudfaster.app/restartedAt` that the machine was last restarted for; its hash, if it is
    /// long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted_at: Option<String>,
    /// What waits for the next boot of the machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["key"]))]
    pub pending_changes: Vec<PendingChange>,
    /// The last restart for the sake of pending changes: the same changes are worth one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reboot: Option<Reboot>,
    /// What of the spec was applied, where Proxmox itself does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Applied>,
    /// The disks that the spec names beside `disk`, and those that it named before and whose data is kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub disks: Vec<DiskStatus>,
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

/// A change that waits for the next boot. Of secrets only the key is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingChange {
    /// The key of the machine's configuration in Proxmox.
    pub key: String,
    /// What the machine runs with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// What its next boot brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A restart for the sake of pending changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reboot {
    /// The changes, a line each.
    pub changes: String,
    /// The QEMU process that was to end for them.
    pub process: i64,
}

/// What of the spec was applied, where Proxmox itself does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// The uid and version of the Secret whose password was set last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_version: Option<String>,
    /// The tags that the spec named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The network cards that are there because the spec named them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nics: Vec<String>,
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
    /// It was there before, and is to get our mark.
    Adopting,
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
    /// Grows a disk.
    Resize,
    /// Attaches a disk, detaches it, or removes what was detached.
    Disk,
    /// Starts the machine.
    Start,
    /// Stops the machine hard.
    Stop,
    /// Asks the guest to shut down.
    Shutdown,
    /// Pauses the machine.
    Suspend,
    /// Lets a paused machine go on.
    Resume,
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
    /// The machine ran there once, and is on no node any more.
    Lost,
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
