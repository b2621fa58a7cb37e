//! The parts that the tests need: an engine, a namespace of their own on it, images, a registry.

pub mod command;
pub mod dockerd;
pub mod engine;
pub mod images;
pub mod proxy;
pub mod registry;
pub mod run;

pub use engine::{engine, settings};
pub use run::Run;
