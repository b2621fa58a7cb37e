//! The sources of services, as far as this process has fetched them.
//!
//! A fetch takes its time, and a reconcile must not: it is told what is known, and woken when that has changed. What was fetched
//! serves on while it is asked whether there is something newer, and when that fails. So many are fetched at a time, in turns that
//! tenants share.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap, fs::File, io::Cursor, panic::AssertUnwindSafe, path::PathBuf, sync::Arc, time::Duration,
};

use bytes::Bytes;
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use reqwest::Url;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::{sync::OnceCell, task::spawn_blocking};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::turns::{Share, Turn, Turns};
use crate::{
    artifacts::{self, Artifact, Store},
    docker::content::{
        self, Content, Limits, archive,
        fetch::{
            self, Class, Networks, Times,
            git::{self, Known, Mirrors},
            http::{Basic, Client},
        },
    },
    reason::Reason,
};

/// The longest pause after a failure.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(5);

/// How often mirrors are looked through for those that nobody needs any more.
const TIDY: Duration = Duration::from_secs(3600);
/// How long a mirror is kept that nobody asks for.
const UNUSED: Duration = Duration::from_secs(7 * 24 * 3600);

/// What was fetched for services, by their uids.
pub struct Sources {
    stop: CancellationToken,
    places: Arc<Places>,
    /// Opened when it is needed for the first time.
    fetcher: Arc<OnceCell<Fetcher>>,
    turns: Arc<Turns>,
    entries: Arc<Mutex<HashMap<String, Entry>>>,
}

/// Where sources come from, and where they are kept.
pub struct Places {
    /// The folder in which repositories are kept; a temporary one without.
    pub cache: Option<PathBuf>,
    /// Where they may be fetched from.
    pub networks: Networks,
    /// Where uploaded archives are, if there is such a place.
    pub artifacts: Option<Store>,
}

struct Fetcher {
    networks: Networks,
    artifacts: Option<Store>,
    mirrors: Mirrors,
    /// Removed with the process.
    _folder: Option<TempDir>,
}

/// What a service asks for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Whose turn it takes.
    pub share: Share,
    /// What is fetched.
    pub what: What,
    /// How much it may be.
    pub limits: Limits,
    /// What tells this from everything else that could be asked for, credentials included.
    pub fingerprint: String,
    /// What it was asked for with; another value asks again.
    pub request: Option<String>,
    /// How often there may be something newer; never without.
    pub interval: Option<Duration>,
}

/// What is fetched.
#[derive(Clone, Debug)]
pub enum What {
    /// An archive that is there.
    Archive {
        /// The archive.
        bytes: Bytes,
        /// The SHA-256 that it has to have, in hexadecimal.
        sha256: Option<String>,
    },
    /// An archive that is downloaded.
    Download(Box<Download>),
    /// An archive that was uploaded.
    Artifact(Artifact),
    /// A repository, and what was fetched of it before.
    Git(Box<git::Request>, Option<Known>),
}

/// An archive that is downloaded.
#[derive(Clone, Debug)]
pub struct Download {
    /// From where.
    pub url: Url,
    /// The SHA-256 that it has, in hexadecimal.
    pub sha256: String,
    /// Who we are to the server.
    pub credentials: Option<Basic>,
    /// An authority (PEM) that is believed beside those of the operating system.
    pub ca: Option<String>,
}

/// What was fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The files.
    pub content: Content,
    /// Which version of them.
    pub revision: String,
    /// What is to be known of it.
    pub notes: Vec<String>,
}

/// Why a fetch failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it is.
    pub reason: Reason,
    /// It fails again as long as nobody changes what is asked for, or what is there.
    pub for_good: bool,
}

/// What is known of a source.
#[derive(Clone, Debug)]
pub enum Sight {
    /// It is there.
    Ready {
        /// What was fetched.
        fetched: Arc<Fetched>,
        /// Why it is not known whether there is something newer.
        trouble: Option<Reason>,
        /// When it is asked again.
        due: Option<Timestamp>,
        /// What it was asked for with when it was fetched, or found to be the newest.
        request: Option<String>,
    },
    /// It is being fetched.
    Fetching,
    /// It could not be fetched.
    Failed(Failure),
}

#[derive(Debug, Default)]
struct Entry {
    fingerprint: String,
    /// What it was last asked for with, and what with when that was answered.
    request: Option<String>,
    answered: Option<String>,
    /// The fetch that is under way; it ends when nobody wants what it fetches any more.
    running: Option<AbortOnDropHandle<()>>,
    fetched: Option<Arc<Fetched>>,
    failure: Option<Failure>,
    failures: u32,
    /// When it is fetched again.
    due: Option<Timestamp>,
}

impl Sources {
    /// None yet. What is under way ends with the token.
    pub fn new(places: Places, stop: CancellationToken) -> Self {
        Self { stop, places: Arc::new(places), fetcher: Arc::default(), turns: Arc::default(), entries: Arc::default() }
    }

