//! What the objects of the installation hold in a cluster, kept so that a choice among many need not look at all of it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::Hash,
};

use jiff::Timestamp;

use super::{Owner, Place};
use crate::proxmox::wire::{Addresses, Vmid};

/// What all objects of a cluster hold, by their uids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    holdings: HashMap<String, Holding>,
    /// How many objects hold a VMID: its machine, a leftover, or while they look whether it is vacant.
    vmids: Counts<Vmid>,
    /// How many objects of a namespace have a machine, or a place for one.
    placed: Counts<String>,
    /// What is held on a node.
    on_node: HashMap<String, OnNode>,
    /// The objects that are being cloned, or wait for it.
    cloning: BTreeSet<String>,
}

/// What one object holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// The object's namespace.
    pub namespace: String,
    /// The machine, if one was chosen.
    pub machine: Option<Claim>,
    /// Other places whose VMIDs are not free again.
    pub leftovers: Vec<Place>,
    /// Where it stands with its clone.
    pub clone: Option<CloneState>,
    /// The VMID that it is about to take, if it is vacant.
    pub candidate: Option<Vmid>,
}

/// Where an object stands with its clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloneState {
    /// It waits for its turn.
    Waiting(Turn),
    /// It was begun, or is about to be.
    Begun(Cloning),
}

/// What an object holds on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Where.
    pub place: Place,
    /// Memory in bytes.
    pub memory: u64,
    /// Disks, while they are not allocated in full.
    pub disks: Vec<ClaimedDisk>,
    /// CPU cores, while the node's load does not show them.
    pub cores: u32,
    /// What the machines of a namespace that are spread have in common.
    pub group: Option<String>,
    /// What it was given that nobody else may have.
    pub addresses: Addresses,
}

/// Room that an object holds on a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedDisk {
    /// The storage; any, if it is not known.
    pub storage: Option<String>,
    /// Bytes.
    pub bytes: u64,
}

/// A clone that was begun, or is about to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cloning {
    /// Our name of the node that has the template.
    pub node: String,
    /// The template.
    pub template: Vmid,
    /// Its task, once that is known.
    pub upid: Option<String>,
}

/// A machine that waits until it may be cloned: the earlier one goes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    /// Since when its place is chosen.
    pub since: Timestamp,
    /// Uid of the object.
    pub uid: String,
    /// Our name of the node that has the template.
    pub node: String,
    /// The template.
    pub template: Vmid,
}

impl Holding {
    fn vmids(&self) -> impl Iterator<Item = Vmid> {
        let machine = self.machine.iter().map(|claim| claim.place.vmid);
        machine.chain(self.leftovers.iter().map(|place| place.vmid)).chain(self.candidate)
    }

    fn has_vmid(&self, vmid: Vmid) -> bool {
        self.vmids().any(|own| own == vmid)
    }

    /// Whether a choice that another object made without knowing of this may be wrong.
    pub fn is_of_concern(&self, before: Option<&Self>) -> bool {
        type Kept<'a> = (&'a Place, u64, &'a Addresses);
        fn kept(holding: &Holding) -> (Option<Kept<'_>>, &[Place]) {
            let claim = holding.machine.as_ref().map(|claim| (&claim.place, claim.memory, &claim.addresses));
            (claim, &holding.leftovers)
        }
        kept(self) != before.map_or((None, &[]), kept)
    }
}

impl Claims {
    /// What an object holds.
    pub fn get(&self, uid: &str) -> Option<&Holding> {
        self.holdings.get(uid)
    }

    /// What an object holds from now on.
    pub fn put(&mut self, uid: &str, holding: Holding) {
        self.remove(uid);
        for vmid in holding.vmids() {
            self.vmids.add(vmid);
        }
        if let Some(claim) = &holding.machine {
            self.placed.add(holding.namespace.clone());
            self.on_node.entry(claim.place.node.clone()).or_default().add(uid, claim);
        }
        if holding.clone.is_some() {
            self.cloning.insert(uid.to_owned());
        }
        self.holdings.insert(uid.to_owned(), holding);
    }

