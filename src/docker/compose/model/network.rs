//! Networks, and how services are attached to them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::at::{At, Positions};

/// A network of the project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Where it is declared, and its attributes.
    #[serde(skip)]
    pub at: Positions,
    /// The engine's name for it: as given, or `PROJECT_KEY`; the bare key of an external one.
    pub name: String,
    /// Whether it exists already, and is neither made nor removed with the project.
    pub external: bool,
    /// The network driver; the engine's default (`bridge`) without.
    pub driver: Option<String>,
    /// Options for the driver.
    pub driver_opts: BTreeMap<String, String>,
    /// How its addresses are given out.
    pub ipam: Ipam,
    /// Whether it is cut off from the outside.
    pub internal: bool,
    /// Whether containers outside the project may join (of meaning to Swarm only, passed on to the engine).
    pub attachable: bool,
    /// Whether it has IPv4 addresses; the engine's default without.
    pub enable_ipv4: Option<bool>,
    /// Whether it has IPv6 addresses; the engine's default without.
    pub enable_ipv6: Option<bool>,
    /// Labels of the network.
    pub labels: BTreeMap<String, String>,
}

/// How the addresses of a network are given out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ipam {
    /// The address driver; the engine's default without.
    pub driver: Option<String>,
    /// The ranges; the engine takes one of its pools if there is none.
    pub config: Vec<IpamPool>,
    /// Options for the driver.
    pub options: BTreeMap<String, String>,
}

/// A range of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IpamPool {
    /// The subnet, as in `10.5.0.0/24`.
    pub subnet: Option<String>,
    /// The part of the subnet that containers get addresses from.
    pub ip_range: Option<String>,
    /// The gateway's address.
    pub gateway: Option<String>,
    /// Addresses that the driver uses itself, by host name.
    pub aux_addresses: BTreeMap<String, String>,
}

/// How a service is attached to one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkAttachment {
    /// Where it is written.
    #[serde(skip)]
    pub at: At,
    /// Further names of the service on this network.
    pub aliases: Vec<String>,
    /// A fixed IPv4 address.
    pub ipv4_address: Option<Ipv4Addr>,
    /// A fixed IPv6 address.
    pub ipv6_address: Option<Ipv6Addr>,
    /// Link-local addresses.
    pub link_local_ips: Vec<String>,
    /// The MAC address on this network.
    pub mac_address: Option<String>,
    /// The interface's name inside the container.
    pub interface_name: Option<String>,
    /// Options for the driver.
    pub driver_opts: BTreeMap<String, String>,
    /// Which network comes first: the highest is the primary one.
    pub priority: i64,
    /// Which network gives the default gateway: the highest.
    pub gw_priority: i64,
}
