//! Caches that a watch keeps: what is asked for often is not asked of Kubernetes.

use std::{collections::BTreeSet, fmt::Debug};

use futures::{StreamExt, pin_mut};
use kube::{
    Api, Resource, ResourceExt,
    core::DeserializeGuard,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;

use crate::kubernetes::{relisting, why};

/// Namespace, if there is one, and name of an object.
pub type Name = (String, String);

/// What an object is called.
pub fn name<K: Resource>(object: &K) -> Name {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// What keeps objects of a kind.
pub trait Cached<K>: Send + Sync {
    /// The object is there, or has changed.
    fn put(&self, name: Name, object: K);

    /// The object is gone.
    fn remove(&self, name: &Name);

    /// There are no objects but these.
    fn retain(&self, listed: &BTreeSet<Name>);
}

/// Keeps a cache, for as long as it takes; says so once, when it is filled for the first time.
pub async fn keep<K>(api: Api<DeserializeGuard<K>>, selector: &str, cache: impl Cached<K>, filled: impl FnOnce() + Send)
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + 'static,
{
    let config = watcher::Config::default().labels(selector);
    let events = relisting(api, config).default_backoff();
    pin_mut!(events);
    let mut listed = BTreeSet::new();
    let mut filled = Some(filled);
    let put = |object: DeserializeGuard<K>| {
        let name = name(&object);
        match object.0 {
            Ok(object) => cache.put(name, object),
            Err(error) => {
                tracing::error!(?name, %error, kind = %K::kind(&()), "an object cannot be read, and is left alone");
                cache.remove(&name);
            }
        }
    };
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                listed.insert(name(&object));
                put(object);
            }
            Ok(watcher::Event::InitDone) => {
                cache.retain(&std::mem::take(&mut listed));
                if let Some(filled) = filled.take() {
                    filled();
                }
            }
            Ok(watcher::Event::Apply(object)) => put(object),
            Ok(watcher::Event::Delete(object)) => cache.remove(&name(&object)),
            Err(error) => {
                tracing::warn!(error = why(&error), kind = %K::kind(&()), "the watch failed and is begun anew");
            }
        }
    }
}
