//! Getting repositories and archives from places that tenants name.
//!
//! Nobody is trusted: neither who names the place nor who answers there. No program is run, no configuration of this
//! machine is read, and nothing is connected to that is not allowed.

pub mod address;
mod error;
pub mod git;
pub mod http;

use std::time::Duration;

pub use address::{Forbidden, Networks};
pub use error::{Class, Error};

pub type Result<T> = std::result::Result<T, Error>;

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Until there is a connection.
    pub connect: Duration,
    /// For the next byte.
    pub idle: Duration,
    /// For all of it.
    pub total: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), idle: Duration::from_secs(30), total: Duration::from_secs(600) }
    }
}
