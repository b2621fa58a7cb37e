//! The addresses that a configuration gives its machine.

use std::{collections::BTreeSet, net::IpAddr};

use super::VmConfig;

/// What belongs to one machine alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// MAC addresses, in upper case.
    pub macs: BTreeSet<String>,
    /// Static IP addresses.
    pub ips: BTreeSet<IpAddr>,
}

impl Addresses {
    /// One that both have, for people.
    pub fn common(&self, other: &Self) -> Option<String> {
        let mac = self.macs.intersection(&other.macs).next().map(|mac| format!("the MAC address {mac}"));
        mac.or_else(|| self.ips.intersection(&other.ips).next().map(|ip| format!("the address {ip}")))
    }
}

impl From<&VmConfig> for Addresses {
    /// From the lines `netN` (`virtio=BC:24:11:…,bridge=vmbr0`) and `ipconfigN` (`ip=10.0.0.2/24,gw=10.0.0.1`).
    fn from(config: &VmConfig) -> Self {
        let mut addresses = Self::default();
        for (key, line) in config.iter() {
            let kind = key.trim_end_matches(|digit: char| digit.is_ascii_digit());
            for (name, value) in line.split(',').filter_map(|part| part.split_once('=')) {
                match (kind, name) {
                    ("ipconfig", "ip" | "ip6") => {
                        let address = value.split_once('/').map_or(value, |(address, _)| address);
                        addresses.ips.extend(address.parse::<IpAddr>());
                    }
                    // The name of the model, or `macaddr`.
                    ("net", _) if is_mac(value) => {
                        addresses.macs.insert(value.to_ascii_uppercase());
                    }
                    _ => {}
                }
            }
        }
        addresses
    }
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<_> = text.split(':').collect();
    parts.len() == 6 && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_and_static_addresses_are_read_from_their_lines() {
        let config: VmConfig = [
            ("net0", "virtio=bc:24:11:0a:0b:0c,bridge=vmbr0,tag=7"),
            ("net1", "model=e1000,macaddr=BC:24:11:0A:0B:0D,bridge=vmbr1"),
            ("ipconfig0", "ip=10.0.0.2/24,gw=10.0.0.1,ip6=fd00::2/64"),
            ("ipconfig1", "ip=dhcp,ip6=auto"),
            ("netmask", "virtio=bc:24:11:0a:0b:0e"),
        ]
        .into_iter()
        .collect();
        let Addresses { macs, ips } = Addresses::from(&config);
        assert_eq!(macs.into_iter().collect::<Vec<_>>(), ["BC:24:11:0A:0B:0C", "BC:24:11:0A:0B:0D"]);
        assert_eq!(ips.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.2", "fd00::2"]);
    }
}
