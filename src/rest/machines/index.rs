//! The machines that clients know, as a watch shows them, found by what clients call them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use kube::ResourceExt;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::{
    api::{self, ProxmoxVM},
    rest::cache::{Cached, Name},
};

/// The machines. Clones are the same.
#[derive(Clone, Default)]
pub struct Machines {
    inner: Arc<RwLock<Inner>>,
}

#[derive(Default)]
struct Inner {
    machines: HashMap<Name, Arc<ProxmoxVM>>,
    /// The VMIDs that machines have, or had in an attempt that failed: a client may have been told of it.
    by_vmid: HashMap<i64, BTreeSet<Name>>,
    by_user: HashMap<String, BTreeSet<Name>>,
    /// Those for which somebody waits.
    awaited: HashMap<Name, watch::Sender<Option<Arc<ProxmoxVM>>>>,
}

impl Machines {
    /// The machine with a VMID that is not being deleted. The one that has it goes before those that had it; of several, in
    /// clusters that were there before VMIDs were one another's, there is none.
    pub fn with_vmid(&self, vmid: i64, seen: impl Fn(&ProxmoxVM) -> bool) -> Option<Arc<ProxmoxVM>> {
        let inner = self.inner.read();
        let found = inner.by_vmid.get(&vmid)?.iter().filter_map(|name| inner.machines.get(name));
        let found: Vec<_> = found.filter(|vm| vm.metadata.deletion_timestamp.is_none() && seen(vm)).collect();
        let has: Vec<_> = found.iter().filter(|vm| current(vm) == Some(vmid)).collect();
        match (has.as_slice(), found.as_slice()) {
            ([one], _) => Some(Arc::clone(one)),
            ([], [one]) => Some(Arc::clone(one)),
            _ => None,
        }
    }

    /// The machines of a user, by the user's name in Kubernetes, that are not being deleted.
    pub fn of_user(&self, user: &str) -> Vec<Arc<ProxmoxVM>> {
        let inner = self.inner.read();
        let names = inner.by_user.get(user).into_iter().flatten();
        let machines = names.filter_map(|name| inner.machines.get(name));
        machines.filter(|vm| vm.metadata.deletion_timestamp.is_none()).cloned().collect()
    }

    /// What becomes of a machine, from what is known now on.
    pub fn follow(&self, name: &Name) -> watch::Receiver<Option<Arc<ProxmoxVM>>> {
        let mut inner = self.inner.write();
        if let Some(sender) = inner.awaited.get(name) {
            return sender.subscribe();
        }
        let (sender, receiver) = watch::channel(inner.machines.get(name).cloned());
        inner.awaited.insert(name.clone(), sender);
        receiver
    }
}

impl Inner {
    fn tell(&mut self, name: &Name, vm: Option<Arc<ProxmoxVM>>) {
        let Some(sender) = self.awaited.get(name) else { return };
        if sender.is_closed() {
            self.awaited.remove(name);
        } else {
            sender.send_replace(vm);
        }
    }

    fn take(&mut self, name: &Name) -> bool {
        let Some(old) = self.machines.remove(name) else { return false };
        for vmid in known_by(&old) {
            forget(&mut self.by_vmid, &vmid, name);
        }
        if let Some(user) = old.labels().get(api::USER) {
            forget(&mut self.by_user, user, name);
        }
        true
    }
}

fn forget<K: std::hash::Hash + Eq>(index: &mut HashMap<K, BTreeSet<Name>>, key: &K, name: &Name) {
    if let Some(names) = index.get_mut(key) {
        names.remove(name);
        if names.is_empty() {
            index.remove(key);
        }
    }
}

/// The VMID that a machine has.
pub fn current(vm: &ProxmoxVM) -> Option<i64> {
    vm.status.as_ref()?.vmid
}

/// The VMIDs by which a client may know a machine.
fn known_by(vm: &ProxmoxVM) -> BTreeSet<i64> {
    let attempts = vm.status.iter().flat_map(|status| &status.attempts).filter_map(|attempt| attempt.vmid);
    attempts.chain(current(vm)).collect()
}

