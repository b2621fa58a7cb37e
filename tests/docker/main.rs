//! Docker: the client, the inventory and what is made of compose files, against a real engine.
//!
//! The engine is the one that DOCKER_HOST or the default socket names. Each test makes its own images, containers,
//! networks and volumes there and removes them; what others have there is left alone. Where an engine has to be
//! stopped, restarted, or to be full, a second one is started beside it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod calls;
#[allow(dead_code, reason = "the corpus of the compose files, of which a part is used here")]
#[path = "../compose/case.rs"]
mod case;
mod converge;
mod far;
mod inventory;
mod oracle;
#[path = "../support/process.rs"]
mod process;
mod refusals;
#[allow(dead_code, reason = "the proxy can do more, for the tests of services")]
mod support;
