//! What there is of ours on a host, kept up to date for everybody at once: one stream of events, and one list of each
//! kind whenever the stream begins anew. A container is inspected when something happened to it, and at no other time.
//!
//! [`Snapshot`] is pure data; [`Inventory`] keeps it up to date and says whose things changed.

mod merge;
mod snapshot;
#[cfg(test)]
mod tests;
mod watcher;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::Engine;

pub use snapshot::{Container, Network, Owner, Reach, Snapshot, Volume};

/// How long nothing may be heard of an engine before it is asked whether it is still there.
const QUIET: Duration = Duration::from_secs(30);
/// How often everything is listed without a reason, in case something was missed.
const RELIST: Duration = Duration::from_secs(300);

/// What is kept track of.
#[derive(Clone, Debug)]
pub struct Settings {
    pub engine: Engine,
    /// The installation whose things are ours.
    pub installation: String,
    /// Which tags are ours: patterns as in [`Engine::list_images`].
    pub image_patterns: Vec<String>,
}

/// What is different from one snapshot to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Whose containers, networks or volumes appeared, vanished or are not as they were.
    pub owners: BTreeSet<Owner>,
    /// Whether the engine can be reached now, or no more, or is another, or has something else.
    pub host: bool,
    /// Whether other tags of ours stand for other images.
    pub images: bool,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        let Self { owners, host, images } = self;
        owners.is_empty() && !host && !images
    }
}

/// What a subscriber is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Changed(Arc<Changes>),
    /// Changes came faster than they were taken: anything may have changed.
    Missed,
}

/// Tells what changes.
#[derive(Debug)]
pub struct Subscription(broadcast::Receiver<Arc<Changes>>);

impl Subscription {
    /// The next event; nothing once the inventory has stopped.
    pub async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(changes) => Some(Event::Changed(changes)),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Event::Missed),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// What is to be looked at again at once, since we changed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Ids or names of containers, known or not.
    pub containers: BTreeSet<String>,
    pub networks: bool,
    pub volumes: bool,
    pub images: bool,
}

impl Look {
    /// At one container.
    pub fn container(id: impl Into<String>) -> Self {
        Self { containers: BTreeSet::from([id.into()]), ..Self::default() }
    }

    /// At everything that is listed.
    pub fn lists() -> Self {
        Self { networks: true, volumes: true, images: true, ..Self::default() }
    }
}

struct Order {
    look: Look,
    done: oneshot::Sender<()>,
}

/// Keeps a [`Snapshot`] up to date until its token is cancelled. Cheap to clone.
#[derive(Clone)]
pub struct Inventory {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    orders: mpsc::Sender<Order>,
    /// Closed with the watcher.
    changes: broadcast::WeakSender<Arc<Changes>>,
    requests: watch::Receiver<u64>,
}

impl Inventory {
    /// Starts to look.
    pub fn start(settings: Settings, shutdown: CancellationToken) -> Self {
        let (publish, snapshots) = watch::channel(Arc::new(Snapshot::default()));
        let (orders, received) = mpsc::channel(64);
        let (sender, _) = broadcast::channel(1024);
        let changes = sender.downgrade();
        let (count, requests) = watch::channel(0);
        let watcher = watcher::Watcher {
            settings,
            publish,
            changes: sender,
            orders: received,
            waiting: Vec::new(),
            requests: count,
        };
        tokio::spawn(async move {
            tokio::select! {
                () = watcher.run() => {}
                () = shutdown.cancelled() => {}
            }
        });
        Self { snapshots, orders, changes, requests }
    }

    /// What is known now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// Follows the snapshots; some may be skipped.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// Tells of every change from now on.
    pub fn subscribe(&self) -> Subscription {
        Subscription(match self.changes.upgrade() {
            Some(changes) => changes.subscribe(),
            // The watcher has ended: a subscription that is closed at once.
            None => broadcast::channel(1).1,
        })
    }

    /// What is known after this was looked at, beginning after this call. If the engine cannot be reached, the
    /// snapshot says so.
    pub async fn look(&self, look: Look) -> Arc<Snapshot> {
        let (done, seen) = oneshot::channel();
        if self.orders.send(Order { look, done }).await.is_ok() {
            // It is dropped when the connection is, and then there is nothing newer to be known.
            let _ = seen.await;
        }
        self.snapshot()
    }

    /// How many requests were sent so far.
    pub fn requests(&self) -> u64 {
        *self.requests.borrow()
    }
}