impl Cached<ProxmoxVM> for Machines {
    fn put(&self, name: Name, mut vm: ProxmoxVM) {
        vm.metadata.managed_fields = None;
        let vm = Arc::new(vm);
        let mut inner = self.inner.write();
        inner.take(&name);
        for vmid in known_by(&vm) {
            inner.by_vmid.entry(vmid).or_default().insert(name.clone());
        }
        if let Some(user) = vm.labels().get(api::USER) {
            inner.by_user.entry(user.clone()).or_default().insert(name.clone());
        }
        inner.machines.insert(name.clone(), vm.clone());
        inner.tell(&name, Some(vm));
    }

    fn remove(&self, name: &Name) {
        let mut inner = self.inner.write();
        if inner.take(name) {
            inner.tell(name, None);
        }
    }

    fn retain(&self, listed: &BTreeSet<Name>) {
        let gone: Vec<Name> =
            self.inner.read().machines.keys().filter(|name| !listed.contains(*name)).cloned().collect();
        gone.iter().for_each(|name| self.remove(name));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::rest::cache::name;

    fn machine(name: &str, user: &str, status: Value) -> ProxmoxVM {
        serde_json::from_value(json!({
            "apiVersion": "cloudfaster.app/v1alpha1",
            "kind": "ProxmoxVM",
            "metadata": {"name": name, "namespace": "tenants", "labels": {api::USER: user}},
            "spec": {"clusterRef": {"name": "main"}, "os": "DEBIAN12"},
            "status": status,
        }))
        .unwrap()
    }

    fn put(machines: &Machines, vm: ProxmoxVM) {
        machines.put(name(&vm), vm);
    }

    fn found(machines: &Machines, vmid: i64) -> Option<String> {
        machines.with_vmid(vmid, |_| true).map(|vm| vm.name_any())
    }

    fn failed(vmid: i64) -> Value {
        json!([{"node": "sv1", "vmid": vmid, "outcome": "Failed", "reason": "CloneFailed", "time": "2026-01-01T00:00:00Z"}])
    }

    #[test]
    fn a_machine_is_found_by_the_vmid_that_it_has_and_by_those_that_it_had() {
        let machines = Machines::default();
        put(&machines, machine("web", "ana", json!({"vmid": 1001, "attempts": failed(1000)})));
        assert_eq!(found(&machines, 1001).as_deref(), Some("web"));
        assert_eq!(found(&machines, 1000).as_deref(), Some("web"));
        put(&machines, machine("other", "eva", json!({"vmid": 1000})));
        assert_eq!(found(&machines, 1000).as_deref(), Some("other"), "it has it now");
        put(&machines, machine("web", "ana", json!({"vmid": 1002})));
        assert_eq!(found(&machines, 1001), None);
        machines.remove(&name(&machine("other", "", Value::Null)));
        assert_eq!(found(&machines, 1000), None);
    }

    #[test]
    fn of_two_machines_with_one_vmid_neither_is_meant_unless_one_alone_is_seen() {
        let machines = Machines::default();
        put(&machines, machine("a", "ana", json!({"vmid": 1000})));
        put(&machines, machine("b", "eva", json!({"vmid": 1000})));
        assert_eq!(found(&machines, 1000), None);
        let seen = machines.with_vmid(1000, |vm| vm.labels()[api::USER] == "eva");
        assert_eq!(seen.unwrap().name_any(), "b");
    }

    #[test]
    fn a_machine_that_is_being_deleted_is_not_there_for_clients() {
        let machines = Machines::default();
        let mut vm = machine("a", "ana", json!({"vmid": 1000}));
        put(&machines, vm.clone());
        assert_eq!(machines.of_user("ana").len(), 1);
        vm.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
        put(&machines, vm);
        assert!(machines.of_user("ana").is_empty() && found(&machines, 1000).is_none());
    }

    #[test]
    fn whoever_waits_is_told_and_what_is_listed_no_more_is_gone() {
        let machines = Machines::default();
        let vm = machine("a", "ana", Value::Null);
        let mut follow = machines.follow(&name(&vm));
        assert!(follow.borrow_and_update().is_none());
        put(&machines, vm.clone());
        assert!(follow.has_changed().unwrap() && follow.borrow_and_update().is_some());
        machines.retain(&BTreeSet::from([name(&vm)]));
        assert!(!follow.has_changed().unwrap());
        machines.retain(&BTreeSet::new());
        assert!(follow.borrow_and_update().is_none() && machines.of_user("ana").is_empty());
        drop(follow);
        put(&machines, vm);
        assert!(machines.inner.read().awaited.is_empty(), "nobody waits any more");
    }
}