    /// An object holds nothing any more.
    pub fn remove(&mut self, uid: &str) -> Option<Holding> {
        let holding = self.holdings.remove(uid)?;
        for vmid in holding.vmids() {
            self.vmids.take(&vmid);
        }
        if let Some(claim) = &holding.machine {
            self.placed.take(&holding.namespace);
            if let Some(node) = self.on_node.get_mut(&claim.place.node) {
                node.take(uid, claim);
                if node.memory.is_empty() {
                    self.on_node.remove(&claim.place.node);
                }
            }
        }
        self.cloning.remove(uid);
        Some(holding)
    }

    /// Whether an object beside the one with this holding holds a VMID, or is about to take it.
    pub fn is_held_beside(&self, own: Option<&Holding>, vmid: Vmid) -> bool {
        let own = || own.map_or(0, |own| own.vmids().filter(|held| *held == vmid).count());
        let holders = self.vmids.of(&vmid);
        holders > 0 && holders > own()
    }

    /// Those that wait for their turn to be cloned, by their uids.
    pub fn turns(&self) -> impl Iterator<Item = (&str, &Turn)> {
        self.in_cloning().filter_map(|(uid, state)| match state {
            CloneState::Waiting(turn) => Some((uid, turn)),
            CloneState::Begun(_) => None,
        })
    }

    /// What all but one object hold.
    pub fn but<'a>(&'a self, owner: &'a Owner) -> Others<'a> {
        Others { claims: self, owner, own: self.get(&owner.uid) }
    }

    fn in_cloning(&self) -> impl Iterator<Item = (&str, &CloneState)> {
        self.cloning.iter().filter_map(|uid| Some((uid.as_str(), self.holdings.get(uid)?.clone.as_ref()?)))
    }
}

/// What the objects hold that an object shares a cluster with.
#[derive(Clone, Copy)]
pub struct Others<'a> {
    claims: &'a Claims,
    owner: &'a Owner,
    /// What the object itself holds.
    own: Option<&'a Holding>,
}

impl<'a> Others<'a> {
    /// Whether one of them holds a VMID.
    pub fn have_vmid(self, vmid: Vmid) -> bool {
        self.claims.is_held_beside(self.own, vmid)
    }

    /// How many of the same namespace have a machine, or a place for one.
    pub fn placed_in_namespace(self) -> usize {
        let own = self.own.is_some_and(|own| own.machine.is_some());
        self.claims.placed.of(&self.owner.namespace).saturating_sub(usize::from(own))
    }

