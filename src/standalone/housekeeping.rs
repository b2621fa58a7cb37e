//! What a cluster does by itself: its first objects, emptying deleted namespaces, forgetting old
//! events, and removing what belonged to an owner that is gone.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::builtin::{definitions, events, namespaces};
use super::garbage::Garbage;
use super::handlers::{Deleted, Options, delete, save};
use super::json::set;
use super::meta;
use super::plane::{NAMESPACES, Plane, now};
use super::registry::{Kind, Origin};
use super::status::ApiError;
use super::store::{Key, Name, Write, WriteError};

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
    let mut garbage = Garbage::default();
    let mut sweep = tokio::time::interval(EVENTS_SWEEP);
    let mut events_due = false;
    loop {
        newest.borrow_and_update();
        let done = async {
            if events_due {
                forget_events(&plane).await?;
            }
            empty_namespaces(&plane).await?;
            garbage.collect(&plane).await
        };
        let failed = match done.await {
            Ok(()) => {
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
pub async fn remove(plane: &Plane, kind: &Arc<Kind>, name: Name) -> Result<bool, ApiError> {
    let key = Key { shelf: Arc::clone(&kind.shelf), name };
    remove_with(plane, kind, &key, &Options::default()).await
}

/// As [`remove`], as `options` say.
pub async fn remove_with(plane: &Plane, kind: &Arc<Kind>, key: &Key, options: &Options) -> Result<bool, ApiError> {
    match delete(plane, kind, key, options).await {
        Ok(Deleted::Gone(_)) => Ok(true),
        Ok(Deleted::Going(_)) => Ok(false),
        Err(error) if error.code() == http::StatusCode::NOT_FOUND => Ok(true),
        Err(error) => Err(error),
    }
}
