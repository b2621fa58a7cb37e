#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod build;
mod content;
mod create;
mod explore;
mod keep;
mod proxy;
mod release;
mod remove;
mod update;
mod walker;
mod world;