    /// Their machines: some may not show in the inventory yet.
    pub fn machines(self) -> impl Iterator<Item = &'a Claim> {
        self.holdings().filter_map(|holding| holding.machine.as_ref())
    }

    /// The VMIDs and the memory, in bytes, of their machines on a node.
    pub fn memory_on(self, node: &str) -> impl Iterator<Item = (Vmid, u64)> {
        let all = self.claims.on_node.get(node).into_iter().flat_map(|node| &node.memory);
        all.filter(move |(uid, _)| **uid != self.owner.uid).map(|(_, memory)| *memory)
    }

    /// The CPU cores that their machines take on a node and its load does not show.
    pub fn cores_on(self, node: &str) -> u64 {
        let all = self.claims.on_node.get(node).map_or(0, |node| node.cores);
        all.saturating_sub(self.own_on(node).map_or(0, |own| u64::from(own.cores)))
    }

    /// The bytes that are being written to a storage for their machines on a node.
    pub fn disks_on(self, node: &str, storage: &str) -> u64 {
        let all = self.claims.on_node.get(node).map_or(0, |node| {
            let storages = [None, Some(storage.to_owned())];
            storages
                .iter()
                .filter_map(|storage| node.disks.get(storage))
                .fold(0, |sum: u64, bytes| sum.saturating_add(*bytes))
        });
        let own = self.own_on(node).into_iter().flat_map(|own| &own.disks);
        let same = own.filter(|disk| disk.storage.as_deref().is_none_or(|name| name == storage));
        all.saturating_sub(same.fold(0, |sum: u64, disk| sum.saturating_add(disk.bytes)))
    }

    /// How many of a group, which is the namespace's own, are on a node.
    pub fn of_group(self, group: Option<&str>, node: &str) -> usize {
        let Some(group) = group else { return 0 };
        let uids = self.claims.on_node.get(node).into_iter().flat_map(|node| node.memory.keys());
        let others = uids.filter(|uid| **uid != self.owner.uid).filter_map(|uid| self.claims.get(uid));
        let of_namespace = others.filter(|holding| holding.namespace == self.owner.namespace);
        of_namespace
            .filter_map(|holding| holding.machine.as_ref()?.group.as_deref())
            .filter(|other| *other == group)
            .count()
    }

    /// Whether one of them holds a place that satisfies `wanted`.
    pub fn hold(self, vmid: Vmid, wanted: impl Fn(&Place) -> bool) -> bool {
        self.have_vmid(vmid)
            && self.holdings().filter(|holding| holding.has_vmid(vmid)).any(|holding| {
                let machine = holding.machine.iter().map(|claim| &claim.place);
                machine.chain(&holding.leftovers).any(&wanted)
            })
    }

    /// Those that wait until they may be cloned.
    pub fn waiting(self) -> impl Iterator<Item = &'a Turn> {
        self.claims.turns().filter(move |(uid, _)| *uid != self.owner.uid).map(|(_, turn)| turn)
    }

    /// The clones of theirs that were begun, or are about to be.
    pub fn cloning(self) -> impl Iterator<Item = &'a Cloning> {
        let states = self.claims.in_cloning().filter(move |(uid, _)| *uid != self.owner.uid);
        states.filter_map(|(_, state)| match state {
            CloneState::Begun(cloning) => Some(cloning),
            CloneState::Waiting(_) => None,
        })
    }

    fn holdings(self) -> impl Iterator<Item = &'a Holding> {
        let others = self.claims.holdings.iter().filter(move |(uid, _)| **uid != self.owner.uid);
        others.map(|(_, holding)| holding)
    }

    fn own_on(self, node: &str) -> Option<&'a Claim> {
        self.own?.machine.as_ref().filter(|own| own.place.node == node)
    }
}

/// What is held on a node, in sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OnNode {
    /// The VMIDs and the memory of the machines, by the uids of their objects.
    memory: BTreeMap<String, (Vmid, u64)>,
    cores: u64,
    /// Bytes by storage; of disks whose storage is not known, too.
    disks: BTreeMap<Option<String>, u64>,
}

impl OnNode {
    fn add(&mut self, uid: &str, claim: &Claim) {
        self.memory.insert(uid.to_owned(), (claim.place.vmid, claim.memory));
        self.cores = self.cores.saturating_add(u64::from(claim.cores));
        for disk in &claim.disks {
            let bytes = self.disks.entry(disk.storage.clone()).or_default();
            *bytes = bytes.saturating_add(disk.bytes);
        }
    }

    fn take(&mut self, uid: &str, claim: &Claim) {
        self.memory.remove(uid);
        self.cores = self.cores.saturating_sub(u64::from(claim.cores));
        for disk in &claim.disks {
            if let Some(bytes) = self.disks.get_mut(&disk.storage) {
                *bytes = bytes.saturating_sub(disk.bytes);
            }
        }
        self.disks.retain(|_, bytes| *bytes > 0);
    }
}

/// How often something is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts<K: Eq + Hash>(HashMap<K, usize>);

impl<K: Eq + Hash> Default for Counts<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Counts<K> {
    /// How often it is there.
    pub fn of(&self, key: &K) -> usize {
        self.0.get(key).copied().unwrap_or(0)
    }

    /// It is there once more.
    pub fn add(&mut self, key: K) {
        let count = self.0.entry(key).or_default();
        *count = count.saturating_add(1);
    }

