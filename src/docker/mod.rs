//! Knows Docker, not Kubernetes.

pub mod compose;
