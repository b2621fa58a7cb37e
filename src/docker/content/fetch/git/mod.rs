//! Repositories: mirrors of those that services are deployed from.
//!
//! A mirror holds what was fetched of a repository with the same credentials, and is shared by all who have them. Only
//! what is new is fetched, and of that only the files, where the server can tell them from the history.
//!
//! The library is gitoxide, of which only the protocol, the packs and the objects are used: nothing that knows of
//! working trees, hooks, configuration or other programs.

mod http;
mod line;
mod modules;
mod pack;
mod receive;
mod reference;
mod remote;
mod request;
mod ssh;
mod store;
mod tree;
mod url;
mod visit;

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::Mutex as AsyncMutex, task::spawn_blocking, time::timeout};

use crate::docker::content::Builder;

use self::{
    line::{Line, Stop, StopOnDrop},
    reference::Wanted,
    request::Place,
    store::{Store, Trouble},
    tree::{Met, Module},
    visit::{Visit, Visited},
};
use super::{Error, Networks, Result};

pub use reference::Reference;
pub use request::{Credentials, Fetched, Known, Limits, Note, Request, Rewritten, Seen};
pub use ssh::SshAccess;
pub use url::{GitUrl, InvalidUrl, SshUrl};

/// The mirrors in a folder. Cheap to clone. How many are brought up to date at a time is up to who asks.
#[derive(Clone)]
pub struct Mirrors(Arc<Shared>);

struct Shared {
    root: PathBuf,
    networks: Networks,
    limits: Limits,
    locks: Mutex<HashMap<String, Arc<AsyncMutex<()>>>>,
    /// Held as long as the folder is ours.
    _claim: File,
}

/// A submodule that is still to be visited.
struct Pending {
    /// What it is a submodule of.
    parent: Place,
    module: Module,
    depth: u32,
}

