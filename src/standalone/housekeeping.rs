//! What a cluster does by itself: its first objects, emptying deleted namespaces, and removing
//! what belonged to an owner that is gone.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::builtin::{definitions, events, namespaces};

use super::handlers::{Deleted, Options, delete, save};
use super::json::set;
use super::meta;
use super::plane::{NAMESPACES, Plane, now};
use super::registry::{Kind, Origin};
use super::status::ApiError;
use super::store::{Change, Key, Name, Record, Write, WriteError};

/// How long to wait before a failed round is repeated.
const PAUSE: Duration = Duration::from_secs(5);

/// How long events are kept after they were last seen, as on any cluster.
const EVENTS_LAST: SignedDuration = SignedDuration::from_hours(1);

/// How often old events are looked for.
const EVENTS_SWEEP: Duration = Duration::from_secs(300);

/// Makes the namespaces that every cluster has, and shows the definitions.
pub async fn set_up(plane: &Plane) -> Result<(), ApiError> {
    for name in namespaces::INITIAL {
        let mut namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "uid": uuid::Uuid::new_v4().to_string(),
                "creationTimestamp": now(),
            },
        });
        namespaces::complete(&mut namespace);
        ensure(plane, Plane::namespace_key(name), namespace).await?;
    }
    definitions::show(plane).await
}

/// Writes an object unless there is one.
async fn ensure(plane: &Plane, key: Key, value: Value) -> Result<(), ApiError> {
    if plane.store.get(&key).is_some() {
        return Ok(());
    }
    let write = Write { key, expected: None, guard: None, value, remove: false };
    plane.store.write(write).await?;
    Ok(())
}

/// Keeps house until the end.
pub async fn run(plane: Arc<Plane>) {
    let mut newest = plane.store.follow_all();
    let mut reached: Option<u64> = None;
    let mut sweep = tokio::time::interval(EVENTS_SWEEP);
    let mut events_due = false;
    loop {
        newest.borrow_and_update();
        let done = async {
            if events_due {
                forget_events(&plane).await?;
            }
            empty_namespaces(&plane).await?;
            collect_garbage(&plane, reached).await
        };
        let failed = match done.await {
            Ok(revision) => {
                reached = Some(revision);
                events_due = false;
                false
            }
            Err(error) => {
                if !plane.shutdown.is_cancelled() {
                    tracing::warn!(%error, "housekeeping failed; it will be repeated");
                }
                true
            }
        };
        tokio::select! {
            () = plane.shutdown.cancelled() => return,
            changed = newest.changed() => if changed.is_err() { return },
            _ = sweep.tick() => events_due = true,
            () = tokio::time::sleep(PAUSE), if failed => {}
        }
    }
}

/// Deletes the events that were last seen too long ago.
async fn forget_events(plane: &Plane) -> Result<(), ApiError> {
    let Some(kind) = plane.registry.shelves().find(|kind| kind.origin == Origin::Event) else {
        return Ok(());
    };
    let oldest = Timestamp::now() - EVENTS_LAST;
    for (name, record) in plane.store.list(&kind.shelf, None).objects {
        if events::last_seen(&record.value).is_some_and(|seen| seen < oldest) {
            remove(plane, kind, name).await?;
        }
    }
    Ok(())
}

