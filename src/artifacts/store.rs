//! The store.

use std::{fmt, fs::File, io::SeekFrom, path::PathBuf, sync::Arc};

use futures::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt, buffered::BufWriter, path::Path};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use super::{Archive, Artifact, Error, address};

/// In how large parts archives are sent, and how many of them at a time: what an upload takes of the memory.
const PART: usize = 5 << 20;
const PARTS: usize = 2;

/// Where archives are kept. Clones are the same.
#[derive(Clone)]
pub struct Store {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
    pub(super) folder: Option<PathBuf>,
}

impl fmt::Debug for Store {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}, {}", self.objects, self.prefix)
    }
}

impl Store {
    /// The store at a URL: `file:///FOLDER`, which is made if it has to be, or `s3://BUCKET/PREFIX`.
    ///
    /// # Errors
    /// [`Error::Address`], or [`Error::Store`] when it cannot be used. Nothing is asked of an S3 server yet.
    pub fn open(url: &str) -> Result<Self, Error> {
        let address::Place { objects, prefix, folder } = address::open(url)?;
        Ok(Self { objects, prefix, folder })
    }

    /// The store in a folder, which is made if it has to be.
    ///
    /// # Errors
    /// [`Error::Address`] when it cannot be used.
    pub fn in_folder(folder: PathBuf) -> Result<Self, Error> {
        let wrong = |why: String| Error::Address { url: folder.display().to_string(), why };
        let address::Place { objects, prefix, folder } =
            address::of_folder(folder.clone()).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { objects, prefix, folder })
    }

    /// Keeps an archive for a namespace. It appears when it is whole; one that is there already is there anew.
    ///
    /// # Errors
    /// [`Error::Spool`], [`Error::Store`]. Nothing is kept then.
    pub async fn put(&self, namespace: &str, archive: Archive) -> Result<Artifact, Error> {
        let Archive { file, sha256 } = archive;
        let artifact = Artifact { namespace: namespace.to_owned(), sha256 };
        let mut file = tokio::fs::File::from_std(file);
        let upload = BufWriter::with_capacity(self.objects.clone(), self.location(&artifact), PART);
        let mut upload = upload.with_max_concurrency(PARTS);
        let sent = async {
            tokio::io::copy(&mut file, &mut upload).await?;
            upload.shutdown().await
        };
        if let Err(error) = sent.await {
            if let Err(error) = upload.abort().await {
                tracing::debug!(%error, "a part of an upload may be left in the artifact store");
            }
            return Err(Error::of_writer(error));
        }
        Ok(artifact)
    }

    /// An archive of so many bytes at most, in a temporary file, from its beginning.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Altered`], [`Error::TooLarge`], [`Error::Spool`], [`Error::Store`].
    pub async fn get(&self, artifact: &Artifact, most: u64) -> Result<File, Error> {
        let missing = |error| match error {
            object_store::Error::NotFound { .. } => Error::Missing(artifact.sha256.clone()),
            error => Error::Store(error),
        };
        let found = self.objects.get(&self.location(artifact)).await.map_err(missing)?;
        if found.meta.size > most {
            return Err(Error::TooLarge { most });
        }
        let mut file = tokio::fs::File::from_std(tempfile::tempfile().map_err(Error::Spool)?);
        let (mut pieces, mut hash, mut size) = (found.into_stream(), Sha256::new(), 0_u64);
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(Error::Store)?;
            size = size.saturating_add(piece.len() as u64);
            if size > most {
                return Err(Error::TooLarge { most });
            }
            hash.update(&piece);
            file.write_all(&piece).await.map_err(Error::Spool)?;
        }
        if hex::encode(hash.finalize()) != artifact.sha256 {
            return Err(Error::Altered(artifact.sha256.clone()));
        }
        file.flush().await.map_err(Error::Spool)?;
        file.seek(SeekFrom::Start(0)).await.map_err(Error::Spool)?;
        Ok(file.into_std().await)
    }

    pub(super) fn location(&self, artifact: &Artifact) -> Path {
        let Artifact { namespace, sha256 } = artifact;
        self.prefix.clone().join(namespace.as_str()).join(sha256.as_str())
    }
}

impl Error {
    fn of_writer(error: std::io::Error) -> Self {
        match error.downcast::<object_store::Error>() {
            Ok(error) => Self::Store(error),
            Err(error) => Self::Spool(error),
        }
    }
}
