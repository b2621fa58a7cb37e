//! What a node has: its storages and their volumes.

use serde::Deserialize;

use super::{Vmid, lenient};

/// A storage as one node sees it, from `/nodes/N/storage`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Storage {
    #[serde(rename = "storage")]
    pub name: String,
    /// `dir`, `lvmthin`, `zfspool`, `nfs`, …
    #[serde(rename = "type", default)]
    pub kind: String,
    /// What it may hold: `images`, `rootdir`, `iso`, …
    #[serde(default, deserialize_with = "lenient::names")]
    pub content: Vec<String>,
    /// Whether every node sees the same volumes.
    #[serde(default, deserialize_with = "lenient::boolean")]
    pub shared: bool,
    /// Whether this node may use it.
    #[serde(default, deserialize_with = "lenient::boolean")]
    pub enabled: bool,
    /// Whether it works at the moment.
    #[serde(default, deserialize_with = "lenient::boolean")]
    pub active: bool,
    /// Bytes in all.
    #[serde(default, deserialize_with = "lenient::integer")]
    pub total: Option<u64>,
    /// Bytes in use.
    #[serde(default, deserialize_with = "lenient::integer")]
    pub used: Option<u64>,
    /// Bytes that can still be written. Often less than `total - used`: the file system keeps some.
    #[serde(default, deserialize_with = "lenient::integer")]
    pub avail: Option<u64>,
}

impl Storage {
    /// Whether VM disks can be put there now.
    pub fn takes_images(&self) -> bool {
        self.enabled && self.active && self.content.iter().any(|kind| kind == "images")
    }
}

/// A volume, from `/nodes/N/storage/S/content`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Volume {
    /// `data2:110/vm-110-disk-0.qcow2`.
    pub volid: String,
    /// The VM it belongs to by its name.
    #[serde(default, deserialize_with = "lenient::integer")]
    pub vmid: Option<Vmid>,
    /// `images`, `iso`, `backup`, …
    #[serde(default, deserialize_with = "lenient::text")]
    pub content: Option<String>,
    /// Bytes.
    #[serde(default, deserialize_with = "lenient::integer")]
    pub size: Option<u64>,
}