/// Deletes what is in namespaces that are being deleted, and lets those go that are empty.
async fn empty_namespaces(plane: &Plane) -> Result<(), ApiError> {
    for (name, record) in plane.store.list(NAMESPACES, None).objects {
        let namespace = &record.value;
        if !namespaces::is_terminating(namespace) || !namespaces::is_held(namespace) {
            continue;
        }
        let mut empty = true;
        for kind in plane.registry.shelves().filter(|kind| kind.namespaced) {
            let inside = plane.store.list(&kind.shelf, Some(&name.name)).objects;
            for (object, record) in inside {
                let going = meta::is_deleting(&record.value) || !remove(plane, kind, object).await?;
                empty &= !going;
            }
        }
        if !empty {
            continue;
        }
        let mut next = namespace.clone();
        set(&mut next, "spec", json!({}));
        let key = Plane::namespace_key(&name.name);
        match save(plane, &key, &record, next, false).await {
            // A stale namespace has changed, and that starts another round.
            Ok(_) | Err(WriteError::Stale) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Deletes an object.
///
/// # Returns
/// Whether it is gone at once.
async fn remove(plane: &Plane, kind: &Arc<Kind>, name: Name) -> Result<bool, ApiError> {
    let key = Key { shelf: Arc::clone(&kind.shelf), name };
    match delete(plane, kind, &key, &Options::default()).await {
        Ok(Deleted::Gone(_)) => Ok(true),
        Ok(Deleted::Going(_)) => Ok(false),
        Err(error) if error.code() == http::StatusCode::NOT_FOUND => Ok(true),
        Err(error) => Err(error),
    }
}

/// Deletes what is owned by nothing but what is gone.
///
/// # Returns
/// The revision up to which all is clean.
async fn collect_garbage(plane: &Plane, reached: Option<u64>) -> Result<u64, ApiError> {
    let revision = plane.store.revision();
    let mut suspects: Vec<(Arc<Kind>, Name, Arc<Record>)> = Vec::new();
    let mut gone = HashSet::new();
    let mut look_everywhere = reached.is_none();
    for kind in plane.registry.shelves() {
        let Some(reached) = reached else { break };
        match plane.store.changes_after(&kind.shelf, reached) {
            Ok((changes, _)) => {
                for change in changes {
                    note(kind, &change, &mut gone, &mut suspects);
                }
            }
            Err(_) => look_everywhere = true,
        }
    }
    if look_everywhere || !gone.is_empty() {
        for kind in plane.registry.shelves() {
            for (name, record) in plane.store.list(&kind.shelf, None).objects {
                let concerned = owners(&record.value).any(|owner| look_everywhere || gone.contains(uid(owner)));
                if concerned {
                    suspects.push((Arc::clone(kind), name, record));
                }
            }
        }
    }
    for (kind, name, record) in suspects {
        if !meta::is_deleting(&record.value) && all_owners_gone(plane, &record.value) {
            remove(plane, &kind, name).await?;
        }
    }
    Ok(revision)
}

fn note(
    kind: &Arc<Kind>,
    change: &Change,
    gone: &mut HashSet<String>,
    suspects: &mut Vec<(Arc<Kind>, Name, Arc<Record>)>,
) {
    // Nothing is owned by events and leases, which come and go all the time.
    let never_owns = matches!(kind.origin, Origin::Event | Origin::Lease);
    if change.removed {
        if !never_owns {
            gone.insert(meta::text(&change.now.value, "uid").to_owned());
        }
    } else if owners(&change.now.value).next().is_some() {
        suspects.push((Arc::clone(kind), change.name.clone(), Arc::clone(&change.now)));
    }
}

fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    object.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten()
}

fn uid(owner: &Value) -> &str {
    owner.get("uid").and_then(Value::as_str).unwrap_or_default()
}

/// Owners of kinds that are not served here count as alive.
fn all_owners_gone(plane: &Plane, object: &Value) -> bool {
    let namespace = meta::text(object, "namespace");
    let mut owned = false;
    for owner in owners(object) {
        owned = true;
        let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
        let Some(kind) = plane.registry.by_kind(text("apiVersion"), text("kind")) else {
            return false;
        };
        let namespace = if kind.namespaced { namespace } else { "" };
        let key = Key { shelf: Arc::clone(&kind.shelf), name: Name::new(namespace, text("name")) };
        let alive = plane.store.get(&key).is_some_and(|record| meta::text(&record.value, "uid") == uid(owner));
        if alive {
            return false;
        }
    }
    owned
}

/// Lets go of what an object owns, before the object is deleted.
///
/// # Errors
/// The store cannot write.
pub async fn orphan(plane: &Plane, owner_uid: &str) -> Result<(), ApiError> {
    for kind in plane.registry.shelves() {
        for (name, record) in plane.store.list(&kind.shelf, None).objects {
            if !owners(&record.value).any(|owner| uid(owner) == owner_uid) {
                continue;
            }
            let key = Key { shelf: Arc::clone(&kind.shelf), name };
            let mut current = Some(record);
            while let Some(record) = current {
                let mut next = record.value.clone();
                if let Some(owners) = next.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut) {
                    owners.retain(|owner| uid(owner) != owner_uid);
                }
                meta::drop_empty(meta::of(&mut next)?);
                match save(plane, &key, &record, next, false).await {
                    Ok(_) => break,
                    Err(WriteError::Stale) => current = plane.store.get(&key),
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    Ok(())
}
