//! What becomes of objects that others own: they go with their last owner, after it or before it, or
//! are let go by it.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use super::handlers::{FOREGROUND, ORPHAN, Options, save};
use super::housekeeping::{remove, remove_with};
use super::json::at;
use super::meta;
use super::plane::Plane;
use super::registry::{Kind, Origin};
use super::status::ApiError;
use super::store::{Change, Key, Name, Record, WriteError};

/// What the collector knows of the objects.
#[derive(Debug, Default)]
pub struct Garbage {
    /// Up to this revision all is clean.
    reached: Option<u64>,
    /// Owners that wait for what they own to go, or to be let go.
    waiting: HashSet<Key>,
}

/// What has to be looked at.
#[derive(Default)]
struct Suspects {
    gone: HashSet<String>,
    owned: Vec<(Arc<Kind>, Name, Arc<Record>)>,
}

impl Garbage {
    /// Does what has become due since the last time.
    ///
    /// # Errors
    /// The store cannot write.
    pub async fn collect(&mut self, plane: &Plane) -> Result<(), ApiError> {
        let revision = plane.store.revision();
        let mut suspects = Suspects::default();
        let mut look_everywhere = self.reached.is_none();
        for kind in plane.registry.shelves() {
            let Some(reached) = self.reached else { break };
            match plane.store.changes_after(&kind.shelf, reached) {
                Ok((changes, _)) => changes.iter().for_each(|change| self.note(kind, change, &mut suspects)),
                Err(_) => look_everywhere = true,
            }
        }
        if look_everywhere || !suspects.gone.is_empty() {
            for kind in plane.registry.shelves() {
                for (name, record) in plane.store.list(&kind.shelf, None).objects {
                    if waits(&record.value) {
                        self.waiting.insert(Key { shelf: Arc::clone(&kind.shelf), name: name.clone() });
                    }
                    if owners(&record.value).any(|owner| look_everywhere || suspects.gone.contains(uid(owner))) {
                        suspects.owned.push((Arc::clone(kind), name, record));
                    }
                }
            }
        }
        for (kind, name, record) in suspects.owned {
            if !meta::is_deleting(&record.value) {
                examine(plane, &kind, name, &record).await?;
            }
        }
        let mut still = HashSet::new();
        for key in std::mem::take(&mut self.waiting) {
            if release(plane, &key).await? {
                still.insert(key);
            }
        }
        self.waiting = still;
        self.reached = Some(revision);
        Ok(())
    }

    fn note(&mut self, kind: &Arc<Kind>, change: &Change, suspects: &mut Suspects) {
        // Nothing is owned by events and leases, which come and go all the time.
        let never_owns = matches!(kind.origin, Origin::Event | Origin::Lease);
        if change.removed {
            if !never_owns {
                suspects.gone.insert(meta::text(&change.now.value, "uid").to_owned());
            }
            return;
        }
        if owners(&change.now.value).next().is_some() {
            suspects.owned.push((Arc::clone(kind), change.name.clone(), Arc::clone(&change.now)));
        }
        if waits(&change.now.value) {
            self.waiting.insert(Key { shelf: Arc::clone(&kind.shelf), name: change.name.clone() });
        }
    }
}

/// Whether an object is on its way out and waits for the collector.
fn waits(object: &Value) -> bool {
    meta::is_deleting(object)
        && meta::finalizers(object).iter().any(|finalizer| matches!(*finalizer, FOREGROUND | ORPHAN))
}

fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    at(object, "/metadata/ownerReferences").as_array().into_iter().flatten()
}

fn uid(owner: &Value) -> &str {
    owner.get("uid").and_then(Value::as_str).unwrap_or_default()
}

/// Whether an owner is there. One of a kind that is not served here counts as there, and so does one
/// that could not be: of a kind with namespaces, for an object without.
fn is_there(plane: &Plane, object: &Value, owner: &Value) -> bool {
    let namespace = meta::text(object, "namespace");
    let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
    let Some(kind) = plane.registry.by_kind(text("apiVersion"), text("kind")) else {
        return true;
    };
    if kind.namespaced && namespace.is_empty() {
        return true;
    }
    let namespace = if kind.namespaced { namespace } else { "" };
    let key = Key { shelf: Arc::clone(&kind.shelf), name: Name::new(namespace, text("name")) };
    plane.store.get(&key).is_some_and(|record| meta::text(&record.value, "uid") == uid(owner))
}

