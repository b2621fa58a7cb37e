//! What the model of an engine does when it is asked for a change.

use super::{super::build::*, Fault, Held, LOOK_AGAIN, Refusal, World};
use crate::docker::{
    compose::model::Restart,
    desired::{Deployment, Slot},
    identity::{self, Owner, Thing},
    labels,
    observed::*,
    plan::*,
};

impl World {
    /// Does what an action asks for.
    pub fn act(
        &mut self,
        action: &Action,
        owner: &Owner,
        deployment: &Deployment,
        fault: Fault,
    ) -> Result<(), Refusal> {
        let lost = (Class::LookAgain, "ReplyLost", false);
        if fault == Fault::LostBefore {
            return Err(lost);
        }
        self.calls.push(action.key());
        let carrier = match action {
            Action::Deliver { volume, .. } => Some((volume, identity::delivery_name(volume))),
            Action::Survey { volume } => Some((volume, identity::survey_name(volume))),
            _ => None,
        };
        if let (Some((volume, name)), Fault::LostAfter) = (carrier, fault) {
            self.cut_off(volume, name, owner);
            return Err(lost);
        }
        let done = self.carry_out(action, owner, deployment);
        if fault == Fault::LostAfter { Err(lost) } else { done }
    }

    fn carry_out(&mut self, action: &Action, owner: &Owner, deployment: &Deployment) -> Result<(), Refusal> {
        match action {
            Action::Pull { image, .. } => match self.registry.get(image) {
                Some(id) => {
                    self.images.insert(image.clone(), Image { id: id.clone(), build: None });
                    Ok(())
                }
                None => Err((Class::Wait, "ImageNotFound", true)),
            },
            Action::Build { image, cause, .. } => {
                let id = format!("sha256:{image}-{cause}");
                self.images.insert(image.clone(), Image { id, build: Some(cause.clone()) });
                Ok(())
            }
            Action::CreateNetwork { key } => {
                let network = &deployment.networks[key];
                let id = self.id("n");
                let mut all = owner.labels(Thing::Network { key, name: &network.name });
                all.insert(labels::compose::NETWORK.into(), key.clone());
                all.insert(identity::CONFIG.into(), network.config.clone());
                if let Some(proxy) = &network.proxy {
                    all.insert(identity::PROXY.into(), proxy.clone());
                }
                let created = format!("{:06}", self.seconds);
                let seen = Network { id: id.clone(), name: network.name.clone(), labels: all, created };
                self.networks.insert(id, (seen, true));
                Ok(())
            }
            Action::ConnectProxy { network, proxy } => match self.proxies.get_mut(proxy) {
                Some(_) if !self.networks.get(network).is_some_and(|(_, mine)| *mine) => Err(LOOK_AGAIN),
                Some(met) => met.insert(network.clone()).then_some(()).ok_or(LOOK_AGAIN),
                None => Err(LOOK_AGAIN),
            },
            Action::RemoveNetwork { id, detach, .. } => {
                let Some((_, mine)) = self.networks.get(id) else { return Ok(()) };
                assert!(mine, "a foreign network is removed");
                for container in detach {
                    if let Some(met) = self.proxies.get_mut(container) {
                        met.remove(id);
                    }
                    if let Some(held) = self.containers.get_mut(container) {
                        assert!(held.mine, "a foreign container is detached");
                        held.seen.networks.remove(id);
                    }
                }
                let is_met = self.proxies.values().any(|met| met.contains(id));
                if is_met
                    || self.containers.values().any(|held| held.seen.state.is_up() && held.seen.networks.contains(id))
                {
                    return Err((Class::LookAgain, "InUse", true));
                }
                self.networks.remove(id);
                Ok(())
            }
            Action::CreateVolume { key } => {
                let volume = &deployment.volumes[key];
                // The engine is content with any volume of that name.
                if !self.volumes.contains_key(&volume.name) {
                    let mut all = owner.labels(Thing::Volume { name: &volume.name });
                    all.insert(identity::CONFIG.into(), volume.config.clone());
                    if volume.content {
                        all.insert(identity::CONTENT.into(), "site".into());
                        all.insert(identity::WRITABLE.into(), "true".into());
                    }
                    self.volumes.insert(volume.name.clone(), (Volume { name: volume.name.clone(), labels: all }, true));
                }
                Ok(())
            }
            Action::RemoveVolume { name } => {
                let Some((_, mine)) = self.volumes.get(name) else { return Ok(()) };
                assert!(mine, "a foreign volume is removed");
                let used = |held: &Held| label(&held.seen, identity::CONTENTS).split(',').any(|volume| volume == name);
                if self.containers.values().any(used) {
                    return Err((Class::LookAgain, "InUse", true));
                }
                self.volumes.remove(name);
                self.filled.remove(name);
                Ok(())
            }
            Action::Survey { volume } => {
                let is_there = self.volumes.contains_key(volume);
                is_there.then_some(()).ok_or(LOOK_AGAIN)
            }
            Action::Deliver { volume, .. } => {
                if !self.volumes.get(volume).is_some_and(|(_, mine)| *mine) {
                    return Err(LOOK_AGAIN);
                }
                self.containers.retain(|_, held| held.seen.name != identity::delivery_name(volume));
                self.filled.insert(volume.clone());
                self.seconds += 1;
                Ok(())
            }
            Action::Create(creation) => self.create(creation, owner, deployment),
            Action::Rename { id, name } => {
                if self.containers.values().any(|held| held.seen.name == *name && held.seen.id != *id) {
                    return Err(LOOK_AGAIN);
                }
                self.own(id)?.seen.name = name.clone();
                Ok(())
            }
            Action::Start { id, .. } => self.start(id),
            Action::Unpause { id } => {
                let held = self.own(id)?;
                if held.seen.state != ContainerState::Paused {
                    return Err(LOOK_AGAIN);
                }
                held.seen.state = ContainerState::Running;
                Ok(())
            }
            Action::AfterStart { id, .. } => self.own(id).map(drop),
            Action::Stop { id, .. } => {
                let held = self.own(id)?;
                if held.seen.state == ContainerState::Paused {
                    return Err(LOOK_AGAIN);
                }
                if held.seen.state.is_up() {
                    self.end(id, 0);
                }
                Ok(())
            }
            Action::Remove { id } => {
                let Some(held) = self.containers.get(id) else { return Ok(()) };
                assert!(held.mine, "a foreign container is removed");
                if held.seen.state.is_up() {
                    return Err(LOOK_AGAIN);
                }
                self.containers.remove(id);
                Ok(())
            }
        }
    }

