//! Whether a container that runs is well, on its way there, or never will be.

use jiff::{SignedDuration, Timestamp};

use super::{
    super::observed::{Class, Container, ContainerState, Health},
    Look,
    ours::Mine,
    round::{Problem, Round},
};
use crate::reason::Reason;

/// How long a new container without a healthcheck runs before the one that it replaces is removed.
pub(super) const STEADY: SignedDuration = SignedDuration::from_secs(3);
/// How long after a restart by the engine a container counts as one that crashes: the engine itself takes as long.
pub(super) const SHAKY: SignedDuration = SignedDuration::from_secs(10);
/// After so many crashes a new container is given up, if there is an older one.
const CRASHES: i64 = 5;

/// How a container is that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// As it should be.
    Well,
    /// Not yet, until then at least.
    Pending(Reason, Option<Timestamp>),
    /// Not, and it may still come.
    Ailing(Reason),
    /// It had its chance.
    Hopeless(Reason),
}

impl Round<'_> {
    /// How a container is that is up; nothing if something must be looked at first.
    pub fn condition(&mut self, mine: &Mine<'_>, replaces: bool) -> Option<Condition> {
        let seen = mine.seen;
        let deadline = self.deployment.health_deadline;
        if seen.state == ContainerState::Restarting || (seen.restarts > 0 && self.is_younger(seen, SHAKY)) {
            let log = self.log(mine)?;
            let reason = Reason::new(
                "CrashLooping",
                format!(
                    "{} ends again and again (last with exit code {}, {} restarts){log}",
                    seen.name, seen.exit_code, seen.restarts
                ),
            );
            // Once it has run for long enough it is well.
            self.again(later(seen.started_at, SHAKY));
            return Some(if seen.restarts >= CRASHES {
                Condition::Hopeless(reason)
            } else {
                Condition::Ailing(reason)
            });
        }
        Some(match seen.health {
            Some(Health::Healthy) => Condition::Well,
            Some(health) if self.is_younger(seen, deadline) => {
                self.again(later(seen.started_at, deadline));
                let word = if health == Health::Unhealthy { "Unhealthy" } else { "WaitingForHealth" };
                Condition::Pending(Reason::new(word, format!("{} is not healthy yet", seen.name)), None)
            }
            Some(health) => {
                let log = self.log(mine)?;
                let state = if health == Health::Unhealthy { "unhealthy" } else { "not healthy" };
                Condition::Hopeless(Reason::new(
                    "Unhealthy",
                    format!("{} is {state} {} s after its start{log}", seen.name, deadline.as_secs()),
                ))
            }
            None if replaces && self.is_younger(seen, STEADY) => Condition::Pending(
                Reason::new("Starting", format!("{} has just started", seen.name)),
                later(seen.started_at, STEADY),
            ),
            None => Condition::Well,
        })
    }

    /// Whether it was started so recently. A clock that is ahead of ours proves nothing.
    fn is_younger(&self, seen: &Container, than: SignedDuration) -> bool {
        seen.started_at.is_some_and(|at| {
            let age = self.context.now.duration_since(at);
            !age.is_negative() && age < than
        })
    }

    /// The last lines of a container's log, to be put behind a sentence; nothing if they must be looked at first.
    pub fn log(&mut self, mine: &Mine<'_>) -> Option<String> {
        let Some(log) = self.context.observed.logs.get(mine.id()) else {
            self.look(Look::Log(mine.id().to_owned()));
            return None;
        };
        let log = log.trim();
        Some(if log.is_empty() { "; its log is empty".to_owned() } else { format!("; the end of its log:\n{log}") })
    }

    /// Something is not well and may get better by itself.
    pub fn ailing(&mut self, reason: Reason) {
        self.problem(Problem { class: Class::Wait, reason, again: None });
    }
}

fn later(at: Option<Timestamp>, by: SignedDuration) -> Option<Timestamp> {
    at.and_then(|at| at.checked_add(by).ok())
}
