//! Which node takes a new machine, and under which VMID.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{
    ATTEMPTS_KEPT, Attempt, AttemptOutcome, Context, Fleet, FleetNode, Intent, Look, MachineSpec, Place, Placement,
    Planned, Reason, Recorded, Seen, Source, Stage, Step, Volumes, room::Room, sites::Template, whose::claimants,
};
use crate::proxmox::{inventory::Reach, wire::Vmid};

/// The first wait after every node that could take a machine has failed.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(10);
/// So many skipped nodes are told in the attempts, at most; the message names them all.
const SKIPPED_KEPT: usize = 10;
/// The longest wait.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(5);

/// Whether a node can take a machine.
enum Verdict<'a> {
    /// It has this to offer.
    Eligible(Room<'a>),
    /// Not now.
    Skip(Reason),
    /// The inventory has not read enough yet to tell.
    NotYetKnown,
}

/// Why a template is not to be had.
enum Unfound {
    /// There is none, or more than one.
    Missing(String),
    /// The config of that one was not read yet.
    Unread(Place),
}

impl Context<'_> {
    /// Chooses node, template and VMID, and writes them down.
    pub(super) fn choose_place(&self, spec: &MachineSpec, fleet: &Fleet) -> Planned {
        if self.is_reading() {
            return Ok(Step::Wait(Reason::new("ReadingInventory", "reading which machines there are, and whose")));
        }
        if let Some(stall) = self.strangers_of_our_name()?.or_else(|| self.claim_out_of_reach()) {
            return Ok(stall);
        }
        match self.other_claims(None)?.as_slice() {
            [] => {}
            [place] => return self.take_over(place),
            places => return Ok(Step::Stall(claimants(places))),
        }
        if let Some(unknown) = unknown_source(&spec.source, fleet).or_else(|| unknown_nodes(&spec.placement, fleet)) {
            return Ok(Step::Stall(unknown));
        }
        let mut skipped = Vec::new();
        let mut eligible = Vec::new();
        for node in &fleet.nodes {
            match self.judge(spec, fleet, node)? {
                Verdict::Eligible(room) => eligible.push((self.failures(&node.name), node, room)),
                Verdict::Skip(reason) => skipped.push((node.name.clone(), reason)),
                Verdict::NotYetKnown => {
                    let reason = Reason::new("ReadingInventory", format!("reading what {} has", node.name));
                    return Ok(Step::Wait(reason));
                }
            }
        }
        let order = |name: &String| fleet.nodes.iter().position(|node| node.name == *name);
        // The sort is stable: among nodes that failed and suit equally, the order of the list decides.
        eligible.sort_by_cached_key(|(failures, node, room)| (*failures, self.preference(spec, node, room)));
        while let Some((failures, node, room)) = eligible.first() {
            if let Some(until) = self.pause_after(*failures)
                && until > self.now
            {
                return Ok(self.note_skipped(skipped, |_| {}).unwrap_or_else(|| Step::Wait(self.all_failed(until))));
            }
            match self.free_vmid(spec, fleet, node, room)? {
                Ok(vmid) => {
                    let Template { node: source, vmid: template, .. } = room.template;
                    let intent = Intent {
                        place: Place { node: node.name.clone(), vmid },
                        template: Some(template),
                        template_node: (source != node.name).then(|| source.to_owned()),
                        storage: Some(room.storage.name.clone()),
                        attempt: self.recorded.attempts_total.saturating_add(1),
                        stage: Stage::Creating,
                        reason: None,
                        retries: 0,
                        since: self.now,
                    };
                    let chosen = order(&node.name);
                    skipped.retain(|(name, _)| order(name) < chosen);
                    return Ok(self.with_skipped(skipped, |recorded| {
                        recorded.attempts_total = intent.attempt;
                        recorded.intent = Some(intent);
                    }));
                }
                Err(reason) => {
                    skipped.push((node.name.clone(), reason));
                    eligible.remove(0);
                }
            }
        }
        skipped.sort_by_key(|(name, _)| order(name));
        let reasons: Vec<_> = skipped.iter().map(|(node, reason)| format!("{node}: {}", reason.message)).collect();
        let waiting = Reason::new("NoNodeAvailable", format!("no node can take the machine; {}", reasons.join("; ")));
        Ok(self.note_skipped(skipped, |_| {}).unwrap_or(Step::Wait(waiting)))
    }

    /// A machine that carries our name and another uid belongs to an object that was here before: a restored namespace.
    fn strangers_of_our_name(&self) -> Planned<Option<Step>> {
        for claim in self.claims_of_name() {
            if claim.mark.uid == self.owner.uid || claim.mark.vmid != claim.vmid {
                continue;
            }
            // The list may be from before: the earlier object may just have been deleted.
            if let Some(node) = claim.node
                && matches!(self.sight(&Place { node, vmid: claim.vmid })?, Seen::Absent)
            {
                continue;
            }
            return Ok(Some(Step::Stall(Reason::new(
                "NameTaken",
                format!(
                    "VM {} on {} belongs to an earlier object of this name (uid {}); it is not touched, and no second one \
                     is made. If it is to be this object's, delete this one and apply it with spec.adopt instead of spec.os; \
                     otherwise remove that machine, or the mark in its notes",
                    claim.vmid, claim.proxmox_node, claim.mark.uid
                ),
            ))));
        }
        Ok(None)
    }

    /// Whether a node can take the machine.
    fn judge<'b>(&'b self, spec: &'b MachineSpec, fleet: &Fleet, node: &'b FleetNode) -> Planned<Verdict<'b>> {
        let skip = |word: &str, message: String| Ok(Verdict::Skip(Reason::new(word, message)));
        if !spec.placement.nodes.is_empty() && !spec.placement.nodes.contains(&node.name) {
            return skip("NotWanted", "not among spec.placement.nodes".into());
        }
        if node.cordoned {
            return skip("Cordoned", "cordoned".into());
        }
        let Some(state) = self.node(&node.name) else {
            return skip("NodeUnreachable", "not asked yet".into());
        };
        match &state.reach {
            Reach::Online => {}
            Reach::Offline => return skip("NodeOffline", "offline".into()),
            Reach::Unknown(why) => return skip("NodeUnreachable", why.clone()),
        }
        if !self.is_quorate(&node.name) {
            return skip("NoQuorum", "its cluster has no quorum".into());
        }
        let template = match self.find_template(&spec.source, node) {
            Ok(template) => template,
            Err(Unfound::Missing(why)) => return skip("NoTemplate", why),
            // The inventory reads it now, or it cannot be read: then the others need not wait.
            Err(Unfound::Unread(place)) => {
                return match self.sight(&place)? {
                    Seen::Unknown(why) => skip("NodeUnreachable", why.to_owned()),
                    Seen::Absent | Seen::Present(_) => Ok(Verdict::NotYetKnown),
                };
            }
        };
        Ok(match self.room(spec, fleet, node, state, template) {
            Err(reason) => Verdict::Skip(reason),
            Ok(room) => Verdict::Eligible(room),
        })
    }

    /// The one template that is meant.
    fn find_template<'b>(&'b self, source: &'b Source, node: &'b FleetNode) -> Result<Template<'b>, Unfound> {
        let (wanted, only) = match source {
            Source::Os(os) => {
                let none = || Unfound::Missing(format!("no template for {os}"));
                (node.templates.get(os).ok_or_else(none)?, None)
            }
            Source::Template { template, node: only } => (template, only.as_deref()),
            Source::Machine { .. } => return Err(Unfound::Missing(format!("{source} is there already"))),
        };
        let mut found = wanted.candidates(self.snapshot(), &node.name);
        found.retain(|(has, _)| only.is_none_or(|only| only == *has));
        match found.as_slice() {
            [] if only.is_some() => Err(Unfound::Missing(format!("no {source}"))),
            [] => Err(Unfound::Missing(format!("no {wanted}"))),
            [(has, vmid)] => {
                let unread = || Unfound::Unread(Place { node: (*has).to_owned(), vmid: *vmid });
                self.template(has, *vmid).ok_or_else(unread)
            }
            several => {
                let several: Vec<_> = several.iter().map(|(_, vmid)| *vmid).collect();
                Err(Unfound::Missing(format!("more than one {wanted}: {several:?}")))
            }
        }
    }

    /// The first VMID of the ranges that nobody has, and under which no volume is left; or why the node will not do.
    fn free_vmid(
        &self,
        spec: &MachineSpec,
        fleet: &Fleet,
        node: &FleetNode,
        room: &Room<'_>,
    ) -> Planned<Result<Vmid, Reason>> {
        let left: BTreeSet<Vmid> = self.recorded.leftovers.iter().map(|leftover| leftover.place.vmid).collect();
        let tried: BTreeSet<Vmid> = self.recorded.attempts.iter().filter_map(|attempt| attempt.vmid).collect();
        let of_os = match &spec.source {
            Source::Os(os) => fleet.ranges.get(os),
            Source::Template { .. } | Source::Machine { .. } => None,
        };
        let ranges = of_os.into_iter().chain(std::iter::once(&fleet.fallback));
        let all = ranges.flat_map(|(from, to)| *from..=*to);
        // One that was tried comes last: what was refused once may be again, and a late clone may still appear there.
        let untried = all.clone().filter(|vmid| !tried.contains(vmid));
        for vmid in untried.chain(all.filter(|vmid| tried.contains(vmid))) {
            let taken = left.contains(&vmid) || self.others().have_vmid(vmid) || self.snapshot().is_taken(vmid);
            if taken || (self.observed.withheld)(vmid) {
                continue;
            }
            let place = Place { node: node.name.clone(), vmid };
            let stored = match self.observed.volumes.get(&place).ok_or(Step::Look(Look::Vacancy(place)))? {
                Volumes::Known(stored) => stored,
                Volumes::Unknown(why) => return Ok(Err(Reason::new("StorageUnknown", why.clone()))),
            };
            // The node itself knows better than the list how much can be written.
            let lack = room.demands.iter().find_map(|demand| {
                let available = stored.available.get(&demand.storage.name)?;
                self.lack_of_storage(&node.name, *demand, *available)
            });
            if let Some(reason) = lack {
                return Ok(Err(reason));
            }
            if stored.volumes.is_empty() {
                return Ok(Ok(vmid));
            }
        }
        Ok(Err(Reason::new("NoFreeVmid", format!("no VMID is free for {}", spec.source))))
    }

    /// How often attempts on a node have failed.
    fn failures(&self, node: &str) -> u32 {
        let failed = self.failed_attempts().filter(|attempt| attempt.node == node).count();
        // With so many failures that the first are forgotten, no node counts as untried.
        let least = usize::from(self.failed_attempts().count() >= ATTEMPTS_KEPT);
        u32::try_from(failed.max(least)).unwrap_or(u32::MAX)
    }

    fn failed_attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.recorded.attempts.iter().filter(|attempt| attempt.outcome == AttemptOutcome::Failed)
    }

    /// When the next attempt may begin, if every node that could take it has failed so many times.
    fn pause_after(&self, failures: u32) -> Option<Timestamp> {
        let doublings = failures.checked_sub(1)?;
        let last = self.failed_attempts().last().map(|attempt| attempt.time).filter(|last| !self.is_ahead(*last))?;
        let pause = FIRST_PAUSE.saturating_mul(2_i32.saturating_pow(doublings)).min(LONGEST_PAUSE);
        last.checked_add(pause).ok()
    }

    fn all_failed(&self, until: Timestamp) -> Reason {
        let mut last: Vec<&Attempt> = Vec::new();
        for attempt in self.failed_attempts() {
            last.retain(|other| other.node != attempt.node);
            last.push(attempt);
        }
        let reasons: Vec<_> =
            last.iter().map(|attempt| format!("{}: {}", attempt.node, attempt.reason.message)).collect();
        Reason::new(
            "AllNodesFailed",
            format!("every node failed; the next attempt is at {until:.0}. {}", reasons.join("; ")),
        )
    }

    /// The record with the nodes that were skipped, where that is news.
    fn note_skipped(&self, skipped: Vec<(String, Reason)>, change: impl FnOnce(&mut Recorded)) -> Option<Step> {
        let step = self.with_skipped(skipped, change);
        match &step {
            Step::Record(next) if **next == *self.recorded => None,
            _ => Some(step),
        }
    }

    fn with_skipped(&self, skipped: Vec<(String, Reason)>, change: impl FnOnce(&mut Recorded)) -> Step {
        self.record(|recorded| {
            for (node, reason) in skipped.into_iter().take(SKIPPED_KEPT) {
                let last = recorded.attempts.iter().rev().find(|attempt| attempt.node == node);
                let known =
                    last.is_some_and(|last| last.outcome == AttemptOutcome::Skipped && last.reason.word == reason.word);
                if !known {
                    recorded.attempts.retain(|other| {
                        other.node != node || other.outcome != AttemptOutcome::Skipped || other.vmid.is_some()
                    });
                    let outcome = AttemptOutcome::Skipped;
                    recorded.push_attempt(Attempt { node, vmid: None, outcome, reason, time: self.now });
                }
            }
            change(recorded);
        })
    }
}

