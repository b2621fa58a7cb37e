//! The machines that clients know, found by their VMIDs.

use std::sync::Arc;

use crate::{
    api::ProxmoxVM,
    rest::index::{Index, Known},
};

/// The machines.
pub type Machines = Index<ProxmoxVM>;

impl Machines {
    /// The machine with a VMID that is not being deleted. The one that has it goes before those that had it; of several, in
    /// clusters that were there before VMIDs were one another's, there is none.
    pub fn with_vmid(&self, vmid: i64, seen: impl Fn(&ProxmoxVM) -> bool) -> Option<Arc<ProxmoxVM>> {
        let mut found = self.with_id(&vmid);
        found.retain(|vm| seen(vm));
        let has: Vec<_> = found.iter().filter(|vm| current(vm) == Some(vmid)).collect();
        match (has.as_slice(), found.as_slice()) {
            ([one], _) => Some(Arc::clone(one)),
            ([], [one]) => Some(Arc::clone(one)),
            _ => None,
        }
    }
}

/// The VMID that a machine has.
pub fn current(vm: &ProxmoxVM) -> Option<i64> {
    vm.status.as_ref()?.vmid
}

/// The VMIDs that machines have, or had in an attempt that failed: a client may have been told of it.
impl Known for ProxmoxVM {
    type Id = i64;

    fn ids(&self) -> Vec<i64> {
        let attempts = self.status.iter().flat_map(|status| &status.attempts).filter_map(|attempt| attempt.vmid);
        attempts.chain(current(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kube::ResourceExt;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        api,
        rest::cache::{Cached, name},
    };

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
        assert!(machines.nobody_waits(), "nobody waits any more");
    }
}
