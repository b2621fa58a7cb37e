//! A cache that is asked for everything.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::RwLock;

use super::cache::{Cached, Name};

/// Objects in the order of their names. Clones are the same.
pub struct Shelf<K>(Arc<RwLock<BTreeMap<Name, Arc<K>>>>);

impl<K> Default for Shelf<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K> Clone for Shelf<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> Shelf<K> {
    /// All of them.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.0.read().values().cloned().collect()
    }

    /// One of them.
    pub fn get(&self, name: &Name) -> Option<Arc<K>> {
        self.0.read().get(name).cloned()
    }
}

impl<K: Send + Sync> Cached<K> for Shelf<K> {
    fn put(&self, name: Name, object: K) {
        self.0.write().insert(name, Arc::new(object));
    }

    fn remove(&self, name: &Name) {
        self.0.write().remove(name);
    }

    fn retain(&self, listed: &BTreeSet<Name>) {
        self.0.write().retain(|name, _| listed.contains(name));
    }
}
