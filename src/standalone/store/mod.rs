//! The objects: durable on disk, indexed in memory, with a bounded history for watches.
//!
//! Every write goes through one thread, which takes what has queued up, checks each write against
//! the index, commits all of them with one sync to the disk, and only then shows and answers them:
//! whatever was answered or seen survives a `kill -9`. What the objects mean is not known here.

mod disk;
mod shelf;
mod writer;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::{oneshot, watch};

pub use disk::DiskError;
use shelf::Shelf;
pub use shelf::{Change, Name, TooOld};
use writer::{Job, Writer};

/// Which shelf an object stands on: its resource and group, as in `proxmoxvms.cloudfaster.app`.
pub type ShelfId = Arc<str>;

/// One stored object at one revision.
#[derive(Debug)]
pub struct Record {
    pub revision: u64,
    pub value: Value,
    /// `value`, serialised.
    pub json: Bytes,
}

/// What stood on a shelf at one moment.
#[derive(Debug)]
pub struct Snapshot {
    pub revision: u64,
    pub objects: Vec<(Name, Arc<Record>)>,
}

/// Where an object stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub shelf: ShelfId,
    pub name: Name,
}

/// One change. It is made only if the object is still as `expected` says.
#[derive(Debug)]
pub struct Write {
    pub key: Key,
    /// The revision the change was computed from; `None`: there must be no such object.
    pub expected: Option<u64>,
    /// Another object that must not have changed either: the namespace an object is created in.
    pub guard: Option<(Key, u64)>,
    /// What is to stand there, or, for a removal, the object's last state.
    pub value: Value,
    pub remove: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Somebody else was first; the caller may look again.
    #[error("the object has changed")]
    Stale,
    #[error("the store is closed")]
    Closed,
    #[error("the store cannot write: {0}")]
    Disk(String),
}

/// What the writer and the readers share.
struct State {
    /// The revision of the last change that is durable.
    revision: u64,
    shelves: HashMap<ShelfId, Shelf>,
}

pub struct Store {
    state: Arc<RwLock<State>>,
    writer: Writer,
    /// The newest durable revision, for those who follow every shelf.
    revision: watch::Receiver<u64>,
}

impl Store {
    /// Opens the store in `file`, or an empty one in memory. `prepare` may bring an object that was
    /// written under older rules up to date.
    ///
    /// # Errors
    /// The file cannot be opened (it is locked by another process, say) or read.
    pub fn open(
        file: Option<&Path>,
        shelves: impl IntoIterator<Item = ShelfId>,
        prepare: impl Fn(&str, &mut Value),
    ) -> Result<Self, DiskError> {
        let disk = disk::Disk::open(file)?;
        let mut state = State { revision: disk.revision()?, shelves: HashMap::new() };
        for id in shelves {
            let mut objects = BTreeMap::new();
            for (name, json) in disk.load(&id)? {
                let mut value = json;
                prepare(&id, &mut value);
                objects.insert(name, Arc::new(Record::new(value)?));
            }
            state.shelves.insert(id, Shelf::new(objects, state.revision));
        }
        let (announce, revision) = watch::channel(state.revision);
        let state = Arc::new(RwLock::new(state));
        let writer = Writer::start(disk, Arc::clone(&state), announce)?;
        Ok(Self { state, writer, revision })
    }

    pub fn revision(&self) -> u64 {
        self.state.read().revision
    }

    pub fn get(&self, key: &Key) -> Option<Arc<Record>> {
        let state = self.state.read();
        state.shelves.get(&key.shelf)?.get(&key.name).cloned()
    }

    /// Everything on a shelf, or what is in one namespace, in the order of names.
    pub fn list(&self, shelf: &str, namespace: Option<&str>) -> Snapshot {
        let state = self.state.read();
        Snapshot {
            revision: state.revision,
            objects: state.shelves.get(shelf).map(|shelf| shelf.list(namespace)).unwrap_or_default(),
        }
    }

    /// As [`Self::list`], at an earlier revision.
    ///
    /// # Errors
    /// The history does not reach back that far.
    pub fn list_at(&self, shelf: &str, namespace: Option<&str>, revision: u64) -> Result<Snapshot, TooOld> {
        let state = self.state.read();
        let objects = match state.shelves.get(shelf) {
            Some(shelf) => shelf.list_at(namespace, revision)?,
            None => Vec::new(),
        };
        Ok(Snapshot { revision, objects })
    }

    /// The changes of a shelf after `revision`, and the revision up to which they are complete.
    ///
    /// # Errors
    /// The history does not reach back that far.
    pub fn changes_after(&self, shelf: &str, revision: u64) -> Result<(Vec<Arc<Change>>, u64), TooOld> {
        let state = self.state.read();
        let changes = match state.shelves.get(shelf) {
            Some(shelf) => shelf.changes_after(revision)?,
            None => Vec::new(),
        };
        Ok((changes, state.revision.max(revision)))
    }

    /// Tells of every change of a shelf, by its revision.
    pub fn follow(&self, shelf: &str) -> Option<watch::Receiver<u64>> {
        self.state.read().shelves.get(shelf).map(Shelf::follow)
    }

    /// Tells of every change of any shelf, by its revision.
    pub fn follow_all(&self) -> watch::Receiver<u64> {
        self.revision.clone()
    }

    /// Makes one change; it is on the disk when this returns. For a removal, the answer is the
    /// object's last state, at the revision of its removal.
    ///
    /// # Errors
    /// The object is not what the change was computed from, or the disk refuses.
    pub async fn write(&self, write: Write) -> Result<Arc<Record>, WriteError> {
        let (answer, answered) = oneshot::channel();
        self.writer.submit(Job { write, answer })?;
        answered.await.unwrap_or(Err(WriteError::Closed))
    }

    /// Ends the writer when what is queued is written, and releases the file.
    pub async fn close(&self) {
        self.writer.close().await;
    }
}

impl Record {
    fn new(value: Value) -> Result<Self, DiskError> {
        let revision = value
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str)
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| DiskError::corrupt("an object without a resource version"))?;
        let json = serde_json::to_vec(&value).map_err(DiskError::corrupt)?;
        Ok(Self { revision, value, json: json.into() })
    }

    /// An object as it would be, had it been written; it keeps the revision that it has, if any.
    ///
    /// # Errors
    /// It cannot be serialised.
    pub fn preview(value: Value) -> Result<Self, serde_json::Error> {
        Ok(Self { revision: 0, json: serde_json::to_vec(&value)?.into(), value })
    }

    /// The record of `value` at `revision`, which is written into its metadata.
    fn at(mut value: Value, revision: u64) -> Result<Self, DiskError> {
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".to_owned(), revision.to_string().into());
        }
        Self::new(value)
    }
}
