//! From entries as they come to content.

use std::{collections::BTreeMap, io::Read};

use super::{
    Content, Entry, Limits, Placed,
    error::{BadName, Error, shown},
    path::{self, Named},
    spool::{Spool, Stored},
    tree,
};

/// Collects the entries of an archive or of a git tree, under names as they have them. Holds all limits but that of
/// packing, which archives hold themselves. After an error it is of no further use.
pub struct Builder {
    limits: Limits,
    entries: BTreeMap<String, Placed>,
    spool: Spool,
    size: u64,
    /// How often something was added: folders may be named again and again.
    added: u64,
}

impl Builder {
    /// Nothing yet.
    ///
    /// # Errors
    /// [`Error::Spool`] when there can be no temporary file.
    pub fn new(limits: Limits) -> Result<Self, Error> {
        Ok(Self { limits, entries: BTreeMap::new(), spool: Spool::new()?, size: 0, added: 0 })
    }

    /// Adds a folder. It may be there already, and the root always is.
    ///
    /// # Errors
    /// When the name or one of the limits refuses it.
    pub fn folder(&mut self, path: &[u8]) -> Result<(), Error> {
        self.count()?;
        let Named::Inside(path) = path::clean(path, &self.limits)? else { return Ok(()) };
        match self.entries.get(&path).map(|placed| &placed.entry) {
            Some(Entry::Folder) => Ok(()),
            Some(Entry::File { .. } | Entry::Link { .. }) => Err(Error::Twice { path: shown(path.as_bytes()) }),
            None => {
                self.parents(&path)?;
                self.put(path, Entry::Folder, 0)
            }
        }
    }

    /// Adds a file, whose content is read to its end.
    ///
    /// # Errors
    /// When the name or one of the limits refuses it, or when it cannot be read.
    pub fn file(&mut self, path: &[u8], executable: bool, content: impl Read) -> Result<(), Error> {
        let path = self.fresh(path)?;
        let left = self.limits.size.saturating_sub(self.size);
        let Some(stored) = self.spool.keep(content, left.min(self.limits.file_size))? else {
            return Err(self.too_large(&path, left));
        };
        let Stored { offset, size, digest } = stored;
        self.size = self.size.saturating_add(size);
        self.put(path, Entry::File { executable, size, digest }, offset)
    }

    /// Adds a file with the content of one that is there, as the hard links of archives do.
    ///
    /// # Errors
    /// When the name or one of the limits refuses it, or when there is no such file.
    pub fn copy(&mut self, path: &[u8], original: &[u8]) -> Result<(), Error> {
        let path = self.fresh(path)?;
        let missing = || Error::Missing { path: shown(original) };
        let Named::Inside(original) = path::clean(original, &self.limits)? else { return Err(missing()) };
        let placed = self.entries.get(&original).ok_or_else(missing)?.clone();
        match placed.entry {
            Entry::File { size, .. } => {
                let left = self.limits.size.saturating_sub(self.size);
                if size > left {
                    return Err(self.too_large(&path, left));
                }
                self.size = self.size.saturating_add(size);
                self.put(path, placed.entry, placed.offset)
            }
            Entry::Folder | Entry::Link { .. } => {
                Err(Error::Kind { path: shown(original.as_bytes()), found: placed.entry.kind(), wanted: "a file" })
            }
        }
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// When the name or what it points to refuses it, or one of the limits.
    pub fn link(&mut self, path: &[u8], target: &[u8]) -> Result<(), Error> {
        let path = self.fresh(path)?;
        let target = path::target(target, &self.limits).map_err(|why| Error::Link {
            path: shown(path.as_bytes()),
            target: shown(target),
            why,
        })?;
        self.put(path, Entry::Link { target: target.to_owned() }, 0)
    }

    /// What was added, as content.
    ///
    /// # Errors
    /// When two names are alike or a link leads out of the tree.
    pub fn finish(self) -> Result<Content, Error> {
        let Self { limits: _, entries, spool, size: _, added: _ } = self;
        tree::check(&entries)?;
        Ok(Content::new(entries, spool.finish()?.into()))
    }

    /// The limits that it holds.
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The path of something that is no folder and not there yet; its folders are there then.
    fn fresh(&mut self, raw: &[u8]) -> Result<String, Error> {
        self.count()?;
        let bad = |why| Error::Name { path: shown(raw), why };
        let Named::Inside(path) = path::clean(raw, &self.limits)? else { return Err(bad(BadName::Empty)) };
        if raw.ends_with(b"/") {
            return Err(bad(BadName::Slash));
        }
        if self.entries.contains_key(&path) {
            return Err(Error::Twice { path: shown(raw) });
        }
        self.parents(&path)?;
        Ok(path)
    }

    /// Adds the folders of a path that nobody has named so far.
    fn parents(&mut self, path: &str) -> Result<(), Error> {
        let mut rest = path;
        while let Some((parent, _)) = rest.rsplit_once('/') {
            match self.entries.get(parent).map(|placed| &placed.entry) {
                Some(Entry::Folder) => break,
                Some(other @ (Entry::File { .. } | Entry::Link { .. })) => {
                    let (path, parent) = (shown(path.as_bytes()), shown(parent.as_bytes()));
                    return Err(Error::NoFolder { path, parent, kind: other.kind() });
                }
                None => self.put(parent.to_owned(), Entry::Folder, 0)?,
            }
            rest = parent;
        }
        Ok(())
    }

    fn put(&mut self, path: String, entry: Entry, offset: u64) -> Result<(), Error> {
        if self.entries.len() as u64 >= self.limits.entries {
            return Err(Error::Entries { most: self.limits.entries });
        }
        self.entries.insert(path, Placed { entry, offset });
        Ok(())
    }

    fn count(&mut self) -> Result<(), Error> {
        self.added = self.added.saturating_add(1);
        if self.added > self.limits.entries { Err(Error::Entries { most: self.limits.entries }) } else { Ok(()) }
    }

    /// Which of the limits a file breaks first, when so many bytes were left for all.
    fn too_large(&self, path: &str, left: u64) -> Error {
        let Limits { size, file_size, .. } = self.limits;
        if left < file_size {
            Error::Size { most: size }
        } else {
            Error::FileSize { path: shown(path.as_bytes()), most: file_size }
        }
    }
}
