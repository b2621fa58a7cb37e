//! Whether what a service depends on has been reached.

use super::{
    super::{
        compose::model::Condition,
        desired::{Service, Slot},
        observed::{ContainerState, Health},
    },
    places::{End, Place},
    round::Round,
};
use crate::reason::Reason;

/// Whether a service may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// It may.
    Open,
    /// Not yet.
    Waiting(Reason),
    /// Not unless something changes.
    Shut(Reason),
}

impl Round<'_> {
    /// Whether everything that a service depends on has been reached.
    pub fn gate(&mut self, name: &str, service: &Service) -> Gate {
        let mut gate = Gate::Open;
        for (other, dependency) in &service.depends_on {
            let Some(target) = self.deployment.services.get(other) else { continue };
            for number in 1..=target.replicas {
                let Some(place) = self.places.get(&Slot::new(other, number)) else { continue };
                let reached = self.reached(name, place, dependency.condition);
                match reached {
                    Gate::Open => {}
                    Gate::Waiting(_) if gate == Gate::Open => gate = reached,
                    Gate::Waiting(_) => {}
                    Gate::Shut(reason) if !dependency.required => self.warn(&reason.word, reason.message),
                    Gate::Shut(_) => return reached,
                }
            }
        }
        gate
    }

    fn reached(&self, dependent: &str, place: &Place<'_>, condition: Condition) -> Gate {
        let waiting = |word: &str, what: &str| {
            Gate::Waiting(Reason::new(word, format!("{dependent} waits until {} {what}", place.slot.service)))
        };
        let shut = |word: &str, what: &str| {
            Gate::Shut(Reason::new(word, format!("{dependent} cannot start: {} {what}", place.slot.service)))
        };
        if place.done {
            return match condition {
                Condition::ServiceStarted | Condition::ServiceCompletedSuccessfully => Gate::Open,
                Condition::ServiceHealthy => shut("DependencyEnded", "has ended and cannot be healthy"),
            };
        }
        if let (Some(failed), Condition::ServiceCompletedSuccessfully) = (&place.given_up, condition) {
            return Gate::Shut(failed.reason.clone());
        }
        let Some(mine) = place.serving() else {
            return waiting("WaitingForDependency", "is there");
        };
        let seen = mine.seen;
        let end = self.end_of(seen, place.service);
        match condition {
            Condition::ServiceStarted => match (seen.state, end) {
                (ContainerState::Running | ContainerState::Restarting, _) | (_, End::Done | End::Failed) => Gate::Open,
                _ => waiting("WaitingForDependency", "has started"),
            },
            Condition::ServiceCompletedSuccessfully => match (end, seen.state) {
                (End::Done, _) => Gate::Open,
                (End::Failed, _) => shut("DependencyFailed", &format!("failed with exit code {}", seen.exit_code)),
                (End::None, ContainerState::Running) => waiting("WaitingForCompletion", "has completed"),
                (End::None, _) => waiting("WaitingForCompletion", "has run and completed"),
            },
            Condition::ServiceHealthy => match (end, seen.state, seen.health) {
                (End::Done | End::Failed, ..) => {
                    shut("DependencyEnded", &format!("ended with exit code {} and cannot be healthy", seen.exit_code))
                }
                (_, ContainerState::Running, Some(Health::Healthy)) => Gate::Open,
                (_, ContainerState::Running, Some(Health::Unhealthy)) => {
                    waiting("DependencyUnhealthy", "is healthy: it runs and is not")
                }
                (_, ContainerState::Running, None) => shut(
                    "NoHealthcheck",
                    "has no healthcheck and so is never healthy: give it one, or depend on service_started",
                ),
                _ => waiting("WaitingForHealth", "is healthy"),
            },
        }
    }
}
