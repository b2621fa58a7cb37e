//! What of the observed is the object's, and what only looks like it.

use std::collections::BTreeMap;

use super::{
    super::{
        desired::Slot,
        identity::{self, Claim, Owner, Thing, former_name, waiting_name},
        labels,
        observed::{Container, ContainerState, Network, Observed},
        recorded::Recorded,
    },
    Context, Step,
};
use crate::reason::Reason;

/// A container of ours, and what its labels say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mine<'a> {
    pub seen: &'a Container,
    pub service: &'a str,
    pub number: u32,
    /// What it was made from.
    pub config: &'a str,
    /// The image that it was made from.
    pub image: &'a str,
    /// The release that it was made for.
    pub release: &'a str,
    pub proper_name: &'a str,
    /// What the last restart had been asked for with when it was made.
    pub restart: Option<&'a str>,
}

impl<'a> Mine<'a> {
    pub fn id(&self) -> &'a str {
        &self.seen.id
    }

    pub fn slot(&self) -> Slot {
        Slot::new(self.service, self.number)
    }

    pub fn is_up(&self) -> bool {
        self.seen.state.is_up()
    }

    pub fn former_name(&self) -> String {
        former_name(self.proper_name, self.id())
    }

    /// Whether its labels and its id allow its name.
    fn is_named(&self) -> bool {
        let Self { seen, proper_name, config, image, .. } = self;
        seen.name == *proper_name
            || seen.name == waiting_name(proper_name, config, image)
            || seen.name == self.former_name()
    }

    /// Ids of the networks that it was made for.
    pub fn networks(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let networks = self.seen.labels.get(identity::NETWORKS).map_or("", String::as_str);
        networks.split(',').filter_map(|network| Some(network.split_once('=')?.1))
    }

    /// Names of the volumes with delivered content that it was made for.
    pub fn contents(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let contents = self.seen.labels.get(identity::CONTENTS).map_or("", String::as_str);
        contents.split(',').filter(|volume| !volume.is_empty())
    }

    /// The services that it depends on, and whether it restarts with them.
    pub fn depends_on(&self) -> impl Iterator<Item = (&'a str, bool)> + use<'a> {
        let depends_on = self.seen.labels.get(labels::compose::DEPENDS_ON).map_or("", String::as_str);
        depends_on.split(',').filter_map(|entry| {
            let mut parts = entry.split(':');
            let service = parts.next().filter(|service| !service.is_empty())?;
            Some((service, parts.nth(1) == Some("true")))
        })
    }
}

/// A network of ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct MyNetwork<'a> {
    pub seen: &'a Network,
    pub key: &'a str,
    pub config: &'a str,
}

impl MyNetwork<'_> {
    /// The proxy that may be connected to it.
    pub fn proxy(&self) -> Option<String> {
        self.seen.labels.get(identity::PROXY).filter(|proxy| !proxy.is_empty()).cloned()
    }
}

/// A volume of ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct MyVolume<'a> {
    /// What it was made from.
    pub config: &'a str,
    /// Content is delivered into it.
    pub content: bool,
    /// A container may have written into it besides.
    pub writable: bool,
}

/// What is the object's.
#[derive(Debug, Default)]
pub(super) struct Ours<'a> {
    pub containers: Vec<Mine<'a>>,
    pub networks: Vec<MyNetwork<'a>>,
    /// The volumes, by name.
    pub volumes: BTreeMap<&'a str, MyVolume<'a>>,
    /// Containers with the object's labels of which nobody can say whose they are.
    unclear: Vec<&'a str>,
    /// Things of former objects of the same name: what they are, and the uid.
    former: Vec<(String, String)>,
}

impl<'a> Ours<'a> {
    pub fn find(owner: &Owner, recorded: &Recorded, observed: &'a Observed) -> Self {
        let mut ours = Self::default();
        for seen in observed.containers.values() {
            ours.sort_container(owner, recorded, seen);
        }
        for seen in observed.networks.values() {
            let key = label(&seen.labels, labels::compose::NETWORK);
            match owner.claim(&seen.labels, Thing::Network { key, name: &seen.name }) {
                Claim::Ours => {
                    let config = label(&seen.labels, identity::CONFIG);
                    ours.networks.push(MyNetwork { seen, key, config });
                }
                Claim::Former(uid) => ours.former.push((format!("network {}", seen.name), uid)),
                Claim::Other(..) | Claim::Nobody => {}
            }
        }
        for seen in observed.volumes.values() {
            match owner.claim(&seen.labels, Thing::Volume { name: &seen.name }) {
                Claim::Ours => {
                    let config = label(&seen.labels, identity::CONFIG);
                    let content = seen.labels.contains_key(identity::CONTENT);
                    let writable = seen.labels.contains_key(identity::WRITABLE);
                    ours.volumes.insert(&seen.name, MyVolume { config, content, writable });
                }
                Claim::Former(uid) => ours.former.push((format!("volume {}", seen.name), uid)),
                Claim::Other(..) | Claim::Nobody => {}
            }
        }
        ours
    }

