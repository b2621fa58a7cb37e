//! The running inventories, one for each ProxmoxCluster, and the routes to their nodes.

use std::{collections::BTreeMap, collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use crate::{
    proxmox::{
        client::Client,
        inventory::{InvalidSettings, Inventory, InventorySettings, Site},
        plan::Reason,
    },
    telemetry::Sites,
};

/// How often an inventory asks while something runs.
const POLL_FAST: Duration = Duration::from_secs(1);
/// How often an inventory asks at rest.
const POLL_SLOW: Duration = Duration::from_secs(10);

/// A ProxmoxCluster that is being talked to.
pub struct Fleet {
    /// Name of the ProxmoxCluster.
    pub name: String,
    /// What is known of it.
    pub inventory: Inventory,
    routes: BTreeMap<String, Route>,
    /// Ends the inventory when the settings change or the cluster goes.
    stop: CancellationToken,
    /// What the settings were made of, to tell when they change.
    fingerprint: String,
}

/// The way to a node.
#[derive(Clone)]
pub struct Route {
    /// The client of its site.
    pub client: Arc<Client>,
    /// Proxmox's own name of it.
    pub name: String,
}

impl Fleet {
    /// The way to a node, by our name of it.
    pub fn route(&self, node: &str) -> Option<&Route> {
        self.routes.get(node)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// All fleets, by the name of their ProxmoxCluster.
pub struct Fleets {
    shutdown: CancellationToken,
    fleets: RwLock<HashMap<String, Result<Arc<Fleet>, Reason>>>,
}

impl Fleets {
    /// None yet.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self { shutdown, fleets: RwLock::default() }
    }

    /// The fleet of a ProxmoxCluster.
    ///
    /// # Errors
    /// Why there is none.
    pub fn get(&self, cluster: &str) -> Result<Arc<Fleet>, Reason> {
        match self.fleets.read().get(cluster) {
            Some(fleet) => fleet.clone(),
            None => Err(Reason::new("ClusterNotReady", "it is being connected to")),
        }
    }

    /// The fleet of a ProxmoxCluster, if it runs with these very settings.
    pub fn current(&self, cluster: &str, fingerprint: &str) -> Option<Arc<Fleet>> {
        self.get(cluster).ok().filter(|fleet| fleet.fingerprint == fingerprint)
    }

    /// Starts the fleet of a ProxmoxCluster, in place of the one that ran before.
    ///
    /// # Errors
    /// Settings that contradict themselves.
    pub fn start(&self, cluster: &str, sites: Vec<Site>, fingerprint: String) -> Result<Arc<Fleet>, InvalidSettings> {
        let routes = sites
            .iter()
            .flat_map(|site| {
                site.nodes.iter().map(|node| {
                    let route = Route { client: site.client.clone(), name: node.proxmox_name.clone() };
                    (node.name.clone(), route)
                })
            })
            .collect();
        let stop = self.shutdown.child_token();
        let settings = InventorySettings { sites, poll_fast: POLL_FAST, poll_slow: POLL_SLOW };
        let inventory = Inventory::start(settings, stop.clone())?;
        let fleet = Arc::new(Fleet { name: cluster.to_owned(), inventory, routes, stop, fingerprint });
        if let Some(Ok(old)) = self.fleets.write().insert(cluster.to_owned(), Ok(fleet.clone())) {
            old.stop.cancel();
        }
        Ok(fleet)
    }

    /// Notes why a ProxmoxCluster has no fleet.
    pub fn refuse(&self, cluster: &str, reason: Reason) {
        if let Some(Ok(old)) = self.fleets.write().insert(cluster.to_owned(), Err(reason)) {
            old.stop.cancel();
        }
    }

    /// What is known of all sites, for whoever counts them.
    pub fn census(&self, now: Timestamp) -> Sites {
        let mut found = Sites::default();
        for fleet in self.fleets.read().values().flatten() {
            for (_, site) in fleet.inventory.snapshot().sites() {
                let count = match (site.at, site.stale || site.error.is_some()) {
                    (None, _) => &mut found.unknown,
                    (Some(_), true) => &mut found.failing,
                    (Some(_), false) => &mut found.current,
                };
                *count = count.saturating_add(1);
                if let Some(at) = site.at {
                    found.oldest = found.oldest.max(now.duration_since(at).as_secs_f64());
                }
            }
        }
        found
    }

    /// The ProxmoxCluster is gone.
    pub fn remove(&self, cluster: &str) {
        if let Some(Ok(old)) = self.fleets.write().remove(cluster) {
            old.stop.cancel();
        }
    }
}
