//! What was recorded before: the write-ahead log, which the status keeps.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::desired::Slot;
use crate::reason::Reason;

/// What was recorded before.
///
/// All of it can be lost: then everything is found again by labels, and what labels do not tell is decided with care.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The object holds our finalizer, yet nothing is recorded: the status was lost.
    pub lost: bool,
    /// Our containers, by id.
    pub containers: BTreeMap<String, Made>,
    /// The images that were pulled or built, by reference.
    pub fetched: BTreeMap<String, Fetched>,
    /// One-shots that did their work, and the release for which they did.
    pub completed: BTreeMap<Slot, String>,
    /// Containers that we stop and mean to start again, and when each had been started: that this run ended says nothing.
    pub halted: BTreeMap<String, Option<Timestamp>>,
    /// Ids of containers in which commands have yet to run, since they were started by us.
    pub hooks: BTreeSet<String>,
    /// New containers that did not come up where an older one did, which is kept instead.
    pub failed: BTreeMap<Slot, Failed>,
    /// The last release that came up whole.
    pub good: Option<Good>,
    /// A release that did not, and in whose place that one is brought back.
    pub lost_release: Option<Lost>,
    /// Names of the volumes into which content is being delivered, and since when: what ended before was about another volume of
    /// that name.
    pub delivering: BTreeMap<String, Timestamp>,
    /// Names of the volumes whose content was delivered, and when that was seen.
    pub delivered: BTreeMap<String, Timestamp>,
    /// Volumes with the content of former releases in which it was looked what users had written, by name, and what was found.
    pub surveyed: BTreeMap<String, String>,
    /// What users had written into the content of the release before this one, which is gone with it.
    pub dropped: Option<String>,
    /// The last restart that was carried out, by what it was asked for with.
    pub restarted: Option<String>,
    /// The restart that is under way.
    pub restarting: Option<Restarting>,
}

/// A container that we made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Which.
    pub slot: Slot,
    /// A hash of the settings that can be changed while it runs (`docker update`), as they were when it was new.
    pub settings: String,
}

/// An image that was pulled or built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its id.
    pub image: String,
    /// When.
    pub at: Timestamp,
    /// What for: the release and the restart, or a hash of what it was built from.
    pub cause: String,
}

/// A new container that did not come up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What it was made from: it is not tried again before that is another one.
    pub config: String,
    /// Its image.
    pub image: String,
    /// The restart that was asked for last: another one asks for another try.
    pub restart: Option<String>,
    /// Why.
    pub reason: Reason,
}

/// A release that came up whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Good {
    /// Which.
    pub release: String,
    /// Its one-shots: they are not run again when it comes back.
    pub completed: BTreeSet<Slot>,
    /// Ids of the images that its services ran from.
    pub images: BTreeMap<String, String>,
    /// Names of the volumes with its content.
    pub contents: BTreeSet<String>,
    /// What tells its model from any other that somebody put in its place; empty if it could not be kept.
    pub model: String,
}

/// A release that did not come up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Which.
    pub release: String,
    /// The restart that was asked for last: another one asks for another try.
    pub restart: Option<String>,
    /// Why.
    pub reason: Reason,
}

/// A restart that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restarting {
    /// What it was asked for with.
    pub value: String,
    /// The containers that are to restart, by id, and when each had been started before.
    pub before: BTreeMap<String, Option<Timestamp>>,
}

impl Recorded {
    /// The record with a change.
    pub fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut next = self.clone();
        change(&mut next);
        next
    }
}
