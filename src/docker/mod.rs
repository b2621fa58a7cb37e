//! Knows Docker, not Kubernetes.

pub mod act;
pub mod catalogue;
pub mod command;
pub mod compose;
pub mod content;
pub mod convert;
pub mod delivery;
pub mod deploy;
pub mod desired;
pub mod engine;
pub mod exposure;
pub mod identity;
pub mod labels;
pub mod observe;
pub mod observed;
pub mod plan;
pub mod recorded;
