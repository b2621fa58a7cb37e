//! Deletion: exactly what is ours goes, in the order in which it can.

use super::{
    super::{
        desired::Removal,
        observed::{Class, ContainerState, TaskSight},
    },
    Action, Context, Step,
    stop::{first_to_stop, to_stop},
};
use crate::reason::Reason;

impl Context<'_> {
    /// The next step of a deletion.
    pub(super) fn remove(&self, removal: Removal) -> Step {
        let containers = &self.ours.containers;
        let mut actions: Vec<_> = first_to_stop(containers).iter().map(to_stop).collect();
        for mine in containers {
            let goes = match mine.seen.state {
                ContainerState::Created | ContainerState::Exited | ContainerState::Dead => true,
                ContainerState::Running
                | ContainerState::Paused
                | ContainerState::Restarting
                | ContainerState::Removing => false,
            };
            if goes {
                actions.push(Action::Remove { id: mine.id().to_owned() });
            }
        }
        if containers.is_empty() {
            for network in &self.ours.networks {
                let (id, name) = (network.seen.id.clone(), network.seen.name.clone());
                actions.push(Action::RemoveNetwork { id, name, detach: network.proxy().into_iter().collect() });
            }
            for (name, volume) in &self.ours.volumes {
                let goes = match removal {
                    Removal::WithVolumes => true,
                    // Nobody wrote what was delivered.
                    Removal::KeepVolumes => volume.content,
                    Removal::Orphan => false,
                };
                if goes {
                    actions.push(Action::RemoveVolume { name: (*name).to_owned() });
                }
            }
        }
        self.remove_by(actions, containers.is_empty())
    }

    /// What of these actions can be taken now; without any, what is awaited.
    fn remove_by(&self, actions: Vec<Action>, empty: bool) -> Step {
        let mut due = Vec::new();
        let mut again = None;
        let mut problem = None;
        // What was begun before the deletion may yet make something.
        let under_way = self.observed.tasks.values().any(|task| matches!(task, TaskSight::Running(_)));
        for action in actions {
            match self.observed.tasks.get(&action.key()) {
                Some(TaskSight::Running(_)) => {}
                Some(TaskSight::Failed { reason, class, again: at, .. }) if *at > self.now => {
                    again = Some(again.map_or(*at, |again: jiff::Timestamp| again.min(*at)));
                    problem.get_or_insert_with(|| in_use(&action, *class, reason));
                }
                Some(TaskSight::Failed { .. } | TaskSight::Succeeded { .. }) | None => due.push(action),
            }
        }
        if !due.is_empty() {
            return Step::Act(due);
        }
        match problem {
            Some(reason) => Step::Wait(reason, again),
            None if under_way || !empty => {
                Step::Wait(Reason::new("Removing", "its containers are being stopped and removed"), again)
            }
            None => Step::Release,
        }
    }
}

/// What somebody can do who is asked why something does not go.
pub(super) fn in_use(action: &Action, class: Class, reason: &Reason) -> Reason {
    let message = &reason.message;
    match (action, class) {
        (Action::RemoveNetwork { name, .. }, Class::LookAgain) => Reason::new(
            "NetworkInUse",
            format!(
                "network {name} is used by containers that are not this object's; disconnect them (docker network inspect \
                 {name}, docker network disconnect -f {name} CONTAINER): {message}"
            ),
        ),
        (Action::RemoveVolume { name }, Class::LookAgain) => Reason::new(
            "VolumeInUse",
            format!(
                "volume {name} is used by containers that are not this object's; remove them (docker ps -a --filter \
                 volume={name}): {message}"
            ),
        ),
        _ => reason.clone(),
    }
}