/// What the cluster knows nothing of, so that no wait helps.
pub(super) fn unknown_source(source: &Source, fleet: &Fleet) -> Option<Reason> {
    match source {
        Source::Os(os) => {
            let known: BTreeSet<_> = fleet.nodes.iter().flat_map(|node| node.templates.keys()).cloned().collect();
            (!known.contains(os)).then(|| {
                let known = known.into_iter().collect::<Vec<_>>().join(", ");
                Reason::new("UnknownOS", format!("spec.os: the cluster has no template for {os:?}; it has {known}"))
            })
        }
        Source::Template { node, .. } => unknown_node("spec.template.node", node.as_ref()?, fleet),
        Source::Machine { place, .. } => unknown_node("spec.adopt.node", &place.node, fleet),
    }
}

fn unknown_nodes(placement: &Placement, fleet: &Fleet) -> Option<Reason> {
    placement.nodes.iter().find_map(|node| unknown_node("spec.placement.nodes", node, fleet))
}

fn unknown_node(field: &str, node: &str, fleet: &Fleet) -> Option<Reason> {
    let known: Vec<_> = fleet.nodes.iter().map(|node| node.name.as_str()).collect();
    (!known.contains(&node)).then(|| {
        let known = known.join(", ");
        Reason::new("UnknownNode", format!("{field}: the cluster has no node {node:?}; it has {known}"))
    })
}
