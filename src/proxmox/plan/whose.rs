//! Whose a machine is, told by its marks.

use std::collections::BTreeMap;

use super::{AttemptOutcome, Context, Intent, Owner, Place, Planned, Reason, Recorded, Removal, Seen, Stage, Step};
use crate::proxmox::{identity::Mark, wire::VmConfig};

/// Whose the machine at a recorded place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// It carries one of our two marks.
    Ours,
    /// It is a clone in the making that carries no mark yet, or it is being destroyed and carries none any more.
    Undecided,
    /// It is somebody else's.
    Foreign,
}

/// Whose the machine with this config is, at a place that we recorded: either mark decides.
pub(super) fn whose(owner: &Owner, place: &Place, config: &VmConfig) -> Whose {
    let marked = Mark::find(config.description()).all().contains(&owner.mark(place.vmid));
    if marked || config.smbios_uuid() == Some(owner.smbios_uuid(place.vmid)) {
        return Whose::Ours;
    }
    match config.lock() {
        // Also when an administrator lifted the lock of a clone that was cut short.
        _ if config.is_temporary_clone() => Whose::Undecided,
        Some("clone" | "create") if config.description().trim().is_empty() => Whose::Undecided,
        Some("destroyed") => Whose::Undecided,
        _ => Whose::Foreign,
    }
}

