//! What the objects hold in their clusters, as far as this process knows: VMIDs, and memory and room in flight.
//!
//! The inventory sees a machine only when its clone was posted, and two objects may choose at the same time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;

use super::resting::{Rest, Resting};
use crate::{
    api::ProxmoxVM,
    proxmox::{
        plan::{Claim, Claims, Cloning, Owner, Place, Turn},
        wire::Vmid,
    },
};

/// So many of those that wait to be cloned from one template are woken when a clone has ended.
const TURNS_WOKEN: usize = 4;

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
    resting: Resting,
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
    /// Where it stands with its clone.
    pub clone: Option<CloneState>,
    /// Other places whose VMIDs are not free again: leftovers.
    pub others: Vec<Place>,
    /// The VMIDs by which clients of the REST API know it, if it was made there.
    pub known_by: BTreeSet<Vmid>,
}

/// Where an object stands with its clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloneState {
    /// It waits for its turn.
    Waiting(Turn),
    /// It was begun, or is about to be.
    Begun(Cloning),
}

/// Somebody else was faster.
#[derive(Debug, PartialEq, Eq)]
pub struct Outdated;

impl Ledger {
    /// What the other objects hold in a cluster.
    pub fn claims(&self, cluster: &str, owner: &Owner) -> Claims {
        let inner = self.inner.lock();
        let mut claims = Claims::default();
        for (uid, entry) in &inner.entries {
            if *uid == owner.uid || entry.cluster != cluster {
                continue;
            }
            let of_namespace = entry.object.namespace.as_deref() == Some(&owner.namespace);
            claims.of_namespace += usize::from(of_namespace && entry.machine.is_some());
            claims.vmids.extend(entry.others.iter().map(|place| place.vmid));
            claims.leftovers.extend(entry.others.iter().cloned());
            if let Some(machine) = &entry.machine {
                claims.vmids.insert(machine.place.vmid);
                // Groups are a namespace's own.
                let group = machine.group.clone().filter(|_| of_namespace);
                claims.machines.push(Claim { group, ..machine.clone() });
            }
            match &entry.clone {
                Some(CloneState::Waiting(turn)) => claims.waiting.push(turn.clone()),
                Some(CloneState::Begun(cloning)) => claims.cloning.push(cloning.clone()),
                None => {}
            }
        }
        claims
    }

    /// The version of what is known.
    pub fn version(&self) -> u64 {
        self.inner.lock().version
    }

    /// The VMIDs that an object is not given which was made for this user of the REST API: by such a VMID clients know another
    /// object, in whichever cluster, or knew one of another user not long ago.
    pub fn known_to_clients(&self, uid: &str, user: &str, now: Timestamp) -> BTreeSet<Vmid> {
        let inner = self.inner.lock();
        let others = inner.entries.iter().filter(|(other, _)| *other != uid);
        let known = others.flat_map(|(_, entry)| &entry.known_by).copied();
        known.chain(inner.resting.refused_to(user, now)).collect()
    }

    /// Notes that a VMID was released by which clients may know a machine.
    pub fn rest(&self, vmid: Vmid, rest: Rest) {
        let mut inner = self.inner.lock();
        inner.version = inner.version.wrapping_add(1);
        inner.resting.add(vmid, rest);
    }

    /// The VMIDs that rest after having been released in a cluster.
    pub fn resting(&self, cluster: &str, now: Timestamp) -> BTreeMap<Vmid, Rest> {
        self.inner.lock().resting.of(cluster, now)
    }

    /// Notes what an object holds. Whether a clone has come to its end with it, so that the next one may begin.
    pub fn note(&self, uid: &str, entry: Entry) -> bool {
        let mut inner = self.inner.lock();
        let before = inner.entries.get(uid);
        if before == Some(&entry) {
            return false;
        }
        let begun = |clone: Option<&CloneState>| matches!(clone, Some(CloneState::Begun(_)));
        let ended = begun(before.and_then(|before| before.clone.as_ref())) && !begun(entry.clone.as_ref());
        inner.version = inner.version.wrapping_add(1);
        inner.entries.insert(uid.to_owned(), entry);
        ended
    }

