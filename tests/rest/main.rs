//! The REST shim over real HTTP, as old clients call it: with the embedded control plane, the controller and a simulated
//! Proxmox in this process. Every exchange is held to the OpenAPI document, in both directions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod audit;
mod contract;
mod fastapi;
mod fuzz;
mod keys;
#[path = "../machines/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the laboratory can do more than this needs")]
mod laboratory;
mod machines;
mod numbers;
mod page;
mod services;
mod serving;
mod support;
mod trouble;
mod users;
mod webhooks;
