//! The controller as it is operated: several replicas of which one leads, health and metrics, pauses, and a Kubernetes
//! that is away for a while or refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod election;
mod endpoints;
mod pause;
mod process;
#[allow(dead_code, unused_imports, reason = "what the tests of the machines share, of which these use a part")]
#[path = "../machines/support/mod.rs"]
mod support;
mod trouble;
