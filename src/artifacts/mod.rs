//! Archives that users uploaded, kept until no service names them any more.
//!
//! An archive is known by the namespace that it belongs to and its SHA-256, so that nobody can name what is another's. What is kept
//! was checked as an archive before, and appears whole or not at all.

mod address;
mod incoming;
mod store;
mod sweep;

#[cfg(test)]
mod tests;

pub use incoming::{Archive, Incoming};
pub use store::Store;

use std::{io, path::Path};

use crate::docker::content;

/// What is told on the command line.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "artifacts")]
pub struct Settings {
    /// Where uploaded archives are kept: `file:///var/lib/cloudfaster/artifacts`, or `s3://BUCKET/PREFIX` with the credentials and the
    /// endpoint in the usual variables (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT). The REST API and
    /// the controller need the same. Without it nothing can be uploaded; but `standalone` has it below its data folder.
    #[arg(long, env = "CLOUDFASTER_ARTIFACT_STORE", value_name = "URL")]
    pub artifact_store: Option<String>,
}

impl Settings {
    /// The store, if there is to be one.
    ///
    /// # Errors
    /// [`Error::Address`], or [`Error::Store`] when it cannot be used.
    pub fn open(&self) -> Result<Option<Store>, Error> {
        self.artifact_store.as_deref().map(Store::open).transpose()
    }

    /// The store; in that folder, if none was named.
    ///
    /// # Errors
    /// As [`Settings::open`].
    pub fn or_in(&self, folder: &Path) -> Result<Store, Error> {
        match self.open()? {
            Some(store) => Ok(store),
            None => Store::in_folder(folder.join("artifacts")),
        }
    }
}

/// The name of an archive in a store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Artifact {
    /// The namespace that it belongs to.
    pub namespace: String,
    /// The SHA-256 of the archive, in lower-case hexadecimal.
    pub sha256: String,
}

/// Why an archive cannot be kept or had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store's URL is none.
    #[error("{url}: {why}: write file:///FOLDER or s3://BUCKET/PREFIX")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The archive is larger than is allowed.
    #[error("the archive is larger than {most} bytes")]
    TooLarge {
        /// So many bytes are allowed.
        most: u64,
    },
    /// It is no archive, or one that is not to be trusted.
    #[error("{0}")]
    Archive(#[source] content::Error),
    /// There is no such archive.
    #[error("the archive {0} is not in the store")]
    Missing(String),
    /// What is there is something else.
    #[error("what the store has as the archive {0} is something else: upload it again")]
    Altered(String),
    /// The temporary file through which archives go cannot be used just now.
    #[error("the archive cannot be kept in a temporary file: {0}")]
    Spool(#[source] io::Error),
    /// The store does not do what it was asked just now.
    #[error("the artifact store: {0}")]
    Store(#[source] object_store::Error),
}
