//! The sources of services, as far as this process has fetched them.
//!
//! A fetch takes its time, and a reconcile must not: it is told what is known, and woken when that has changed. What was fetched
//! serves on while it is asked whether there is something newer, and when that fails.

use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::{
    docker::content::{Content, Limits, archive},
    reason::Reason,
};

/// The longest pause after a failure.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(5);

/// What was fetched for services, by their uids.
pub struct Sources {
    stop: CancellationToken,
    entries: Arc<Mutex<HashMap<String, Entry>>>,
}

/// What a service asks for.
#[derive(Clone, Debug)]
pub struct Asked {
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
    Archive(Bytes),
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
    },
    /// It is being fetched.
    Fetching,
    /// It could not be fetched.
    Failed(Failure),
}

#[derive(Debug, Default)]
struct Entry {
    fingerprint: String,
    request: Option<String>,
    running: bool,
    fetched: Option<Arc<Fetched>>,
    failure: Option<Failure>,
    failures: u32,
    /// When it is fetched again.
    due: Option<Timestamp>,
}

impl Sources {
    /// None yet. What is under way ends with the token.
    pub fn new(stop: CancellationToken) -> Self {
        Self { stop, entries: Arc::default() }
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
        if due && !entry.running {
            entry.running = true;
            entry.request.clone_from(&asked.request);
            self.begin(uid, asked, done);
        }
        entry.sight()
    }

    fn begin(&self, uid: &str, asked: Asked, done: impl FnOnce() + Send + 'static) {
        let (stop, entries, uid) = (self.stop.clone(), self.entries.clone(), uid.to_owned());
        let Asked { fingerprint, interval, .. } = asked.clone();
        let work = AssertUnwindSafe(fetch(asked)).catch_unwind();
        tokio::spawn(async move {
            let Some(ended) = stop.run_until_cancelled_owned(work).await else { return };
            let ended = ended.unwrap_or_else(|_| {
                let defect = "the fetch failed by a defect of the operator's own; its log says where";
                Err(Failure { reason: Reason::new("FetchFailed", defect), for_good: false })
            });
            // What was asked for in the meantime is not this.
            if let Some(entry) = entries.lock().get_mut(&uid).filter(|entry| entry.fingerprint == fingerprint) {
                entry.end(ended, interval);
            }
            done();
        });
    }

    /// The service is gone, or needs no source any more.
    pub fn forget(&self, uid: &str) {
        self.entries.lock().remove(uid);
    }
}

impl Entry {
    fn end(&mut self, ended: Result<Fetched, Failure>, interval: Option<Duration>) {
        self.running = false;
        let now = Timestamp::now();
        match ended {
            Ok(fetched) => {
                self.failures = 0;
                self.failure = None;
                self.fetched = Some(Arc::new(fetched));
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
        let Self { fetched, failure, due, .. } = self;
        match (fetched, failure) {
            (Some(fetched), failure) => Sight::Ready {
                fetched: fetched.clone(),
                trouble: failure.as_ref().map(|failure| failure.reason.clone()),
                due: *due,
            },
            (None, Some(failure)) => Sight::Failed(failure.clone()),
            (None, None) => Sight::Fetching,
        }
    }
}

async fn fetch(asked: Asked) -> Result<Fetched, Failure> {
    let Asked { what, limits, .. } = asked;
    match what {
        What::Archive(bytes) => unpack(bytes, limits).await,
    }
}

/// Unpacks an archive that is there.
async fn unpack(bytes: Bytes, limits: Limits) -> Result<Fetched, Failure> {
    let for_good = |word: &str, message: String| Failure { reason: Reason::new(word, message), for_good: true };
    let unpacked = spawn_blocking(move || archive::read(std::io::Cursor::new(bytes), limits)).await;
    let unpacked = unpacked.map_err(|_| for_good("FetchFailed", "the archive could not be unpacked".to_owned()))?;
    let content = unpacked.map_err(|error| for_good("InvalidArchive", error.to_string()))?;
    let revision = format!("sha256:{}", content.digest());
    Ok(Fetched { content, revision, notes: Vec::new() })
}