/// Deletes an object whose owners are all gone, and takes those that are from one that has others.
async fn examine(plane: &Plane, kind: &Arc<Kind>, name: Name, record: &Arc<Record>) -> Result<(), ApiError> {
    let object = &record.value;
    let (there, gone): (Vec<&Value>, Vec<&Value>) = owners(object).partition(|owner| is_there(plane, object, owner));
    if gone.is_empty() {
        return Ok(());
    }
    if there.is_empty() {
        remove(plane, kind, name).await?;
        return Ok(());
    }
    let key = Key { shelf: Arc::clone(&kind.shelf), name };
    let gone: HashSet<&str> = gone.into_iter().map(uid).collect();
    let_go(plane, &key, |owner| gone.contains(uid(owner))).await
}

/// Removes the references to some owners.
async fn let_go(plane: &Plane, key: &Key, of: impl Fn(&Value) -> bool) -> Result<(), ApiError> {
    change(plane, key, |object| {
        if let Some(owners) = object.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut) {
            owners.retain(|owner| !of(owner));
        }
    })
    .await
}

/// Changes an object, if it is there, until nobody else was faster.
async fn change(plane: &Plane, key: &Key, change: impl Fn(&mut Value)) -> Result<(), ApiError> {
    while let Some(record) = plane.store.get(key) {
        let mut next = record.value.clone();
        change(&mut next);
        meta::drop_empty(meta::of(&mut next)?);
        match save(plane, key, &record, next, false).await {
            Ok(_) => break,
            Err(WriteError::Stale) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Does what an owner waits for, and takes its finalizer when that is done.
///
/// # Returns
/// Whether it goes on waiting.
async fn release(plane: &Plane, key: &Key) -> Result<bool, ApiError> {
    let Some(record) = plane.store.get(key).filter(|record| waits(&record.value)) else {
        return Ok(false);
    };
    let owner_uid = meta::text(&record.value, "uid");
    let orphans = meta::finalizers(&record.value).contains(&ORPHAN);
    let mut held = false;
    for (kind, name, owned) in owned_by(plane, owner_uid) {
        let key = Key { shelf: Arc::clone(&kind.shelf), name };
        if orphans {
            let_go(plane, &key, |owner| uid(owner) == owner_uid).await?;
        } else if blocks(&owned.value, owner_uid) {
            held |= !give_up(plane, &kind, &key, &owned, owner_uid).await?;
        }
    }
    if held {
        return Ok(true);
    }
    let done = if orphans { ORPHAN } else { FOREGROUND };
    change(plane, key, |object| {
        if let Some(finalizers) = object.pointer_mut("/metadata/finalizers").and_then(Value::as_array_mut) {
            finalizers.retain(|finalizer| finalizer != done);
        }
    })
    .await?;
    Ok(plane.store.get(key).is_some_and(|record| waits(&record.value)))
}

fn owned_by(plane: &Plane, owner_uid: &str) -> Vec<(Arc<Kind>, Name, Arc<Record>)> {
    let mut owned = Vec::new();
    for kind in plane.registry.shelves() {
        let objects = plane.store.list(&kind.shelf, None).objects.into_iter();
        let of_owner = objects.filter(|(_, record)| owners(&record.value).any(|owner| uid(owner) == owner_uid));
        owned.extend(of_owner.map(|(name, record)| (Arc::clone(kind), name, record)));
    }
    owned
}

/// Whether an object holds an owner that goes last.
fn blocks(object: &Value, owner_uid: &str) -> bool {
    owners(object).any(|owner| uid(owner) == owner_uid && owner.get("blockOwnerDeletion") == Some(&Value::Bool(true)))
}

/// Deletes an object before its owner, or takes the owner from it if it has others.
///
/// # Returns
/// Whether it does not hold its owner any more.
async fn give_up(
    plane: &Plane,
    kind: &Arc<Kind>,
    key: &Key,
    owned: &Record,
    owner_uid: &str,
) -> Result<bool, ApiError> {
    let object = &owned.value;
    let has_others = owners(object).any(|owner| uid(owner) != owner_uid && is_there(plane, object, owner));
    if has_others {
        let_go(plane, key, |owner| uid(owner) == owner_uid).await?;
        return Ok(true);
    }
    if meta::is_deleting(object) {
        return Ok(false);
    }
    remove_with(plane, kind, key, &Options::foreground()).await
}
