//! Everything that the new release needs, made before anything of the old one stops.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::{
    super::{
        desired::{Deployment, Slot},
        identity::waiting_name,
        labels,
        observed::{Class, Observed, Stranger},
        recorded::Made,
    },
    Action, Creation, Look,
    fetch::Supply,
    ours::MyNetwork,
    places::Place,
    round::{Problem, Round},
};
use crate::reason::Reason;

/// How long a list may lack what was just made.
const LAG: SignedDuration = SignedDuration::from_secs(1);

impl<'a> Round<'a> {
    /// Writes down which containers are ours, and how they were made.
    pub fn note_containers(&mut self) {
        let ours = &self.context.ours.containers;
        let recorded = &mut self.next;
        for mine in ours {
            recorded
                .containers
                .entry(mine.id().to_owned())
                .or_insert_with(|| Made { slot: mine.slot(), settings: mine.seen.settings.clone() });
        }
        let there: BTreeSet<_> = ours.iter().map(|mine| mine.id()).collect();
        recorded.containers.retain(|id, _| there.contains(id.as_str()));
        recorded.halted.retain(|id, _| there.contains(id.as_str()));
        recorded.hooks.retain(|id| there.contains(id.as_str()));
        let is_there = |volume: &str| self.context.ours.volumes.contains_key(volume);
        recorded.delivered.retain(|volume, _| is_there(volume));
        recorded.delivering.retain(|volume, _| is_there(volume));
        recorded.surveyed.retain(|volume, _| is_there(volume));
        let release = &self.deployment.release;
        recorded.completed.retain(|_, done_for| done_for == release);
        let services = &self.deployment.services;
        recorded.failed.retain(|slot, _| services.contains_key(&slot.service));
    }

    /// Finds the networks by their keys.
    pub fn find_networks(&mut self) {
        let deployment: &'a Deployment = self.deployment;
        for (key, network) in &deployment.networks {
            let id = if network.external {
                self.external_network(&network.name)
            } else {
                let fitting = self.context.ours.networks_of(key).filter(|mine| is_made_as(mine, network));
                fitting.min_by_key(|mine| (&mine.seen.created, &mine.seen.id)).map(|mine| mine.seen.id.as_str())
            };
            if let Some(id) = id {
                self.networks.insert(key, id);
            }
        }
    }