    /// What is known of a service's source, which is fetched if that is due; `done` is called when that has ended.
    pub fn see(&self, uid: &str, asked: Asked, done: impl FnOnce() + Send + 'static) -> Sight {
        let now = Timestamp::now();
        let mut entries = self.entries.lock();
        let entry = entries.entry(uid.to_owned()).or_default();
        if entry.fingerprint != asked.fingerprint {
            *entry = Entry { fingerprint: asked.fingerprint.clone(), ..Entry::default() };
        }
        let untried = entry.fetched.is_none() && entry.failure.is_none();
        let due = untried || entry.request != asked.request || entry.due.is_some_and(|due| due <= now);
        if due && entry.running.is_none() {
            entry.request.clone_from(&asked.request);
            entry.running = Some(self.begin(uid, asked, entry.fetched.clone(), done));
        }
        entry.sight()
    }

    fn begin(
        &self,
        uid: &str,
        asked: Asked,
        held: Option<Arc<Fetched>>,
        done: impl FnOnce() + Send + 'static,
    ) -> AbortOnDropHandle<()> {
        let (stop, entries, uid) = (self.stop.clone(), self.entries.clone(), uid.to_owned());
        let Asked { share, what, limits, fingerprint, request, interval } = asked;
        let (places, fetcher, ends) = (self.places.clone(), self.fetcher.clone(), self.stop.clone());
        let turns = self.turns.clone();
        let work = async move {
            let turn = turns.take(&share).await;
            // Whoever has no service with a source needs no place to write.
            let opened = fetcher.get_or_try_init(|| async { Fetcher::open(&places, ends) }).await;
            opened.map_err(|error| failure(&error))?.fetch(what, limits, held, turn).await
        };
        let work = AssertUnwindSafe(work).catch_unwind();
        AbortOnDropHandle::new(tokio::spawn(async move {
            let Some(ended) = stop.run_until_cancelled_owned(work).await else { return };
            let ended = ended.unwrap_or_else(|_| {
                let defect = "the fetch failed by a defect of the operator's own; its log says where";
                Err(Failure { reason: Reason::new("FetchFailed", defect), for_good: false })
            });
            // What was asked for in the meantime is not this.
            if let Some(entry) = entries.lock().get_mut(&uid).filter(|entry| entry.fingerprint == fingerprint) {
                entry.end(ended, request, interval);
            }
            done();
        }))
    }

    /// The service is gone, or needs no source any more.
    pub fn forget(&self, uid: &str) {
        self.entries.lock().remove(uid);
    }
}

impl Entry {
    fn end(&mut self, ended: Result<Arc<Fetched>, Failure>, request: Option<String>, interval: Option<Duration>) {
        // It is this that is running, and has nothing more to wait for.
        self.running = None;
        let now = Timestamp::now();
        match ended {
            Ok(fetched) => {
                self.failures = 0;
                self.failure = None;
                self.fetched = Some(fetched);
                self.answered = request;
                self.due = interval.and_then(|interval| now.checked_add(interval).ok());
            }
            Err(failure) => {
                tracing::info!(word = failure.reason.word, message = failure.reason.message, "a fetch failed");
                let pause = SignedDuration::from_secs(1 << self.failures.min(9)).min(LONGEST_PAUSE);
                let pause = if failure.for_good { LONGEST_PAUSE } else { pause };
                self.failures = self.failures.saturating_add(1);
                self.failure = Some(failure);
                self.due = now.checked_add(pause).ok();
            }
        }
    }

    fn sight(&self) -> Sight {
        let Self { fetched, failure, due, answered, .. } = self;
        match (fetched, failure) {
            (Some(fetched), failure) => Sight::Ready {
                fetched: fetched.clone(),
                trouble: failure.as_ref().map(|failure| failure.reason.clone()),
                due: *due,
                request: answered.clone(),
            },
            (None, Some(failure)) => Sight::Failed(failure.clone()),
            (None, None) => Sight::Fetching,
        }
    }
}

impl Fetcher {
    fn open(places: &Places, stop: CancellationToken) -> fetch::Result<Self> {
        let Places { cache, networks, artifacts } = places;
        let (folder, root) = match cache {
            Some(cache) => {
                // What is unpacked is kept there, too: a pod has no other place to write. Whoever named one before has his way.
                std::fs::create_dir_all(cache).map_err(fetch::Error::Storage)?;
                let _ = tempfile::env::override_temp_dir(cache);
                (None, cache.join("mirrors"))
            }
            None => {
                let folder = tempfile::tempdir().map_err(fetch::Error::Storage)?;
                let root = folder.path().join("mirrors");
                (Some(folder), root)
            }
        };
        let mirrors = Mirrors::new(root, networks.clone(), git::Limits::default())?;
        tokio::spawn(tidy(mirrors.clone(), stop));
        Ok(Self { networks: networks.clone(), artifacts: artifacts.clone(), mirrors, _folder: folder })
    }

