//! Content: the files that a service is made of, as archives and repositories deliver them.
//!
//! They are hostile until they were judged. Everything comes in by a [`Builder`], which refuses what leads out of the tree,
//! what means different things on different systems, and what is too much; only what passed as a whole becomes
//! [`Content`]. The bytes of files are kept on disk, never in memory.

pub mod archive;
mod builder;
pub mod dockerignore;
mod error;
pub mod fetch;
mod limits;
mod pack;
mod path;
mod spool;
mod tree;

use std::{collections::BTreeMap, fs::File, io::Read, sync::Arc};

use bytes::Bytes;
use sha2::{Digest, Sha256};

pub use builder::Builder;
pub use error::{BadLink, BadName, Error};
pub use limits::Limits;

use error::shown;
use spool::Section;

/// A tree of files as delivered: immutable and cheap to clone. It can be read by many at once.
#[derive(Clone, Debug)]
pub struct Content(Arc<Tree>);

#[derive(Debug)]
struct Tree {
    digest: String,
    size: u64,
    entries: BTreeMap<String, Placed>,
    spool: Arc<File>,
}

/// An entry and where its bytes are.
#[derive(Clone, Debug)]
struct Placed {
    entry: Entry,
    offset: u64,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Folder,
    File {
        /// Whether its owner may run it. Of all bits of its mode, this one is kept.
        executable: bool,
        /// In bytes.
        size: u64,
        /// SHA-256 of its bytes.
        digest: [u8; 32],
    },
    /// A symbolic link, which leads to a place in the tree; nothing may be there.
    Link {
        /// As it was given: relative to the link's folder.
        target: String,
    },
}

impl Entry {
    fn kind(&self) -> &'static str {
        match self {
            Self::Folder => "a folder",
            Self::File { .. } => "a file",
            Self::Link { .. } => "a link",
        }
    }
}

impl Content {
    fn new(entries: BTreeMap<String, Placed>, spool: Arc<File>) -> Self {
        let size = entries.values().map(|placed| match &placed.entry {
            Entry::File { size, .. } => *size,
            Entry::Folder | Entry::Link { .. } => 0,
        });
        let (size, digest) = (size.fold(0, u64::saturating_add), digest(&entries));
        Self(Arc::new(Tree { digest, size, entries, spool }))
    }

    /// SHA-256 over all that counts (paths, kinds, executable or not, contents), in lower-case hexadecimal. It does not depend on
    /// whether folders were named or only implied, nor on order, times and owners.
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// All entries but the root, sorted by their paths: relative, with `/`, without `.`, `..` or empty parts. A folder
    /// comes before what is in it.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.entries.iter().map(|(path, placed)| (path.as_str(), &placed.entry))
    }

    /// What is at a path, which is written as [`Content::entries`] gives it.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.0.entries.get(path).map(|placed| &placed.entry)
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// The content of a file of at most so many bytes. Links are not followed.
    ///
    /// # Errors
    /// When there is no such file, it is larger, or the spool cannot be read.
    pub fn read(&self, path: &str, most: u64) -> Result<Bytes, Error> {
        let placed = self.placed(path)?;
        let Entry::File { size, .. } = placed.entry else {
            return Err(Error::Kind { path: shown(path.as_bytes()), found: placed.entry.kind(), wanted: "a file" });
        };
        if size > most {
            return Err(Error::FileSize { path: shown(path.as_bytes()), most });
        }
        let mut bytes = Vec::new();
        Section::new(&self.0.spool, placed.offset, size).read_to_end(&mut bytes).map_err(Error::Spool)?;
        Ok(bytes.into())
    }

    /// A folder as content of its own; `.` is all of it. Links are not followed.
    ///
    /// # Errors
    /// When there is no such folder, or a link in it leads out of it: left out, it would be missed at run time only.
    pub fn subtree(&self, path: &str) -> Result<Self, Error> {
        if path == "." {
            return Ok(self.clone());
        }
        let placed = self.placed(path)?;
        if placed.entry != Entry::Folder {
            return Err(Error::Kind { path: shown(path.as_bytes()), found: placed.entry.kind(), wanted: "a folder" });
        }
        let folder = format!("{path}/");
        let within = self.0.entries.range(folder.clone()..);
        let within = within.map_while(|(path, placed)| Some((path.strip_prefix(&folder)?.to_owned(), placed.clone())));
        let entries = within.collect();
        tree::check(&entries)?;
        Ok(Self::new(entries, self.0.spool.clone()))
    }

    /// What of it is left without these paths; folders that hold something that is left stay.
    #[must_use]
    pub fn without(&self, left_out: impl Fn(&str) -> bool) -> Self {
        let mut entries: BTreeMap<String, Placed> = BTreeMap::new();
        for (path, placed) in &self.0.entries {
            if left_out(path) {
                continue;
            }
            let folders = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
            for folder in folders {
                if let Some(placed) = self.0.entries.get(folder) {
                    entries.entry(folder.to_owned()).or_insert_with(|| placed.clone());
                }
            }
            entries.insert(path.clone(), placed.clone());
        }
        Self::new(entries, self.0.spool.clone())
    }

    fn placed(&self, path: &str) -> Result<&Placed, Error> {
        self.0.entries.get(path).ok_or_else(|| Error::Missing { path: shown(path.as_bytes()) })
    }
}

/// Each part is preceded by its length, so that no two trees are the same bytes.
fn digest(entries: &BTreeMap<String, Placed>) -> String {
    let mut hash = Sha256::new_with_prefix(b"cloudfaster content 1\n");
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    for (path, placed) in entries {
        part(path.as_bytes());
        match &placed.entry {
            Entry::Folder => part(b"folder"),
            Entry::File { executable, size, digest } => {
                part(if *executable { b"program" } else { b"file" });
                part(&size.to_be_bytes());
                part(digest);
            }
            Entry::Link { target } => {
                part(b"link");
                part(target.as_bytes());
            }
        }
    }
    hex::encode(hash.finalize())
}
