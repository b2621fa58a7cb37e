//! What Proxmox VE says, as types: tolerant towards how it is written, strict about what it means.
//!
//! Proxmox is written in Perl, and its answers show it: a number may come as a string, a truth
//! value as `1`, `"1"` or `true`, and a field without a value is left out. Nothing here does I/O.

mod addresses;
mod agent;
mod cluster;
mod config;
mod drive;
mod lenient;
mod node;
mod size;
mod task;
mod upid;
mod vm;

pub use addresses::Addresses;
pub use agent::{AgentAddress, AgentInterface, AgentInterfaces};
pub use cluster::{ClusterEntry, ClusterStatus, NodeMember, Permissions, Resource, Version};
pub use config::VmConfig;
pub use drive::{Drive, VolumeKind, VolumeRef};
pub use node::{Storage, Volume};
pub use size::parse_size;
pub use task::{ClusterTask, ClusterTasks, LogLine, TaskStatus};
pub use upid::{InvalidUpid, Upid};
pub use vm::{PendingValue, VmStatus};

/// A VM's or container's number: 100 to 999999999, unique in its cluster.
pub type Vmid = u32;
