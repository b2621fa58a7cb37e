//! What the objects hold in their clusters, as far as this process knows: VMIDs, and memory and room in flight.
//!
//! The inventory sees a machine only when its clone was posted, and two objects may choose at the same time.

use std::collections::HashMap;

use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;

use crate::{
    api::ProxmoxVM,
    proxmox::plan::{Claim, Claims, Owner, Place},
};

/// What all objects hold.
#[derive(Debug, Default)]
pub struct Ledger {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Grows with each entry, so that a choice that was made before another's can be told.
    version: u64,
    entries: HashMap<String, Entry>,
}

/// What one object holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Name of its ProxmoxCluster.
    pub cluster: String,
    /// The object.
    pub object: ObjectRef<ProxmoxVM>,
    /// The machine, if one was chosen.
    pub machine: Option<Claim>,
    /// Id of the task that it awaits.
    pub task: Option<String>,
    /// Other places whose VMIDs are not free again: leftovers.
    pub others: Vec<Place>,
}

/// Somebody else was faster.
#[derive(Debug, PartialEq, Eq)]
pub struct Outdated;

impl Ledger {
    /// What the other objects hold in a cluster, and the version of that knowledge.
    pub fn claims(&self, cluster: &str, owner: &Owner) -> (Claims, u64) {
        let inner = self.inner.lock();
        let mut claims = Claims::default();
        for (uid, entry) in &inner.entries {
            if *uid == owner.uid || entry.cluster != cluster {
                continue;
            }
            let of_namespace = entry.object.namespace.as_deref() == Some(&owner.namespace);
            claims.of_namespace += usize::from(of_namespace && entry.machine.is_some());
            claims.vmids.extend(entry.others.iter().map(|place| place.vmid));
            if let Some(machine) = &entry.machine {
                claims.vmids.insert(machine.place.vmid);
                claims.machines.push(machine.clone());
            }
        }
        (claims, inner.version)
    }

    /// Notes what an object holds.
    pub fn note(&self, uid: &str, entry: Entry) {
        let mut inner = self.inner.lock();
        if inner.entries.get(uid) != Some(&entry) {
            inner.version = inner.version.wrapping_add(1);
            inner.entries.insert(uid.to_owned(), entry);
        }
    }

    /// Notes what an object's status says it holds, unless more is known of it already.
    pub fn introduce(&self, uid: &str, entry: impl FnOnce() -> Entry) {
        let mut inner = self.inner.lock();
        if !inner.entries.contains_key(uid) {
            inner.version = inner.version.wrapping_add(1);
            inner.entries.insert(uid.to_owned(), entry());
        }
    }

    /// Notes what an object chose, unless another one chose since `version`.
    pub fn claim(&self, uid: &str, entry: Entry, version: u64) -> Result<(), Outdated> {
        let mut inner = self.inner.lock();
        if inner.version != version {
            return Err(Outdated);
        }
        inner.version = inner.version.wrapping_add(1);
        inner.entries.insert(uid.to_owned(), entry);
        Ok(())
    }

    /// The objects of a cluster that await a task which satisfies `wanted`.
    pub fn awaiting(&self, cluster: &str, wanted: impl Fn(&str) -> bool) -> Vec<ObjectRef<ProxmoxVM>> {
        let inner = self.inner.lock();
        let of_cluster = inner.entries.values().filter(|entry| entry.cluster == cluster);
        of_cluster
            .filter(|entry| entry.task.as_deref().is_some_and(&wanted))
            .map(|entry| entry.object.clone())
            .collect()
    }

    /// The object is gone; the names of the clusters that it was in.
    pub fn forget(&self, object: &ObjectRef<ProxmoxVM>) -> Vec<String> {
        let mut inner = self.inner.lock();
        inner.version = inner.version.wrapping_add(1);
        inner.entries.extract_if(|_, entry| entry.object == *object).map(|(_, entry)| entry.cluster).collect()
    }

    /// The objects of a cluster whose place satisfies `wanted`; those without a place are given `None`.
    pub fn objects(&self, cluster: &str, wanted: impl Fn(Option<&Place>) -> bool) -> Vec<ObjectRef<ProxmoxVM>> {
        let inner = self.inner.lock();
        inner
            .entries
            .values()
            .filter(|entry| entry.cluster == cluster)
            .filter(|entry| {
                wanted(entry.machine.as_ref().map(|claim| &claim.place))
                    || entry.others.iter().any(|place| wanted(Some(place)))
            })
            .map(|entry| entry.object.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxmox::wire::Addresses;

    fn owner(uid: &str) -> Owner {
        Owner { installation: "i".into(), namespace: "a".into(), name: "vm".into(), uid: uid.into() }
    }

    fn entry(vmid: u32) -> Entry {
        Entry {
            cluster: "main".into(),
            object: ObjectRef::new(&format!("vm-{vmid}")).within("a"),
            machine: Some(Claim {
                place: Place { node: "sv1".into(), vmid },
                memory: 1,
                disk: 1,
                addresses: Addresses::default(),
            }),
            task: None,
            others: vec![Place { node: "sv2".into(), vmid: vmid + 100 }],
        }
    }

    #[test]
    fn a_choice_made_before_anothers_is_outdated() {
        let ledger = Ledger::default();
        let (_, version) = ledger.claims("main", &owner("a"));
        assert_eq!(ledger.claim("a", entry(100), version), Ok(()));
        assert_eq!(ledger.claim("b", entry(100), version), Err(Outdated));
        let (claims, version) = ledger.claims("main", &owner("b"));
        assert_eq!(claims.of_namespace, 1);
        assert_eq!(claims.vmids.into_iter().collect::<Vec<_>>(), [100, 200]);
        assert_eq!(ledger.claim("b", entry(101), version), Ok(()));
    }

    #[test]
    fn an_object_does_not_stand_in_its_own_way_nor_in_another_clusters() {
        let ledger = Ledger::default();
        ledger.note("a", entry(100));
        assert_eq!(ledger.claims("main", &owner("a")).0, Claims::default());
        assert_eq!(ledger.claims("other", &owner("b")).0, Claims::default());
        assert_eq!(ledger.objects("main", |place| place.is_some_and(|place| place.vmid == 200)).len(), 1);
        ledger.forget(&ObjectRef::new("vm-100").within("a"));
        assert_eq!(ledger.claims("main", &owner("b")).0, Claims::default());
    }
}
