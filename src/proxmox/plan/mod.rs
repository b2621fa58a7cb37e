//! What to do next, as a pure function of what is desired, recorded and observed.
//!
//! No I/O, no clock, no `async`: everything that can go wrong is decided here, so that tables and an exhaustive
//! exploration can test it.

// An early answer is a step like any other; there is one for each plan.
#![allow(clippy::result_large_err)]

mod adopt;
mod change;
mod claims;
mod config;
mod create;
mod desired;
mod disks;
mod keep;
mod let_go;
mod notes;
mod observed;
mod place;
mod pool;
mod power;
mod queue;
mod recorded;
mod remove;
mod room;
mod sites;
mod step;
mod tasks;
mod terms;
mod whose;

use jiff::{SignedDuration, Timestamp};

pub use change::succeeded;
pub use claims::*;
pub use config::{TAG, cpu_model};
pub use desired::*;
pub use observed::*;
pub use queue::QUEUED;
pub use recorded::*;
pub use step::*;
pub use tasks::failed_action;
pub use terms::*;

use crate::proxmox::inventory::{NodeState, Snapshot};

/// How often a call that failed is tried again on the same node before the next node's turn comes.
const RETRIES_PER_NODE: i64 = 5;

/// So much may the clocks of two controllers differ.
const CLOCKS: SignedDuration = SignedDuration::from_secs(60);

/// The next step of an object.
///
/// Steps that look or record are answered at once, with the plan asked again; a step that acts makes one change.
pub fn plan(desired: &Desired, owner: &Owner, recorded: &Recorded, observed: &Observed<'_>, now: Timestamp) -> Step {
    let (protection, adoptee, adopted) = match desired {
        Desired::Running { machine, .. } => {
            let adoptee = machine.source.adoptee();
            (machine.protection, adoptee, adoptee.is_some())
        }
        Desired::Gone { protection, adopted } => (*protection, None, *adopted),
        Desired::LetGo { adopted } => (None, None, *adopted),
    };
    let reserve_storage = match desired {
        Desired::Running { fleet, .. } => fleet.reserve_storage,
        Desired::Gone { .. } | Desired::LetGo { .. } => 0,
    };
    let ends = desired.is_end();
    let context = Context { owner, ends, protection, adoptee, adopted, reserve_storage, recorded, observed, now };
    let step = match desired {
        _ if recorded.lost => context.recover_from_marks(),
        Desired::Gone { .. } => context.remove_everything(),
        Desired::LetGo { .. } => context.let_go(),
        Desired::Running { machine, fleet, terms } => match &recorded.intent {
            None => context.new_on_terms(terms).unwrap_or_else(|| match &machine.source {
                Source::Os(_) | Source::Template { .. } => context.choose_place(machine, fleet),
                Source::Machine { place, dry_run } => context.adopt(machine, fleet, place, *dry_run),
            }),
            Some(intent) => match intent.stage {
                Stage::Adopting => context.take_into_care(machine, intent),
                Stage::Creating => context.create(machine, fleet, intent),
                Stage::Starting | Stage::Established => context.keep(machine, intent),
                Stage::Abandoning => context.remove_attempt(intent, Removal::FailedAttempt),
            },
        },
    };
    let step = match desired {
        Desired::Running { terms, .. } => context.on_terms(terms, flatten(step)),
        Desired::Gone { .. } | Desired::LetGo { .. } => flatten(step),
    };
    match step {
        Step::Act(action) if context.lacks_quorum(action.node()) && !matches!(action, Action::StopTask(_)) => {
            Step::Wait(Reason::new(
                "NoQuorum",
                format!(
                    "the cluster of {} has no quorum: nothing can be changed in it until that is back",
                    action.node()
                ),
            ))
        }
        // Nothing else to do now: the time to look whether something that was left behind can go.
        Step::Wait(_) | Step::Rest { .. } | Step::Stall(_)
            if recorded.task.is_none() && !recorded.lost && !desired.is_end() =>
        {
            flatten(context.tidy().map(|tidied| tidied.unwrap_or(step)))
        }
        step => step,
    }
}

/// Parts of the plan answer early with `Err`, where something must be looked at first.
type Planned<T = Step> = Result<T, Step>;

fn flatten(step: Planned) -> Step {
    step.unwrap_or_else(|early| early)
}

/// Why something is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removal {
    /// The attempt failed; it never ran.
    FailedAttempt,
    /// The object is deleted, whatever state its machine is in.
    Deletion,
}

/// A machine at a place, as far as what was seen can be relied on.
enum Seen<'a> {
    /// The node says that it has no such machine, and its cluster has quorum.
    Absent,
    /// Nobody knows, and why.
    Unknown(&'a str),
    /// It is there.
    Present(&'a Machine),
}

/// What every part of the plan reads.
struct Context<'a> {
    owner: &'a Owner,
    /// The object is to end.
    ends: bool,
    /// What the spec says of the machine's protection.
    protection: Option<bool>,
    /// Room that is kept free on each storage, in bytes.
    reserve_storage: u64,
    /// The machine that the spec wants to adopt.
    adoptee: Option<&'a Place>,
    /// The object's machine was there before it.
    adopted: bool,
    recorded: &'a Recorded,
    observed: &'a Observed<'a>,
    now: Timestamp,
}

impl<'a> Context<'a> {
    fn snapshot(&self) -> &'a Snapshot {
        self.observed.snapshot
    }

    /// Whether a time was written down with a clock that was ahead of this one: it does not tell how long ago it was.
    fn is_ahead(&self, time: Timestamp) -> bool {
        time.duration_since(self.now) > CLOCKS
    }

    fn node(&self, name: &str) -> Option<&'a NodeState> {
        self.snapshot().node(name)
    }

    /// The machine at a place, or the look that it takes.
    fn sight(&self, place: &Place) -> Planned<Seen<'a>> {
        let sight = self.observed.machines.get(place).ok_or_else(|| Step::Look(Look::Machine(place.clone())))?;
        Ok(match sight {
            // A node that is cut off from its cluster tells what was.
            Sight::Absent if !self.is_quorate(&place.node) => Seen::Unknown("its cluster does not answer with quorum"),
            Sight::Absent => Seen::Absent,
            Sight::Unknown(why) => Seen::Unknown(why),
            Sight::Present(machine) => Seen::Present(machine),
        })
    }

    /// What the other objects of the installation hold.
    fn others(&self) -> Others<'a> {
        self.observed.claims.but(self.owner)
    }

    /// The volumes of a place, or the look that it takes.
    fn volumes(&self, place: &Place) -> Planned<&'a Volumes> {
        self.observed.volumes.get(place).ok_or_else(|| Step::Look(Look::Volumes(place.clone())))
    }

    /// The record with a change.
    fn record(&self, change: impl FnOnce(&mut Recorded)) -> Step {
        Step::Record(Box::new(self.recorded.with(change)))
    }

    /// The record with a change of the intent.
    fn record_intent(&self, intent: &Intent, change: impl FnOnce(&mut Intent)) -> Step {
        let mut intent = intent.clone();
        change(&mut intent);
        self.record(|recorded| recorded.intent = Some(intent))
    }
}

#[cfg(test)]
mod tests;
