//! Knows Proxmox VE, not Kubernetes.

pub mod client;
pub mod identity;
pub mod inventory;
pub mod outcome;
pub mod plan;
pub mod rights;
pub mod wire;
