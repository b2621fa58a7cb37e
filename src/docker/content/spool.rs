//! Where the bytes of files are kept: an unlinked temporary file, which goes with the process.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
};

use sha2::{Digest, Sha256};

use super::Error;

/// In how large pieces content is copied.
pub(super) const PIECE: usize = 64 << 10;

/// The bytes of a file in the spool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) digest: [u8; 32],
}

/// A spool that grows.
pub(super) struct Spool {
    file: BufWriter<File>,
    end: u64,
    known: HashMap<[u8; 32], u64>,
    piece: Vec<u8>,
}

impl Spool {
    pub(super) fn new() -> Result<Self, Error> {
        let file = tempfile::tempfile().map_err(Error::Spool)?;
        Ok(Self { file: BufWriter::with_capacity(PIECE, file), end: 0, known: HashMap::new(), piece: vec![0; PIECE] })
    }

    /// Copies and hashes content to its end. `None` once there is more than `most`; what was kept until then is
    /// overwritten by the next. Content that is there already shares its place.
    pub(super) fn keep(&mut self, mut content: impl Read, most: u64) -> Result<Option<Stored>, Error> {
        self.file.seek(SeekFrom::Start(self.end)).map_err(Error::Spool)?;
        let mut hash = Sha256::new();
        let mut size = 0_u64;
        loop {
            let count = match content.read(&mut self.piece) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::of_reader(error)),
            };
            let piece = self.piece.get(..count).unwrap_or(&self.piece);
            size = size.saturating_add(count as u64);
            if size > most {
                return Ok(None);
            }
            hash.update(piece);
            self.file.write_all(piece).map_err(Error::Spool)?;
        }
        let digest: [u8; 32] = hash.finalize().into();
        let offset = *self.known.entry(digest).or_insert(self.end);
        if offset == self.end {
            self.end = self.end.saturating_add(size);
        }
        Ok(Some(Stored { offset, size, digest }))
    }

    /// The file, which is only read from now on.
    pub(super) fn finish(mut self) -> Result<File, Error> {
        self.file.flush().map_err(Error::Spool)?;
        self.file.into_inner().map_err(|error| Error::Spool(error.into_error()))
    }
}

/// A part of a spool. Reads at its own position, so that many can read one spool at once.
pub(super) struct Section<'a> {
    spool: &'a File,
    at: u64,
    left: u64,
}

impl<'a> Section<'a> {
    pub(super) fn new(spool: &'a File, offset: u64, size: u64) -> Self {
        Self { spool, at: offset, left: size }
    }
}

impl Read for Section<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let into = into.get_mut(..most).unwrap_or_default();
        if into.is_empty() {
            return Ok(0);
        }
        match self.spool.read_at(into, self.at)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.at = self.at.saturating_add(count as u64);
                self.left = self.left.saturating_sub(count as u64);
                Ok(count)
            }
        }
    }
}
