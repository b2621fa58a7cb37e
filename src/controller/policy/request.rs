//! What a machine's spec asks for, as far as an administrator may have a say in it.

use std::net::IpAddr;

use crate::api::{
    ProxmoxVM,
    disks::ExtraDisk,
    network,
    proxmox_vm::{self, ProxmoxVMSpec, Shape},
    size::Size,
};

/// All that a spec asks for.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The template, if the spec names one itself.
    pub template: Option<Template<'a>>,
    /// The VMID of an existing machine that is to be adopted.
    pub adopts: Option<i64>,
    /// CPU cores over all sockets, if they are asked for.
    pub cores: Option<i64>,
    /// Memory, if it is asked for.
    pub memory: Option<Size>,
    /// The disk that it boots from, and all others.
    pub disks: Vec<Disk<'a>>,
    /// Network cards.
    pub nics: Vec<Nic<'a>>,
    /// Static addresses, each with its field.
    pub addresses: Vec<(String, IpAddr)>,
    /// The pool.
    pub pool: Option<&'a str>,
    /// Tags.
    pub tags: &'a [String],
    /// Texts that Proxmox keeps with the machine, each with its field.
    pub texts: Vec<(&'static str, &'a str)>,
}

/// A template that is named directly.
#[derive(Clone, Copy, Debug)]
pub enum Template<'a> {
    /// By its VMID.
    Vmid(i64),
    /// By its name.
    Name(&'a str),
}

/// A disk.
#[derive(Clone, Debug)]
pub struct Disk<'a> {
    /// The field that describes it: `spec.disk`.
    pub field: String,
    /// Its size.
    pub size: Size,
    /// The storage, if one is named.
    pub storage: Option<&'a str>,
}

/// A network card.
#[derive(Clone, Debug)]
pub struct Nic<'a> {
    /// The field that describes it: `spec.nics[0]`.
    pub field: String,
    /// The bridge.
    pub bridge: &'a str,
    /// The VLAN tag.
    pub vlan: Option<i64>,
    /// The MAC address, if one is asked for.
    pub mac: Option<&'a str>,
}

impl<'a> From<&'a ProxmoxVM> for Request<'a> {
    fn from(vm: &'a ProxmoxVM) -> Self {
        // Without `..`, so that every new field is thought of.
        let ProxmoxVMSpec {
            cluster_ref: _,
            os: _,
            template,
            adopt,
            cores: _,
            memory: _,
            disk: _,
            disks,
            pool,
            clone: _,
            placement: _,
            cloud_init,
            power_state: _,
            shutdown: _,
            reboot_policy: _,
            sockets,
            cpu_type: _,
            nics,
            tags,
            description,
            on_boot: _,
            protection: _,
            deletion_policy: _,
            when_missing: _,
        } = &vm.spec;
        let Shape { cores, memory, disk, power_state: _ } = vm.spec.shape();
        let storage = vm.spec.disk.as_ref().and_then(|disk| disk.storage.as_deref());
        let boot = disk.map(|disk| Disk { field: "spec.disk".to_owned(), size: disk.size, storage });
        Self {
            template: template.as_ref().and_then(|proxmox_vm::TemplateRef { vmid, name, node: _ }| {
                vmid.map(Template::Vmid).or(name.as_deref().map(Template::Name))
            }),
            adopts: adopt.as_ref().map(|adopt| adopt.vmid),
            cores: cores.map(|cores| cores.saturating_mul(sockets.unwrap_or(1))),
            memory,
            disks: boot.into_iter().chain(disks.iter().map(extra_disk)).collect(),
            nics: nics.iter().enumerate().map(|(index, nic)| card(index, nic)).collect(),
            addresses: cloud_init
                .iter()
                .flat_map(|cloud_init| &cloud_init.addresses)
                .flat_map(static_addresses)
                .collect(),
            pool: pool.as_deref(),
            tags,
            texts: description.iter().map(|text| ("spec.description", text.as_str())).collect(),
        }
    }
}

fn extra_disk(disk: &ExtraDisk) -> Disk<'_> {
    Disk { field: format!("spec.disks[{}]", disk.name), size: disk.size, storage: disk.storage.as_deref() }
}

fn card(index: usize, nic: &network::Nic) -> Nic<'_> {
    let network::Nic { name: _, bridge, model: _, vlan, firewall: _, mac } = nic;
    // 0 says that there is to be no tag.
    let vlan = vlan.filter(|vlan| *vlan != 0);
    Nic { field: format!("spec.nics[{index}]"), bridge, vlan, mac: mac.as_deref() }
}

/// What is no address is refused elsewhere, and what is drawn by others is nobody's choice.
fn static_addresses(address: &network::Address) -> Vec<(String, IpAddr)> {
    let network::Address { nic, ipv4, gateway4: _, ipv6, gateway6: _ } = address;
    let given = [("ipv4", ipv4), ("ipv6", ipv6)].into_iter();
    given
        .filter_map(|(name, text)| {
            let address = text.as_ref()?.split('/').next()?.parse().ok()?;
            Some((format!("spec.cloudInit.addresses[{nic}].{name}"), address))
        })
        .collect()
}
