//! The thread that writes: one commit for all that has queued up while the last one was synced.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use parking_lot::{Mutex, RwLock};
use tokio::sync::{oneshot, watch};

use super::disk::{Disk, Entry};
use super::shelf::Change;
use super::{DiskError, Key, Record, ShelfId, State, Write, WriteError};

/// The most writes that share a commit; it bounds how long the first of them waits.
const BATCH: usize = 512;

type Answer = Result<Arc<Record>, WriteError>;

pub struct Job {
    pub write: Write,
    pub answer: oneshot::Sender<Answer>,
}

pub struct Writer {
    jobs: Mutex<Option<Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub fn start(disk: Disk, state: Arc<RwLock<State>>, announce: watch::Sender<u64>) -> Result<Self, DiskError> {
        let (jobs, queue) = channel();
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(&disk, &state, &announce, &queue))?;
        Ok(Self { jobs: Mutex::new(Some(jobs)), thread: Mutex::new(Some(thread)) })
    }

    pub fn submit(&self, job: Job) -> Result<(), WriteError> {
        match &*self.jobs.lock() {
            Some(jobs) => jobs.send(job).map_err(|_| WriteError::Closed),
            None => Err(WriteError::Closed),
        }
    }

    pub async fn close(&self) {
        self.jobs.lock().take();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // A join error is a panic of the writer, which the panic hook has reported.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

/// A write that passed its checks and waits for the commit.
struct Staged {
    shelf: ShelfId,
    change: Arc<Change>,
    answer: oneshot::Sender<Answer>,
}

fn run(disk: &Disk, state: &RwLock<State>, announce: &watch::Sender<u64>, queue: &Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let jobs = std::iter::once(first).chain(queue.try_iter()).take(BATCH);
        let (staged, revision) = stage(state, jobs);
        if staged.is_empty() {
            continue;
        }
        let entries: Vec<Entry<'_>> = staged
            .iter()
            .map(|Staged { shelf, change, .. }| Entry {
                shelf,
                name: &change.name,
                json: (!change.removed).then_some(&change.now.json),
            })
            .collect();
        if let Err(error) = disk.commit(&entries, revision) {
            tracing::error!(%error, "the store cannot write");
            for Staged { answer, .. } in staged {
                let _ = answer.send(Err(WriteError::Disk(error.to_string())));
            }
            continue;
        }
        {
            let mut state = state.write();
            state.revision = revision;
            for Staged { shelf, change, .. } in &staged {
                if let Some(shelf) = state.shelves.get_mut(shelf) {
                    shelf.apply(Arc::clone(change));
                }
            }
        }
        announce.send_replace(revision);
        for Staged { change, answer, .. } in staged {
            // The client may have gone; its write stands all the same.
            let _ = answer.send(Ok(Arc::clone(&change.now)));
        }
    }
}

/// Checks the jobs in order, each against the index and the earlier ones of the batch, and answers
/// those that fail.
fn stage(state: &RwLock<State>, jobs: impl Iterator<Item = Job>) -> (Vec<Staged>, u64) {
    let state = state.read();
    let mut revision = state.revision;
    let mut overlay: HashMap<Key, Option<Arc<Record>>> = HashMap::new();
    let mut staged = Vec::new();
    for Job { write, answer } in jobs {
        let look = |key: &Key| match overlay.get(key) {
            Some(newer) => newer.clone(),
            None => state.shelves.get(&key.shelf).and_then(|shelf| shelf.get(&key.name)).cloned(),
        };
        let Write { key, expected, guard, value, remove: removed } = write;
        let before = look(&key);
        let guarded = guard.is_none_or(|(key, revision)| look(&key).is_some_and(|record| record.revision == revision));
        if !guarded || before.as_ref().map(|record| record.revision) != expected {
            let _ = answer.send(Err(WriteError::Stale));
            continue;
        }
        let now = match Record::at(value, revision + 1) {
            Ok(record) => Arc::new(record),
            Err(error) => {
                let _ = answer.send(Err(WriteError::Disk(error.to_string())));
                continue;
            }
        };
        revision += 1;
        overlay.insert(key.clone(), (!removed).then(|| Arc::clone(&now)));
        let Key { shelf, name } = key;
        staged.push(Staged { shelf, change: Arc::new(Change { revision, name, before, now, removed }), answer });
    }
    (staged, revision)
}
