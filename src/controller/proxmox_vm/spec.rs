//! What of a spec the schema cannot check, in the words of the plan.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::{
    api::{
        disks::{ExtraDisk, RemovalPolicy},
        network::{Address, Nic, NicModel},
        proxmox_vm::RebootPolicy,
    },
    proxmox::{identity, plan, restart},
};

/// A field of the spec that cannot be as it is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// Where.
    field: String,
    /// What is wrong, and what to give instead.
    problem: String,
}

fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Invalid {
    Invalid { field: field.into(), problem: problem.into() }
}

/// Network cards by their key in Proxmox.
pub fn nics(nics: &[Nic]) -> Result<BTreeMap<String, plan::Nic>, Invalid> {
    let mut cards = BTreeMap::new();
    for Nic { name, bridge, model, vlan, firewall, mac } in nics {
        let vlan = vlan.map(u16::try_from).transpose();
        let card = plan::Nic {
            bridge: bridge.clone(),
            model: model.map(|model| model_name(model).to_owned()),
            vlan: vlan.map_err(|_| invalid(format!("spec.nics[{name}].vlan"), "must be from 0 to 4094"))?,
            firewall: *firewall,
            mac: mac.clone(),
        };
        cards.insert(name.clone(), card);
    }
    Ok(cards)
}

/// Disks by their name.
pub fn disks(disks: &[ExtraDisk]) -> BTreeMap<String, plan::ExtraDisk> {
    let disks = disks.iter().map(|disk| {
        let ExtraDisk { name, size, storage, discard, ssd, io_thread, backup, removal_policy } = disk;
        let wanted = plan::ExtraDisk {
            bytes: size.bytes().unsigned_abs(),
            storage: storage.clone(),
            discard: *discard,
            ssd: *ssd,
            io_thread: *io_thread,
            backup: *backup,
            delete: *removal_policy == RemovalPolicy::Delete,
        };
        (name.clone(), wanted)
    });
    disks.collect()
}

fn model_name(model: NicModel) -> &'static str {
    match model {
        NicModel::Virtio => "virtio",
        NicModel::E1000 => "e1000",
        NicModel::E1000e => "e1000e",
        NicModel::Rtl8139 => "rtl8139",
        NicModel::Vmxnet3 => "vmxnet3",
    }
}

/// Addresses by the key in Proxmox, as the parts of its value.
pub fn addresses(addresses: &[Address]) -> Result<BTreeMap<String, BTreeMap<String, String>>, Invalid> {
    let mut keys = BTreeMap::new();
    for Address { nic, ipv4, gateway4, ipv6, gateway6 } in addresses {
        let field = |name: &str| format!("spec.cloudInit.addresses[{nic}].{name}");
        let mut parts = BTreeMap::new();
        if let Some(address) = ipv4 {
            let fits = address == "dhcp" || is_network::<Ipv4Addr>(address, 32);
            check(fits, &field("ipv4"), address, "dhcp, or an IPv4 address with its prefix such as 192.0.2.10/24")?;
            parts.insert("ip".to_owned(), address.clone());
        }
        if let Some(gateway) = gateway4 {
            check(gateway.parse::<Ipv4Addr>().is_ok(), &field("gateway4"), gateway, "an IPv4 address")?;
            check(
                is_static(ipv4.as_ref()),
                &field("gateway4"),
                gateway,
                "nothing, or a static address in ipv4 with it",
            )?;
            parts.insert("gw".to_owned(), gateway.clone());
        }
        if let Some(address) = ipv6 {
            let fits = matches!(address.as_str(), "dhcp" | "auto") || is_network::<Ipv6Addr>(address, 128);
            check(
                fits,
                &field("ipv6"),
                address,
                "dhcp, auto, or an IPv6 address with its prefix such as 2001:db8::1/64",
            )?;
            parts.insert("ip6".to_owned(), address.clone());
        }
        if let Some(gateway) = gateway6 {
            check(gateway.parse::<Ipv6Addr>().is_ok(), &field("gateway6"), gateway, "an IPv6 address")?;
            check(
                is_static(ipv6.as_ref()),
                &field("gateway6"),
                gateway,
                "nothing, or a static address in ipv6 with it",
            )?;
            parts.insert("gw6".to_owned(), gateway.clone());
        }
        keys.insert(nic.replacen("net", "ipconfig", 1), parts);
    }
    Ok(keys)
}

