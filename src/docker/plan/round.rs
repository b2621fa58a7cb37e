//! One round of planning for a project that is to be there: what was found to be done, awaited and complained of.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    super::{
        desired::{Deployment, Slot, State},
        observed::{Class, TaskSight},
        recorded::Recorded,
    },
    Action, Context, Look, Step,
    places::Place,
    remove::in_use,
};
use crate::reason::Reason;

/// What stands in the way.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub class: Class,
    pub reason: Reason,
    /// When it is tried again.
    pub again: Option<Timestamp>,
}

/// One round of planning.
pub(super) struct Round<'a> {
    pub context: &'a Context<'a>,
    pub deployment: &'a Deployment,
    /// Each container that there is to be.
    pub places: BTreeMap<Slot, Place<'a>>,
    /// Ids of the networks, by key, as far as they are there.
    pub networks: BTreeMap<&'a str, &'a str>,
    /// The record as it is to be.
    pub next: Recorded,
    actions: Vec<Action>,
    looks: BTreeSet<Look>,
    problems: Vec<Problem>,
    waits: Vec<Reason>,
    under_way: Vec<String>,
    warnings: Vec<Reason>,
    again: Option<Timestamp>,
}

impl<'a> Round<'a> {
    pub fn new(context: &'a Context<'a>, deployment: &'a Deployment) -> Self {
        Self {
            context,
            deployment,
            places: BTreeMap::new(),
            networks: BTreeMap::new(),
            next: context.recorded.clone(),
            actions: Vec::new(),
            looks: BTreeSet::new(),
            problems: Vec::new(),
            waits: Vec::new(),
            under_way: Vec::new(),
            warnings: Vec::new(),
            again: None,
        }
    }

    /// The next step.
    pub fn converge(mut self) -> Step {
        if let Some(stall) = self.context.former() {
            return stall;
        }
        self.note_containers();
        self.note_releases();
        self.find_networks();
        self.find_places();
        match self.deployment.state {
            State::Running => {
                let prepared = self.prepare();
                self.tend_all(prepared);
                if prepared {
                    self.clear_surplus();
                }
            }
            State::Stopped => {
                // Nothing that is to be made is worth waiting for.
                self.stop_all();
                let prepared = self.prepare();
                if prepared {
                    self.lay_up();
                    self.clear_surplus();
                }
            }
        }
        self.meet_proxies();
        self.clear_networks();
        self.clear_contents();
        self.into_step()
    }

    /// An action is to be taken, unless it is under way or has to pause.
    pub fn act(&mut self, action: Action) {
        let key = action.key();
        match self.context.observed.tasks.get(&key) {
            Some(TaskSight::Running(_)) => self.under_way.push(key),
            Some(TaskSight::Failed { reason, class, again, .. }) if *again > self.context.now => {
                let reason = in_use(&action, *class, reason);
                self.problem(Problem { class: *class, reason, again: Some(*again) });
            }
            Some(TaskSight::Failed { .. } | TaskSight::Succeeded { .. }) | None => {
                if !self.actions.contains(&action) {
                    self.actions.push(action);
                }
            }
        }
    }

    /// Something must be looked at first.
    pub fn look(&mut self, look: Look) {
        self.looks.insert(look);
    }

    pub fn problem(&mut self, problem: Problem) {
        self.again(problem.again);
        self.problems.push(problem);
    }

    /// It cannot go on without help.
    pub fn stall(&mut self, word: &str, message: impl Into<String>) {
        self.problem(Problem { class: Class::Stalled, reason: Reason::new(word, message), again: None });
    }

    /// Something passes by itself.
    pub fn wait(&mut self, reason: Reason, again: Option<Timestamp>) {
        self.again(again);
        self.waits.push(reason);
    }

    pub fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    pub fn warn(&mut self, word: &str, message: impl Into<String>) {
        let warning = Reason::new(word, message);
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// It is to be looked at again by this time.
    pub fn again(&mut self, at: Option<Timestamp>) {
        self.again = match (self.again, at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    /// Looks come first, then what is to be written down, then what is to be done.
    fn into_step(mut self) -> Step {
        if !self.looks.is_empty() {
            return Step::Look(self.looks.into_iter().collect());
        }
        if self.next != *self.context.recorded {
            return Step::Record(Box::new(self.next));
        }
        if !self.actions.is_empty() {
            return Step::Act(self.actions);
        }
        let stalled = self.problems.iter().find(|problem| problem.class == Class::Stalled);
        if let Some(first) = self.under_way.first() {
            let reason = self.problems.first().map_or_else(
                || Reason::new("Working", format!("under way: {}", self.under_way.len()) + ": " + first),
                |problem| problem.reason.clone(),
            );
            return Step::Wait(reason, self.again);
        }
        if let Some(problem) = self.problems.iter().find(|problem| problem.class != Class::Stalled)
            && stalled.is_none()
        {
            return Step::Wait(problem.reason.clone(), self.again);
        }
        if let Some(problem) = stalled {
            return Step::Stall(problem.reason.clone());
        }
        match self.waits.first().cloned() {
            Some(reason) => Step::Wait(reason, self.again),
            None => match self.settle() {
                Some(step) => step,
                None => Step::Rest { again: self.again, warnings: self.warnings },
            },
        }
    }
}
