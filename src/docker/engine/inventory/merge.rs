//! From answers and events to the next snapshot: pure functions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bollard::models::{
    self, ContainerInspectResponse, ContainerSummary, EventActor, EventMessage, EventMessageTypeEnum, ImageSummary,
};

use crate::docker::labels;

use super::{
    Changes, Look,
    snapshot::{Container, Key, Network, Owner, Snapshot, Volume},
};

/// The types of events that say something of the snapshot.
pub(super) const TYPES: &[&str] = &["container", "network", "volume", "image", "daemon"];

/// The actions that say something of the snapshot. Health checks run commands all the time, of which nothing is to be told.
pub(super) const ACTIONS: &[&str] = &[
    "create",
    "start",
    "restart",
    "stop",
    "die",
    "oom",
    "pause",
    "unpause",
    "rename",
    "update",
    "destroy",
    "health_status",
    "connect",
    "disconnect",
    "pull",
    "tag",
    "untag",
    "delete",
    "load",
    "import",
    "reload",
];

/// What an event says has to be looked at.
pub(super) fn look_after(snapshot: &Snapshot, installation: &str, event: EventMessage) -> Look {
    let EventMessage { typ: Some(kind), action: Some(action), actor: Some(actor), .. } = event else {
        return Look::default();
    };
    let EventActor { id, attributes } = actor;
    let id = id.unwrap_or_default();
    let attributes = attributes.unwrap_or_default();
    match kind {
        EventMessageTypeEnum::CONTAINER => {
            let ours = attributes.get(labels::INSTALLATION).is_some_and(|whose| whose == installation);
            if ours || snapshot.containers.contains_key(id.as_str()) { Look::container(id) } else { Look::default() }
        }
        EventMessageTypeEnum::NETWORK => match action.as_str() {
            // Labels are not told.
            "create" | "destroy" => Look {
                networks: (action == "create") != snapshot.networks.contains_key(id.as_str()),
                ..Look::default()
            },
            _ => match attributes.get("container") {
                Some(container) if snapshot.containers.contains_key(container.as_str()) => Look::container(container),
                _ => Look::default(),
            },
        },
        EventMessageTypeEnum::VOLUME => Look {
            volumes: match action.as_str() {
                "create" => !snapshot.volumes.contains_key(id.as_str()),
                "destroy" => snapshot.volumes.contains_key(id.as_str()),
                _ => false,
            },
            ..Look::default()
        },
        EventMessageTypeEnum::IMAGE => Look { images: true, ..Look::default() },
        // The engine's settings were read again.
        EventMessageTypeEnum::DAEMON => Look::lists(),
        EventMessageTypeEnum::EMPTY
        | EventMessageTypeEnum::BUILDER
        | EventMessageTypeEnum::CONFIG
        | EventMessageTypeEnum::NODE
        | EventMessageTypeEnum::PLUGIN
        | EventMessageTypeEnum::SECRET
        | EventMessageTypeEnum::SERVICE => Look::default(),
    }
}

impl Look {
    pub(super) fn add(&mut self, other: Self) {
        let Self { containers, networks, volumes, images } = other;
        self.containers.extend(containers);
        self.networks |= networks;
        self.volumes |= volumes;
        self.images |= images;
    }
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// By the id or name that was asked for; nothing if there is no such container.
    pub containers: BTreeMap<String, Option<ContainerInspectResponse>>,
    /// All networks of ours.
    pub networks: Option<Vec<models::Network>>,
    /// All volumes of ours.
    pub volumes: Option<Vec<models::Volume>>,
    /// All images that have tags of ours.
    pub images: Option<Vec<ImageSummary>>,
}

impl Snapshot {
    /// The next snapshot, and what is different.
    pub(super) fn after(&self, installation: &str, seen: Seen) -> (Self, Changes) {
        let mut next = self.clone();
        let mut changes = Changes::default();
        let Seen { containers, networks, volumes, images } = seen;
        for (asked, inspected) in containers {
            next.put_container(installation, &asked, inspected, &mut changes);
        }
        if let Some(listed) = networks {
            let listed = listed.into_iter().filter_map(|network| {
                let owner = owner(network.labels.as_ref());
                Some((network.id.clone()?.into(), Network { owner, listed: network }))
            });
            replace(&mut next.networks, listed, |network| network.owner.as_ref(), &mut changes);
        }
        if let Some(listed) = volumes {
            let listed = listed.into_iter().map(|volume| {
                (volume.name.as_str().into(), Volume { owner: Owner::of(&volume.labels), listed: volume })
            });
            replace(&mut next.volumes, listed, |volume| volume.owner.as_ref(), &mut changes);
        }
        if let Some(listed) = images {
            let tags = listed.into_iter().flat_map(|image| {
                let ImageSummary { id, repo_tags, .. } = image;
                repo_tags.into_iter().map(move |tag| (tag, id.clone()))
            });
            let images = tags.collect();
            if *next.images != images {
                next.images = Arc::new(images);
                changes.images = true;
            }
        }
        for owner in &changes.owners {
            next.index(owner, self);
        }
        (next, changes)
    }

