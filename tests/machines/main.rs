//! Machines from the manifest to Ready and to their end: the reconcilers against the embedded control plane and a
//! simulated Proxmox, held to the promises of the project.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod adopt;
mod attacks;
mod change;
mod clones;
mod cluster_status;
mod conditions;
mod crashes;
mod deletion;
mod disks;
mod drift;
mod examples;
mod failover;
mod fakepve;
mod fields;
mod image;
mod import;
mod let_go;
mod lives;
mod lost_calls;
mod matrix;
mod missing;
mod network;
mod placement;
mod pool;
mod power;
mod processes;
mod rights;
mod scale;
mod support;