impl Mirrors {
    /// Mirrors in a folder, which is made if there is none, and which belongs to these alone.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn new(root: PathBuf, networks: Networks, limits: Limits) -> Result<Self> {
        let claim = || -> io::Result<File> {
            fs::create_dir_all(&root)?;
            let file = File::create(root.join("claim"))?;
            file.try_lock().map_err(|error| io::Error::other(format!("{}: {error}", root.display())))?;
            Ok(file)
        };
        let claim = claim().map_err(Error::Storage)?;
        let locks = Mutex::default();
        Ok(Self(Arc::new(Shared { root, networks, limits, locks, _claim: claim })))
    }

    /// What a reference stands for now. Only references are asked for, and of a commit nobody is asked.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn look(&self, request: &Request) -> Result<Seen> {
        let (place, wanted) = checked(request)?;
        let stop = Stop::default();
        let _stop = StopOnDrop(stop.clone());
        let visit = self.visit(place, wanted, None, &stop);
        let look = async { spawn_blocking(move || visit.look()).await.map_err(|error| Error::Storage(error.into()))? };
        let (name, commit) = self.in_time(request, look).await?;
        Ok(Seen { name, commit: commit.to_string() })
    }

    /// The files of a commit.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn fetch(&self, request: &Request, known: Option<&Known>) -> Result<Fetched> {
        let (place, wanted) = checked(request)?;
        let stop = Stop::default();
        let _stop = StopOnDrop(stop.clone());
        let fetch = async {
            let mut problem = String::new();
            for _ in 0..2 {
                match self.attempt(request, &place, &wanted, known, &stop).await {
                    Ok(fetched) => return Ok(fetched),
                    Err(Trouble::Other(error)) => return Err(error),
                    // What was damaged is gone now.
                    Err(Trouble::Damaged(what)) => problem = what,
                }
            }
            Err(Error::Protocol { host: place.url.host(), reason: format!("the repository is not whole: {problem}") })
        };
        self.in_time(request, fetch).await
    }

    /// Removes mirrors that were not used for so long. How many there were.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn tidy(&self, unused: Duration) -> Result<usize> {
        let shared = self.0.clone();
        let tidied = spawn_blocking(move || shared.tidy(unused));
        tidied.await.map_err(io::Error::from).flatten().map_err(Error::Storage)
    }

    async fn in_time<T>(&self, request: &Request, what: impl Future<Output = Result<T>>) -> Result<T> {
        let total = self.0.limits.times.total;
        timeout(total, what).await.unwrap_or_else(|_| {
            let host = request.url.host();
            Err(Error::Timeout { host, what: "the repository was not complete", after: total })
        })
    }

    async fn attempt(
        &self,
        request: &Request,
        place: &Place,
        wanted: &Wanted,
        known: Option<&Known>,
        stop: &Stop,
    ) -> std::result::Result<Fetched, Trouble> {
        let builder = Builder::new(request.content).map_err(Error::from)?;
        let visit = self.visit(place.clone(), wanted.clone(), known.cloned(), stop);
        let (mut builder, visited) = self.run(visit, Vec::new(), builder).await?;
        let Visited { name, commit, rewritten, met } = visited;
        let Met { modules, mut large_files } = met;
        let below = |parent: &Place, modules: Vec<Module>, depth| {
            let parent = parent.clone();
            modules.into_iter().map(move |module| Pending { parent: parent.clone(), module, depth })
        };
        let mut pending: Vec<Pending> = below(place, modules, 1).collect();
        let mut notes = Vec::new();
        if !request.submodules {
            let paths: Vec<String> = pending.iter().map(|pending| path(&pending.module)).collect();
            notes.extend(noted(&paths).map(|(count, example)| Note::Submodules { count, example }));
            pending.clear();
        }
        let mut visited: usize = 0;
        while let Some(Pending { parent, module, depth }) = pending.pop() {
            visited = visited.saturating_add(1);
            self.check_submodules(&module, depth, visited)?;
            let (with, place, met) = self.submodule(&parent, &module, stop, builder).await?;
            builder = with;
            large_files.extend(met.large_files);
            pending.extend(below(&place, met.modules, depth.saturating_add(1)));
        }
        notes.extend(noted(&large_files).map(|(count, example)| Note::LargeFiles { count, example }));
        let content = spawn_blocking(move || builder.finish()).await.map_err(|error| Error::Storage(error.into()))?;
        let content = content.map_err(Error::from)?;
        Ok(Fetched { content, name, commit: commit.to_string(), rewritten, notes })
    }

    /// Whether one more submodule may be visited.
    fn check_submodules(&self, module: &Module, depth: u32, visited: usize) -> Result<()> {
        let Limits { submodules, depth: deepest, .. } = self.0.limits;
        let large =
            |what: &str, limit, unit| Err(in_submodule(module, Error::TooLarge { what: what.to_owned(), limit, unit }));
        if visited > submodules {
            return large("the repository", submodules as u64, "submodules");
        }
        if depth > deepest {
            return large("the repository", deepest.into(), "submodules in each other");
        }
        Ok(())
    }

    /// Adds a submodule. Where it is, and what was met in it.
    async fn submodule(
        &self,
        parent: &Place,
        module: &Module,
        stop: &Stop,
        builder: Builder,
    ) -> std::result::Result<(Builder, Place, Met), Trouble> {
        let wrap = |error| Trouble::Other(in_submodule(module, error));
        let unnamed = || wrap(Error::Invalid(".gitmodules does not say where it is".to_owned()));
        let url = module.url.as_deref().ok_or_else(unnamed)?;
        let place = parent.submodule(url).map_err(wrap)?;
        place.check().map_err(wrap)?;
        let visit = self.visit(place.clone(), Wanted::Commit(module.commit), None, stop);
        match self.run(visit, module.path.clone(), builder).await {
            Ok((builder, Visited { met, .. })) => Ok((builder, place, met)),
            Err(Trouble::Other(error)) => Err(wrap(error)),
            Err(damaged) => Err(damaged),
        }
    }

    fn visit(&self, place: Place, wanted: Wanted, known: Option<Known>, stop: &Stop) -> Visit {
        let Shared { networks, limits, .. } = &*self.0;
        let line = Line::new(place.url.host(), stop.clone(), Handle::current());
        Visit { place, wanted, known, networks: networks.clone(), limits: limits.clone(), line }
    }

    /// Runs a visit where it may block. It keeps the mirror to itself until it ends, even if nobody waits for it.
    async fn run(
        &self,
        visit: Visit,
        path: Vec<u8>,
        mut builder: Builder,
    ) -> std::result::Result<(Builder, Visited), Trouble> {
        let key = visit.place.key();
        let lock = self.0.lock(&key).lock_owned().await;
        let folder = self.0.root.join(key);
        let run = spawn_blocking(move || {
            let _lock = lock;
            let visited = visit.read(folder, &mut builder, &path)?;
            Ok((builder, visited))
        });
        run.await.map_err(|error| Error::Storage(error.into()))?
    }
}

impl Shared {
    fn lock(&self, key: &str) -> Arc<AsyncMutex<()>> {
        self.locks.lock().entry(key.to_owned()).or_default().clone()
    }

    fn tidy(&self, unused: Duration) -> io::Result<usize> {
        let mut removed: usize = 0;
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                continue;
            }
            let Ok(key) = entry.file_name().into_string() else { continue };
            let Ok(_lock) = self.lock(&key).try_lock_owned() else { continue };
            let used = Store::last_use(&entry.path()).or_else(|_| entry.metadata()?.modified())?;
            if SystemTime::now().duration_since(used).is_ok_and(|age| age > unused) {
                store::remove(&entry.path())?;
                removed = removed.saturating_add(1);
            }
        }
        self.locks.lock().retain(|_, lock| Arc::strong_count(lock) > 1);
        Ok(removed)
    }
}

fn checked(request: &Request) -> Result<(Place, Wanted)> {
    let wanted = request.reference.check()?;
    let place = request.place();
    place.check()?;
    Ok((place, wanted))
}

fn in_submodule(module: &Module, error: Error) -> Error {
    Error::Submodule { path: path(module), error: Box::new(error) }
}

fn path(module: &Module) -> String {
    String::from_utf8_lossy(&module.path).into_owned()
}

/// How many there are, and one of them, if there are any.
fn noted(paths: &[String]) -> Option<(usize, String)> {
    paths.iter().min().map(|example| (paths.len(), example.clone()))
}
