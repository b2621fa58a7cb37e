//! The engines that are being talked to, one for each DockerHost, and the services on them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

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
    entries: Mutex<HashMap<String, Entry>>,
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
    /// The host names that it had.
    pub names: BTreeSet<String>,
}

#[derive(Debug)]
struct Entry {
    berth: Berth,
    /// Whether it was let have something there.
    admitted: bool,
    /// The host names that were promised to it.
    claimed: BTreeSet<String>,
}

impl Berths {
    /// Notes where a service is. That it was admitted there stays.
    pub fn note(&self, uid: &str, berth: Berth) {
        let mut entries = self.entries.lock();
        let before = entries.remove(uid).filter(|before| before.berth.host == berth.host);
        let (admitted, claimed) = before.map(|before| (before.admitted, before.claimed)).unwrap_or_default();
        entries.insert(uid.to_owned(), Entry { berth, admitted, claimed });
    }

    /// Promises host names to a service, in place of those that it was promised before.
    ///
    /// # Errors
    /// One that another service of the host has.
    pub fn claim(&self, uid: &str, names: BTreeSet<String>) -> Result<(), String> {
        let mut entries = self.entries.lock();
        let Some(Entry { berth: mine, .. }) = entries.get(uid) else { return Ok(()) };
        let others = entries.iter().filter(|(other, Entry { berth, .. })| *other != uid && berth.host == mine.host);
        let mut taken = others.flat_map(|(_, Entry { berth, claimed, .. })| berth.names.iter().chain(claimed));
        if let Some(name) = taken.find(|name| names.contains(*name)) {
            return Err(name.clone());
        }
        if let Some(entry) = entries.get_mut(uid) {
            entry.claimed = names;
        }
        Ok(())
    }

    /// The host names that other services of a service's host have.
    pub fn taken(&self, uid: &str) -> BTreeSet<String> {
        let entries = self.entries.lock();
        let Some(Entry { berth: mine, .. }) = entries.get(uid) else { return BTreeSet::new() };
        let others = entries.iter().filter(|(other, Entry { berth, .. })| *other != uid && berth.host == mine.host);
        others.flat_map(|(_, Entry { berth, claimed, .. })| berth.names.iter().chain(claimed)).cloned().collect()
    }

    /// A service needs no names any more.
    pub fn unclaim(&self, uid: &str) {
        if let Some(entry) = self.entries.lock().get_mut(uid) {
            entry.claimed.clear();
        }
    }

    /// Lets a service have something on its host, if fewer than so many others of its namespace have, or were let.
    ///
    /// # Errors
    /// How many others there are.
    pub fn admit(&self, uid: &str, most: Option<usize>) -> Result<(), usize> {
        let mut entries = self.entries.lock();
        let Some(Entry { berth: mine, .. }) = entries.get(uid) else { return Ok(()) };
        let others = entries.iter().filter(|(other, Entry { berth, admitted, claimed: _ })| {
            other.as_str() != uid
                && (berth.held || *admitted)
                && berth.host == mine.host
                && berth.object.namespace == mine.object.namespace
        });
        let others = others.count();
        // Those that are there stay.
        if !mine.held && most.is_some_and(|most| others >= most) {
            return Err(others);
        }
        if let Some(entry) = entries.get_mut(uid) {
            entry.admitted = true;
        }
        Ok(())
    }

    /// A service is refused; whether it had been admitted, and takes no place any more.
    pub fn refuse(&self, uid: &str) -> bool {
        let mut entries = self.entries.lock();
        entries.get_mut(uid).is_some_and(|entry| {
            let promised = std::mem::take(&mut entry.admitted) | !std::mem::take(&mut entry.claimed).is_empty();
            promised && !entry.berth.held
        })
    }

    /// The services of a host.
    pub fn of_host(&self, host: &str) -> Vec<ObjectRef<DockerService>> {
        self.select(|berth| berth.host == host)
    }

    /// The services that have, or may have, something on a host.
    pub fn held(&self, host: &str) -> usize {
        self.select(|berth| berth.host == host && berth.held).len()
    }

    /// The service of this uid.
    pub fn of_uid(&self, uid: &str) -> Option<ObjectRef<DockerService>> {
        self.entries.lock().get(uid).map(|entry| entry.berth.object.clone())
    }

    /// The service is gone; its uid, and the name of the host that it was on.
    pub fn forget(&self, object: &ObjectRef<DockerService>) -> Vec<(String, String)> {
        let mut entries = self.entries.lock();
        entries
            .extract_if(|_, entry| entry.berth.object == *object)
            .map(|(uid, entry)| (uid, entry.berth.host))
            .collect()
    }

    fn select(&self, wanted: impl Fn(&Berth) -> bool) -> Vec<ObjectRef<DockerService>> {
        let entries = self.entries.lock();
        entries
            .values()
            .map(|entry| &entry.berth)
            .filter(|berth| wanted(berth))
            .map(|berth| berth.object.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(berths: &Berths, uid: &str, namespace: &str) {
        let object = ObjectRef::new(uid).within(namespace);
        berths.note(uid, Berth { host: "local".into(), object, held: false, names: BTreeSet::new() });
    }

    #[test]
    fn no_more_are_admitted_than_may_be_though_none_of_them_has_anything_yet() {
        let berths = Berths::default();
        for (uid, namespace) in [("a", "shop"), ("b", "shop"), ("c", "bank")] {
            note(&berths, uid, namespace);
        }
        assert_eq!((berths.admit("a", Some(1)), berths.admit("b", Some(1))), (Ok(()), Err(1)));
        assert_eq!((berths.admit("c", Some(1)), berths.admit("a", Some(1))), (Ok(()), Ok(())));
        note(&berths, "a", "shop");
        assert_eq!(berths.admit("b", Some(1)), Err(1), "it is noted again, and stays admitted");
        assert!(berths.refuse("a") && !berths.refuse("a"));
        assert_eq!((berths.admit("b", Some(1)), berths.admit("a", None)), (Ok(()), Ok(())));
    }

    #[test]
    fn a_host_name_has_one_service_of_a_host_only() {
        let berths = Berths::default();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        for uid in ["a", "b"] {
            note(&berths, uid, "shop");
        }
        assert_eq!(berths.claim("a", names(&["shop.example.com"])), Ok(()));
        assert_eq!(berths.claim("a", names(&["shop.example.com", "x.example.com"])), Ok(()));
        assert_eq!(berths.claim("b", names(&["x.example.com"])), Err("x.example.com".into()));
        note(&berths, "a", "shop");
        assert_eq!(berths.claim("b", names(&["x.example.com"])), Err("x.example.com".into()), "it is noted again");
        berths.unclaim("a");
        assert_eq!(berths.claim("b", names(&["x.example.com"])), Ok(()));
        // What another has by its status counts before it claimed anything in this process.
        let object = ObjectRef::new("c").within("bank");
        berths.note("c", Berth { host: "local".into(), object, held: true, names: names(&["bank.example.com"]) });
        assert_eq!(berths.claim("a", names(&["bank.example.com"])), Err("bank.example.com".into()));
        let object = ObjectRef::new("d").within("bank");
        berths.note("d", Berth { host: "other".into(), object, held: true, names: BTreeSet::new() });
        assert_eq!(berths.claim("d", names(&["bank.example.com"])), Ok(()), "it is on another host");
    }
}