    fn external_network(&mut self, name: &str) -> Option<&'a str> {
        let Some(strangers) = self.context.observed.network_names.get(name) else {
            self.look(Look::NetworkName(name.to_owned()));
            return None;
        };
        match strangers.as_slice() {
            [one] => Some(&one.id),
            [] => {
                let message = format!("the external network {name} is not there; it is waited for");
                self.awaited("NetworkNotFound", message);
                None
            }
            [_, _, ..] => {
                let message = format!(
                    "there are several networks named {name}, so that none of them can be told: rename all but one"
                );
                self.stall("NetworkAmbiguous", message);
                None
            }
        }
    }

    /// Something that others have to provide.
    fn awaited(&mut self, word: &str, message: String) {
        self.problem(Problem { class: Class::Wait, reason: Reason::new(word, message), again: None });
    }

    /// Makes what is missing; whether everything is there.
    pub fn prepare(&mut self) -> bool {
        let networks = self.prepare_networks();
        let volumes = self.prepare_volumes();
        let Some(volumes) = volumes else { return false };
        let contents = self.prepare_contents();
        let images = self.prepare_images();
        let complete = images && volumes && contents;
        let mut containers = true;
        if complete {
            for slot in self.places.keys().cloned().collect::<Vec<_>>() {
                containers &= self.prepare_container(&slot);
            }
        }
        if complete && !networks {
            // All but what needs those networks is made.
            self.replace_networks();
        }
        complete && networks && containers
    }

    /// Whether all networks are there.
    fn prepare_networks(&mut self) -> bool {
        let deployment: &'a Deployment = self.deployment;
        let mut complete = true;
        for (key, network) in &deployment.networks {
            if self.networks.contains_key(key.as_str()) {
                continue;
            }
            complete = false;
            if network.external || self.context.ours.networks_of(key).next().is_some() {
                continue;
            }
            match self.context.observed.network_names.get(&network.name) {
                None => self.look(Look::NetworkName(network.name.clone())),
                Some(strangers) => match strangers.first() {
                    Some(stranger) => self.taken("network", &network.name, stranger),
                    None => self.act(Action::CreateNetwork { key: key.clone() }),
                },
            }
        }
        complete
    }

    /// Whether all volumes are there; nothing if one of them is not as it should be, and nothing is to be touched.
    fn prepare_volumes(&mut self) -> Option<bool> {
        let deployment: &'a Deployment = self.deployment;
        let mut complete = true;
        let mut wrong = false;
        let incomplete = self.places.values().any(|place| place.fresh.is_none());
        for (key, volume) in &deployment.volumes {
            let name = &volume.name;
            if let Some(mine) = self.context.ours.volumes.get(name.as_str()) {
                if !volume.external && mine.config != volume.config {
                    wrong = true;
                    self.stall(
                        "VolumeChanged",
                        format!(
                            "volume {name} was made with another driver, options or labels than the file says now. It is \
                             not replaced, since what is in it would be lost: take the change back, or give the volume \
                             another name, or save what is in it and remove it (docker volume rm {name})"
                        ),
                    );
                }
                continue;
            }
            if volume.external && !incomplete {
                continue;
            }
            match self.context.observed.volume_names.get(name) {
                None => {
                    complete = false;
                    self.look(Look::VolumeName(name.clone()));
                }
                Some(Some(_)) if volume.external => {}
                Some(None) if volume.external => {
                    complete = false;
                    self.awaited(
                        "VolumeNotFound",
                        format!("the external volume {name} is not there; it is waited for"),
                    );
                }
                Some(Some(seen)) => {
                    wrong = true;
                    let stranger = Stranger { id: name.clone(), labels: seen.labels.clone() };
                    self.taken("volume", name, &stranger);
                }
                Some(None) => {
                    complete = false;
                    self.act(Action::CreateVolume { key: key.clone() });
                }
            }
        }
        (!wrong).then_some(complete)
    }

    /// A name that we need is somebody else's.
    pub fn taken(&mut self, what: &str, name: &str, stranger: &Stranger) {
        let Observed { containers, networks, volumes, .. } = self.context.observed;
        let id = stranger.id.as_str();
        let known = containers.contains_key(id) || networks.contains_key(id) || volumes.contains_key(id);
        let owner = self.context.owner;
        let namesake = [stranger.labels.get(labels::NAMESPACE), stranger.labels.get(labels::NAME)];
        if !known && namesake == [Some(&owner.namespace), Some(&owner.name)] {
            // What was made a moment ago is on no list yet.
            let again = self.context.now.checked_add(LAG).ok();
            return self.wait(Reason::new("CatchingUp", format!("the {what} {name} has just been made")), again);
        }
        let whose = match namesake {
            [Some(namespace), Some(name)] => format!("{namespace}/{name} by its labels"),
            _ => "not this object's".to_owned(),
        };
        self.stall(
            "NameTaken",
            format!(
                "the {what} {name} on the host is {whose} and is not touched: remove or rename it, or give this one another name"
            ),
        );
    }

    /// Whether all images are there.
    fn prepare_images(&mut self) -> bool {
        let deployment: &'a Deployment = self.deployment;
        let mut complete = true;
        for (name, service) in &deployment.services {
            let mut places = self.places.values().filter(|place| place.slot.service == *name);
            let needed = places.any(|place| place.fresh.is_none() && place.given_up.is_none() && !place.done);
            if service.replicas == 0 {
                continue;
            }
            match self.supply(name, service, needed) {
                Supply::There(id) => {
                    for place in self.places.values_mut().filter(|place| place.slot.service == *name) {
                        place.image = Some(id.clone());
                    }
                }
                Supply::Awaited => complete = false,
            }
        }
        complete
    }

    /// Whether the container of a place is there.
    fn prepare_container(&mut self, slot: &Slot) -> bool {
        let Some(place) = self.places.get(slot) else { return true };
        if place.fresh.is_some() || place.given_up.is_some() || place.done {
            return true;
        }
        let (Some(config), Some(image)) = (place.config.clone(), place.image.clone()) else { return false };
        let proper_name = self.deployment.container_name(slot);
        let of_ours = |name: &str| self.context.ours.containers.iter().find(|mine| mine.seen.name == name);
        let name = if of_ours(&proper_name).is_some() {
            let name = waiting_name(&proper_name, &config, &image);
            if let Some(other) = of_ours(&name).copied() {
                // One that waited and was changed by hand.
                match self.can_serve(&other) {
                    true => self.act(Action::Rename { id: other.id().to_owned(), name: other.former_name() }),
                    false => self.remove(&other),
                }
                return false;
            }
            name
        } else {
            match self.context.observed.names.get(&proper_name) {
                None => {
                    self.look(Look::ContainerName(proper_name));
                    return false;
                }
                Some(Some(stranger)) => {
                    self.taken("container", &proper_name, stranger);
                    return false;
                }
                Some(None) => proper_name.clone(),
            }
        };
        let service = place.service;
        let networks = service.networks.iter().filter_map(|key| {
            let id = self.networks.get(key.as_str())?;
            Some((key.clone(), (*id).to_owned()))
        });
        let shared = service.made_with().filter_map(|other| {
            let id = self.places.get(&Slot::new(other, 1))?.fresh?.id();
            Some((other.clone(), id.to_owned()))
        });
        let creation = Creation {
            slot: slot.clone(),
            name,
            proper_name,
            config,
            image,
            networks: networks.collect(),
            shared: shared.collect(),
        };
        self.act(Action::Create(Box::new(creation)));
        false
    }

    /// Networks that are to be others: when all else is made, their containers are stopped and they are removed.
    fn replace_networks(&mut self) {
        let waits = |place: &Place<'_>| {
            place.config.is_some() && place.fresh.is_none() && place.given_up.is_none() && !place.done
        };
        if self.places.values().any(waits) || self.has_problems() {
            return;
        }
        let deployment: &'a Deployment = self.deployment;
        for (key, network) in &deployment.networks {
            if network.external || self.networks.contains_key(key.as_str()) {
                continue;
            }
            let outdated: Vec<_> = self.context.ours.networks_of(key).collect();
            for old in outdated {
                let users: Vec<_> = self.context.ours.users_of(&old.seen.id).collect();
                if users.iter().any(|mine| mine.is_up()) {
                    self.stop_in_order(&users, false);
                } else {
                    self.remove_network(&old);
                }
            }
        }
    }

    /// Removes a network of ours whose containers do not run.
    fn remove_network(&mut self, network: &MyNetwork<'_>) {
        let users = self.context.ours.users_of(&network.seen.id);
        let detach = users.filter(|mine| mine.seen.networks.contains(&network.seen.id));
        self.act(Action::RemoveNetwork {
            id: network.seen.id.clone(),
            name: network.seen.name.clone(),
            detach: detach.map(|mine| mine.id().to_owned()).chain(network.proxy()).collect(),
        });
    }

    /// Removes the networks of ours that nothing uses and nothing is to use.
    pub fn clear_networks(&mut self) {
        for network in &self.context.ours.networks {
            let used = self.networks.values().any(|id| *id == network.seen.id)
                || self.context.ours.users_of(&network.seen.id).next().is_some();
            // The ones that are to be others go first, or their successors cannot be made.
            let replaced =
                self.deployment.networks.contains_key(network.key) && !self.networks.contains_key(network.key);
            if !used && !replaced {
                self.remove_network(network);
            }
        }
    }
}

fn is_made_as(mine: &MyNetwork<'_>, network: &super::super::desired::Network) -> bool {
    mine.config == network.config && mine.seen.name == network.name
}
