//! One kind's objects in memory, and the changes that led to them, as far back as they are kept.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use tokio::sync::watch;

use super::Record;

/// How many changes of a kind are kept for watches and for lists in pages.
const HISTORY: usize = 4096;

/// A namespace (empty for what has none) and a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    pub namespace: String,
    pub name: String,
}

impl Name {
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// One change of one object.
#[derive(Debug)]
pub struct Change {
    pub revision: u64,
    pub name: Name,
    pub before: Option<Arc<Record>>,
    /// The object afterwards; for a removal, its last state, at the revision of the removal.
    pub now: Arc<Record>,
    pub removed: bool,
}

/// The history does not reach back to the revision that was asked for.
#[derive(Debug, thiserror::Error)]
#[error("too old resource version: {asked} ({oldest})")]
pub struct TooOld {
    pub asked: u64,
    pub oldest: u64,
}

pub struct Shelf {
    objects: BTreeMap<Name, Arc<Record>>,
    history: VecDeque<Arc<Change>>,
    /// The history holds every change after this revision.
    floor: u64,
    newest: watch::Sender<u64>,
}

impl Shelf {
    pub fn new(objects: BTreeMap<Name, Arc<Record>>, revision: u64) -> Self {
        Self { objects, history: VecDeque::new(), floor: revision, newest: watch::Sender::new(revision) }
    }

    pub fn get(&self, name: &Name) -> Option<&Arc<Record>> {
        self.objects.get(name)
    }

    pub fn follow(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    pub fn list(&self, namespace: Option<&str>) -> Vec<(Name, Arc<Record>)> {
        collect(&self.objects, namespace)
    }

    /// What stood here at `revision`: today's objects with the later changes undone.
    pub fn list_at(&self, namespace: Option<&str>, revision: u64) -> Result<Vec<(Name, Arc<Record>)>, TooOld> {
        let later = self.changes_after(revision)?;
        if later.is_empty() {
            return Ok(self.list(namespace));
        }
        let mut objects: BTreeMap<Name, Arc<Record>> = self.list(namespace).into_iter().collect();
        for change in later.iter().rev() {
            if namespace.is_some_and(|namespace| namespace != change.name.namespace) {
                continue;
            }
            match &change.before {
                Some(before) => objects.insert(change.name.clone(), Arc::clone(before)),
                None => objects.remove(&change.name),
            };
        }
        Ok(objects.into_iter().collect())
    }

    pub fn changes_after(&self, revision: u64) -> Result<Vec<Arc<Change>>, TooOld> {
        if revision < self.floor {
            return Err(TooOld { asked: revision, oldest: self.floor });
        }
        let first = self.history.partition_point(|change| change.revision <= revision);
        Ok(self.history.range(first..).cloned().collect())
    }

    pub fn apply(&mut self, change: Arc<Change>) {
        if change.removed {
            self.objects.remove(&change.name);
        } else {
            self.objects.insert(change.name.clone(), Arc::clone(&change.now));
        }
        let revision = change.revision;
        self.history.push_back(change);
        if self.history.len() > HISTORY
            && let Some(oldest) = self.history.pop_front()
        {
            self.floor = oldest.revision;
        }
        self.newest.send_replace(revision);
    }
}

fn collect(objects: &BTreeMap<Name, Arc<Record>>, namespace: Option<&str>) -> Vec<(Name, Arc<Record>)> {
    let copy = |(name, record): (&Name, &Arc<Record>)| (name.clone(), Arc::clone(record));
    match namespace {
        None => objects.iter().map(copy).collect(),
        Some(namespace) => objects
            .range((Bound::Included(Name::new(namespace, "")), Bound::Unbounded))
            .take_while(|(name, _)| name.namespace == namespace)
            .map(copy)
            .collect(),
    }
}
