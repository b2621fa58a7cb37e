//! Which container stands where: for each one that there is to be, the one that is as desired, and those that are not.

use super::{
    super::{
        compose::model::Restart,
        desired::{Service, Slot},
        identity,
        observed::{Container, ContainerState},
        recorded::Failed,
    },
    ours::{Mine, is_wreck},
    round::Round,
};

/// How long a process ran at least if it can be the host's end that ended it.
const HOST_WENT_DOWN_AFTER_SECONDS: i64 = 10;

/// A container that there is to be, and what there is for it.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    pub slot: Slot,
    pub service: &'a Service,
    /// What it is to be made from, once all that it needs has an id.
    pub config: Option<String>,
    /// The image that it is to be made from, if it matters.
    pub image: Option<String>,
    /// The one that is as desired.
    pub fresh: Option<Mine<'a>>,
    /// Those that are not: older, or superfluous.
    pub stale: Vec<Mine<'a>>,
    /// The fresh one did not come up, and an older one is kept instead.
    pub given_up: Option<Failed>,
    /// It did its work for this release, and is not there any more.
    pub done: bool,
}

impl<'a> Place<'a> {
    /// The older one to which it can go back.
    pub fn fallback(&self) -> Option<Mine<'a>> {
        self.stale.first().copied()
    }

    /// The one that serves: the fresh one, or the older one that is kept instead.
    pub fn serving(&self) -> Option<Mine<'a>> {
        if self.given_up.is_some() { self.fallback() } else { self.fresh }
    }
}

impl<'a> Round<'a> {
    /// Sorts our containers into places.
    pub fn find_places(&mut self) {
        let services = &self.deployment.services;
        // Those that share with others come after them: they are made from their ids.
        let mut left: Vec<_> = services.iter().collect();
        while !left.is_empty() {
            let (ready, blocked): (Vec<_>, Vec<_>) = left.iter().copied().partition(|(_, service)| {
                service.made_with().all(|other| !left.iter().any(|(name, _)| *name == other))
            });
            for (name, service) in if ready.is_empty() { &blocked } else { &ready } {
                for number in 1..=service.replicas {
                    let place = self.find_place(Slot::new(name, number), service);
                    self.places.insert(place.slot.clone(), place);
                }
            }
            left = if ready.is_empty() { Vec::new() } else { blocked };
        }
    }

    fn find_place(&self, slot: Slot, service: &'a Service) -> Place<'a> {
        let config = self.config(service);
        let image = self
            .former_image(&slot.service)
            .or_else(|| (!service.keeps_image()).then(|| self.fetched_image(service)).flatten());
        let mut place =
            Place { slot, service, config, image, fresh: None, stale: Vec::new(), given_up: None, done: false };
        let candidates = self.context.ours.containers.iter().filter(|mine| mine.slot() == place.slot);
        for mine in candidates.copied() {
            match place.fresh {
                None if self.is_fresh(&place, &mine) => place.fresh = Some(mine),
                // One that runs is worth more, and then one that has its name.
                Some(other) if self.is_fresh(&place, &mine) && self.rank(&mine) > self.rank(&other) => {
                    place.fresh = Some(mine);
                    place.stale.push(other);
                }
                _ => place.stale.push(mine),
            }
        }
        // The best one to go back to comes first.
        place
            .stale
            .sort_by_key(|mine| std::cmp::Reverse((self.can_serve(mine), self.rank(mine), mine.seen.started_at)));
        let recorded = self.context.recorded;
        let completed = recorded.completed.get(&place.slot) == Some(&self.deployment.release);
        place.done = place.fresh.is_none() && completed && ends(service.restart);
        place.given_up = recorded.failed.get(&place.slot).filter(|failed| self.is_given_up(&place, failed)).cloned();
        place
    }

    fn rank(&self, mine: &Mine<'_>) -> (bool, bool) {
        (mine.is_up(), mine.seen.name == mine.proper_name)
    }

    fn is_given_up(&self, place: &Place<'_>, failed: &Failed) -> bool {
        let same_image = place.image.as_ref().is_none_or(|image| *image == failed.image);
        self.deployment.rollback
            && place.config.as_ref() == Some(&failed.config)
            && same_image
            && failed.restart == self.deployment.restart
            && place.fallback().is_some_and(|mine| self.can_serve(&mine))
    }

    /// Whether one that is not as desired any more could run in its place.
    pub fn can_serve(&self, mine: &Mine<'_>) -> bool {
        let ran = match mine.seen.state {
            ContainerState::Running | ContainerState::Paused | ContainerState::Restarting => true,
            ContainerState::Exited => self.is_halted(mine.seen) || mine.seen.always_restarts,
            ContainerState::Created | ContainerState::Removing | ContainerState::Dead => false,
        };
        ran && self.context.ours.has_networks(mine, self.context.observed)
    }

    /// What the containers of a service are made from, once everything that it needs has an id.
    fn config(&self, service: &Service) -> Option<String> {
        let mut words = vec![service.config.as_str()];
        for key in &service.networks {
            words.push(key);
            words.push(self.networks.get(key.as_str())?);
        }
        for other in service.made_with() {
            words.push(other);
            words.push(self.places.get(&Slot::new(other, 1))?.fresh?.id());
        }
        Some(identity::hash(words))
    }

    /// Whether a container is as desired.
    fn is_fresh(&self, place: &Place<'_>, mine: &Mine<'_>) -> bool {
        let Place { slot, service, config, image, .. } = place;
        if is_wreck(mine.seen) || config.as_deref() != Some(mine.config) {
            return false;
        }
        let image_fits = service.keeps_image() || image.as_deref() == Some(mine.image) || image.is_none();
        let known = self.context.recorded.containers.get(mine.id());
        // Of one that never ran the engine may not tell.
        let attached = mine.seen.state == ContainerState::Created
            || service
                .networks
                .iter()
                .all(|key| self.networks.get(key.as_str()).is_some_and(|id| mine.seen.networks.contains(*id)));
        image_fits
            && attached
            && known.is_none_or(|made| made.settings == mine.seen.settings)
            && mine.proper_name == self.deployment.container_name(slot)
            // What ended runs once for each release.
            && (mine.release == self.deployment.release || self.end_of(mine.seen, service) == End::None)
    }

    /// Whether we ended this run of a container, and mean to start it again.
    pub fn is_halted(&self, seen: &Container) -> bool {
        self.context.recorded.halted.get(&seen.id) == Some(&seen.started_at)
    }

    /// What the end of a container's process means.
    pub fn end_of(&self, seen: &Container, service: &Service) -> End {
        if seen.state != ContainerState::Exited || self.is_halted(seen) || !ends(service.restart) {
            return End::None;
        }
        let ran_for = match (seen.started_at, seen.finished_at) {
            (Some(start), Some(end)) => end.duration_since(start).as_secs(),
            _ => 0,
        };
        match seen.exit_code {
            _ if seen.oom_killed => End::Failed,
            0 => End::Done,
            // Somebody stopped it: nothing says that it did its work.
            137 | 143 => End::None,
            255 if ran_for >= HOST_WENT_DOWN_AFTER_SECONDS => End::None,
            _ => End::Failed,
        }
    }
}

/// What the end of a process means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It did not end, or it is to be started again.
    None,
    /// It did what it was to do.
    Done,
    /// It failed, and nobody starts it again.
    Failed,
}

/// Whether a container may end for good.
pub(super) fn ends(restart: Restart) -> bool {
    match restart {
        Restart::No | Restart::OnFailure(_) => true,
        Restart::Always | Restart::UnlessStopped => false,
    }
}
