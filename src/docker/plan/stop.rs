//! Stopping: those that depend on others before these.

use super::super::{
    identity,
    observed::{ContainerState, TaskSight},
};
use super::{Action, ours::Mine, round::Round};

/// Of those that run, the ones on which no other of them depends.
pub(super) fn first_to_stop<'a>(of: &[Mine<'a>]) -> Vec<Mine<'a>> {
    let up: Vec<_> = of.iter().copied().filter(Mine::is_up).collect();
    let needed = |mine: &Mine<'_>| {
        up.iter().any(|other| {
            other.service != mine.service && other.depends_on().any(|(service, _)| service == mine.service)
        })
    };
    let first: Vec<_> = up.iter().copied().filter(|mine| !needed(mine)).collect();
    // Labels that somebody made up may form a ring.
    if first.is_empty() { up } else { first }
}

/// What stops a container: a frozen one cannot be told to end.
pub(super) fn to_stop(mine: &Mine<'_>) -> Action {
    match mine.seen.state {
        ContainerState::Paused => Action::Unpause { id: mine.id().to_owned() },
        _ => Action::Stop { id: mine.id().to_owned(), slot: mine.slot() },
    }
}

impl Round<'_> {
    /// Stops those of these that may stop now, to be started again or not.
    pub fn stop_in_order(&mut self, of: &[Mine<'_>], again: bool) {
        for mine in first_to_stop(of) {
            self.stop(&mine, again);
        }
    }

    /// Stops a container; that it ends so says nothing if it is to be started again.
    pub fn stop(&mut self, mine: &Mine<'_>, again: bool) {
        if again {
            self.next.halted.insert(mine.id().to_owned(), mine.seen.started_at);
        }
        self.act(to_stop(mine));
    }

    /// Stops all that is there.
    pub fn stop_all(&mut self) {
        let all = self.context.ours.containers.clone();
        self.stop_in_order(&all, true);
    }

    /// Stops and removes what belongs to no place: services that are gone, and numbers that are too many.
    pub fn clear_surplus(&mut self) {
        let containers = &self.context.ours.containers;
        let has_place = |mine: &Mine<'_>| self.places.contains_key(&mine.slot());
        let surplus: Vec<_> =
            containers.iter().copied().filter(|mine| !has_place(mine) && !self.is_looking(mine)).collect();
        self.stop_in_order(&surplus, false);
        for mine in surplus.iter().filter(|mine| !mine.is_up()) {
            self.remove(mine);
        }
    }

    /// Whether a volume is being looked into through it: with a large one that takes longer than a reconcile.
    fn is_looking(&self, mine: &Mine<'_>) -> bool {
        let survey = Action::Survey { volume: mine.config.to_owned() };
        let task = self.context.observed.tasks.get(&survey.key());
        mine.service == identity::DELIVERY && matches!(task, Some(TaskSight::Running(_)))
    }

    /// Removes a container that does not run.
    pub fn remove(&mut self, mine: &Mine<'_>) {
        if mine.seen.state != ContainerState::Removing {
            self.act(Action::Remove { id: mine.id().to_owned() });
        }
    }
}
