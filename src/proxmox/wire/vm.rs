//! A VM's power state and what waits for its next boot.

use serde::Deserialize;
use serde_json::Value;

use super::{Vmid, lenient};

/// `/nodes/N/qemu/ID/status/current`: asks QEMU itself, about 50 ms of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct VmStatus {
    #[serde(deserialize_with = "lenient::integer")]
    pub vmid: Option<Vmid>,
    /// `running` (also when paused) or `stopped`.
    pub status: String,
    /// What QEMU says: `running`, `paused`, `stopped`, `prelaunch`, …
    #[serde(deserialize_with = "lenient::text")]
    pub qmpstatus: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub lock: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// The QEMU process, if there is one.
    #[serde(deserialize_with = "lenient::integer")]
    pub pid: Option<u32>,
    /// Seconds since it was started.
    #[serde(deserialize_with = "lenient::integer")]
    pub uptime: Option<u64>,
    /// Whether the guest agent is configured.
    #[serde(deserialize_with = "lenient::boolean")]
    pub agent: bool,
}

impl VmStatus {
    /// Whether a QEMU process exists (a paused one too).
    pub fn is_running(&self) -> bool {
        self.status == "running"
    }

    pub fn is_paused(&self) -> bool {
        self.is_running() && self.qmpstatus.as_deref() == Some("paused")
    }
}

/// An entry of `/nodes/N/qemu/ID/pending`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PendingValue {
    pub key: String,
    /// What is in force.
    #[serde(default, deserialize_with = "lenient::text")]
    pub value: Option<String>,
    /// What the next boot brings.
    #[serde(default, deserialize_with = "lenient::text")]
    pub pending: Option<String>,
    /// Whether the next boot removes the key: 1, or 2 when forced.
    #[serde(default)]
    delete: Option<Value>,
}

impl PendingValue {
    /// Whether the next boot removes the key.
    pub fn is_delete(&self) -> bool {
        self.delete.as_ref().and_then(lenient::as_text).is_some_and(|flag| flag != "0" && !flag.is_empty())
    }

    /// Whether anything waits for the next boot.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some() || self.is_delete()
    }
}
