//! What is delivered: put into volumes of its own before any container is made, and removed with the last one that needs it.

use jiff::Timestamp;

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
            if self.next.delivered.contains_key(name) {
                continue;
            }
            complete = false;
            if !self.context.ours.volumes.contains_key(name.as_str()) {
                continue;
            }
            let Some(since) = self.next.delivering.get(name).copied() else {
                self.next.delivering.insert(name.clone(), self.context.now);
                self.next.dropped = None;
                continue;
            };
            let delivery = Action::Deliver { key: key.clone(), volume: name.clone() };
            match self.context.observed.tasks.get(&delivery.key()) {
                Some(TaskSight::Succeeded { at, .. }) if *at > since => {
                    self.next.delivering.remove(name);
                    self.next.delivered.insert(name.clone(), self.context.now);
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
            if self.is_surveyed(&name) {
                self.remove_content(name);
            }
        }
        if let Some(dropped) = self.next.dropped.clone() {
            self.warn("EditsDropped", dropped);
        }
    }

    /// Whether it is known what was written into a volume beside what was delivered.
    fn is_surveyed(&mut self, name: &str) -> bool {
        let writable = self.context.ours.volumes.get(name).is_some_and(|volume| volume.writable);
        if !writable || self.next.surveyed.contains_key(name) {
            return true;
        }
        let survey = Action::Survey { volume: name.to_owned() };
        // What was found earlier was found in another volume of that name.
        let since = self.next.delivered.get(name).copied().unwrap_or(Timestamp::MIN);
        let found = match self.context.observed.tasks.get(&survey.key()) {
            Some(TaskSight::Succeeded { found, at }) if *at >= since => found.clone(),
            Some(TaskSight::Failed { reason, again, .. }) if *again > self.context.now => {
                let (reason, again) = (reason.clone(), *again);
                self.again(Some(again));
                let message = format!("the content of a former release stays on the host: {}", reason.message);
                self.warn(&reason.word, message);
                return false;
            }
            Some(TaskSight::Running(_) | TaskSight::Failed { .. } | TaskSight::Succeeded { .. }) | None => {
                self.act(survey);
                return false;
            }
        };
        if let Some(found) = &found {
            self.next.dropped = Some(format!("the content of the former release is gone, and {found}"));
        }
        self.next.surveyed.insert(name.to_owned(), found.unwrap_or_default());
        false
    }

    fn remove_content(&mut self, name: String) {
        let removal = Action::RemoveVolume { name };
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
