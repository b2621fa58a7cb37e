//! Repositories.

mod url;

pub use url::{GitUrl, InvalidUrl, SshUrl};
