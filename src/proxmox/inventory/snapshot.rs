//! What is known of Proxmox at one time: pure data, and questions to it.

use std::{collections::BTreeMap, sync::Arc};

use crate::proxmox::{
    identity::Mark,
    wire::{Upid, Vmid},
};

use super::state::{NodeState, SiteError, SiteId, SiteState, TaskState, VmEntry, describe};

/// Everything that is known, of all sites.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    sites: Vec<Arc<SiteState>>,
    /// Which site has a node of ours.
    site_of_node: BTreeMap<String, SiteId>,
    /// Which VMs bear marks of an object, by its uid.
    marked: BTreeMap<String, Vec<(SiteId, Vmid)>>,
    /// Which VMs bear marks of objects of this name, whatever their namespace.
    named: BTreeMap<String, Vec<(SiteId, Vmid)>>,
}

/// A VM that bears an object's mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub site: SiteId,
    /// Our name of the node, if the settings have it.
    pub node: Option<String>,
    pub proxmox_node: String,
    pub vmid: Vmid,
    pub mark: Mark,
    pub lock: Option<String>,
}

impl Snapshot {
    /// Puts the sites together. Two that are the same cluster are an error of the later one.
    pub fn new(mut sites: Vec<Arc<SiteState>>) -> Self {
        for at in 0..sites.len() {
            let (before, rest) = sites.split_at_mut(at);
            let Some(site) = rest.first_mut() else {
                continue;
            };
            if before.iter().any(|other| is_same_cluster(other, site)) {
                let what = describe(site.cluster.as_deref(), &site.members);
                let error =
                    SiteError::Mismatch(format!("{what} is given twice: all its endpoints and nodes belong together"));
                Arc::make_mut(site).fail(error);
            }
        }
        let mut snapshot = Self::default();
        for (at, site) in sites.iter().enumerate() {
            let id = SiteId(at);
            for name in site.nodes.keys() {
                snapshot.site_of_node.insert(name.clone(), id);
            }
            for (vmid, vm) in &site.vms {
                for mark in vm.details.iter().flat_map(|details| details.marks.all()) {
                    for (index, key) in [(&mut snapshot.marked, &mark.uid), (&mut snapshot.named, &mark.name)] {
                        let bearers = index.entry(key.clone()).or_default();
                        if bearers.last() != Some(&(id, *vmid)) {
                            bearers.push((id, *vmid));
                        }
                    }
                }
            }
        }
        snapshot.sites = sites;
        snapshot
    }

    pub fn sites(&self) -> impl Iterator<Item = (SiteId, &SiteState)> {
        let numbered = self.sites.iter().enumerate();
        numbered.map(|(at, site)| (SiteId(at), site.as_ref()))
    }

    pub fn site(&self, id: SiteId) -> Option<&SiteState> {
        self.sites.get(id.0).map(Arc::as_ref)
    }

    /// Every node of ours, by name.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &NodeState)> {
        self.site_of_node.keys().filter_map(|name| Some((name.as_str(), self.node(name)?)))
    }

    pub fn node(&self, name: &str) -> Option<&NodeState> {
        self.site_of(name)?.nodes.get(name)
    }

    /// The site of a node of ours.
    pub fn site_of(&self, node: &str) -> Option<&SiteState> {
        self.site(*self.site_of_node.get(node)?)
    }

    /// What has a VMID in the site of a node of ours, wherever it is there.
    pub fn vm(&self, node: &str, vmid: Vmid) -> Option<&VmEntry> {
        self.site_of(node)?.vms.get(&vmid)
    }

    /// A task of the site of a node of ours, if the inventory knows it.
    pub fn task(&self, node: &str, upid: &Upid) -> Option<&TaskState> {
        self.site_of(node)?.tasks.get(upid)
    }

    /// Whether any guest of any site has this VMID.
    pub fn is_taken(&self, vmid: Vmid) -> bool {
        self.sites.iter().any(|site| site.vms.contains_key(&vmid))
    }

    /// The VMs that bear a mark of the object with this uid, copies included.
    pub fn claims(&self, uid: &str) -> Vec<Claim> {
        self.borne(&self.marked, uid).filter(|claim| claim.mark.uid == uid).collect()
    }

    /// The VMs that bear a mark of an object of this name, whatever its namespace and uid, copies included.
    pub fn claims_of_name<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Claim> + 'a {
        self.borne(&self.named, name).filter(move |claim| claim.mark.name == name)
    }

    /// The marks of the VMs that an index has under a key, and others that they bear.
    fn borne<'a>(
        &'a self,
        index: &'a BTreeMap<String, Vec<(SiteId, Vmid)>>,
        key: &str,
    ) -> impl Iterator<Item = Claim> + 'a {
        index.get(key).into_iter().flatten().flat_map(|(site, vmid)| {
            let vm = self.site(*site).and_then(|state| state.vms.get(vmid));
            let borne = vm.and_then(|vm| Some((vm, vm.details.as_ref()?))).into_iter();
            borne.flat_map(|(vm, details)| details.marks.all().iter().map(move |mark| (vm, mark))).map(|(vm, mark)| {
                Claim {
                    site: *site,
                    node: vm.node.clone(),
                    proxmox_node: vm.proxmox_node.clone(),
                    vmid: *vmid,
                    mark: mark.clone(),
                    lock: vm.lock.clone(),
                }
            })
        })
    }

    /// Whether the marks of every VM of every site are known.
    pub fn marks_complete(&self) -> bool {
        self.sites.iter().all(|site| site.marks_complete())
    }

    /// The templates on a node of ours.
    pub fn templates(&self, node: &str) -> impl Iterator<Item = (Vmid, &VmEntry)> {
        let vms = self.site_of(node).into_iter().flat_map(|site| &site.vms);
        vms.filter(move |(_, vm)| vm.template && vm.node.as_deref() == Some(node)).map(|(vmid, vm)| (*vmid, vm))
    }

    /// How many clones of a template run on a node of ours.
    pub fn running_clones_of(&self, node: &str, template: Vmid) -> usize {
        let template = template.to_string();
        self.clones(node).filter(|upid| upid.id() == template).count()
    }

    /// How many clones run on a node of ours.
    pub fn running_clones(&self, node: &str) -> usize {
        self.clones(node).count()
    }

    /// The clones that run on a node of ours; each is filed under its template.
    pub fn clones(&self, node: &str) -> impl Iterator<Item = &Upid> {
        let of_node = self.site_of(node).zip(self.node(node)).into_iter();
        of_node.flat_map(|(site, state)| {
            let running = site.tasks.iter().filter(|(_, task)| **task == TaskState::Running).map(|(upid, _)| upid);
            running.filter(move |upid| upid.kind() == "qmclone" && upid.node() == state.proxmox_name)
        })
    }
}

/// Whether two sites are one cluster or one host: addresses decide, since names repeat.
fn is_same_cluster(one: &SiteState, other: &SiteState) -> bool {
    let names = |site: &SiteState| -> Vec<(String, Option<String>)> {
        let nodes = site.members.iter();
        nodes.map(|node| (node.name.clone(), node.ip.clone())).collect()
    };
    let is_address =
        |ip: &String| ip.parse().is_ok_and(|ip: std::net::IpAddr| !ip.is_loopback() && !ip.is_unspecified());
    !one.members.is_empty()
        && one.cluster == other.cluster
        && names(one) == names(other)
        // A stand-alone host whose name resolves to itself says nothing of where it is.
        && (one.cluster.is_some() || one.members.iter().any(|node| node.ip.as_ref().is_some_and(is_address)))
}