    /// What is asked for, or what is held of it, if there is nothing newer.
    async fn fetch(
        &self,
        what: What,
        limits: Limits,
        held: Option<Arc<Fetched>>,
        turn: Turn,
    ) -> Result<Arc<Fetched>, Failure> {
        let fetched = match what {
            What::Archive { bytes, sha256 } => {
                check(&bytes, sha256.as_deref())?;
                unpack(Archive::Memory(Cursor::new(bytes)), limits, turn).await?
            }
            What::Download(download) => {
                let file = self.download(*download, &limits).await.map_err(|error| failure(&error))?;
                unpack(Archive::File(file), limits, turn).await?
            }
            What::Artifact(artifact) => {
                let file = self.uploaded(&artifact, &limits).await?;
                unpack(Archive::File(file), limits, turn).await?
            }
            What::Git(request, known) => {
                if let Some(held) = held {
                    let seen = self.mirrors.look(&request).await.map_err(|error| failure(&error))?;
                    if held.revision == revision(&seen.name, &seen.commit) {
                        return Ok(held);
                    }
                }
                let fetched = self.mirrors.fetch(&request, known.as_ref()).await.map_err(|error| failure(&error))?;
                let git::Fetched { content, name, commit, rewritten, notes } = fetched;
                let rewritten = rewritten.iter().map(ToString::to_string);
                let notes = rewritten.chain(notes.iter().map(ToString::to_string)).collect();
                Fetched { content, revision: revision(&name, &commit), notes }
            }
        };
        Ok(Arc::new(fetched))
    }

    async fn uploaded(&self, artifact: &Artifact, limits: &Limits) -> Result<File, Failure> {
        let failed = |word: &str, message: String, for_good| Failure { reason: Reason::new(word, message), for_good };
        let Some(store) = &self.artifacts else {
            let message = "an uploaded archive cannot be had, since the operator has no artifact store: its administrator can \
                           name the one of the REST API by --artifact-store";
            return Err(failed("NoArtifactStore", message.to_owned(), true));
        };
        store.get(artifact, limits.size).await.map_err(|error| match &error {
            artifacts::Error::Missing(_) => {
                let message = format!("{error}, or is another namespace's: upload it again, by a new service");
                failed("ArtifactMissing", message, true)
            }
            artifacts::Error::TooLarge { .. } | artifacts::Error::Altered(_) => {
                failed("InvalidSource", error.to_string(), true)
            }
            _ => failed("FetchFailed", error.to_string(), false),
        })
    }

    async fn download(&self, download: Download, limits: &Limits) -> fetch::Result<File> {
        let Download { url, sha256, credentials, ca } = download;
        let client = Client::new(&self.networks, ca.as_deref(), Times::default())?;
        Ok(client.download(&url, Some(&sha256), credentials.as_ref(), limits.size).await?.file)
    }
}

/// Removes mirrors that nobody needs any more, from time to time.
async fn tidy(mirrors: Mirrors, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TIDY);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(error) = mirrors.tidy(UNUSED).await {
            tracing::warn!(%error, "the mirrors cannot be looked through");
        }
    }
}

/// How a commit is shown.
fn revision(name: &str, commit: &str) -> String {
    format!("{name}@sha1:{commit}")
}

/// What was fetched before, by how it was shown.
pub fn known(revision: &str) -> Option<Known> {
    let (name, commit) = revision.rsplit_once("@sha1:")?;
    Some(Known { name: name.to_owned(), commit: commit.to_owned() })
}

fn failure(error: &fetch::Error) -> Failure {
    let (word, for_good) = match error.class() {
        Class::Wait => ("FetchFailed", false),
        Class::Refused => ("FetchRefused", false),
        Class::Invalid => ("InvalidSource", true),
    };
    Failure { reason: Reason::new(word, error.to_string()), for_good }
}

fn check(bytes: &Bytes, sha256: Option<&str>) -> Result<(), Failure> {
    let found = hex::encode(Sha256::digest(bytes));
    match sha256.filter(|expected| *expected != found) {
        None => Ok(()),
        Some(expected) => {
            let message = format!("the archive has the SHA-256 {found}, and {expected} is expected");
            Err(Failure { reason: Reason::new("InvalidSource", message), for_good: true })
        }
    }
}

/// An archive that is to be unpacked.
enum Archive {
    Memory(Cursor<Bytes>),
    File(File),
}

/// Unpacks an archive, which goes on when nobody waits for it any more: only then its turn is over.
async fn unpack(archive: Archive, limits: Limits, turn: Turn) -> Result<Fetched, Failure> {
    let unpacked = spawn_blocking(move || {
        let _turn = turn;
        match archive {
            Archive::Memory(bytes) => archive::read(bytes, limits),
            Archive::File(file) => archive::read(file, limits),
        }
    });
    let unpacked = unpacked.await.map_err(|error| content::Error::Spool(error.into())).flatten();
    let content = unpacked.map_err(|error| Failure {
        reason: Reason::new("InvalidArchive", error.to_string()),
        for_good: !error.is_passing(),
    })?;
    let revision = format!("sha256:{}", content.digest());
    Ok(Fetched { content, revision, notes: Vec::new() })
}
