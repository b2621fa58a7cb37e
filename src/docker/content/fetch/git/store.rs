//! The folder in which a repository's objects are kept between fetches.
//!
//! What is in it: packs with their indices, and for each commit that is there with all its files, an empty file of its
//! name. That is written last, so that a fetch which was interrupted leaves nothing that counts.

use std::{
    fs::{self, File},
    io::{self, BufReader, Seek},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::SystemTime,
};

use gix_hash::{Kind, ObjectId};
use gix_odb::{HeaderExt, pack};
use gix_utils::progress::Discard;

use super::{
    super::{Error, Result, error::chain},
    pack::{Bounds, survey},
};

/// After so many fetches a store is made anew, since each of them adds a pack.
const PACKS: usize = 40;

/// Why a store does not give what it should.
#[derive(Debug)]
pub(super) enum Trouble {
    /// What it holds is not what was put there.
    Damaged(String),
    /// Anything else.
    Other(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// A store; whoever has it is alone with it.
pub(super) struct Store {
    folder: PathBuf,
    bounds: Bounds,
}

impl Store {
    /// Opens a store, which is made if there is none, and swept of what was left half done.
    pub(super) fn open(folder: PathBuf, bounds: Bounds, most: u64) -> Result<Self> {
        let store = Self { folder, bounds };
        let packs = store.make().and_then(|()| store.sweep()).map_err(Error::Storage)?;
        let (count, size) = packs;
        if count > PACKS || size > most.saturating_mul(2) {
            store.empty()?;
        }
        File::create(store.used()).map_err(Error::Storage)?;
        Ok(store)
    }

    /// When a store in a folder was used for the last time.
    pub(super) fn last_use(folder: &Path) -> io::Result<SystemTime> {
        fs::metadata(folder.join("used"))?.modified()
    }

    fn make(&self) -> io::Result<()> {
        fs::create_dir_all(self.packs())?;
        fs::create_dir_all(self.commits())
    }

    /// Removes what is no pack with an index. How many packs there are, and of how many bytes.
    fn sweep(&self) -> io::Result<(usize, u64)> {
        let mut count = 0_usize;
        let mut size = 0_u64;
        for entry in fs::read_dir(self.packs())? {
            let path = entry?.path();
            let other = match path.extension().and_then(|extension| extension.to_str()) {
                Some("pack") => "idx",
                Some("idx") => "pack",
                _ => {
                    fs::remove_file(&path)?;
                    continue;
                }
            };
            if !path.with_extension(other).exists() {
                fs::remove_file(&path)?;
                continue;
            }
            count = count.saturating_add(1);
            size = size.saturating_add(fs::metadata(&path)?.len());
        }
        Ok((count / 2, size))
    }

    /// Removes everything that it holds.
    pub(super) fn empty(&self) -> Result<()> {
        self.wipe()?;
        self.make().map_err(Error::Storage)
    }

    /// Removes everything.
    pub(super) fn wipe(&self) -> Result<()> {
        remove(&self.folder).map_err(Error::Storage)
    }

    /// Whether a commit is there with all its files.
    pub(super) fn has(&self, commit: ObjectId) -> bool {
        self.commits().join(commit.to_string()).exists()
    }

    /// The commit that came last.
    pub(super) fn latest(&self) -> Option<ObjectId> {
        let entries = fs::read_dir(self.commits()).ok()?;
        let commits = entries.filter_map(|entry| {
            let entry = entry.ok()?;
            let commit: ObjectId = entry.file_name().to_str()?.parse().ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, commit))
        });
        commits.max_by_key(|(at, _)| *at).map(|(_, commit)| commit)
    }

    /// The objects.
    pub(super) fn objects(&self) -> Result<gix_odb::Handle> {
        open(&self.folder.join("objects"), self.bounds)
    }

    /// A file to receive a pack in. It is nowhere else.
    pub(super) fn spool(&self) -> Result<File> {
        tempfile::tempfile_in(&self.folder).map_err(Error::Storage)
    }

