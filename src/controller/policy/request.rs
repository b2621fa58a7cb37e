//! What a machine's spec asks for, as far as an administrator may have a say in it.

use std::net::IpAddr;

use crate::api::{
    ProxmoxVM,
    proxmox_vm::{self, ProxmoxVMSpec},
    size::Size,
};

/// All that a spec asks for.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The template, if the spec names one itself.
    pub template: Option<Template<'a>>,
    /// The VMID of an existing machine that is to be adopted.
    pub adopts: Option<i64>,
    /// CPU cores over all sockets.
    pub cores: i64,
    /// Memory.
    pub memory: Size,
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
            cores,
            memory,
            disk,
            clone: _,
            placement: _,
            cloud_init: _,
        } = &vm.spec;
        let proxmox_vm::Disk { size, storage } = disk;
        Self {
            template: template.as_ref().and_then(|proxmox_vm::TemplateRef { vmid, name, node: _ }| {
                vmid.map(Template::Vmid).or(name.as_deref().map(Template::Name))
            }),
            adopts: None,
            cores: *cores,
            memory: *memory,
            disks: vec![Disk { field: "spec.disk".to_owned(), size: *size, storage: storage.as_deref() }],
            nics: Vec::new(),
            addresses: Vec::new(),
            pool: None,
            tags: &[],
            texts: Vec::new(),
        }
    }
}