    /// Notes that an object waits for its turn to be cloned, or does not any more. One that has begun is left as it is.
    pub fn wait(&self, uid: &str, turn: Option<Turn>) {
        let mut inner = self.inner.lock();
        let Some(entry) = inner.entries.get_mut(uid) else { return };
        let clone = turn.map(CloneState::Waiting);
        if entry.clone == clone || matches!(entry.clone, Some(CloneState::Begun(_))) {
            return;
        }
        entry.clone = clone;
        inner.version = inner.version.wrapping_add(1);
    }

    /// A clone that was about to begin when its reconcile was cut off was not begun by it, or shows in the inventory.
    pub fn settle(&self, uid: &str) {
        let mut inner = self.inner.lock();
        let Some(entry) = inner.entries.get_mut(uid) else { return };
        if matches!(&entry.clone, Some(CloneState::Begun(cloning)) if cloning.upid.is_none()) {
            entry.clone = None;
            inner.version = inner.version.wrapping_add(1);
        }
    }

    /// The objects of a cluster whose turn to be cloned is the next, a few of each template.
    pub fn next_turns(&self, cluster: &str) -> Vec<ObjectRef<ProxmoxVM>> {
        let inner = self.inner.lock();
        let waiting = inner.entries.values().filter(|entry| entry.cluster == cluster).filter_map(|entry| {
            let Some(CloneState::Waiting(turn)) = &entry.clone else { return None };
            Some((turn, &entry.object))
        });
        let mut waiting: Vec<_> = waiting.collect();
        waiting.sort_by_key(|(turn, _)| *turn);
        let mut woken: BTreeMap<(&str, Vmid), usize> = BTreeMap::new();
        waiting.retain(|(turn, _)| {
            let count = woken.entry((&turn.node, turn.template)).or_default();
            *count = count.saturating_add(1);
            *count <= TURNS_WOKEN
        });
        waiting.into_iter().map(|(_, object)| object.clone()).collect()
    }