    /// Takes a pack in, after a look at what it would become.
    pub(super) fn take(&self, pack: File, stop: &AtomicBool, host: &str) -> Result<()> {
        let written = index(pack, &self.packs(), self.bounds, Some(&self.objects()?), stop, host)?;
        for path in written {
            File::open(path).and_then(|file| file.sync_all()).map_err(Error::Storage)?;
        }
        File::open(self.packs()).and_then(|folder| folder.sync_all()).map_err(Error::Storage)?;
        Ok(())
    }

    /// Notes that a commit is there with all its files.
    pub(super) fn mark(&self, commit: ObjectId) -> Result<()> {
        let path = self.commits().join(commit.to_string());
        let marked = File::create(path).and_then(|file| file.sync_all());
        marked.and_then(|()| File::open(self.commits())?.sync_all()).map_err(Error::Storage)
    }

    fn packs(&self) -> PathBuf {
        self.folder.join("objects/pack")
    }

    fn commits(&self) -> PathBuf {
        self.folder.join("commits")
    }

    fn used(&self) -> PathBuf {
        self.folder.join("used")
    }
}

/// Removes a store in a folder. One that is removed half is none: its marks go first.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    for path in [folder.join("commits"), folder.to_owned()] {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn open(objects: &Path, bounds: Bounds) -> Result<gix_odb::Handle> {
    let options = gix_odb::store::init::Options {
        use_multi_pack_index: false,
        alloc_limit_bytes: bounds.memory(),
        ..gix_odb::store::init::Options::default()
    };
    gix_odb::at_opts(objects, Kind::Sha1, None, options).map_err(Error::Storage)
}

/// Writes a pack and its index into a folder; objects that it is a difference to are looked up elsewhere. The files.
fn index(
    mut pack: File,
    folder: &Path,
    bounds: Bounds,
    bases: Option<&gix_odb::Handle>,
    stop: &AtomicBool,
    host: &str,
) -> Result<Vec<PathBuf>> {
    pack.rewind().map_err(Error::Storage)?;
    if survey(&mut BufReader::new(&pack), bounds, host, "the repository")? == 0 {
        return Ok(Vec::new());
    }
    pack.rewind().map_err(Error::Storage)?;
    let options = pack::bundle::write::Options {
        thread_limit: Some(1),
        alloc_limit_bytes: bounds.memory(),
        ..pack::bundle::write::Options::default()
    };
    let mut input = BufReader::new(pack);
    let written =
        pack::Bundle::write_to_directory(&mut input, Some(folder), &mut Discard, stop, bases, Kind::Sha1, options);
    let pack::bundle::write::Outcome { index_path, data_path, keep_path, .. } = written.map_err(|error| {
        Error::Protocol { host: host.to_owned(), reason: format!("a broken pack: {}", chain(&error)) }
    })?;
    if let Some(keep) = keep_path {
        fs::remove_file(keep).map_err(Error::Storage)?;
    }
    Ok(data_path.into_iter().chain(index_path).collect())
}

/// Whether one of the commits in a pack comes directly after another commit.
pub(super) fn follows(
    pack: File,
    commit: ObjectId,
    bounds: Bounds,
    stop: &AtomicBool,
    host: &str,
) -> std::result::Result<bool, Trouble> {
    let folder = tempfile::tempdir().map_err(Error::Storage)?;
    let packs = folder.path().join("pack");
    fs::create_dir(&packs).map_err(Error::Storage)?;
    let written = index(pack, &packs, bounds, None, stop, host)?;
    let objects = open(folder.path(), bounds)?;
    let broken = |error: &(dyn std::error::Error + 'static)| Trouble::Damaged(chain(error));
    let mut buffer = Vec::new();
    for path in written.iter().filter(|path| path.extension().is_some_and(|extension| extension == "idx")) {
        let index = pack::index::File::at(path, Kind::Sha1).map_err(|error| broken(&error))?;
        for entry in index.iter() {
            let header = objects.header(entry.oid).map_err(|error| broken(&error))?;
            if header.kind() != gix_object::Kind::Commit {
                continue;
            }
            let found = gix_object::Find::try_find(&objects, &entry.oid, &mut buffer);
            let Some(data) = found.map_err(|error| broken(&error))? else { continue };
            let parsed = gix_object::CommitRefIter::from_bytes(data.data, Kind::Sha1);
            if parsed.parent_ids().any(|parent| parent == commit) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