impl Context<'_> {
    /// Machines elsewhere that claim to be this object's: mark and VMID fit, and the place is not the recorded one. Each
    /// is looked at, for the inventory may not have noticed yet that it is gone.
    pub(super) fn other_claims(&self, recorded: Option<&Place>) -> Planned<Vec<Place>> {
        let mut claims = Vec::new();
        for place in self.listed_claims(recorded) {
            if !matches!(self.sight(&place)?, Seen::Absent) {
                claims.push(place);
            }
        }
        Ok(claims)
    }

    pub(super) fn listed_claims(&self, recorded: Option<&Place>) -> Vec<Place> {
        self.snapshot()
            .claims(&self.owner.uid)
            .into_iter()
            .filter(|claim| claim.mark == self.owner.mark(claim.vmid))
            .filter_map(|claim| Some(Place { node: claim.node?, vmid: claim.vmid }))
            .filter(|place| Some(place) != recorded && !self.recorded.leftovers.iter().any(|left| left.place == *place))
            .collect()
    }

    /// The status was lost: the marks tell where the machine is, if every node can be asked.
    pub(super) fn recover_from_marks(&self) -> Planned {
        let silent: Vec<_> = self.unsearched();
        if !silent.is_empty() {
            return Ok(Step::Wait(Reason::new(
                "SearchIncomplete",
                format!(
                    "the status was lost, and the machine is searched by its marks; these nodes cannot be searched yet: {}",
                    silent.join(", ")
                ),
            )));
        }
        if let Some(stall) = self.claim_out_of_reach() {
            return Ok(stall);
        }
        let mut places = self.other_claims(None)?;
        places.extend(self.second_marks());
        places.sort();
        places.dedup();
        Ok(match places.as_slice() {
            [] => self.record(|recorded| recorded.lost = false),
            [place] => self.take_over(place)?,
            places => Step::Stall(claimants(places)),
        })
    }

    /// Machines of ours beside the one that is recorded: a clone call that was under way when its process died, or that
    /// came from one that knew nothing newer, was carried out after its attempt was over.
    ///
    /// While the object lives these are only such as never ran: under the VMID of an attempt that failed, or without the
    /// second mark. When it is deleted, any machine that carries its mark goes.
    pub(super) fn late_clones(&self, removal: Removal) -> Planned<Vec<Place>> {
        let here = self.recorded.intent.as_ref().map(|intent| &intent.place);
        let mut late = Vec::new();
        for place in self.other_claims(here)? {
            let attempts = || self.recorded.attempts.iter().filter(|attempt| attempt.vmid == Some(place.vmid));
            // On whichever node of the cluster it is now. One that ran under this VMID since is not to be taken for it.
            let last_here = attempts().rfind(|attempt| self.is_same_site(&attempt.node, &place.node));
            let failed_here = last_here.is_some_and(|attempt| attempt.outcome.never_ran());
            // A backup that somebody restored on another host keeps the VMID; it is not ours for that.
            let copied =
                attempts().next().is_some() && attempts().all(|attempt| !self.is_same_site(&attempt.node, &place.node));
            if copied || (removal == Removal::FailedAttempt && here.is_some_and(|here| here.vmid == place.vmid)) {
                continue;
            }
            // The list may be from before.
            let meant = match self.sight(&place)? {
                Seen::Present(machine) => {
                    let unmarked = machine.config.smbios_uuid() != Some(self.owner.smbios_uuid(place.vmid));
                    whose(self.owner, &place, &machine.config) == Whose::Ours
                        && (removal == Removal::Deletion || failed_here || unmarked)
                }
                Seen::Unknown(_) => removal == Removal::Deletion,
                Seen::Absent => false,
            };
            if meant {
                late.push(place);
            }
        }
        // One that has only just begun bears no mark yet, and is told by its place.
        for place in self.failed_places() {
            let known = here == Some(&place) || self.recorded.leftovers.iter().any(|left| left.place == place);
            // The list may be from before, and who ends looks for the last time.
            if known || late.contains(&place) || !(self.ends || self.lists(&place)) {
                continue;
            }
            let meant = match self.sight(&place)? {
                Seen::Present(machine) => match whose(self.owner, &place, &machine.config) {
                    Whose::Undecided => true,
                    // Its mark was found above, if the list knows of it.
                    Whose::Ours => self.ends,
                    Whose::Foreign => false,
                },
                Seen::Absent | Seen::Unknown(_) => false,
            };
            if meant {
                late.push(place);
            }
        }
        Ok(late)
    }

    /// Where attempts failed, and nothing ran since.
    fn failed_places(&self) -> Vec<Place> {
        let mut last: BTreeMap<Place, AttemptOutcome> = BTreeMap::new();
        for attempt in &self.recorded.attempts {
            if let Some(vmid) = attempt.vmid {
                last.insert(Place { node: attempt.node.clone(), vmid }, attempt.outcome);
            }
        }
        last.into_iter().filter(|(_, outcome)| outcome.never_ran()).map(|(place, _)| place).collect()
    }

    /// Records a machine that was found by its marks. The second mark comes before the first boot: with it the machine
    /// may have run for years, and is never made anew by itself.
    pub(super) fn take_over(&self, place: &Place) -> Planned {
        // What works on it may be about to remove it.
        if self.is_busy(place) {
            let message = format!("VM {} on {} carries our mark, and a task works on it", place.vmid, place.node);
            return Ok(Step::Wait(Reason::new("Busy", message)));
        }
        let stage = match self.sight(place)? {
            // One that was there before ran before, and never had the second mark.
            Seen::Present(machine) if self.adopted && whose(self.owner, place, &machine.config) == Whose::Ours => {
                Stage::Established
            }
            Seen::Present(machine) if machine.config.smbios_uuid() == Some(self.owner.smbios_uuid(place.vmid)) => {
                Stage::Established
            }
            Seen::Present(machine) if whose(self.owner, place, &machine.config) == Whose::Ours => Stage::Creating,
            Seen::Present(_) | Seen::Absent | Seen::Unknown(_) => {
                let message = format!("VM {} on {} carries our mark and cannot be read", place.vmid, place.node);
                return Ok(Step::Wait(Reason::new("NodeUnreachable", message)));
            }
        };
        let place = place.clone();
        Ok(self.record(|recorded| {
            *recorded = Recorded {
                lost: false,
                intent: Some(Intent {
                    place,
                    template: None,
                    template_node: None,
                    storage: None,
                    attempt: recorded.attempts_total.max(1),
                    stage,
                    reason: None,
                    retries: 0,
                    since: self.now,
                }),
                task: None,
                ..recorded.clone()
            };
        }))
    }
}

/// Several machines claim to be the object's.
pub(super) fn claimants(places: &[Place]) -> Reason {
    let places: Vec<_> = places.iter().map(|place| format!("VM {} on {}", place.vmid, place.node)).collect();
    Reason::new(
        "SeveralClaimants",
        format!(
            "{} carry the mark of this object; none is touched. Remove the mark from the notes of all but one",
            places.join(" and ")
        ),
    )
}