    /// Notes what an object's status says it holds, unless more is known of it already. Whether it takes the name of one
    /// that is gone with all that it held: of an object that is made again at once nobody hears that it was gone.
    pub fn introduce(&self, uid: &str, entry: impl FnOnce() -> Entry) -> bool {
        let mut inner = self.inner.lock();
        if inner.entries.contains_key(uid) {
            return false;
        }
        let entry = entry();
        inner.version = inner.version.wrapping_add(1);
        let replaced = inner.entries.extract_if(|_, other| other.object == entry.object).count() > 0;
        inner.entries.insert(uid.to_owned(), entry);
        replaced
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
                disks: Vec::new(),
                cores: 1,
                group: Some("web".into()),
                addresses: Addresses::default(),
            }),
            task: None,
            clone: None,
            others: vec![Place { node: "sv2".into(), vmid: vmid + 100 }],
            known_by: BTreeSet::from([vmid]),
        }
    }

    #[test]
    fn a_choice_made_before_anothers_is_outdated() {
        let ledger = Ledger::default();
        let version = ledger.version();
        assert_eq!(ledger.claim("a", entry(100), version), Ok(()));
        assert_eq!(ledger.claim("b", entry(100), version), Err(Outdated));
        let (claims, version) = (ledger.claims("main", &owner("b")), ledger.version());
        assert_eq!(claims.of_namespace, 1);
        assert_eq!(claims.vmids.into_iter().collect::<Vec<_>>(), [100, 200]);
        assert_eq!(ledger.claim("b", entry(101), version), Ok(()));
    }

    #[test]
    fn an_object_does_not_stand_in_its_own_way_nor_in_another_clusters() {
        let ledger = Ledger::default();
        ledger.note("a", entry(100));
        assert_eq!(ledger.claims("main", &owner("a")), Claims::default());
        assert_eq!(ledger.claims("other", &owner("b")), Claims::default());
        assert_eq!(ledger.objects("main", |place| place.is_some_and(|place| place.vmid == 200)).len(), 1);
        ledger.forget(&ObjectRef::new("vm-100").within("a"));
        assert_eq!(ledger.claims("main", &owner("b")), Claims::default());
    }

    #[test]
    fn what_clients_know_another_machine_by_is_given_to_none_of_theirs_in_any_cluster() {
        let ledger = Ledger::default();
        let now = Timestamp::from_second(1000).unwrap();
        ledger.note("a", entry(100));
        ledger.note("b", Entry { cluster: "other".into(), known_by: BTreeSet::from([200, 201]), ..entry(200) });
        ledger.note("by hand", Entry { known_by: BTreeSet::new(), ..entry(300) });
        for (vmid, owner) in [(400, "ana"), (401, "eva")] {
            ledger.rest(vmid, Rest { cluster: "main".into(), owner: owner.into(), released: now });
        }
        let refused = |uid: &str, user: &str| ledger.known_to_clients(uid, user, now).into_iter().collect::<Vec<_>>();
        assert_eq!(refused("new", "ana"), [100, 200, 201, 401]);
        assert_eq!(refused("a", "eva"), [200, 201, 400], "its own are its own");
        assert_eq!(ledger.resting("other", now).len(), 0);
    }

    #[test]
    fn a_choice_made_before_a_release_is_outdated() {
        let ledger = Ledger::default();
        let version = ledger.version();
        let released = Timestamp::from_second(1000).unwrap();
        ledger.rest(100, Rest { cluster: "main".into(), owner: "ana".into(), released });
        assert_eq!(ledger.claim("a", entry(100), version), Err(Outdated));
    }

    fn turn(vmid: u32, second: i64) -> Turn {
        let since = jiff::Timestamp::from_second(second).unwrap();
        Turn { since, uid: vmid.to_string(), node: "sv1".into(), template: 9000 }
    }

    #[test]
    fn the_first_of_those_that_wait_are_woken() {
        let ledger = Ledger::default();
        for vmid in 100..110 {
            ledger.note(&vmid.to_string(), entry(vmid));
            ledger.wait(&vmid.to_string(), Some(turn(vmid, 1000 - i64::from(vmid))));
        }
        let names: Vec<_> = ledger.next_turns("main").into_iter().map(|object| object.name).collect();
        assert_eq!(names, ["vm-109", "vm-108", "vm-107", "vm-106"]);
        assert_eq!(ledger.claims("main", &owner("100")).waiting.len(), 9);
        ledger.wait("109", None);
        assert_eq!(ledger.claims("main", &owner("100")).waiting.len(), 8);
        assert!(ledger.next_turns("other").is_empty());
    }

    #[test]
    fn a_clone_counts_until_it_has_ended_or_was_not_begun() {
        let ledger = Ledger::default();
        let begun = |upid: Option<&str>| {
            let cloning = Cloning { node: "sv1".into(), template: 9000, upid: upid.map(str::to_owned) };
            Entry { clone: Some(CloneState::Begun(cloning)), ..entry(100) }
        };
        let running = || ledger.claims("main", &owner("other")).cloning.len();
        assert!(!ledger.note("a", begun(Some("UPID:1"))));
        ledger.settle("a");
        ledger.wait("a", Some(turn(100, 1)));
        assert_eq!(running(), 1);
        assert!(ledger.note("a", entry(100)), "it has ended");
        assert_eq!(running(), 0);
        ledger.note("a", begun(None));
        assert_eq!(running(), 1);
        ledger.settle("a");
        assert_eq!(running(), 0);
    }

    #[test]
    fn an_object_that_takes_the_name_of_another_takes_nothing_of_what_that_held() {
        let ledger = Ledger::default();
        ledger.note("a", entry(100));
        assert!(!ledger.introduce("a", || entry(101)), "it is known already");
        assert_eq!(ledger.claims("main", &owner("z")).machines.len(), 1);
        let homeless = || Entry { machine: None, others: Vec::new(), ..entry(100) };
        assert!(ledger.introduce("b", homeless), "it was made again");
        assert_eq!(ledger.claims("main", &owner("z")), Claims::default());
        assert!(!ledger.introduce("c", || entry(102)), "another name");
    }

    #[test]
    fn a_group_is_its_namespaces_own() {
        let ledger = Ledger::default();
        ledger.note("a", entry(100));
        let group = |namespace: &str| {
            let owner = Owner { namespace: namespace.into(), ..owner("b") };
            ledger.claims("main", &owner).machines[0].group.clone()
        };
        assert_eq!((group("a").as_deref(), group("b")), (Some("web"), None));
    }
}
