//! An archive that comes in: kept in a temporary file, hashed and measured on the way.

use std::{fs::File, io::Seek};

use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncWriteExt, BufWriter},
    task::spawn_blocking,
};

use super::Error;
use crate::docker::content::{self, Limits, archive};

/// In how large pieces it is written.
const PIECE: usize = 256 << 10;

/// An archive that comes in.
pub struct Incoming {
    file: BufWriter<tokio::fs::File>,
    hash: Sha256,
    size: u64,
    most: u64,
}

/// An archive that is whole, and was checked. It goes with this, unless it is kept.
#[derive(Debug)]
pub struct Archive {
    pub(super) file: File,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: String,
}

impl Incoming {
    /// One of which nothing is there yet, and that may have so many bytes.
    ///
    /// # Errors
    /// [`Error::Spool`].
    pub fn begin(most: u64) -> Result<Self, Error> {
        let file = tokio::fs::File::from_std(tempfile::tempfile().map_err(Error::Spool)?);
        Ok(Self { file: BufWriter::with_capacity(PIECE, file), hash: Sha256::new(), size: 0, most })
    }

    /// The next bytes.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Spool`].
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.size = self.size.saturating_add(piece.len() as u64);
        if self.size > self.most {
            return Err(Error::TooLarge { most: self.most });
        }
        self.hash.update(piece);
        self.file.write_all(piece).await.map_err(Error::Spool)
    }

    /// So many bytes have come.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// That was all: it is read as an archive once, within limits.
    ///
    /// # Errors
    /// [`Error::Archive`] when it is none, or not to be trusted; [`Error::Spool`].
    pub async fn finish(self, limits: Limits) -> Result<Archive, Error> {
        let Self { mut file, hash, .. } = self;
        file.flush().await.map_err(Error::Spool)?;
        let mut file = file.into_inner().into_std().await;
        let checked = spawn_blocking(move || {
            let read = archive::read(&file, limits);
            file.rewind().map_err(Error::Spool)?;
            match read {
                Ok(_) => Ok(file),
                Err(content::Error::Source(error) | content::Error::Spool(error)) => Err(Error::Spool(error)),
                Err(error) => Err(Error::Archive(error)),
            }
        });
        let file = checked.await.map_err(|error| Error::Spool(error.into()))??;
        Ok(Archive { file, sha256: hex::encode(hash.finalize()) })
    }
}
