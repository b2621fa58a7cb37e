//! Objects that clients know, as a watch shows them, found by what clients call them.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    sync::Arc,
};

use kube::{Resource, ResourceExt};
use parking_lot::RwLock;
use tokio::sync::watch;

use super::cache::{Cached, Name};
use crate::api;

/// What clients know objects by.
pub trait Known: Resource<DynamicType = ()> + Send + Sync {
    /// What clients call an object.
    type Id: Hash + Eq + Send + Sync;

    /// What an object is called, or was.
    fn ids(&self) -> Vec<Self::Id>;
}

/// The objects of a kind. Clones are the same.
pub struct Index<K: Known> {
    inner: Arc<RwLock<Inner<K>>>,
}

struct Inner<K: Known> {
    objects: HashMap<Name, Arc<K>>,
    by_id: HashMap<K::Id, BTreeSet<Name>>,
    by_user: HashMap<String, BTreeSet<Name>>,
    /// Those for which somebody waits.
    awaited: HashMap<Name, watch::Sender<Option<Arc<K>>>>,
}

impl<K: Known> Default for Index<K> {
    fn default() -> Self {
        let inner =
            Inner { objects: HashMap::new(), by_id: HashMap::new(), by_user: HashMap::new(), awaited: HashMap::new() };
        Self { inner: Arc::new(RwLock::new(inner)) }
    }
}

impl<K: Known> Clone for Index<K> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<K: Known> Index<K> {
    /// The objects that have, or had, an id and are not being deleted.
    pub fn with_id(&self, id: &K::Id) -> Vec<Arc<K>> {
        let inner = self.inner.read();
        inner.living(inner.by_id.get(id))
    }

    /// The objects of a user, by the user's name in Kubernetes, that are not being deleted.
    pub fn of_user(&self, user: &str) -> Vec<Arc<K>> {
        let inner = self.inner.read();
        inner.living(inner.by_user.get(user))
    }

    /// An object that is not being deleted, by its name in Kubernetes.
    pub fn named(&self, name: &Name) -> Option<Arc<K>> {
        self.inner.read().objects.get(name).filter(|object| is_living(&***object)).cloned()
    }

    /// The first object of which something holds, in no order.
    pub fn find(&self, holds: impl Fn(&K) -> bool) -> Option<Arc<K>> {
        self.inner.read().objects.values().find(|object| holds(object)).cloned()
    }

    /// What becomes of an object, from what is known now on.
    pub fn follow(&self, name: &Name) -> watch::Receiver<Option<Arc<K>>> {
        let mut inner = self.inner.write();
        if let Some(sender) = inner.awaited.get(name) {
            return sender.subscribe();
        }
        let (sender, receiver) = watch::channel(inner.objects.get(name).cloned());
        inner.awaited.insert(name.clone(), sender);
        receiver
    }

    #[cfg(test)]
    pub fn nobody_waits(&self) -> bool {
        self.inner.read().awaited.is_empty()
    }
}

fn is_living<K: Resource>(object: &K) -> bool {
    object.meta().deletion_timestamp.is_none()
}

impl<K: Known> Inner<K> {
    fn living(&self, names: Option<&BTreeSet<Name>>) -> Vec<Arc<K>> {
        let objects = names.into_iter().flatten().filter_map(|name| self.objects.get(name));
        objects.filter(|object| is_living(&***object)).cloned().collect()
    }

    fn tell(&mut self, name: &Name, object: Option<Arc<K>>) {
        let Some(sender) = self.awaited.get(name) else { return };
        if sender.is_closed() {
            self.awaited.remove(name);
        } else {
            sender.send_replace(object);
        }
    }

    fn take(&mut self, name: &Name) -> bool {
        let Some(old) = self.objects.remove(name) else { return false };
        for id in old.ids() {
            forget(&mut self.by_id, &id, name);
        }
        if let Some(user) = old.labels().get(api::USER) {
            forget(&mut self.by_user, user, name);
        }
        true
    }
}

fn forget<I: Hash + Eq>(index: &mut HashMap<I, BTreeSet<Name>>, key: &I, name: &Name) {
    if let Some(names) = index.get_mut(key) {
        names.remove(name);
        if names.is_empty() {
            index.remove(key);
        }
    }
}

impl<K: Known> Cached<K> for Index<K> {
    fn put(&self, name: Name, mut object: K) {
        object.meta_mut().managed_fields = None;
        let object = Arc::new(object);
        let mut inner = self.inner.write();
        inner.take(&name);
        for id in object.ids() {
            inner.by_id.entry(id).or_default().insert(name.clone());
        }
        if let Some(user) = object.labels().get(api::USER) {
            inner.by_user.entry(user.clone()).or_default().insert(name.clone());
        }
        inner.objects.insert(name.clone(), object.clone());
        inner.tell(&name, Some(object));
    }

    fn remove(&self, name: &Name) {
        let mut inner = self.inner.write();
        if inner.take(name) {
            inner.tell(name, None);
        }
    }

    fn retain(&self, listed: &BTreeSet<Name>) {
        let gone: Vec<Name> =
            self.inner.read().objects.keys().filter(|name| !listed.contains(*name)).cloned().collect();
        gone.iter().for_each(|name| self.remove(name));
    }
}
