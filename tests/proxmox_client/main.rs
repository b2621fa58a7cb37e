//! The client of the Proxmox API, against small HTTPS servers and recorded answers of Proxmox VE 8.4 and 9.2.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod auth;
mod recorded;
#[allow(dead_code)]
#[path = "../support/pve_server.rs"]
mod server;
mod transport;
mod trust;