    /// It is there once less.
    pub fn take(&mut self, key: &K) {
        if let Some(count) = self.0.get_mut(key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim() -> impl Strategy<Value = Claim> {
        let storage = proptest::option::of("[st]");
        let disk = (storage, 1..9_u64).prop_map(|(storage, bytes)| ClaimedDisk { storage, bytes });
        let disks = proptest::collection::vec(disk, 0..3);
        ("[ab]", 100..106_u32, 0..9_u64, disks, 0..4_u32, proptest::option::of("[gh]")).prop_map(
            |(node, vmid, memory, disks, cores, group)| Claim {
                place: Place { node, vmid },
                memory,
                disks,
                cores,
                group,
                addresses: Addresses::default(),
            },
        )
    }

    fn holding() -> impl Strategy<Value = Holding> {
        let clone = ("[ab]", 9000..9002_u32).prop_map(|(node, template)| Cloning { node, template, upid: None });
        let leftover = ("[ab]", 100..106_u32).prop_map(|(node, vmid)| Place { node, vmid });
        (
            "[xy]",
            proptest::option::of(claim()),
            proptest::collection::vec(leftover, 0..2),
            proptest::option::of(clone.prop_map(CloneState::Begun)),
            proptest::option::of(100..106_u32),
        )
            .prop_map(|(namespace, machine, leftovers, clone, candidate)| Holding {
                namespace,
                machine,
                leftovers,
                clone,
                candidate,
            })
    }

    proptest! {
        /// Whatever was put and removed before, the sums are those of what is held now, and each answer is what counting finds.
        #[test]
        fn the_sums_are_those_of_what_is_held(
            changes in proptest::collection::vec(("[o-s]", proptest::option::of(holding())), 1..30),
        ) {
            let mut claims = Claims::default();
            for (uid, change) in changes {
                match change {
                    // The object's own namespace is the owner's.
                    Some(holding) if uid == "o" => claims.put(&uid, Holding { namespace: "x".into(), ..holding }),
                    Some(holding) => claims.put(&uid, holding),
                    None => drop(claims.remove(&uid)),
                }
            }
            let mut anew = Claims::default();
            for (uid, holding) in &claims.holdings {
                anew.put(uid, holding.clone());
            }
            prop_assert_eq!(&claims, &anew);

            let owner = Owner { installation: "i".into(), namespace: "x".into(), name: "o".into(), uid: "o".into() };
            let held: Vec<&Holding> = claims.holdings.iter().filter(|(uid, _)| *uid != "o").map(|(_, held)| held).collect();
            let on = |node: &str| {
                let machines = held.iter().filter_map(|held| held.machine.as_ref());
                machines.filter(|claim| claim.place.node == node).collect::<Vec<_>>()
            };
            let others = claims.but(&owner);
            for vmid in 100..106 {
                prop_assert_eq!(others.have_vmid(vmid), held.iter().any(|held| held.has_vmid(vmid)));
            }
            let placed = held.iter().filter(|held| held.namespace == "x" && held.machine.is_some()).count();
            prop_assert_eq!(others.placed_in_namespace(), placed);
            prop_assert_eq!(others.cloning().count(), held.iter().filter(|held| held.clone.is_some()).count());
            for node in ["a", "b"] {
                let on_node = on(node);
                let memory: u64 = others.memory_on(node).map(|(_, memory)| memory).sum();
                prop_assert_eq!(memory, on_node.iter().map(|claim| claim.memory).sum::<u64>());
                prop_assert_eq!(others.cores_on(node), on_node.iter().map(|claim| u64::from(claim.cores)).sum::<u64>());
                let disks = on_node.iter().flat_map(|claim| &claim.disks);
                let on_s = disks.filter(|disk| disk.storage.as_deref() != Some("t")).map(|disk| disk.bytes).sum::<u64>();
                prop_assert_eq!(others.disks_on(node, "s"), on_s);
                let of_namespace = held.iter().filter(|held| held.namespace == "x").filter_map(|held| held.machine.as_ref());
                let of_group = of_namespace.filter(|claim| claim.place.node == node && claim.group.as_deref() == Some("g"));
                prop_assert_eq!(others.of_group(Some("g"), node), of_group.count());
            }
        }
    }
}
