//! Docker services under the controllers, on a real engine: what goes wrong is told where its user looks, and what runs goes on.
//!
//! The engine is the one that DOCKER_HOST or the default socket names; where one has to be full, or to go away, a second one
//! is started beside it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod builds;
mod catalogue;
mod content;
#[path = "../machines/support/controller.rs"]
mod controller;
mod crash;
mod crashes;
#[allow(dead_code, unused_imports, reason = "what the tests of the engine share, of which these use a part")]
#[path = "../docker/support/mod.rs"]
mod docker;
mod git;
mod hosts;
mod lab;
mod limits;
#[allow(dead_code, reason = "these tests write no file of logs")]
#[path = "../machines/support/logs.rs"]
mod logs;
mod mistakes;
mod old_client;
#[path = "../support/process.rs"]
mod process;
mod proxy;
mod registry;
mod releases;
#[allow(dead_code, reason = "what the tests of fetching share, of which these use a part")]
#[path = "../fetch/repository.rs"]
mod repository;
#[allow(dead_code, reason = "the same")]
#[path = "../fetch/server.rs"]
mod server;
#[allow(dead_code, reason = "the same")]
#[path = "../fetch/sshd.rs"]
mod sshd;
mod tools;
mod troubles;
