//! Disks beside the one that a machine boots from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::size::Size;

/// A disk beside the one that the machine boots from. Its name is the serial number that the guest sees, so that it is found
/// there whatever its slot: `/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_data`. What is not given stays as it is; a new disk gets
/// Proxmox's default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExtraDisk {
    /// Name of the disk, which tells it from the others. A disk of the template that has it as its serial number is this one.
    #[schemars(length(min = 1, max = 20), regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub name: String,
    /// Size with its unit: `100Gi`. It can grow, which applies at once, and never shrinks.
    pub size: Size,
    /// Storage that the disk is made on, where the cluster allows it; that of the disk which the machine boots from without it.
    /// Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub storage: Option<String>,
    /// Whether what the guest deletes becomes free on the storage, too (TRIM). Applies at the next boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discard: Option<bool>,
    /// Whether the guest is told that it is a solid-state disk. Applies at the next boot. Not for machines that boot from a
    /// `virtio` disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssd: Option<bool>,
    /// Whether the disk is served by a thread of its own. Applies at the next boot. Needs a template that boots from a
    /// `virtio` disk or has the controller `virtio-scsi-single`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io_thread: Option<bool>,
    /// Whether Proxmox's backups of the machine have the disk in them; they do without it. Applies at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<bool>,
    /// What becomes of the data when the disk is named here no more: `Retain` detaches it and keeps its volume, which
    /// `status.disks` tells and which is attached again when the name comes back; `Delete` removes the volume. All volumes go
    /// with the machine.
    #[serde(default)]
    pub removal_policy: RemovalPolicy,
}

/// What becomes of a disk's data when the spec names it no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RemovalPolicy {
    /// The disk is detached, and its volume kept.
    #[default]
    Retain,
    /// The volume is removed.
    Delete,
}

/// A disk that the spec names, or named before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiskStatus {
    /// Its name in the spec.
    pub name: String,
    /// Its key in Proxmox, such as `scsi1`; none while it is detached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The volume with its data, once it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// What becomes of its data when the spec names it no more.
    #[serde(default)]
    pub removal_policy: RemovalPolicy,
}
