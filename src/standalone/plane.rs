//! What all requests share: the kinds, the objects, and the end.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use jiff::{Timestamp, Unit};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use super::builtin::events;
use super::json::set;
use super::registry::{Kind, Origin, Registry};
use super::status::ApiError;
use super::store::{Key, Name, Record, Store, WriteError};

/// The shelf of the namespaces.
pub const NAMESPACES: &str = "namespaces";

/// How many objects can be changed at the same time.
const TURNS: usize = 64;

pub struct Plane {
    pub registry: Registry,
    pub store: Store,
    pub shutdown: CancellationToken,
    turns: Vec<Mutex<()>>,
}

impl Plane {
    pub fn new(registry: Registry, store: Store, shutdown: CancellationToken) -> Self {
        Self { registry, store, shutdown, turns: (0..TURNS).map(|_| Mutex::new(())).collect() }
    }

    /// Waits until nobody else computes a change of the same object: those who would come too late
    /// queue up, first come, first served, instead of trying in vain.
    pub async fn turn(&self, key: &Key) -> Option<MutexGuard<'_, ()>> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        let index = usize::try_from(hash % TURNS as u64).unwrap_or_default();
        match self.turns.get(index) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        }
    }

    /// The namespace's object; it may be on its way out.
    pub fn namespace(&self, name: &str) -> Option<Arc<Record>> {
        self.store.get(&Self::namespace_key(name))
    }

    pub fn namespace_key(name: &str) -> Key {
        Key { shelf: NAMESPACES.into(), name: Name::new("", name) }
    }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Closed => Self::unavailable("the control plane is shutting down"),
            WriteError::Stale | WriteError::Disk(_) => Self::internal(error),
        }
    }
}

/// A stored object as the version (or the view) `kind` shows it.
pub fn from_stored(kind: &Kind, mut object: Value) -> Value {
    if kind.origin == Origin::CoreEvent {
        events::to_core(&mut object);
    }
    set_type(&mut object, kind, kind.api_version());
    object
}

/// An object that a request brought, as it is stored.
pub fn to_stored(kind: &Kind, mut object: Value) -> Value {
    if kind.origin == Origin::CoreEvent {
        events::from_core(&mut object);
    }
    set_type(&mut object, kind, kind.stored_as.clone());
    object
}

/// Requests need not say what the address says already.
fn set_type(object: &mut Value, kind: &Kind, api_version: String) {
    set(object, "apiVersion", api_version);
    set(object, "kind", kind.kind.clone());
}

/// Now, as Kubernetes writes it: in UTC, to the second.
pub fn now() -> String {
    let now = Timestamp::now();
    now.round(Unit::Second).unwrap_or(now).to_string()
}
