//! What the guest agent says.

use std::net::IpAddr;

use serde::Deserialize;

/// `/nodes/N/qemu/ID/agent/network-get-interfaces`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct AgentInterfaces {
    #[serde(default)]
    pub result: Vec<AgentInterface>,
}

/// A network interface of the guest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AgentInterface {
    #[serde(default)]
    pub name: String,
    #[serde(rename = "hardware-address", default)]
    pub hardware_address: Option<String>,
    #[serde(rename = "ip-addresses", default)]
    pub ip_addresses: Vec<AgentAddress>,
}

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AgentAddress {
    #[serde(rename = "ip-address", default)]
    pub ip_address: String,
    #[serde(default)]
    pub prefix: Option<u8>,
}

impl AgentInterfaces {
    /// The addresses at which others can reach the guest: neither loopback nor link-local ones.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.result
            .iter()
            .flat_map(|interface| &interface.ip_addresses)
            .filter_map(|address| address.ip_address.parse().ok())
            .filter(|address| match address {
                IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local() && !v4.is_unspecified(),
                IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local() && !v6.is_unspecified(),
            })
            .collect()
    }
}
