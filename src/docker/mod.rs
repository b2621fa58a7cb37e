//! Knows Docker, not Kubernetes.

pub mod compose;
pub mod convert;
pub mod engine;
pub mod labels;