    fn put_container(
        &mut self,
        installation: &str,
        asked: &str,
        inspected: Option<ContainerInspectResponse>,
        changes: &mut Changes,
    ) {
        let labels = inspected.as_ref().and_then(|container| container.config.as_ref()?.labels.as_ref());
        let ours = labels.and_then(|all| all.get(labels::INSTALLATION)).is_some_and(|whose| whose == installation);
        let id = inspected.as_ref().and_then(|container| container.id.clone());
        let id: Arc<str> = id.unwrap_or_else(|| asked.to_owned()).into();
        let now = inspected.filter(|_| ours).map(|inspected| {
            let owner = owner(inspected.config.as_ref().and_then(|config| config.labels.as_ref()));
            Arc::new(Container { owner, inspected })
        });
        let before = match &now {
            Some(now) => self.containers.insert(id, now.clone()),
            None => self.containers.remove(&id),
        };
        if before != now {
            let both = before.iter().chain(now.iter());
            changes.owners.extend(both.filter_map(|container| container.owner.clone()));
        }
    }

    /// Writes down anew what an owner has.
    fn index(&mut self, owner: &Owner, before: &Self) {
        let had = before.owned.get(owner).map(|keys| keys.as_ref().clone()).unwrap_or_default();
        let is = |whose: Option<&Owner>| whose == Some(owner);
        // What changed hands or appeared is found among what is new; nothing else has to be looked at.
        let fresh_containers = fresh(&self.containers, &before.containers).filter(|(_, it)| is(it.owner.as_ref()));
        let fresh_networks = fresh(&self.networks, &before.networks).filter(|(_, it)| is(it.owner.as_ref()));
        let fresh_volumes = fresh(&self.volumes, &before.volumes).filter(|(_, it)| is(it.owner.as_ref()));
        let mut keys: BTreeSet<Key> = had
            .into_iter()
            .filter(|key| match key {
                Key::Container(id) => self.containers.get(id).is_some_and(|it| is(it.owner.as_ref())),
                Key::Network(id) => self.networks.get(id).is_some_and(|it| is(it.owner.as_ref())),
                Key::Volume(name) => self.volumes.get(name).is_some_and(|it| is(it.owner.as_ref())),
            })
            .collect();
        keys.extend(fresh_containers.map(|(id, _)| Key::Container(id.clone())));
        keys.extend(fresh_networks.map(|(id, _)| Key::Network(id.clone())));
        keys.extend(fresh_volumes.map(|(name, _)| Key::Volume(name.clone())));
        if keys.is_empty() {
            self.owned.remove(owner);
        } else {
            self.owned.insert(Arc::new(owner.clone()), Arc::new(keys));
        }
    }

    /// The containers of which the list says something else than is known, or that it does not have any more.
    pub(super) fn differing(&self, listed: &[ContainerSummary]) -> BTreeSet<String> {
        let ids: BTreeSet<&str> = listed.iter().filter_map(|summary| summary.id.as_deref()).collect();
        let gone = self.containers.keys().map(AsRef::as_ref).filter(|id| !ids.contains(id));
        let other = listed.iter().filter(|summary| !self.knows(summary)).filter_map(|summary| summary.id.as_deref());
        gone.chain(other).map(str::to_owned).collect()
    }

    fn knows(&self, summary: &ContainerSummary) -> bool {
        let Some(known) = summary.id.as_deref().and_then(|id| self.containers.get(id)) else {
            return false;
        };
        let state = known.inspected.state.as_ref();
        let status = state.and_then(|state| state.status).map(|status| status.to_string());
        let listed = summary.state.map(|state| state.to_string());
        let names = summary.names.iter().flatten();
        let healthy = |text: &str| {
            let health = state.and_then(|state| state.health.as_ref()?.status).map(|health| health.to_string());
            ["healthy", "unhealthy"]
                .iter()
                .all(|word| text.contains(&format!("({word})")) == (health.as_deref() == Some(*word)))
        };
        status == listed
            && names.clone().any(|name| Some(name.as_str()) == known.inspected.name.as_deref())
            && (status.as_deref() != Some("running") || summary.status.as_deref().is_none_or(healthy))
    }
}

fn owner(labels: Option<&std::collections::HashMap<String, String>>) -> Option<Owner> {
    labels.and_then(Owner::of)
}

/// What one map has otherwise than the other.
fn fresh<'a, T>(
    now: &'a BTreeMap<Arc<str>, Arc<T>>,
    before: &'a BTreeMap<Arc<str>, Arc<T>>,
) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<T>)> {
    now.iter().filter(|(key, value)| before.get(*key).is_none_or(|other| !Arc::ptr_eq(other, value)))
}

/// Puts a whole list in the place of what was known, keeps what is the same, and notes whose things differ.
fn replace<T: PartialEq>(
    known: &mut BTreeMap<Arc<str>, Arc<T>>,
    listed: impl Iterator<Item = (Arc<str>, T)>,
    owner: impl Fn(&T) -> Option<&Owner>,
    changes: &mut Changes,
) {
    let mut before = std::mem::take(known);
    for (key, value) in listed {
        let kept = match before.remove(&key) {
            Some(same) if *same == value => same,
            other => {
                let both = other.iter().map(AsRef::as_ref).chain([&value]);
                changes.owners.extend(both.filter_map(&owner).cloned());
                Arc::new(value)
            }
        };
        known.insert(key, kept);
    }
    changes.owners.extend(before.values().filter_map(|gone| owner(gone)).cloned());
}
