//! What the objects hold in their clusters, as far as this process knows: VMIDs, and memory and room in flight.
//!
//! The inventory sees a machine only when its clone was posted, and two objects may choose at the same time. What is kept
//! here is found by index, for each of thousands of objects asks again and again while it is made.

#[cfg(test)]
mod tests;

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
        let claims = inner.clusters.get(&object.cluster);
        let free = claims.is_none_or(|claims| !claims.is_held_beside(Some(holding), vmid));
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
        self.put_if(uid, entry, |now| now.places == version.places)
    }

    /// Notes that an object is about to be cloned, unless another one began or joined the queue since `version`.
    pub fn begin(&self, uid: &str, entry: Entry, version: Version) -> Result<(), Outdated> {
        self.put_if(uid, entry, |now| now.clones == version.clones)
    }

    fn put_if(&self, uid: &str, entry: Entry, current: impl FnOnce(Version) -> bool) -> Result<(), Outdated> {
        let mut inner = self.inner.write();
        if !current(inner.version) {
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
