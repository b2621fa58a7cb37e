//! What there is in Proxmox, read for everybody at once: one request of each kind per site and poll,
//! whatever the number of VMs, and one configuration per VM that is new or changed.
//!
//! [`Snapshot`] is pure data; [`Inventory`] keeps it up to date and says what changed.

mod changes;
mod merge;
mod poll;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use parking_lot::{Mutex, RwLock};
use tokio::{
    sync::{Notify, broadcast, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::proxmox::{client::Client, wire::Vmid};

pub use changes::Changes;
use merge::Configured;
pub use snapshot::{Claim, Snapshot};
pub use state::{
    GuestKind, NodeState, Reach, SiteError, SiteId, SiteState, StorageState, TaskState, VmDetails, VmEntry,
};

/// A node as the settings have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Our name of it, unique among all sites.
    pub name: String,
    /// Proxmox's own name, unique in its site only.
    pub proxmox_name: String,
}

/// One Proxmox cluster, or one stand-alone host.
#[derive(Clone, Debug)]
pub struct Site {
    pub client: Arc<Client>,
    pub nodes: Vec<Node>,
    /// Whether it is meant to be a host that belongs to no cluster.
    pub stand_alone: bool,
}

#[derive(Clone, Debug)]
pub struct InventorySettings {
    pub sites: Vec<Site>,
    /// How often to ask while something runs.
    pub poll_fast: Duration,
    /// How often to ask at rest.
    pub poll_slow: Duration,
}

/// Settings that contradict themselves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSettings {
    #[error("the node {0:?} is given twice")]
    NodeTwice(String),
    #[error("{0:?} and {1:?} are the same node of Proxmox")]
    SameNode(String, String),
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

/// Keeps a [`Snapshot`] up to date until its token is cancelled. Cheap to clone.
#[derive(Clone)]
pub struct Inventory {
    shared: Arc<Shared>,
    shutdown: CancellationToken,
    /// Closed with the last poller.
    changes: broadcast::WeakSender<Arc<Changes>>,
}

struct Shared {
    /// Each site's own view, which the snapshot is put together from.
    states: Mutex<Vec<Arc<SiteState>>>,
    snapshot: RwLock<Arc<Snapshot>>,
    controls: Vec<Control>,
}

/// How a site's poller is told what to do, and tells what it did.
struct Control {
    wake: Notify,
    /// The number of the poll that was begun last.
    begun: watch::Sender<u64>,
    /// The number of the poll that was finished last.
    finished: watch::Sender<u64>,
    busy_until: Mutex<Instant>,
    reread: Mutex<BTreeSet<Vmid>>,
}

impl Inventory {
    /// Starts to ask every site.
    ///
    /// # Errors
    /// When the settings name a node twice.
    pub fn start(settings: InventorySettings, shutdown: CancellationToken) -> Result<Self, InvalidSettings> {
        let InventorySettings { sites, poll_fast, poll_slow } = settings;
        validate(&sites)?;
        let states: Vec<_> = sites
            .iter()
            .enumerate()
            .map(|(at, site)| Arc::new(SiteState::unknown(site.configured(SiteId(at)))))
            .collect();
        let controls = sites.iter().map(|_| Control {
            wake: Notify::new(),
            begun: watch::Sender::new(0),
            finished: watch::Sender::new(0),
            busy_until: Mutex::new(Instant::now()),
            reread: Mutex::default(),
        });
        let shared = Arc::new(Shared {
            controls: controls.collect(),
            snapshot: RwLock::new(Arc::new(Snapshot::new(states.clone()))),
            states: Mutex::new(states),
        });
        let (sender, _) = broadcast::channel(256);
        let changes = sender.downgrade();
        for (at, site) in sites.into_iter().enumerate() {
            let poller = poll::Poller {
                id: SiteId(at),
                site,
                shared: shared.clone(),
                changes: sender.clone(),
                fast: poll_fast,
                slow: poll_slow,
            };
            tokio::spawn(poller.run(shutdown.clone()));
        }
        Ok(Self { shared, shutdown, changes })
    }

    /// What is known now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot.read().clone()
    }

    /// Tells of every change from now on.
    pub fn subscribe(&self) -> Subscription {
        Subscription(match self.changes.upgrade() {
            Some(changes) => changes.subscribe(),
            // The pollers have ended: a subscription that is closed at once.
            None => broadcast::channel(1).1,
        })
    }

    /// What is known after every site was asked once more, beginning after this call. A site that cannot
    /// be reached says so in its error.
    pub async fn refresh(&self) -> Arc<Snapshot> {
        self.refresh_sites(|_| true).await
    }

    /// The same, for the site of this node only.
    pub async fn refresh_node(&self, node: &str) -> Arc<Snapshot> {
        let site = self.snapshot().node(node).map(|node| node.site);
        self.refresh_sites(|id| site == Some(id)).await
    }

    /// Asks every site at once; does not wait.
    pub fn hurry(&self) {
        for control in &self.shared.controls {
            control.wake.notify_one();
        }
    }

    /// Asks often until then, since something has begun that will change Proxmox.
    pub fn expect_activity(&self, until: Instant) {
        for control in &self.shared.controls {
            let mut busy_until = control.busy_until.lock();
            *busy_until = until.max(*busy_until);
            drop(busy_until);
            control.wake.notify_one();
        }
    }

    /// Has the configuration of a VM read again, since it was changed by us.
    pub fn reread(&self, node: &str, vmid: Vmid) {
        let site = self.snapshot().node(node).map(|node| node.site);
        if let Some(control) = site.and_then(|site| self.shared.controls.get(site.0)) {
            control.reread.lock().insert(vmid);
            control.wake.notify_one();
        }
    }

    async fn refresh_sites(&self, which: impl Fn(SiteId) -> bool) -> Arc<Snapshot> {
        let chosen = self.shared.controls.iter().enumerate();
        let chosen = chosen.filter(|(at, _)| which(SiteId(*at)));
        let waits = chosen.map(|(_, control)| {
            // A poll that is under way may have read its lists before this call.
            let next = *control.begun.borrow() + 1;
            control.wake.notify_one();
            let mut finished = control.finished.subscribe();
            async move { finished.wait_for(|done| *done >= next).await.map(drop) }
        });
        tokio::select! {
            _ = futures::future::join_all(waits) => {}
            () = self.shutdown.cancelled() => {}
        }
        self.snapshot()
    }
}

impl Site {
    fn configured(&self, id: SiteId) -> Configured<'_> {
        Configured { id, nodes: &self.nodes, stand_alone: self.stand_alone }
    }
}

fn validate(sites: &[Site]) -> Result<(), InvalidSettings> {
    let mut names = BTreeSet::new();
    for site in sites {
        for (at, node) in site.nodes.iter().enumerate() {
            if !names.insert(&node.name) {
                return Err(InvalidSettings::NodeTwice(node.name.clone()));
            }
            let mut before = site.nodes.iter().take(at);
            if let Some(same) = before.find(|same| same.proxmox_name == node.proxmox_name) {
                return Err(InvalidSettings::SameNode(same.name.clone(), node.name.clone()));
            }
        }
    }
    Ok(())
}
