//! From a commit in a store to content. Files are taken as they are in the repository: attributes that have git change
//! them on the way (line ends, filters) do nothing here.

use std::sync::atomic::{AtomicBool, Ordering};

use gix_hash::{Kind, ObjectId};
use gix_object::{CommitRefIter, Find, FindHeader, TreeRefIter, tree::EntryKind};

use crate::docker::content::Builder;

use super::{
    super::{Error, error::chain},
    modules,
    pack::Bounds,
    store::{Store, Trouble},
};

/// The largest `.gitmodules` that is read.
const MODULES: u64 = 1 << 20;

/// What files begin with that stand for others, which are elsewhere.
const LARGE_FILE: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";

/// The largest of such files.
const LARGE_FILE_SIZE: usize = 1024;

/// A submodule in a tree.
#[derive(Clone, Debug)]
pub(super) struct Module {
    /// From the root of the content.
    pub path: Vec<u8>,
    pub commit: ObjectId,
    /// As it is written; `None` if it is not.
    pub url: Option<String>,
}

/// What was met in a tree.
#[derive(Debug, Default)]
pub(super) struct Met {
    pub modules: Vec<Module>,
    /// Files that stand for others, which are not there.
    pub large_files: Vec<String>,
}

/// Reads the trees of a commit.
pub(super) struct Reader<'a> {
    objects: gix_odb::Handle,
    builder: &'a mut Builder,
    bounds: Bounds,
    stop: &'a AtomicBool,
    met: Met,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        store: &Store,
        bounds: Bounds,
        stop: &'a AtomicBool,
        builder: &'a mut Builder,
    ) -> Result<Self, Error> {
        Ok(Self { objects: store.objects()?, builder, bounds, stop, met: Met::default() })
    }

    /// Adds all files of a commit below a path, which is empty for the root.
    pub(super) fn add(mut self, commit: ObjectId, prefix: &[u8]) -> Result<Met, Trouble> {
        let data = self.object(commit, gix_object::Kind::Commit)?;
        let tree = CommitRefIter::from_bytes(&data, Kind::Sha1).tree_id();
        let tree = tree.map_err(|error| Trouble::Damaged(chain(&error)))?;
        let mut root = None;
        let mut pending = vec![(tree, prefix.to_vec())];
        while let Some((tree, path)) = pending.pop() {
            let data = self.object(tree, gix_object::Kind::Tree)?;
            for entry in TreeRefIter::from_bytes(&data, Kind::Sha1) {
                let entry = entry.map_err(|error| Trouble::Damaged(chain(&error)))?;
                let mut below = path.clone();
                if !below.is_empty() {
                    below.push(b'/');
                }
                below.extend_from_slice(entry.filename);
                let id = entry.oid.to_owned();
                let kind = entry.mode.kind();
                if path == prefix && entry.filename == ".gitmodules" && kind == EntryKind::Blob {
                    root = Some(id);
                }
                if kind == EntryKind::Tree {
                    self.builder.folder(&below).map_err(Error::from)?;
                    pending.push((id, below));
                } else {
                    self.leaf(id, kind, below)?;
                }
            }
        }
        self.name_modules(root, prefix)?;
        Ok(self.met)
    }

    fn leaf(&mut self, id: ObjectId, kind: EntryKind, path: Vec<u8>) -> Result<(), Trouble> {
        match kind {
            EntryKind::Blob | EntryKind::BlobExecutable => {
                let data = self.object(id, gix_object::Kind::Blob)?;
                if data.len() <= LARGE_FILE_SIZE && data.starts_with(LARGE_FILE) {
                    self.met.large_files.push(String::from_utf8_lossy(&path).into_owned());
                }
                let executable = kind == EntryKind::BlobExecutable;
                self.builder.file(&path, executable, data.as_slice()).map_err(Error::from)?;
            }
            EntryKind::Link => {
                let data = self.object(id, gix_object::Kind::Blob)?;
                self.builder.link(&path, &data).map_err(Error::from)?;
            }
            EntryKind::Commit | EntryKind::Tree => {
                self.builder.folder(&path).map_err(Error::from)?;
                self.met.modules.push(Module { path, commit: id, url: None });
            }
        }
        Ok(())
    }

    /// Looks up where the submodules are.
    fn name_modules(&mut self, file: Option<ObjectId>, prefix: &[u8]) -> Result<(), Trouble> {
        let Some(file) = file.filter(|_| !self.met.modules.is_empty()) else { return Ok(()) };
        let data = self.object(file, gix_object::Kind::Blob)?;
        if data.len() as u64 > MODULES {
            let what = ".gitmodules".to_owned();
            return Err(Error::TooLarge { what, limit: MODULES, unit: "bytes" }.into());
        }
        let urls = modules::parse(&String::from_utf8_lossy(&data));
        for module in &mut self.met.modules {
            let within = module.path.strip_prefix(prefix).unwrap_or(&module.path);
            let within = within.strip_prefix(b"/").unwrap_or(within);
            module.url = std::str::from_utf8(within).ok().and_then(|path| urls.get(path)).cloned();
        }
        Ok(())
    }

    /// An object, if it is no larger than it may be, and what its name says.
    fn object(&self, id: ObjectId, kind: gix_object::Kind) -> Result<Vec<u8>, Trouble> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Invalid("it was given up".to_owned()).into());
        }
        let damaged = |error: &(dyn std::error::Error + 'static)| Trouble::Damaged(chain(error));
        let missing = || Trouble::Damaged(format!("object {id} is missing"));
        let header = self.objects.try_header(&id).map_err(|error| damaged(&error))?.ok_or_else(missing)?;
        if header.size > self.bounds.object {
            let what = "a file in the repository".to_owned();
            return Err(Error::TooLarge { what, limit: self.bounds.object, unit: "bytes" }.into());
        }
        if header.kind != kind {
            return Err(Trouble::Damaged(format!("object {id} is a {}, not a {kind}", header.kind)));
        }
        let mut buffer = Vec::new();
        let found = self.objects.try_find(&id, &mut buffer).map_err(|error| damaged(&error))?.ok_or_else(missing)?;
        found.verify_checksum(&id).map_err(|error| damaged(&error))?;
        Ok(buffer)
    }
}
