//! The running inventories, one for each ProxmoxCluster, and the routes to their nodes.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::sessions::{Session, Sessions};
use crate::{
    proxmox::{
        client::Client,
        inventory::{InvalidSettings, Inventory, InventorySettings, Site},
        rights::Missing,
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
    /// Who we are there: the id of a token, or a user.
    pub account: String,
    /// What the account is not allowed, as far as it was asked.
    pub rights: Mutex<Rights>,
    clients: Vec<Arc<Client>>,
    routes: BTreeMap<String, Route>,
    /// Ends the inventory when the settings change or the cluster goes.
    stop: CancellationToken,
    /// What the settings were made of, to tell when they change.
    fingerprint: String,
}

/// How a ProxmoxCluster is talked to.
pub struct Connection {
    /// Its sites.
    pub sites: Vec<Site>,
    /// Who we are there.
    pub account: String,
    /// What tells one set of settings from another.
    pub fingerprint: String,
}

/// The way to a node.
#[derive(Clone)]
pub struct Route {
    /// The client of its site.
    pub client: Arc<Client>,
    /// Proxmox's own name of it.
    pub name: String,
}

/// What the account is not allowed.
#[derive(Debug, Default)]
pub struct Rights {
    /// When it was asked last.
    pub asked: Option<Instant>,
    /// What is missing in any of the sites.
    pub missing: Vec<Missing>,
}

impl Fleet {
    /// The way to a node, by our name of it.
    pub fn route(&self, node: &str) -> Option<&Route> {
        self.routes.get(node)
    }

    /// The clients of the sites, in the inventory's order.
    pub fn clients(&self) -> &[Arc<Client>] {
        &self.clients
    }

    /// Proxmox refused something for want of a right: they are asked for again.
    pub fn doubt_rights(&self) {
        self.rights.lock().asked = None;
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Session for Fleet {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn end(&self) {
        self.stop.cancel();
    }
}

/// All fleets, by the name of their ProxmoxCluster.
pub type Fleets = Sessions<Fleet>;

impl Fleets {
    /// Starts the fleet of a ProxmoxCluster, in place of the one that ran before.
    ///
    /// # Errors
    /// Settings that contradict themselves.
    pub fn start(&self, cluster: &str, settings: Connection) -> Result<Arc<Fleet>, InvalidSettings> {
        let Connection { sites, account, fingerprint } = settings;
        let clients = sites.iter().map(|site| site.client.clone()).collect();
        let routes = sites
            .iter()
            .flat_map(|site| {
                site.nodes.iter().map(|node| {
                    let route = Route { client: site.client.clone(), name: node.proxmox_name.clone() };
                    (node.name.clone(), route)
                })
            })
            .collect();
        let stop = self.token();
        let settings = InventorySettings { sites, poll_fast: POLL_FAST, poll_slow: POLL_SLOW };
        let inventory = Inventory::start(settings, stop.clone())?;
        let rights = Mutex::default();
        let name = cluster.to_owned();
        let fleet = Arc::new(Fleet { name, inventory, account, rights, clients, routes, stop, fingerprint });
        self.put(cluster, fleet.clone());
        Ok(fleet)
    }

    /// What is known of all sites, for whoever counts them.
    pub fn census(&self, now: Timestamp) -> Sites {
        let mut found = Sites::default();
        for fleet in self.all() {
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
}