    /// What an action finds that is to look for something.
    pub fn found(&self, action: &Action) -> Option<String> {
        match action {
            Action::Survey { volume } => self.edited.contains(volume).then(|| "1 file was written".to_owned()),
            _ => None,
        }
    }

    /// A delivery or a survey is cut off in the middle, and its container stays.
    fn cut_off(&mut self, volume: &str, name: String, owner: &Owner) {
        if self.containers.values().any(|held| held.seen.name == name) || !self.volumes.contains_key(volume) {
            return;
        }
        let service = identity::DELIVERY;
        let mut all =
            owner.labels(Thing::Container { service, number: 1, name: &name, config: volume, image: "sha256:empty" });
        for (key, value) in [
            (labels::compose::SERVICE, service),
            (labels::compose::CONTAINER_NUMBER, "1"),
            (labels::compose::IMAGE, "sha256:empty"),
            (identity::CONFIG, volume),
            (identity::CONTAINER, &name),
            (identity::CONTENTS, volume),
            (identity::NETWORKS, ""),
        ] {
            all.insert(key.into(), value.into());
        }
        let id = self.id("c");
        let seen = Container { id: id.clone(), name, labels: all, ..Container::default() };
        let held = Held { seen, mine: true, slot: Slot::new(service, 1), port: None, shares: Vec::new() };
        self.containers.insert(id, held);
    }

    fn own(&mut self, id: &str) -> Result<&mut Held, Refusal> {
        let held = self.containers.get_mut(id).ok_or(LOOK_AGAIN)?;
        assert!(held.mine, "a foreign container is changed: {:?}", held.seen);
        Ok(held)
    }

