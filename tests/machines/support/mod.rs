//! What the tests share: a laboratory with everything in it, crashes on order, and manifests.

pub mod controller;
pub mod crash;
pub mod lab;
pub mod logs;
pub mod manifests;
pub mod recorder;

pub use crash::{Call, Crash};
pub use lab::{Lab, is_ready, reason};
pub use manifests::{cluster, machine, open_tenants, small};

use std::sync::Once;

/// Names the one crypto provider, and keeps the logs for the tests that search them.
pub fn start() {
    static START: Once = Once::new();
    START.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().expect("nobody else names a provider");
        logs::keep();
    });
}
