//! Published ports, one entry for each port of a container.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::at::At;

/// One port of the container that is published on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Where it is written.
    #[serde(skip)]
    pub at: At,
    /// A name for people.
    pub name: Option<String>,
    /// The port inside the container.
    pub target: u16,
    /// The port of the host, or several of which the engine takes a free one; without, it takes any.
    pub published: Option<PublishedPorts>,
    /// The address of the host; all of them without.
    pub host_ip: Option<IpAddr>,
    /// The protocol.
    pub protocol: Protocol,
    /// The protocol on top of it, for people (`http`).
    pub app_protocol: Option<String>,
    /// Swarm's way of publishing, without a meaning on a single host.
    pub mode: PortMode,
}

/// Ports of the host, the first and the last of which are equal unless a range was given for a single target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPorts {
    /// The first.
    pub first: u16,
    /// The last, included.
    pub last: u16,
}

impl fmt::Display for PublishedPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// The protocol of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// As the engine and compose files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// Swarm's way of publishing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortMode {
    /// On every node of a swarm.
    #[default]
    Ingress,
    /// On the container's host.
    Host,
}

impl PortMode {
    /// As compose files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Host => "host",
        }
    }
}
