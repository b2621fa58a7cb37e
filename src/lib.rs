//! The CloudFaster operator: Proxmox VMs and Docker compose services from custom resources.
//!
//! The map of the modules; dependencies point one way, and the I/O stays at the edges.

pub mod api;
pub mod artifacts;
pub mod controller;
pub mod docker;
pub mod kubernetes;
pub mod proxmox;
pub mod reason;
pub mod rest;
pub mod simulator;
pub mod standalone;
pub mod telemetry;
pub mod tls;
