//! Knows Docker, not Kubernetes.

pub mod compose;
pub mod engine;
pub mod labels;
