//! The engines that are being talked to, one for each DockerHost, and the services on them.

use std::{collections::HashMap, sync::Arc};

use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    registries::Registries,
    sessions::{Session, Sessions},
};
use crate::{
    api::DockerService,
    docker::engine::{
        Engine,
        inventory::{Inventory, Reach, Settings},
    },
    telemetry::Engines,
};

/// A DockerHost that is being talked to.
pub struct Dock {
    /// Name of the DockerHost.
    pub name: String,
    /// Its engine.
    pub engine: Engine,
    /// What is known of it.
    pub inventory: Inventory,
    /// Who we are to registries, as the administrator says.
    pub registries: Registries,
    stop: CancellationToken,
    fingerprint: String,
}

impl Session for Dock {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn end(&self) {
        self.stop.cancel();
    }
}

impl Drop for Dock {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// All of them, by the name of their DockerHost.
pub type Docks = Sessions<Dock>;

impl Docks {
    /// Starts to talk to a host, in place of what ran before.
    pub fn start(&self, name: &str, settings: Settings, registries: Registries, fingerprint: String) -> Arc<Dock> {
        let stop = self.token();
        let engine = settings.engine.clone();
        let inventory = Inventory::start(settings, stop.clone());
        let dock = Arc::new(Dock { name: name.to_owned(), engine, inventory, registries, stop, fingerprint });
        self.put(name, dock.clone());
        dock
    }

    /// What is known of all engines, for whoever counts them.
    pub fn census(&self) -> Engines {
        let mut found = Engines::default();
        for dock in self.all() {
            let count = match dock.inventory.snapshot().reach {
                Reach::Unknown => &mut found.unknown,
                Reach::Reached => &mut found.reached,
                Reach::Lost { .. } => &mut found.lost,
            };
            *count = count.saturating_add(1);
        }
        found
    }
}

/// The services that are on the hosts, as far as this process knows.
#[derive(Debug, Default)]
pub struct Berths {
    entries: Mutex<HashMap<String, Berth>>,
}

/// A service on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Berth {
    /// Name of its DockerHost.
    pub host: String,
    /// The service.
    pub object: ObjectRef<DockerService>,
    /// Whether it has, or may have, something there.
    pub held: bool,
}

impl Berths {
    /// Notes where a service is.
    pub fn note(&self, uid: &str, berth: Berth) {
        self.entries.lock().insert(uid.to_owned(), berth);
    }

    /// The services of a host.
    pub fn of_host(&self, host: &str) -> Vec<ObjectRef<DockerService>> {
        self.select(|berth| berth.host == host)
    }

    /// The services that have, or may have, something on a host.
    pub fn held(&self, host: &str) -> usize {
        self.select(|berth| berth.host == host && berth.held).len()
    }

    /// How many services of a namespace have something on a host, another one left out.
    pub fn others(&self, host: &str, namespace: &str, uid: &str) -> usize {
        let entries = self.entries.lock();
        let others = entries.iter().filter(|(other, berth)| {
            other.as_str() != uid
                && berth.host == host
                && berth.held
                && berth.object.namespace.as_deref() == Some(namespace)
        });
        others.count()
    }

    /// The service of this uid.
    pub fn of_uid(&self, uid: &str) -> Option<ObjectRef<DockerService>> {
        self.entries.lock().get(uid).map(|berth| berth.object.clone())
    }

    /// The service is gone; its uid, and the name of the host that it was on.
    pub fn forget(&self, object: &ObjectRef<DockerService>) -> Vec<(String, String)> {
        let mut entries = self.entries.lock();
        entries.extract_if(|_, berth| berth.object == *object).map(|(uid, berth)| (uid, berth.host)).collect()
    }

    fn select(&self, wanted: impl Fn(&Berth) -> bool) -> Vec<ObjectRef<DockerService>> {
        self.entries.lock().values().filter(|berth| wanted(berth)).map(|berth| berth.object.clone()).collect()
    }
}