fn check(holds: bool, field: &str, given: &str, wanted: &str) -> Result<(), Invalid> {
    if holds { Ok(()) } else { Err(invalid(field, format!("{given:?} does not fit; give {wanted}"))) }
}

fn is_network<A: std::str::FromStr>(text: &str, longest: u8) -> bool {
    let Some((address, prefix)) = text.split_once('/') else { return false };
    address.parse::<A>().is_ok() && prefix.parse::<u8>().is_ok_and(|prefix| prefix <= longest)
}

fn is_static(address: Option<&String>) -> bool {
    address.is_some_and(|address| address.contains('/'))
}

/// Addresses of name servers.
pub fn dns_servers(servers: &[String]) -> Result<Vec<String>, Invalid> {
    for (index, server) in servers.iter().enumerate() {
        let field = format!("spec.cloudInit.dnsServers[{index}]");
        check(server.parse::<IpAddr>().is_ok(), &field, server, "an IP address")?;
    }
    Ok(servers.to_vec())
}

/// The user's part of the notes: it must not speak in our name.
pub fn description(text: Option<&String>) -> Result<Option<String>, Invalid> {
    if let Some(text) = text
        && (identity::contains_mark(text) || restart::contains(text))
    {
        return Err(invalid(
            "spec.description",
            "it holds what looks like a mark of the operator (cloudfaster.app/…), which only the operator writes; take it out",
        ));
    }
    Ok(text.cloned())
}

/// Tags, once each.
pub fn tags(tags: &[String]) -> Vec<String> {
    let mut tags = tags.to_vec();
    tags.sort();
    tags.dedup();
    tags
}

/// A number that is at least 1.
pub fn count(field: &str, number: i64) -> Result<u32, Invalid> {
    u32::try_from(number).ok().filter(|number| *number > 0).ok_or_else(|| invalid(field, "must be at least 1"))
}

/// Whether changes that need it restart the machine.
pub fn reboots(policy: RebootPolicy) -> bool {
    match policy {
        RebootPolicy::Never => false,
        RebootPolicy::WhenNeeded => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(ipv4: &str, gateway4: &str, ipv6: &str, gateway6: &str) -> Address {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (ipv4, gateway4, ipv6, gateway6) = (given(ipv4), given(gateway4), given(ipv6), given(gateway6));
        Address { nic: "net1".into(), ipv4, gateway4, ipv6, gateway6 }
    }

    #[test]
    fn addresses_are_as_proxmox_wants_them() {
        let made = addresses(&[address("192.0.2.5/24", "192.0.2.1", "auto", "")]).unwrap();
        let parts: Vec<_> = made["ipconfig1"].iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(parts, ["gw=192.0.2.1", "ip=192.0.2.5/24", "ip6=auto"]);
    }

    #[test]
    fn what_is_no_address_is_refused_by_the_name_of_its_field() {
        for (given, field) in [
            (address("300.0.2.5/24", "", "", ""), "ipv4"),
            (address("192.0.2.5", "", "", ""), "ipv4"),
            (address("192.0.2.5/33", "", "", ""), "ipv4"),
            (address("192.0.2.5/24", "300.1.1.1", "", ""), "gateway4"),
            (address("dhcp", "192.0.2.1", "", ""), "gateway4"),
            (address("", "", "fe80::g/64", ""), "ipv6"),
            (address("", "", "2001:db8::1/64", "192.0.2.1"), "gateway6"),
            (address("", "", "auto", "2001:db8::1"), "gateway6"),
        ] {
            let error = addresses(std::slice::from_ref(&given)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("spec.cloudInit.addresses[net1].{field}: ")), "{given:?}: {error}");
        }
        assert!(dns_servers(&["1.1.1.1".into(), "x".into()]).unwrap_err().to_string().contains("dnsServers[1]"));
    }

    #[test]
    fn a_description_does_not_speak_in_our_name() {
        for text in ["`cloudfaster.app/mark:v1 x`", "CloudFaster.app/Restart:v1 value=x"] {
            assert!(description(Some(&text.to_owned())).is_err(), "{text}");
        }
        assert_eq!(description(Some(&"Ask Alice".to_owned())), Ok(Some("Ask Alice".to_owned())));
    }
}
