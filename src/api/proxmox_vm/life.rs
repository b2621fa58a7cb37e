//! What becomes of a machine that is deleted, missing, or was there before.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of the machine when its object is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It is stopped and removed with its disks.
    #[default]
    Delete,
    /// It stays as it is, and the operator's mark is taken out of its notes. One that was never started is removed all
    /// the same.
    Retain,
    /// It stays as it is, marks and all: Proxmox is not asked, and may be gone.
    Orphan,
}

/// What happens when a machine that was Ready is on no node any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenMissing {
    /// It is waited for, until it is restored from a backup under its VMID.
    #[default]
    Stall,
    /// A new one is made under another VMID. The data of the old one are lost.
    Recreate,
}

/// A machine that is there already and becomes an object's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Adopt {
    /// The node that has the machine, by its name in the ProxmoxCluster. Where it is on another node of the same Proxmox
    /// cluster, it is found there.
    #[schemars(length(min = 1, max = 63))]
    pub node: String,
    /// The machine's VMID.
    #[schemars(range(min = 100, max = 999_999_999))]
    pub vmid: i64,
    /// Whether it is only looked at: `status.adoption` shows what would be changed, and nothing at all is done to the
    /// machine until this is false.
    #[serde(default)]
    pub dry_run: bool,
}

/// What the adoption of a machine would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdoptionPreview {
    /// The node that has the machine, by its name in the ProxmoxCluster.
    pub node: String,
    /// The machine's VMID.
    pub vmid: i64,
    /// Where the machine is other than the spec says. Without any it is adopted as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["field"]))]
    pub differences: Vec<Difference>,
}

/// A field of the spec that the machine differs from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The field of the spec, such as `disk.size`.
    pub field: String,
    /// What the machine has. Of passwords and SSH keys neither value is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present: Option<String>,
    /// What the spec asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<String>,
}