    fn create(&mut self, creation: &Creation, owner: &Owner, deployment: &Deployment) -> Result<(), Refusal> {
        let Creation { slot, name, proper_name, config, image, networks, shared } = creation;
        let service = deployment.services.get(&slot.service).ok_or(LOOK_AGAIN)?;
        let gone = networks.values().any(|id| !self.networks.contains_key(id))
            || shared.values().any(|id| !self.containers.contains_key(id));
        if gone || self.containers.values().any(|held| held.seen.name == *name) {
            return Err(LOOK_AGAIN);
        }
        let actual = self.images.get(&service.image).ok_or(LOOK_AGAIN)?.id.clone();
        let number = slot.number;
        let mut all =
            owner.labels(Thing::Container { service: &slot.service, number, name: proper_name, config, image });
        let depends_on = service
            .depends_on
            .iter()
            .map(|(other, dependency)| format!("{other}:{}:{}", dependency.condition.as_str(), dependency.restart));
        let ids: Vec<_> = networks.iter().map(|(key, id)| format!("{key}={id}")).collect();
        for (key, value) in [
            (labels::compose::SERVICE, slot.service.clone()),
            (labels::compose::CONTAINER_NUMBER, number.to_string()),
            (labels::compose::IMAGE, image.clone()),
            (labels::compose::DEPENDS_ON, depends_on.collect::<Vec<_>>().join(",")),
            (identity::CONFIG, config.clone()),
            (identity::CONTAINER, proper_name.clone()),
            (identity::RELEASE, deployment.release.clone()),
            (identity::NETWORKS, ids.join(",")),
            (identity::CONTENTS, deployment.contents_of(service).collect::<Vec<_>>().join(",")),
        ] {
            all.insert(key.into(), value);
        }
        if let Some(restart) = &deployment.restart {
            all.insert(identity::RESTART.into(), restart.clone());
        }
        let id = self.id("c");
        let seen = Container {
            id: id.clone(),
            name: name.clone(),
            labels: all,
            image_mark: None,
            always_restarts: matches!(service.restart, Restart::Always | Restart::UnlessStopped),
            settings: format!("settings of {actual}"),
            ..Container::default()
        };
        let held = Held {
            seen,
            mine: true,
            slot: slot.clone(),
            port: self.ports.get(&slot.service).copied(),
            shares: shared.values().cloned().collect(),
        };
        self.containers.insert(id, held);
        Ok(())
    }

    /// A container starts, if it can.
    pub fn start(&mut self, id: &str) -> Result<(), Refusal> {
        let held = self.own(id)?.clone();
        if held.seen.state.is_up() {
            return Ok(());
        }
        let ids: Vec<_> = held.seen.labels[identity::NETWORKS]
            .split(',')
            .filter_map(|network| Some(network.split_once('=')?.1))
            .collect();
        if ids.iter().any(|id| !self.networks.contains_key(*id)) {
            return Err((Class::LookAgain, "NotFound", true));
        }
        for volume in label(&held.seen, identity::CONTENTS).split(',').filter(|volume| !volume.is_empty()) {
            assert!(self.filled.contains(volume), "{} starts without its content", held.seen.name);
        }
        let is_up = |id: &String| self.containers.get(id).is_some_and(|held| held.seen.state.is_up());
        if !held.shares.iter().all(is_up) {
            return Err((Class::Retry, "StartFailed", true));
        }
        let port_taken = held.port.is_some()
            && self.containers.values().any(|other| other.port == held.port && other.seen.state.is_up());
        if port_taken {
            return Err((Class::Wait, "PortTaken", true));
        }
        if self.unstartable.contains(&held.slot.service) && held.seen.state == ContainerState::Created {
            return Err((Class::Stalled, "CommandNotFound", true));
        }
        let networks = ids.iter().map(|id| (*id).to_owned()).collect();
        let checked = self.checked.contains(&held.slot.service);
        self.seconds += 1;
        let now = at(self.seconds);
        let seen = &mut self.own(id)?.seen;
        seen.state = ContainerState::Running;
        seen.started_at = Some(now);
        seen.networks = networks;
        seen.health = checked.then_some(Health::Starting);
        Ok(())
    }

    /// The process of a container ends.
    pub fn end(&mut self, id: &str, code: i64) {
        self.seconds += 1;
        let now = at(self.seconds);
        let seen = &mut self.containers.get_mut(id).unwrap().seen;
        seen.state = ContainerState::Exited;
        seen.exit_code = code;
        seen.finished_at = Some(now);
        seen.health = None;
    }
}

fn label<'a>(seen: &'a Container, key: &str) -> &'a str {
    seen.labels.get(key).map_or("", String::as_str)
}
