//! Knows Proxmox VE, not Kubernetes.

pub mod client;
pub mod identity;
pub mod wire;
