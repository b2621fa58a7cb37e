//! What the objects hold in their clusters, as far as this process knows: VMIDs, and memory and room in flight.
//!
//! The inventory sees a machine only when its clone was posted, and two objects may choose at the same time. What is kept
//! here is found by index, for each of thousands of objects asks again and again while it is made.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use parking_lot::{RwLock, RwLockReadGuard};

use super::resting::{Rest, Resting};
use crate::{
    api::ProxmoxVM,
    proxmox::{
        plan::{Claims, CloneState, Counts, Holding, Place, Turn},
        wire::Vmid,
    },
};

/// So many of those that wait to be cloned from one template are woken when a clone has ended.
const TURNS_WOKEN: usize = 4;

/// What all objects hold.
#[derive(Debug, Default)]
pub struct Ledger {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    version: Version,
    objects: HashMap<String, Object>,
    /// The uids of the objects: while one is made again under its name there may be two.
    uids: HashMap<ObjectRef<ProxmoxVM>, BTreeSet<String>>,
    /// What the objects of a cluster hold.
    clusters: HashMap<String, Claims>,
    /// How many objects clients know by a VMID, in all clusters.
    known: Counts<Vmid>,
    resting: Resting,
}

/// Grows with what is noted, so that a choice that was made before another's can be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// What was taken: a place, memory, addresses.
    places: u64,
    /// What was begun to be cloned, or waits for it.
    clones: u64,
}

/// What one object holds, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The object.
    pub object: Object,
    /// What it holds.
    pub holding: Holding,
}

/// What is known of an object besides what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Name of its ProxmoxCluster.
    pub cluster: String,
    /// The object.
    pub reference: ObjectRef<ProxmoxVM>,
    /// Id of the task that it awaits.
    pub task: Option<String>,
    /// The VMIDs by which clients of the REST API know it, if it was made there.
    pub known_by: BTreeSet<Vmid>,
}

/// Somebody else was faster.
#[derive(Debug, PartialEq, Eq)]
pub struct Outdated;

/// The ledger as it is now; nothing is noted while this is held.
pub struct Reading<'a>(RwLockReadGuard<'a, Inner>);

impl Reading<'_> {
    /// What makes a choice outdated that is made from this.
    pub fn version(&self) -> Version {
        self.0.version
    }

    /// What the objects hold in a cluster.
    pub fn claims(&self, cluster: &str) -> Option<&Claims> {
        self.0.clusters.get(cluster)
    }

    /// Whether an object is not given a VMID which was made for this user of the REST API: by such a VMID clients know another
    /// object, in whichever cluster, or knew one of another user not long ago.
    pub fn is_withheld(&self, vmid: Vmid, uid: &str, user: &str, now: Timestamp) -> bool {
        let own = self.0.objects.get(uid).is_some_and(|object| object.known_by.contains(&vmid));
        self.0.known.of(&vmid) > usize::from(own) || self.0.resting.is_refused_to(vmid, user, now)
    }
}

impl Inner {
    fn entry(&self, uid: &str) -> Option<(&Object, &Holding)> {
        let object = self.objects.get(uid)?;
        Some((object, self.clusters.get(&object.cluster)?.get(uid)?))
    }

    /// Puts an entry in place of what was known, and counts the versions on by what is different.
    fn put(&mut self, uid: &str, Entry { object, holding }: Entry) {
        let before = self.remove(uid);
        let (known, held) = before.as_ref().map(|before| (&before.object.known_by, &before.holding)).unzip();
        if holding.is_of_concern(held) || known.unwrap_or(&BTreeSet::new()) != &object.known_by {
            self.version.places = self.version.places.wrapping_add(1);
        }
        if holding.clone.as_ref() != held.and_then(|held| held.clone.as_ref()) {
            self.version.clones = self.version.clones.wrapping_add(1);
        }
        for vmid in &object.known_by {
            self.known.add(*vmid);
        }
        self.clusters.entry(object.cluster.clone()).or_default().put(uid, holding);
        self.uids.entry(object.reference.clone()).or_default().insert(uid.to_owned());
        self.objects.insert(uid.to_owned(), object);
    }

    fn remove(&mut self, uid: &str) -> Option<Entry> {
        let object = self.objects.remove(uid)?;
        if let Some(uids) = self.uids.get_mut(&object.reference) {
            uids.remove(uid);
            if uids.is_empty() {
                self.uids.remove(&object.reference);
            }
        }
        for vmid in &object.known_by {
            self.known.take(vmid);
        }
        let holding = self.clusters.get_mut(&object.cluster).and_then(|claims| claims.remove(uid)).unwrap_or_default();
        Some(Entry { object, holding })
    }

