//! The durable side: a `redb` file of serialised objects and the last revision.

use std::fmt;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use redb::{Builder, Database, ReadableDatabase, TableDefinition};
use serde_json::Value;

use super::shelf::Name;

/// Shelf, namespace and name to the object as JSON.
const OBJECTS: TableDefinition<(&str, &str, &str), &[u8]> = TableDefinition::new("objects");
const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");
const REVISION: &str = "revision";

/// The first revision: 0 has a meaning of its own in the Kubernetes API ("any").
const FIRST: u64 = 1;

#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("cannot open the store: {0}")]
    Open(#[from] redb::DatabaseError),
    #[error("cannot use the store: {0}")]
    Store(Box<redb::Error>),
    #[error("the store holds what cannot be read: {0}")]
    Corrupt(String),
    #[error("cannot open the store's file or start its thread: {0}")]
    System(#[from] std::io::Error),
}

impl DiskError {
    pub(super) fn corrupt(detail: impl fmt::Display) -> Self {
        Self::Corrupt(detail.to_string())
    }
}

macro_rules! store_error {
    ($($error:ty),*) => {$(
        impl From<$error> for DiskError {
            fn from(error: $error) -> Self {
                Self::Store(Box::new(error.into()))
            }
        }
    )*};
}
store_error!(redb::TransactionError, redb::TableError, redb::StorageError, redb::CommitError);

/// One change of the file: an object's new bytes, or its removal.
pub struct Entry<'a> {
    pub shelf: &'a str,
    pub name: &'a Name,
    pub json: Option<&'a [u8]>,
}

pub struct Disk {
    database: Database,
}

impl Disk {
    pub fn open(file: Option<&Path>) -> Result<Self, DiskError> {
        let database = match file {
            Some(file) => {
                // It holds Secrets.
                let file =
                    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(file)?;
                Builder::new().create_with_backend(redb::backends::FileBackend::new(file)?)?
            }
            None => Builder::new().create_with_backend(redb::backends::InMemoryBackend::new())?,
        };
        let disk = Self { database };
        let transaction = disk.database.begin_write()?;
        transaction.open_table(OBJECTS)?;
        transaction.open_table(COUNTERS)?;
        transaction.commit()?;
        Ok(disk)
    }

    pub fn revision(&self) -> Result<u64, DiskError> {
        let transaction = self.database.begin_read()?;
        let counters = transaction.open_table(COUNTERS)?;
        Ok(counters.get(REVISION)?.map_or(FIRST, |revision| revision.value()))
    }

    pub fn load(&self, shelf: &str) -> Result<Vec<(Name, Value)>, DiskError> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(OBJECTS)?;
        let mut objects = Vec::new();
        for entry in table.range((shelf, "", "")..)? {
            let (key, json) = entry?;
            let (of, namespace, name) = key.value();
            if of != shelf {
                break;
            }
            let value = serde_json::from_slice(json.value())
                .map_err(|error| DiskError::corrupt(format!("{shelf} {namespace}/{name}: {error}")))?;
            objects.push((Name::new(namespace, name), value));
        }
        Ok(objects)
    }

    /// Writes all entries or none, and returns when they are on the disk.
    pub fn commit(&self, entries: &[Entry<'_>], revision: u64) -> Result<(), DiskError> {
        let transaction = self.database.begin_write()?;
        {
            let mut objects = transaction.open_table(OBJECTS)?;
            for Entry { shelf, name, json } in entries {
                let key = (*shelf, name.namespace.as_str(), name.name.as_str());
                match json {
                    Some(json) => objects.insert(key, *json)?,
                    None => objects.remove(key)?,
                };
            }
            transaction.open_table(COUNTERS)?.insert(REVISION, revision)?;
        }
        transaction.commit()?;
        Ok(())
    }
}
