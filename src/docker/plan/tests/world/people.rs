//! People who meddle: with what is ours, and with the names that we want.

use super::{Held, World};
use crate::docker::{desired::Slot, identity, observed::*};

impl World {
    /// Somebody makes an image of a container of ours, and runs it.
    pub fn commit_and_run(&mut self, of: &str, name: &str) {
        let held = self.containers[of].clone();
        let id = self.id("x");
        let image_mark = held.seen.labels.get(identity::MARK).cloned();
        let seen = Container { id: id.clone(), name: name.into(), image_mark, ..held.seen };
        self.containers.insert(id, Held { seen, mine: false, port: None, ..held });
    }

    /// Somebody duplicates a container of ours, labels and all.
    pub fn duplicate(&mut self, of: &str, name: &str) {
        self.commit_and_run(of, name);
        self.named_mut(name).seen.image_mark = None;
    }

    /// Somebody has a network of our network's name.
    pub fn take_network(&mut self) {
        let id = self.id("x");
        let seen = Network { id: id.clone(), name: "p_default".into(), ..Network::default() };
        self.networks.insert(id, (seen, false));
    }

    /// Somebody has a volume of our volume's name.
    pub fn take_volume(&mut self) {
        let seen = Volume { name: "p_data".into(), ..Volume::default() };
        self.volumes.entry("p_data".into()).or_insert((seen, false));
    }

    /// Somebody has a container of this name.
    pub fn take_name(&mut self, name: &str) {
        let id = self.id("x");
        let seen =
            Container { id: id.clone(), name: name.into(), state: ContainerState::Running, ..Container::default() };
        let slot = Slot::new("theirs", 1);
        let held = Held { seen, mine: false, slot, port: None, shares: Vec::new() };
        self.containers.insert(id, held);
    }
}
