//! What to do next with a compose project, as a pure function of what is desired, recorded and observed.
//!
//! No I/O, no clock, no `async`: everything that can go wrong is decided here, so that tables and an exploration can test
//! it. Whoever walks it observes, plans, takes the step, and plans again; after [`Step::Act`] everything is observed anew.
//! Actions run on their own, and whether they run, or how they ended, is observed like everything else
//! ([`TaskSight`](super::observed::TaskSight)), so that nothing blocks and nothing is begun twice.

mod content;
mod depend;
mod fetch;
mod health;
mod ours;
mod places;
mod prepare;
mod proxy;
mod recover;
mod release;
mod remove;
mod round;
mod step;
mod stop;
mod tend;

use jiff::Timestamp;

pub use step::*;

use self::{ours::Ours, round::Round};
use super::{
    desired::{Desired, Removal},
    identity::Owner,
    observed::Observed,
    recorded::Recorded,
};

/// The next step of a project.
///
/// Steps that look or record are answered at once, with the plan asked again.
pub fn plan(desired: &Desired, owner: &Owner, recorded: &Recorded, observed: &Observed, now: Timestamp) -> Step {
    if let Desired::Gone(Removal::Orphan) = desired {
        return Step::Release;
    }
    if let Some(unknown) = &observed.unknown {
        return Step::Wait(unknown.clone(), None);
    }
    let ours = Ours::find(owner, recorded, observed);
    let context = Context { owner, recorded, observed, now, ours: &ours };
    if let Some(stall) = context.unclear() {
        return stall;
    }
    match desired {
        Desired::Gone(removal) => context.remove(*removal),
        Desired::Present(deployment) => match context.recover(deployment) {
            Some(record) => record,
            None => Round::new(&context, deployment).converge(),
        },
    }
}

/// What every part of the plan reads.
struct Context<'a> {
    owner: &'a Owner,
    recorded: &'a Recorded,
    observed: &'a Observed,
    now: Timestamp,
    /// What of the observed is the object's.
    ours: &'a Ours<'a>,
}

impl Context<'_> {
    /// The record with a change.
    fn record(&self, change: impl FnOnce(&mut Recorded)) -> Step {
        Step::Record(Box::new(self.recorded.with(change)))
    }
}

#[cfg(test)]
mod tests;