    fn sort_container(&mut self, owner: &Owner, recorded: &Recorded, seen: &'a Container) {
        let label = |key| label(&seen.labels, key);
        let Ok(number) = label(labels::compose::CONTAINER_NUMBER).parse() else { return };
        let mine = Mine {
            seen,
            service: label(labels::compose::SERVICE),
            number,
            config: label(identity::CONFIG),
            image: label(labels::compose::IMAGE),
            release: label(identity::RELEASE),
            proper_name: label(identity::CONTAINER),
            restart: seen.labels.get(identity::RESTART).map(String::as_str),
        };
        let Mine { service, config, image, proper_name: name, .. } = mine;
        match owner.claim(&seen.labels, Thing::Container { service, number, name, config, image }) {
            Claim::Ours if recorded.containers.contains_key(&seen.id) => self.containers.push(mine),
            // Made from an image that somebody made of a container of ours.
            Claim::Ours if seen.image_mark.as_ref() == seen.labels.get(identity::MARK) => {}
            Claim::Ours if mine.is_named() => self.containers.push(mine),
            // It may be ours and renamed, or a copy.
            Claim::Ours if recorded.lost => self.unclear.push(&seen.name),
            Claim::Ours | Claim::Other(..) | Claim::Nobody => {}
            Claim::Former(uid) => self.former.push((format!("container {}", seen.name), uid)),
        }
    }

    /// The networks of a key.
    pub fn networks_of(&self, key: &str) -> impl Iterator<Item = MyNetwork<'a>> {
        self.networks.iter().copied().filter(move |network| network.key == key)
    }

    /// Our containers that were made for a network.
    pub fn users_of(&self, network: &str) -> impl Iterator<Item = Mine<'a>> {
        self.containers
            .iter()
            .copied()
            .filter(move |mine| mine.seen.networks.contains(network) || mine.networks().any(|id| id == network))
    }

    /// Whether all networks are there that a container was made for.
    pub fn has_networks(&self, mine: &Mine<'_>, observed: &Observed) -> bool {
        mine.networks().all(|id| {
            let external = observed.network_names.values().flatten().any(|stranger| stranger.id == id);
            external || self.networks.iter().any(|network| network.seen.id == id)
        })
    }
}

impl Context<'_> {
    /// The step, if something carries the object's labels and nobody can say whose it is.
    pub(super) fn unclear(&self) -> Option<Step> {
        let [first, ..] = self.ours.unclear.as_slice() else { return None };
        Some(Step::Stall(Reason::new(
            "SeveralClaimants",
            format!(
                "container {first} carries this object's labels under a name that it was not given, and the record of what \
                 was made is lost. Nothing is touched. If it is a copy, remove it (docker rm {first}); if it is this \
                 object's, give it its name back, which its label {} tells (docker rename)",
                identity::CONTAINER
            ),
        )))
    }

    /// The step, if something of a former object of the same name is still there.
    pub(super) fn former(&self) -> Option<Step> {
        let [(thing, uid), rest @ ..] = self.ours.former.as_slice() else { return None };
        let others = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
        Some(Step::Stall(Reason::new(
            "FormerObject",
            format!(
                "{thing}{others} belongs to a former object of this name, with uid {uid}, and is not touched. To take over \
                 what that one left, set the annotation {} to that uid; otherwise remove it from the host",
                identity::ADOPT_ANNOTATION
            ),
        )))
    }
}

fn label<'a>(labels: &'a BTreeMap<String, String>, key: &str) -> &'a str {
    labels.get(key).map_or("", String::as_str)
}

/// Whether a container cannot be used any more.
pub(super) fn is_wreck(seen: &Container) -> bool {
    matches!(seen.state, ContainerState::Dead | ContainerState::Removing)
}