    fn remove_all(&mut self, object: &ObjectRef<ProxmoxVM>) -> Vec<Entry> {
        let uids = self.uids.get(object).cloned().unwrap_or_default();
        uids.iter().filter_map(|uid| self.remove(uid)).collect()
    }

    /// Changes what an object holds, if it is known.
    fn change(&mut self, uid: &str, change: impl FnOnce(&mut Holding)) {
        let Some((object, holding)) = self.entry(uid) else { return };
        let mut holding = holding.clone();
        change(&mut holding);
        self.put(uid, Entry { object: object.clone(), holding });
    }

    fn of_cluster(&self, cluster: &str) -> impl Iterator<Item = (&str, &Object)> {
        let all = self.objects.iter().map(|(uid, object)| (uid.as_str(), object));
        all.filter(move |(_, object)| object.cluster == cluster)
    }
}

impl Ledger {
    /// What is known now.
    pub fn read(&self) -> Reading<'_> {
        Reading(self.inner.read())
    }

    /// Notes that a VMID was released by which clients may know a machine.
    pub fn rest(&self, vmid: Vmid, rest: Rest) {
        let mut inner = self.inner.write();
        inner.version.places = inner.version.places.wrapping_add(1);
        inner.resting.add(vmid, rest);
    }

    /// The VMIDs that rest after having been released in a cluster.
    pub fn resting(&self, cluster: &str, now: Timestamp) -> BTreeMap<Vmid, Rest> {
        self.inner.write().resting.of(cluster, now)
    }

    /// Notes what an object holds. Whether a clone has come to its end with it, so that the next one may begin.
    pub fn note(&self, uid: &str, entry: Entry) -> bool {
        let mut inner = self.inner.write();
        let before = inner.entry(uid);
        if before == Some((&entry.object, &entry.holding)) {
            return false;
        }
        let begun = |holding: &Holding| matches!(holding.clone, Some(CloneState::Begun(_)));
        let ended = before.is_some_and(|(_, before)| begun(before)) && !begun(&entry.holding);
        inner.put(uid, entry);
        ended
    }

    /// Notes that an object waits for its turn to be cloned, or does not any more. One that has begun is left as it is.
    pub fn wait(&self, uid: &str, turn: Option<Turn>) {
        let mut inner = self.inner.write();
        let Some((_, holding)) = inner.entry(uid) else { return };
        let clone = turn.map(CloneState::Waiting);
        if holding.clone != clone && !matches!(holding.clone, Some(CloneState::Begun(_))) {
            inner.change(uid, |holding| holding.clone = clone);
        }
    }

    /// A clone that was about to begin when its reconcile was cut off was not begun by it, or shows in the inventory; and the
    /// VMID that was looked at is not taken.
    pub fn settle(&self, uid: &str) {
        let about_to =
            |holding: &Holding| matches!(&holding.clone, Some(CloneState::Begun(cloning)) if cloning.upid.is_none());
        let mut inner = self.inner.write();
        let Some((_, holding)) = inner.entry(uid) else { return };
        let clone = holding.clone.clone().filter(|_| !about_to(holding));
        if holding.candidate.is_some() || holding.clone != clone {
            inner.change(uid, |holding| {
                holding.clone = clone;
                holding.candidate = None;
            });
        }
    }

    /// Notes that an object is about to take a VMID if it is vacant; not if another one holds it, or is about to.
    pub fn consider(&self, uid: &str, vmid: Vmid) -> bool {
        let mut inner = self.inner.write();
        let Some((object, holding)) = inner.entry(uid) else { return true };
        let own = usize::from(holding.candidate == Some(vmid));
        let free = inner.clusters.get(&object.cluster).is_none_or(|claims| claims.holders(vmid) == own);
        if free {
            inner.change(uid, |holding| holding.candidate = Some(vmid));
        }
        free
    }

    /// The VMID that an object looked at is not taken by it, or is taken by now.
    pub fn withdraw(&self, uid: &str) {
        let mut inner = self.inner.write();
        if inner.entry(uid).is_some_and(|(_, holding)| holding.candidate.is_some()) {
            inner.change(uid, |holding| holding.candidate = None);
        }
    }

    /// The objects of a cluster whose turn to be cloned is the next, a few of each template.
    pub fn next_turns(&self, cluster: &str) -> Vec<ObjectRef<ProxmoxVM>> {
        let inner = self.inner.read();
        let mut waiting: Vec<_> = inner.clusters.get(cluster).into_iter().flat_map(Claims::turns).collect();
        waiting.sort_by_key(|(_, turn)| *turn);
        let mut woken: BTreeMap<(&str, Vmid), usize> = BTreeMap::new();
        waiting.retain(|(_, turn)| {
            let count = woken.entry((&turn.node, turn.template)).or_default();
            *count = count.saturating_add(1);
            *count <= TURNS_WOKEN
        });
        waiting.into_iter().filter_map(|(uid, _)| Some(inner.objects.get(uid)?.reference.clone())).collect()
    }

    /// Notes what an object's status says it holds, unless more is known of it already. Whether it takes the name of one
    /// that is gone with all that it held: of an object that is made again at once nobody hears that it was gone.
    pub fn introduce(&self, uid: &str, entry: impl FnOnce() -> Entry) -> bool {
        let mut inner = self.inner.write();
        if inner.objects.contains_key(uid) {
            return false;
        }
        let entry = entry();
        let replaced = inner.remove_all(&entry.object.reference);
        inner.put(uid, entry);
        !replaced.is_empty()
    }

    /// Notes what an object chose, unless another one took something since `version`.
    pub fn claim(&self, uid: &str, entry: Entry, version: Version) -> Result<(), Outdated> {
        let mut inner = self.inner.write();
        if inner.version.places != version.places {
            return Err(Outdated);
        }
        inner.put(uid, entry);
        Ok(())
    }

    /// Notes that an object is about to be cloned, unless another one began or joined the queue since `version`.
    pub fn begin(&self, uid: &str, entry: Entry, version: Version) -> Result<(), Outdated> {
        let mut inner = self.inner.write();
        if inner.version.clones != version.clones {
            return Err(Outdated);
        }
        inner.put(uid, entry);
        Ok(())
    }

    /// The objects of a cluster that await a task which satisfies `wanted`.
    pub fn awaiting(&self, cluster: &str, wanted: impl Fn(&str) -> bool) -> Vec<ObjectRef<ProxmoxVM>> {
        let inner = self.inner.read();
        let waiting = inner.of_cluster(cluster).filter(|(_, object)| object.task.as_deref().is_some_and(&wanted));
        waiting.map(|(_, object)| object.reference.clone()).collect()
    }

    /// The object is gone; the names of the clusters that it was in.
    pub fn forget(&self, object: &ObjectRef<ProxmoxVM>) -> Vec<String> {
        let removed = self.inner.write().remove_all(object);
        removed.into_iter().map(|entry| entry.object.cluster).collect()
    }

    /// The objects of a cluster whose place satisfies `wanted`; those without a place are given `None`.
    pub fn objects(&self, cluster: &str, wanted: impl Fn(Option<&Place>) -> bool) -> Vec<ObjectRef<ProxmoxVM>> {
        let inner = self.inner.read();
        let Some(claims) = inner.clusters.get(cluster) else { return Vec::new() };
        let held = inner.of_cluster(cluster).filter(|(uid, _)| {
            claims.get(uid).is_some_and(|holding| {
                wanted(holding.machine.as_ref().map(|claim| &claim.place))
                    || holding.leftovers.iter().any(|place| wanted(Some(place)))
            })
        });
        held.map(|(_, object)| object.reference.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxmox::{
        plan::{Claim, Cloning, Owner},
        wire::Addresses,
    };

    fn owner(uid: &str) -> Owner {
        Owner { installation: "i".into(), namespace: "a".into(), name: "vm".into(), uid: uid.into() }
    }

    fn entry(vmid: Vmid) -> Entry {
        let machine = Claim {
            place: Place { node: "sv1".into(), vmid },
            memory: 1,
            disks: Vec::new(),
            cores: 1,
            group: Some("web".into()),
            addresses: Addresses::default(),
        };
        Entry {
            object: Object {
                cluster: "main".into(),
                reference: ObjectRef::new(&format!("vm-{vmid}")).within("a"),
                task: None,
                known_by: BTreeSet::from([vmid]),
            },
            holding: Holding {
                namespace: "a".into(),
                machine: Some(machine),
                leftovers: vec![Place { node: "sv2".into(), vmid: vmid + 100 }],
                clone: None,
                candidate: None,
            },
        }
    }

    fn with(mut entry: Entry, change: impl FnOnce(&mut Entry)) -> Entry {
        change(&mut entry);
        entry
    }

    const NOTHING: [Vmid; 0] = [];

    /// Which of these VMIDs others hold in a cluster.
    fn taken<const N: usize>(ledger: &Ledger, cluster: &str, uid: &str, vmids: [Vmid; N]) -> Vec<Vmid> {
        let (reading, owner) = (ledger.read(), owner(uid));
        let Some(claims) = reading.claims(cluster) else { return Vec::new() };
        vmids.into_iter().filter(|vmid| claims.but(&owner).have_vmid(*vmid)).collect()
    }

    #[test]
    fn a_choice_made_before_anothers_is_outdated() {
        let ledger = Ledger::default();
        let version = ledger.read().version();
        assert_eq!(ledger.claim("a", entry(100), version), Ok(()));
        assert_eq!(ledger.claim("b", entry(100), version), Err(Outdated));
        assert_eq!(taken(&ledger, "main", "b", [100, 101, 200, 201]), [100, 200]);
        let version = ledger.read().version();
        assert_eq!(ledger.read().claims("main").unwrap().but(&owner("b")).placed_in_namespace(), 1);
        assert_eq!(ledger.claim("b", entry(101), version), Ok(()));
    }

    #[test]
    fn what_takes_nothing_outdates_no_choice() {
        let ledger = Ledger::default();
        ledger.note("a", entry(100));
        let version = ledger.read().version();
        for (what, change) in [
            ("a task", (|entry| entry.object.task = Some("UPID:1".into())) as fn(&mut Entry)),
            ("a clone", |entry| entry.holding.clone = Some(CloneState::Waiting(turn(100, 1)))),
            ("cores that the load shows now", |entry| entry.holding.machine.as_mut().unwrap().cores = 0),
        ] {
            ledger.note("a", with(entry(100), change));
            assert_eq!(ledger.read().version().places, version.places, "{what}");
        }
        assert!(ledger.consider("a", 300));
        assert_eq!(ledger.claim("b", entry(101), version), Ok(()), "nothing of it is of concern");
        for (what, change) in [
            ("a place", (|entry| entry.holding.machine.as_mut().unwrap().place.vmid = 105) as fn(&mut Entry)),
            ("memory", |entry| entry.holding.machine.as_mut().unwrap().memory = 2),
            ("a leftover", |entry| entry.holding.leftovers.push(Place { node: "sv3".into(), vmid: 400 })),
            ("a VMID that clients know", |entry| entry.object.known_by.extend([7])),
        ] {
            let version = ledger.read().version();
            ledger.note("a", with(entry(100), change));
            assert_eq!(ledger.claim("c", entry(102), version), Err(Outdated), "{what}");
            ledger.note("a", entry(100));
        }
    }

    #[test]
    fn a_vmid_is_considered_by_one_at_a_time() {
        let ledger = Ledger::default();
        for uid in ["a", "b"] {
            ledger
                .note(uid, with(entry(if uid == "a" { 100 } else { 101 }), |entry| entry.holding = Holding::default()));
        }
        assert!(ledger.consider("a", 300) && ledger.consider("a", 300), "its own stands in nobody's way");
        assert!(!ledger.consider("b", 300));
        assert_eq!(taken(&ledger, "main", "b", [300, 301]), [300], "so it chooses another");
        assert!(ledger.consider("b", 301));
        ledger.withdraw("a");
        assert!(ledger.consider("b", 300), "the first has not taken it");
        assert_eq!(taken(&ledger, "main", "a", [300, 301]), [300], "nobody considers two");
    }

    #[test]
    fn an_object_does_not_stand_in_its_own_way_nor_in_another_clusters() {
        let ledger = Ledger::default();
        ledger.note("a", entry(100));
        assert_eq!(taken(&ledger, "main", "a", [100, 200]), NOTHING);
        assert_eq!(taken(&ledger, "other", "b", [100, 200]), NOTHING);
        assert_eq!(ledger.objects("main", |place| place.is_some_and(|place| place.vmid == 200)).len(), 1);
        assert_eq!(ledger.forget(&ObjectRef::new("vm-100").within("a")), ["main"]);
        assert_eq!(taken(&ledger, "main", "b", [100, 200]), NOTHING);
    }

    #[test]
    fn an_object_that_moves_to_another_cluster_leaves_nothing_in_the_first() {
        let ledger = Ledger::default();
        ledger.note("a", entry(100));
        ledger.note("a", with(entry(100), |entry| entry.object.cluster = "other".into()));
        assert_eq!(taken(&ledger, "main", "b", [100, 200]), NOTHING);
        assert_eq!(taken(&ledger, "other", "b", [100, 200]), [100, 200]);
    }

    #[test]
    fn what_clients_know_another_machine_by_is_given_to_none_of_theirs_in_any_cluster() {
        let ledger = Ledger::default();
        let now = Timestamp::from_second(1000).unwrap();
        ledger.note("a", entry(100));
        let elsewhere = |entry: &mut Entry| {
            entry.object.cluster = "other".into();
            entry.object.known_by.insert(201);
        };
        ledger.note("b", with(entry(200), elsewhere));
        ledger.note("by hand", with(entry(300), |entry| entry.object.known_by.clear()));
        for (vmid, owner) in [(400, "ana"), (401, "eva")] {
            ledger.rest(vmid, Rest { cluster: "main".into(), owner: owner.into(), released: now });
        }
        let withheld = |uid: &str, user: &str| {
            let all = [100, 200, 201, 300, 400, 401].into_iter();
            all.filter(|vmid| ledger.read().is_withheld(*vmid, uid, user, now)).collect::<Vec<_>>()
        };
        assert_eq!(withheld("new", "ana"), [100, 200, 201, 401]);
        assert_eq!(withheld("a", "eva"), [200, 201, 400], "its own are its own");
        assert_eq!(ledger.resting("other", now).len(), 0);
    }

    #[test]
    fn a_choice_made_before_a_release_is_outdated() {
        let ledger = Ledger::default();
        let version = ledger.read().version();
        let released = Timestamp::from_second(1000).unwrap();
        ledger.rest(100, Rest { cluster: "main".into(), owner: "ana".into(), released });
        assert_eq!(ledger.claim("a", entry(100), version), Err(Outdated));
    }

    fn turn(vmid: Vmid, second: i64) -> Turn {
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
        let waiting = || ledger.read().claims("main").unwrap().but(&owner("100")).waiting().count();
        assert_eq!(waiting(), 9);
        ledger.wait("109", None);
        assert_eq!(waiting(), 8);
        assert!(ledger.next_turns("other").is_empty());
    }

    #[test]
    fn a_clone_counts_until_it_has_ended_or_was_not_begun() {
        let ledger = Ledger::default();
        let begun = |upid: Option<&str>| {
            let cloning = Cloning { node: "sv1".into(), template: 9000, upid: upid.map(str::to_owned) };
            with(entry(100), |entry| entry.holding.clone = Some(CloneState::Begun(cloning)))
        };
        let running = || ledger.read().claims("main").unwrap().but(&owner("other")).cloning().count();
        assert!(!ledger.note("a", begun(Some("UPID:1"))));
        ledger.settle("a");
        ledger.wait("a", Some(turn(100, 1)));
        assert_eq!(running(), 1);
        assert!(ledger.note("a", entry(100)), "it has ended");
        assert_eq!(running(), 0);
        let version = ledger.read().version();
        assert_eq!(ledger.begin("a", begun(None), version), Ok(()));
        assert_eq!(running(), 1);
        assert_eq!(ledger.begin("b", begun(None), version), Err(Outdated), "the last slot may be gone");
        ledger.settle("a");
        assert_eq!(running(), 0);
    }

    #[test]
    fn an_object_that_takes_the_name_of_another_takes_nothing_of_what_that_held() {
        let ledger = Ledger::default();
        ledger.note("a", entry(100));
        assert!(!ledger.introduce("a", || entry(101)), "it is known already");
        assert_eq!(taken(&ledger, "main", "z", [100, 101]), [100]);
        let homeless = || with(entry(100), |entry| entry.holding = Holding::default());
        assert!(ledger.introduce("b", homeless), "it was made again");
        assert_eq!(taken(&ledger, "main", "z", [100, 200]), NOTHING);
        assert!(!ledger.introduce("c", || entry(102)), "another name");
        ledger.note("late", entry(102));
        assert_eq!(ledger.forget(&ObjectRef::new("vm-102").within("a")).len(), 2, "one of them was on its way out");
        assert_eq!(taken(&ledger, "main", "z", [102, 202]), NOTHING);
    }

    #[test]
    fn a_group_is_its_namespaces_own() {
        let ledger = Ledger::default();
        ledger.note("a", entry(100));
        let of_group = |namespace: &str, node: &str| {
            let owner = Owner { namespace: namespace.into(), ..owner("b") };
            ledger.read().claims("main").unwrap().but(&owner).of_group(Some("web"), node)
        };
        assert_eq!((of_group("a", "sv1"), of_group("a", "sv2"), of_group("b", "sv1")), (1, 0, 0));
    }
}
