//! Network cards and their addresses.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A network card. What is not given stays as it is; a new card gets Proxmox's default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Nic {
    /// Its key in Proxmox: `net0` to `net31`.
    #[schemars(length(min = 4, max = 5), regex(pattern = "^net([0-9]|[12][0-9]|3[01])$"))]
    pub name: String,
    /// The bridge that it is on, such as `vmbr0`. Applies at once.
    #[schemars(length(min = 1, max = 15), regex(pattern = "^[A-Za-z][A-Za-z0-9_.-]*$"))]
    pub bridge: String,
    /// The card that the guest sees; `virtio` for a new one. Applies at once: the card is unplugged and plugged in again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<NicModel>,
    /// The VLAN; 0 for none. Applies at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4094))]
    pub vlan: Option<i64>,
    /// Whether Proxmox's firewall is on for it. Applies at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firewall: Option<bool>,
    /// Its MAC address, such as `BC:24:11:00:00:02`. Drawn by Proxmox for a new card, and kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 17), regex(pattern = "^[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$"))]
    pub mac: Option<String>,
}

/// A network card that QEMU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NicModel {
    /// Paravirtual, the fastest.
    Virtio,
    /// Intel 82540EM, known by nearly every system.
    E1000,
    /// Intel 82574L.
    E1000e,
    /// Realtek 8139, for old systems.
    Rtl8139,
    /// VMware's paravirtual card.
    Vmxnet3,
}

/// The addresses of a network card, which cloud-init sets in the guest at its next boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.ipv4) || has(self.ipv6)").message("give ipv4, ipv6, or both"))]
#[x_kube(validation = Rule::new("!has(self.gateway4) || has(self.ipv4) && self.ipv4 != 'dhcp'").message("gateway4 needs a static address in ipv4"))]
#[x_kube(validation = Rule::new("!has(self.gateway6) || has(self.ipv6) && self.ipv6 != 'dhcp' && self.ipv6 != 'auto'").message("gateway6 needs a static address in ipv6"))]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// The card, by its key in Proxmox: `net0` to `net31`.
    #[schemars(length(min = 4, max = 5), regex(pattern = "^net([0-9]|[12][0-9]|3[01])$"))]
    pub nic: String,
    /// `dhcp`, or a static IPv4 address with the length of its prefix: `192.0.2.10/24`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 18), regex(pattern = "^(dhcp|[0-9]{1,3}([.][0-9]{1,3}){3}/([0-9]|[12][0-9]|3[0-2]))$"))]
    pub ipv4: Option<String>,
    /// IPv4 address of the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 15), regex(pattern = "^[0-9]{1,3}([.][0-9]{1,3}){3}$"))]
    pub gateway4: Option<String>,
    /// `dhcp`, `auto` for what routers announce, or a static IPv6 address with the length of its prefix:
    /// `2001:db8::10/64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 49),
        regex(pattern = "^(dhcp|auto|[0-9A-Fa-f:.]+/([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))$")
    )]
    pub ipv6: Option<String>,
    /// IPv6 address of the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 45), regex(pattern = "^[0-9A-Fa-f:.]+$"))]
    pub gateway6: Option<String>,
}
