//! What is delivered: put into volumes of its own before any container is made, and removed with the last one that needs it.

use super::{
    super::{desired::Deployment, observed::TaskSight},
    Action,
    remove::in_use,
    round::Round,
};

impl<'a> Round<'a> {
    /// Whether everything is delivered that containers are made with.
    pub fn prepare_contents(&mut self) -> bool {
        let deployment: &'a Deployment = self.deployment;
        let mut complete = true;
        for (key, volume) in deployment.volumes.iter().filter(|(_, volume)| volume.content) {
            let name = &volume.name;
            if self.next.delivered.contains(name) {
                continue;
            }
            complete = false;
            if !self.context.ours.volumes.contains_key(name.as_str()) {
                continue;
            }
            let Some(since) = self.next.delivering.get(name).copied() else {
                self.next.delivering.insert(name.clone(), self.context.now);
                continue;
            };
            let delivery = Action::Deliver { key: key.clone(), volume: name.clone() };
            match self.context.observed.tasks.get(&delivery.key()) {
                Some(TaskSight::Succeeded { at }) if *at > since => {
                    self.next.delivering.remove(name);
                    self.next.delivered.insert(name.clone());
                }
                _ => self.act(delivery),
            }
        }
        complete
    }

    /// Removes what was delivered for releases to which nothing goes back any more.
    pub fn clear_contents(&mut self) {
        let settled = self.places.values().all(|place| place.config.is_some() && place.given_up.is_none());
        if !settled {
            return;
        }
        let wanted = |name: &str| self.deployment.volumes.values().any(|volume| volume.name == name);
        let used =
            |name: &str| self.context.ours.containers.iter().any(|mine| mine.contents().any(|used| used == name));
        let outdated = self
            .context
            .ours
            .volumes
            .iter()
            .filter(|(name, volume)| volume.content && !wanted(name) && !used(name) && !self.may_need(name));
        let outdated: Vec<_> = outdated.map(|(name, _)| (*name).to_owned()).collect();
        for name in outdated {
            let removal = Action::RemoveVolume { name: name.clone() };
            match self.context.observed.tasks.get(&removal.key()) {
                // Somebody else uses it: that is no reason to call the service ill.
                Some(TaskSight::Failed { reason, class, again, .. }) if *again > self.context.now => {
                    let (reason, again) = (in_use(&removal, *class, reason), *again);
                    self.again(Some(again));
                    let message = format!("the content of a former release stays on the host: {}", reason.message);
                    self.warn(&reason.word, message);
                }
                _ => self.act(removal),
            }
        }
    }
}
