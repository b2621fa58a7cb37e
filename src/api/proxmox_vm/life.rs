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
