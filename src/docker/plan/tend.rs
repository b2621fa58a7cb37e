//! Containers that are to run: started in order, put in the place of older ones, kept up, and brought back.

use super::{
    super::{
        desired::Slot,
        observed::{Class, ContainerState, TaskSight},
        recorded::{Failed, Restarting},
    },
    Action, Look,
    depend::Gate,
    health::Condition,
    ours::Mine,
    places::{End, Place, ends},
    round::Round,
};
use crate::reason::Reason;

impl<'a> Round<'a> {
    /// Sees to all that are to run. Before everything is prepared, what ran is only kept running.
    pub fn tend_all(&mut self, prepared: bool) {
        let crowded =
            self.context.ours.containers.iter().any(|mine| mine.is_up() && !self.places.contains_key(&mine.slot()));
        if prepared {
            self.begin_restart();
        }
        for place in self.places.values().cloned().collect::<Vec<_>>() {
            if !prepared {
                self.keep_alive(&place);
            } else if let Some(failed) = &place.given_up {
                self.go_back(&place, failed);
            } else if let Some(fresh) = place.fresh {
                self.tend(&place, &fresh, crowded);
            } else if place.done {
                self.end_others(&place);
            }
        }
        if prepared {
            self.end_restart();
        }
    }

    /// What served before the new release is ready goes on doing so.
    fn keep_alive(&mut self, place: &Place<'a>) {
        let candidates = || place.fresh.iter().chain(&place.stale);
        if let Some(frozen) = candidates().find(|mine| mine.seen.state == ContainerState::Paused) {
            self.act(Action::Unpause { id: frozen.id().to_owned() });
        }
        if place.config.is_none() || candidates().any(Mine::is_up) {
            return;
        }
        let serves = |mine: &&Mine<'a>| {
            let wanted =
                mine.seen.state == ContainerState::Exited && self.end_of(mine.seen, place.service) == End::None;
            let replaced = place.stale.iter().any(|stale| stale.id() == mine.id());
            wanted && self.context.ours.has_networks(mine, self.context.observed) && (!replaced || self.can_serve(mine))
        };
        let Some(mine) = candidates().find(serves).copied() else { return };
        if self.gate(&place.slot.service, place.service) == Gate::Open {
            self.start(place, &mine);
        }
    }

    /// Sees to the container of a place.
    fn tend(&mut self, place: &Place<'a>, fresh: &Mine<'a>, crowded: bool) {
        let end = self.end_of(fresh.seen, place.service);
        match (fresh.seen.state, end) {
            (_, End::Done) => {
                let release = &self.deployment.release;
                if ends(place.service.restart) && self.next.completed.get(&place.slot) != Some(release) {
                    self.next.completed.insert(place.slot.clone(), release.clone());
                }
                self.replace_others(place, fresh);
            }
            (ContainerState::Paused, _) => self.act(Action::Unpause { id: fresh.id().to_owned() }),
            (ContainerState::Running | ContainerState::Restarting, _) => self.tend_up(place, fresh),
            (_, End::Failed) => {
                let Some(log) = self.log(fresh) else { return };
                let out_of_memory = if fresh.seen.oom_killed { ", killed for want of memory" } else { "" };
                let code = fresh.seen.exit_code;
                let message = format!("{} ended with exit code {code}{out_of_memory}{log}", fresh.seen.name);
                self.failed(place, fresh, Reason::new("Exited", message));
            }
            _ => self.bring_up(place, fresh, crowded),
        }
    }

    /// One that is up: it is waited for, and then those that it replaces go.
    fn tend_up(&mut self, place: &Place<'a>, fresh: &Mine<'a>) {
        self.run_hooks(place, fresh);
        let replaces = !place.stale.is_empty();
        match self.condition(fresh, replaces) {
            None => {}
            Some(Condition::Well) => {
                self.replace_others(place, fresh);
                if self.deployment.completes(&place.slot.service) {
                    let message = format!("{} runs until its work is done", fresh.seen.name);
                    self.wait(Reason::new("WaitingForCompletion", message), None);
                }
                if self.is_due_again(place, fresh) {
                    match self.gate(&place.slot.service, place.service) {
                        Gate::Open => self.stop(fresh, true),
                        Gate::Waiting(reason) => self.wait(reason, None),
                        Gate::Shut(reason) => self.stall(&reason.word, reason.message),
                    }
                }
            }
            Some(Condition::Pending(reason, again)) => {
                self.stop_others(place);
                self.wait(reason, again);
            }
            Some(Condition::Ailing(reason)) => {
                self.stop_others(place);
                self.ailing(reason);
            }
            Some(Condition::Hopeless(reason)) => match self.way_back(place) {
                Some(_) => self.give_up(place, fresh, reason),
                None if self.deployment.returning => {
                    let message = format!("neither the new release nor the last good one comes up: {}", reason.message);
                    self.stall(&reason.word, message);
                }
                None => {
                    self.lose(&reason);
                    self.ailing(reason);
                }
            },
        }
    }

    /// One that does not run is started, where it is to be and as soon as it may.
    fn bring_up(&mut self, place: &Place<'a>, fresh: &Mine<'a>, crowded: bool) {
        if self.next.completed.get(&place.slot) == Some(&self.deployment.release)
            && fresh.seen.state == ContainerState::Created
        {
            // It did its work already, and was made anew since.
            return self.replace_others(place, fresh);
        }
        match self.gate(&place.slot.service, place.service) {
            Gate::Waiting(reason) => return self.wait(reason, None),
            Gate::Shut(reason) => return self.stall(&reason.word, reason.message),
            Gate::Open if crowded => return,
            Gate::Open => {}
        }
        if let Some(old) = place.stale.iter().find(|mine| mine.is_up()) {
            let with_it = self.restarts_with(&place.slot);
            if with_it.is_empty() {
                self.stop(old, self.can_serve(old));
            } else {
                self.stop_in_order(&with_it, true);
            }
            return;
        }
        let (kept, gone): (Vec<_>, Vec<_>) =
            place.stale.iter().enumerate().partition(|(at, mine)| *at == 0 && self.can_serve(mine));
        for (_, mine) in &gone {
            self.remove(mine);
        }
        let mut in_the_way = gone.iter().chain(&kept).filter(|(_, mine)| mine.seen.name == fresh.proper_name);
        if let Some((_, mine)) = in_the_way.next() {
            if kept.iter().any(|(_, keep)| keep.id() == mine.id()) {
                self.act(Action::Rename { id: mine.id().to_owned(), name: mine.former_name() });
            }
            return;
        }
        if self.has_its_name(fresh) {
            self.start_or_fail(place, fresh);
        }
    }

    /// Whether a container has its proper name, which it is given otherwise.
    fn has_its_name(&mut self, mine: &Mine<'a>) -> bool {
        if mine.seen.name == mine.proper_name {
            return true;
        }
        let name = mine.proper_name.to_owned();
        match self.context.observed.names.get(&name) {
            None => self.look(Look::ContainerName(name)),
            Some(Some(stranger)) if stranger.id != mine.id() => self.taken("container", &name, stranger),
            Some(_) => self.act(Action::Rename { id: mine.id().to_owned(), name }),
        }
        false
    }

    /// Starts a container. If that failed and there is an older one, that one comes back.
    fn start_or_fail(&mut self, place: &Place<'a>, fresh: &Mine<'a>) {
        let key = Action::Start { id: fresh.id().to_owned(), slot: place.slot.clone() }.key();
        let failed = match self.context.observed.tasks.get(&key) {
            Some(TaskSight::Failed { reason, class, refused: true, .. }) if *class != Class::LookAgain => {
                Some(reason.clone())
            }
            _ => None,
        };
        match (failed, self.way_back(place)) {
            (Some(reason), Some(_)) => self.give_up(place, fresh, reason),
            (failed, _) => {
                if let Some(reason) = failed {
                    self.lose(&reason);
                }
                self.start(place, fresh);
            }
        }
    }

    /// The older container that may come back in the place of one that does not come up.
    fn way_back(&self, place: &Place<'a>) -> Option<Mine<'a>> {
        place.fallback().filter(|mine| self.deployment.rollback && self.can_serve(mine))
    }

    fn start(&mut self, place: &Place<'a>, mine: &Mine<'a>) {
        if place.service.post_start {
            self.next.hooks.insert(mine.id().to_owned());
        }
        self.act(Action::Start { id: mine.id().to_owned(), slot: place.slot.clone() });
    }

    /// Commands that are to run after a start of ours.
    fn run_hooks(&mut self, place: &Place<'a>, mine: &Mine<'a>) {
        if !self.next.hooks.contains(mine.id()) || mine.seen.state != ContainerState::Running {
            return;
        }
        let started_at = mine.seen.started_at;
        let hooks = Action::AfterStart { id: mine.id().to_owned(), slot: place.slot.clone(), started_at };
        match self.context.observed.tasks.get(&hooks.key()) {
            Some(TaskSight::Succeeded { .. }) => {
                self.next.hooks.remove(mine.id());
            }
            _ => self.act(hooks),
        }
    }

    /// Containers that run and restart with the containers of a service.
    fn restarts_with(&self, slot: &Slot) -> Vec<Mine<'a>> {
        let running = self.places.values().flat_map(|place| place.fresh.iter().chain(&place.stale));
        let with_it = running.filter(|mine| {
            mine.is_up()
                && mine.service != slot.service
                && mine.depends_on().any(|(name, restart)| restart && name == slot.service)
        });
        with_it.copied().collect()
    }

    /// Removes what a container replaces, and gives it its name.
    fn replace_others(&mut self, place: &Place<'a>, fresh: &Mine<'a>) {
        self.stop_others(place);
        for mine in place.stale.iter().filter(|mine| !mine.is_up()) {
            self.remove(mine);
        }
        let free = !place.stale.iter().any(|mine| mine.seen.name == fresh.proper_name);
        if free {
            self.has_its_name(fresh);
        }
    }

    /// Where the work is done, what runs belongs to a release that did not come up. What ended stays, and tells that it did its
    /// work for that one, should it be tried again.
    fn end_others(&mut self, place: &Place<'a>) {
        for mine in place.stale.iter().filter(|mine| mine.is_up()) {
            self.stop(mine, false);
        }
    }

    /// Where one is up, no other is.
    fn stop_others(&mut self, place: &Place<'a>) {
        for mine in place.stale.iter().filter(|mine| mine.is_up()) {
            self.stop(mine, self.can_serve(mine));
        }
    }

    /// The process of a container ended for good, and it should not have.
    fn failed(&mut self, place: &Place<'a>, fresh: &Mine<'a>, reason: Reason) {
        match self.way_back(place) {
            Some(_) => self.give_up(place, fresh, reason),
            None => {
                self.lose(&reason);
                self.stall(&reason.word, reason.message);
            }
        }
    }

    /// A new container is given up: the older one comes back.
    fn give_up(&mut self, place: &Place<'a>, fresh: &Mine<'a>, reason: Reason) {
        self.lose(&reason);
        let failed = Failed {
            config: fresh.config.to_owned(),
            image: fresh.image.to_owned(),
            restart: self.deployment.restart.clone(),
            reason,
        };
        self.next.failed.insert(place.slot.clone(), failed);
    }

    /// The older container takes its place back.
    fn go_back(&mut self, place: &Place<'a>, failed: &Failed) {
        for mine in place.fresh.iter().chain(place.stale.iter().skip(1)) {
            if mine.is_up() {
                return self.stop(mine, false);
            }
            self.remove(mine);
        }
        let Some(old) = place.fallback() else { return };
        if place.fresh.is_none() && self.has_its_name(&old) {
            match old.seen.state {
                ContainerState::Paused => self.act(Action::Unpause { id: old.id().to_owned() }),
                _ if !old.is_up() => self.start(place, &old),
                _ => self.run_hooks(place, &old),
            }
        }
        let Reason { word, message } = &failed.reason;
        self.stall(
            word,
            format!(
                "the new {} did not come up, and the one before it was brought back. It is tried again when it changes, or \
                 when a restart is asked for. {message}",
                place.slot.service
            ),
        );
    }

    /// A restart that was asked for begins: what is to restart is written down.
    fn begin_restart(&mut self) {
        let Some(value) = &self.deployment.restart else { return };
        if self.next.restarted.as_ref() == Some(value)
            || self.next.restarting.as_ref().is_some_and(|restart| restart.value == *value)
        {
            return;
        }
        let fresh = self.places.values().filter_map(Place::serving);
        let old = fresh.filter(|mine| mine.is_up() && mine.restart != Some(value));
        let before = old.map(|mine| (mine.id().to_owned(), mine.seen.started_at)).collect();
        self.next.restarting = Some(Restarting { value: value.clone(), before });
    }

    /// Whether a container runs that is to be stopped and started again.
    fn is_due_again(&self, place: &Place<'a>, mine: &Mine<'a>) -> bool {
        let asked_for = self.next.restarting.as_ref().is_some_and(|restart| self.is_before(restart, mine));
        // Who lives in a namespace that is gone is cut off.
        let cut_off = place.service.lives_in.iter().any(|other| {
            let host = self.places.get(&Slot::new(other, 1)).and_then(Place::serving);
            host.is_some_and(|host| {
                host.seen.state == ContainerState::Running && host.seen.started_at > mine.seen.started_at
            })
        });
        asked_for || cut_off
    }

    fn is_before(&self, restart: &Restarting, mine: &Mine<'_>) -> bool {
        restart.before.get(mine.id()) == Some(&mine.seen.started_at)
    }

    /// A restart is over when everything that was to restart was started again, is gone, or is not to run any more.
    fn end_restart(&mut self) {
        let Some(restart) = &self.next.restarting else { return };
        let pending = self.places.values().any(|place| {
            let serving = place.serving().filter(|mine| self.is_before(restart, mine));
            serving.is_some_and(|mine| self.end_of(mine.seen, place.service) == End::None)
        });
        if !pending {
            self.next.restarted = Some(restart.value.clone());
            self.next.restarting = None;
        }
    }

    /// Containers that are not to run: what is older goes, and each has its name.
    pub fn lay_up(&mut self) {
        for place in self.places.values().cloned().collect::<Vec<_>>() {
            let Some(fresh) = place.fresh else { continue };
            if !place.stale.iter().chain([&fresh]).any(Mine::is_up) {
                self.replace_others(&place, &fresh);
            }
        }
        if let Some(value) = &self.deployment.restart {
            self.next.restarted = Some(value.clone());
            self.next.restarting = None;
        }
    }
}
