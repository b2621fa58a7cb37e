//! From an intent to a machine that may be started.

use super::{
    Action, AttemptOutcome, Context, Fleet, Intent, Machine, MachineSpec, Place, Planned, Power, Reason, Removal, Seen,
    Stage, Step,
    remove::Remains,
    sites::Elsewhere,
    whose::{Whose, claimants, whose},
};
use crate::proxmox::identity;

impl Context<'_> {
    /// The next step of a machine that never ran.
    pub(super) fn create(&self, spec: &MachineSpec, fleet: &Fleet, intent: &Intent) -> Planned {
        if let Some(step) = self.await_task(Removal::FailedAttempt)? {
            return Ok(step);
        }
        // Nothing has to be looked at while nothing was begun.
        if let Some(reason) = self.queued(fleet, intent) {
            return Ok(Step::Wait(reason));
        }
        let place = &intent.place;
        match self.sight(place)? {
            Seen::Unknown(why) => Ok(self.node_lost(intent, why)),
            Seen::Absent => self.clone_template(spec, intent),
            Seen::Present(machine) => match whose(self.owner, place, &machine.config) {
                Whose::Foreign => Ok(self.vmid_taken(intent)),
                Whose::Undecided => Ok(self.unfinished_clone(intent, machine)),
                Whose::Ours if machine.config.lock() == Some("clone") => Ok(self.unfinished_clone(intent, machine)),
                Whose::Ours => Ok(self.configure(spec, intent, machine)),
            },
        }
    }

    fn clone_template(&self, spec: &MachineSpec, intent: &Intent) -> Planned {
        let place = &intent.place;
        // A status from an older backup may speak of an attempt that is long over.
        if let Some(stall) = self.claim_out_of_reach() {
            return Ok(stall);
        }
        match self.other_claims(Some(place))?.as_slice() {
            [] => {}
            [elsewhere] => return self.take_over(elsewhere),
            places => return Ok(Step::Stall(claimants(places))),
        }
        if let Some(source) = self.at_its_template(intent)? {
            return Ok(self.record_intent(intent, |intent| intent.place = source));
        }
        match self.elsewhere(place)? {
            // It has just been moved from its template's node, and the list is from before.
            Elsewhere::Nobody if intent.template_node.is_some() && self.lists(place) => {
                let message =
                    format!("VM {} has left {}; waiting until the list shows where it is", place.vmid, place.node);
                return Ok(Step::Wait(Reason::new("Busy", message)));
            }
            // It stood there while it was cloned to another node, and has gone.
            Elsewhere::Nobody if intent.template_node.as_ref() == Some(&place.node) => {
                let reason = Reason::new("CloneFailed", format!("the clone to VM {} disappeared", place.vmid));
                return Ok(self.record(|recorded| recorded.end_intent(AttemptOutcome::Failed, reason, self.now)));
            }
            Elsewhere::Nobody => {}
            Elsewhere::Somebody => return Ok(self.vmid_taken(intent)),
            Elsewhere::Ours(moved) => return Ok(self.record_intent(intent, |intent| intent.place = moved)),
        }
        let Some(template) = intent.template else {
            let reason = Reason::new("Disappeared", "the machine that was found by its marks disappeared");
            return Ok(self.record(|recorded| recorded.end_intent(AttemptOutcome::Skipped, reason, self.now)));
        };
        Ok(Step::Act(Action::Clone {
            place: place.clone(),
            source: intent.template_node.clone().unwrap_or_else(|| place.node.clone()),
            template,
            linked: spec.linked,
            storage: spec.storage.clone(),
            pool: spec.pool.clone(),
            name: spec.name.clone(),
            description: identity::compose("", &self.owner.mark(place.vmid)),
        }))
    }

    /// A clone to another node stands on that of its template until it has ended.
    pub(super) fn at_its_template(&self, intent: &Intent) -> Planned<Option<Place>> {
        let Some(node) = intent.template_node.clone().filter(|node| *node != intent.place.node) else {
            return Ok(None);
        };
        let source = Place { node, vmid: intent.place.vmid };
        if !self.lists(&source) {
            return Ok(None);
        }
        Ok(match self.sight(&source)? {
            Seen::Present(machine) if whose(self.owner, &source, &machine.config) != Whose::Foreign => Some(source),
            Seen::Present(_) | Seen::Absent | Seen::Unknown(_) => None,
        })
    }

    /// Everything is set before the first boot: the config, the size of the disk, then the start is written down.
    fn configure(&self, spec: &MachineSpec, intent: &Intent, machine: &Machine) -> Step {
        if let Some(blocked) = self.blocked(&intent.place, machine) {
            return blocked;
        }
        if machine.power != Power::Stopped {
            return self.starting(intent);
        }
        // A clone that was killed and unlocked by hand bears our mark, and lacks what was not copied yet.
        if machine.config.boot_disk().is_none() {
            let message = format!("VM {} on {} has no boot disk", intent.place.vmid, intent.place.node);
            return self.record(|recorded| recorded.give_up(Reason::new("CloneIncomplete", message)));
        }
        // Never sent before it is written down: from here on the machine may have run.
        self.change(spec, intent, machine).unwrap_or_else(|| match spec.power.state {
            Some(Power::Running | Power::Paused) => self.starting(intent),
            Some(Power::Stopped) | None => self.establish(&intent.place, Power::Stopped),
        })
    }

    /// From here on the machine may have run.
    pub(super) fn starting(&self, intent: &Intent) -> Step {
        self.record_intent(intent, |intent| {
            intent.stage = Stage::Starting;
            intent.reason = None;
            intent.since = self.now;
        })
    }

    /// What keeps the machine from being changed.
    pub(super) fn blocked(&self, place: &Place, machine: &Machine) -> Option<Step> {
        if machine.config.is_template() {
            let message = format!("VM {} on {} was made a template; make a new machine", place.vmid, place.node);
            return Some(Step::Stall(Reason::new("BecameTemplate", message)));
        }
        let lock = machine.config.lock()?;
        Some(Step::Wait(Reason::new(
            "Locked",
            format!("VM {} on {} is locked ({lock}); waiting until that has ended", place.vmid, place.node),
        )))
    }

    /// A clone that is not finished: it is awaited while it may run, and given up when it does not.
    fn unfinished_clone(&self, intent: &Intent, machine: &Machine) -> Step {
        let place = &intent.place;
        match self.half_made(place, Some(intent), machine) {
            Remains::Stuck(why, Some(command)) => {
                let message = format!("the clone to VM {} ended without cleaning up", place.vmid);
                self.leave_behind(Reason::new("CloneKilled", message), why.message, Some(command))
            }
            _ => Step::Wait(Reason::new("Cloning", format!("VM {} on {} is being cloned", place.vmid, place.node))),
        }
    }

    /// The node of a machine that never ran cannot be asked: it is left behind when the node is really gone.
    pub(super) fn node_lost(&self, intent: &Intent, why: &str) -> Step {
        let Place { node, vmid } = &intent.place;
        if !self.is_gone(node) {
            return Step::Wait(Reason::new("NodeUnreachable", format!("{node} cannot be asked: {why}")));
        }
        self.leave_behind(
            Reason::new("NodeLost", format!("{node} was lost: {why}")),
            format!("{node} cannot be asked whether VM {vmid} is there"),
            None,
        )
    }

    /// The attempt ends, and what it left joins the leftovers.
    pub(super) fn leave_behind(&self, reason: Reason, why: String, command: Option<String>) -> Step {
        self.record(|recorded| recorded.leave_behind(reason, why, command, self.now))
    }

    /// Somebody else has the VMID: another one is chosen.
    fn vmid_taken(&self, intent: &Intent) -> Step {
        let reason = Reason::new("VmidTaken", format!("VMID {} was taken by somebody else", intent.place.vmid));
        self.record(|recorded| recorded.end_intent(AttemptOutcome::Skipped, reason, self.now))
    }
}
