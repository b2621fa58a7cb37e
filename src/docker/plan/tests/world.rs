//! A small model of a Docker engine, and people who meddle.
//!
//! It checks each change that it is asked for: what is foreign must never be changed.

mod calls;
mod people;

use std::collections::{BTreeMap, BTreeSet};

use crate::docker::{
    desired::Slot,
    identity::{self, Owner},
    labels,
    observed::*,
    plan::*,
};

/// How a call goes wrong beside what the engine refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    LostBefore,
    LostAfter,
}

/// Why a call failed: as a classification would have it.
pub type Refusal = (Class, &'static str, bool);

const LOOK_AGAIN: Refusal = (Class::LookAgain, "Conflict", true);

/// A container, and what only the model knows of it.
#[derive(Clone, Debug)]
pub struct Held {
    pub seen: Container,
    /// A call of ours made it.
    pub mine: bool,
    pub slot: Slot,
    pub port: Option<u16>,
    pub shares: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct World {
    pub seconds: i64,
    pub containers: BTreeMap<String, Held>,
    /// Networks, and whether they are ours.
    pub networks: BTreeMap<String, (Network, bool)>,
    /// Networks that the proxies of the host are connected to, by the names of their containers.
    pub proxies: BTreeMap<String, BTreeSet<String>>,
    /// Volumes, and whether they are ours.
    pub volumes: BTreeMap<String, (Volume, bool)>,
    /// Volumes into which everything was delivered.
    pub filled: BTreeSet<String>,
    /// Volumes into which users wrote.
    pub edited: BTreeSet<String>,
    pub images: BTreeMap<String, Image>,
    /// What the registry has.
    pub registry: BTreeMap<String, String>,
    made: u32,
    /// Every change that was asked for.
    pub calls: Vec<String>,
    /// Ports of services.
    pub ports: BTreeMap<String, u16>,
    /// Services with a healthcheck.
    pub checked: BTreeSet<String>,
    /// Services whose new containers do not start.
    pub unstartable: BTreeSet<String>,
    /// Releases whose migration has run to its end.
    pub migrated: BTreeSet<String>,
}

impl World {
    pub fn new() -> Self {
        let images = ["db:1", "app:1", "web:1", "logs:1"];
        Self {
            registry: images.map(|image| (image.to_owned(), format!("sha256:{image}"))).into(),
            checked: ["db".to_owned()].into(),
            ..Self::default()
        }
    }

    fn id(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}{:03}", self.made)
    }

    pub fn mine(&self) -> impl Iterator<Item = &Held> {
        self.containers.values().filter(|held| held.mine)
    }

    pub fn named(&self, name: &str) -> &Held {
        self.containers.values().find(|held| held.seen.name == name).unwrap_or_else(|| panic!("no {name}"))
    }

    pub fn named_mut(&mut self, name: &str) -> &mut Held {
        self.containers.values_mut().find(|held| held.seen.name == name).unwrap_or_else(|| panic!("no {name}"))
    }

    /// Names and states of our containers.
    pub fn states(&self) -> Vec<String> {
        let mut states: Vec<_> =
            self.mine().map(|held| format!("{} {}", held.seen.name, held.seen.state.word())).collect();
        states.sort();
        states
    }

    // What is seen.

    pub fn observe(&self, owner: &Owner) -> Observed {
        let ours = |all: &BTreeMap<String, String>| {
            all.get(labels::NAMESPACE) == Some(&owner.namespace) && all.get(labels::NAME) == Some(&owner.name)
        };
        let containers = self.containers.values().map(|held| &held.seen).filter(|seen| ours(&seen.labels));
        let networks = self.networks.values().map(|(seen, _)| seen).filter(|seen| ours(&seen.labels));
        let volumes = self.volumes.values().map(|(seen, _)| seen).filter(|seen| ours(&seen.labels));
        Observed {
            containers: containers.map(|seen| (seen.id.clone(), seen.clone())).collect(),
            networks: networks.map(|seen| (seen.id.clone(), seen.clone())).collect(),
            volumes: volumes.map(|seen| (seen.name.clone(), seen.clone())).collect(),
            ..Observed::default()
        }
    }

    pub fn look(&self, look: &Look, observed: &mut Observed) {
        match look {
            Look::ContainerName(name) => {
                let held = self.containers.values().find(|held| held.seen.name == *name);
                let stranger = held.map(|held| Stranger { id: held.seen.id.clone(), labels: held.seen.labels.clone() });
                observed.names.insert(name.clone(), stranger);
            }
            Look::NetworkName(name) => {
                let strangers = self.networks.values().filter(|(seen, _)| seen.name == *name);
                let strangers =
                    strangers.map(|(seen, _)| Stranger { id: seen.id.clone(), labels: seen.labels.clone() });
                observed.network_names.insert(name.clone(), strangers.collect());
            }
            Look::Proxy(name) => {
                observed.proxies.insert(name.clone(), self.proxies.get(name).cloned());
            }
            Look::VolumeName(name) => {
                let volume = self.volumes.get(name).map(|(seen, _)| seen.clone());
                observed.volume_names.insert(name.clone(), volume);
            }
            Look::Image(image) => {
                observed.images.insert(image.clone(), self.images.get(image).cloned());
            }
            Look::Log(id) => {
                observed.logs.insert(id.clone(), "its last words".into());
            }
        }
    }

    // What happens by itself.

    /// Healthchecks find out, and jobs come to their ends.
    pub fn settle(&mut self) {
        for held in self.containers.values_mut() {
            if held.seen.state == ContainerState::Running && held.seen.health.is_some() {
                held.seen.health = Some(Health::Healthy);
            }
        }
        let jobs =
            self.mine().filter(|held| held.slot.service == "migrate" && held.seen.state == ContainerState::Running);
        for id in jobs.map(|held| held.seen.id.clone()).collect::<Vec<_>>() {
            self.migrated.insert(self.containers[&id].seen.labels[identity::RELEASE].clone());
            self.end(&id, 0);
        }
    }

    /// The host goes down and comes back.
    pub fn reboot(&mut self) {
        self.seconds += 60;
        let up = self.containers.values().filter(|held| held.seen.state.is_up());
        for id in up.map(|held| held.seen.id.clone()).collect::<Vec<_>>() {
            self.end(&id, 255);
        }
        let kept = self.mine().filter(|held| held.seen.exit_code == 255 && held.seen.always_restarts);
        for id in kept.map(|held| held.seen.id.clone()).collect::<Vec<_>>() {
            let _ = self.start(&id);
        }
    }
}
