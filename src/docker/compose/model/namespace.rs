//! Whose namespace a container lives in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The value of `network_mode`, `ipc`, `pid`, `uts`, `cgroup` and `userns_mode`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Namespace {
    /// The host's.
    Host,
    /// Its own.
    Private,
    /// Its own, which others may join (`ipc`).
    Shareable,
    /// None at all (`network_mode`, `ipc`).
    None,
    /// That of a service of the same project.
    Service(String),
    /// That of any container of the host, by name or id.
    Container(String),
    /// Anything else, as it stands: `bridge`, or the name of a network.
    Other(String),
}

impl From<String> for Namespace {
    fn from(value: String) -> Self {
        match value.as_str() {
            "host" => Self::Host,
            "private" => Self::Private,
            "shareable" => Self::Shareable,
            "none" => Self::None,
            other => match other.split_once(':') {
                Some(("service", name)) => Self::Service(name.to_owned()),
                Some(("container", name)) => Self::Container(name.to_owned()),
                _ => Self::Other(value),
            },
        }
    }
}

impl From<Namespace> for String {
    fn from(value: Namespace) -> Self {
        value.to_string()
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Private => f.write_str("private"),
            Self::Shareable => f.write_str("shareable"),
            Self::None => f.write_str("none"),
            Self::Service(name) => write!(f, "service:{name}"),
            Self::Container(name) => write!(f, "container:{name}"),
            Self::Other(value) => f.write_str(value),
        }
    }
}
