//! A machine that was started: first to its rest, then kept there.

use super::{
    Attempt, AttemptOutcome, Context, Intent, Machine, MachineSpec, Place, Planned, Power, Reason, Removal, Seen,
    Stage, Step, config, notes,
    whose::{Whose, claimants, whose},
};

impl Context<'_> {
    /// The next step of a machine whose start was posted.
    pub(super) fn keep(&self, spec: &MachineSpec, intent: &Intent) -> Planned {
        if let Some(step) = self.await_task(Removal::FailedAttempt)? {
            return Ok(step);
        }
        let place = &intent.place;
        match self.sight(place)? {
            Seen::Unknown(why) => Ok(Step::Wait(Reason::new(
                "NodeUnreachable",
                format!("{} cannot be asked about VM {}: {why}", place.node, place.vmid),
            ))),
            Seen::Absent => self.missing(spec, intent),
            Seen::Present(machine) => match whose(self.owner, place, &machine.config) {
                Whose::Foreign => Ok(Step::Stall(self.not_ours(place))),
                Whose::Undecided => Ok(Step::Wait(Reason::new(
                    "Locked",
                    format!("VM {} on {} is being made or removed by somebody else", place.vmid, place.node),
                ))),
                Whose::Ours => Ok(self.run(spec, intent, machine)),
            },
        }
    }

    fn run(&self, spec: &MachineSpec, intent: &Intent, machine: &Machine) -> Step {
        let place = &intent.place;
        let pending = config::pending(spec, self.recorded, machine);
        let due = match self.change(spec, intent, machine) {
            Some(change) => Some(change),
            // From now on it is a machine that ran.
            None if intent.stage == Stage::Starting && machine.power != Power::Stopped => {
                return self.establish(place, machine.power);
            }
            None => match self.reboot(spec, machine, &pending) {
                Ok(reboot) => self.power(spec, intent, machine, reboot),
                Err(record) => return record,
            },
        };
        if let Some(step) = due {
            return match step {
                // It changes nothing in Proxmox.
                Step::Wait(_) => step,
                step => self.blocked(place, machine).unwrap_or(step),
            };
        }
        if intent.stage == Stage::Starting {
            return self.establish(place, machine.power);
        }
        if let Some(value) = notes::restart_done(spec, self.recorded, machine) {
            return self.record(|recorded| recorded.restarted = Some(value));
        }
        Step::Rest { power: machine.power, pending }
    }

    /// The machine is what it was to become.
    pub(super) fn establish(&self, place: &Place, power: Power) -> Step {
        let (word, what) = match power {
            Power::Running => ("Running", "runs"),
            Power::Paused => ("Paused", "is paused"),
            Power::Stopped => ("Stopped", "is ready to be started"),
        };
        self.record(|recorded| {
            if let Some(intent) = &mut recorded.intent {
                intent.stage = Stage::Established;
                intent.retries = 0;
            }
            recorded.push_attempt(Attempt {
                node: place.node.clone(),
                vmid: Some(place.vmid),
                outcome: AttemptOutcome::Succeeded,
                reason: Reason::new(word, format!("VM {} {what} on {}", place.vmid, place.node)),
                time: self.now,
            });
        })
    }

    /// The node says that it has no such machine: it moved, or nobody has it.
    fn missing(&self, spec: &MachineSpec, intent: &Intent) -> Planned {
        let place = &intent.place;
        for other in self.siblings(&place.node) {
            let other = Place { node: other, vmid: place.vmid };
            match self.sight(&other)? {
                Seen::Absent => {}
                Seen::Present(machine) if whose(self.owner, &other, &machine.config) == Whose::Ours => {
                    return Ok(self.record_intent(intent, |intent| intent.place = other));
                }
                Seen::Present(_) => {}
                Seen::Unknown(why) => {
                    return Ok(Step::Wait(Reason::new(
                        "NodeUnreachable",
                        format!(
                            "VM {} is not on {}, and {} cannot be asked: {why}",
                            place.vmid, place.node, other.node
                        ),
                    )));
                }
            }
        }
        if let Some(stall) = self.claim_out_of_reach() {
            return Ok(stall);
        }
        Ok(match intent.stage {
            Stage::Established if spec.recreate => self.make_anew(intent)?,
            Stage::Established => Step::Stall(Reason::new(
                "Missing",
                format!(
                    "VM {} is on no node any more; it is not made anew by itself. Restore it from a backup under this VMID; or \
                     delete this object; or set spec.whenMissing to Recreate for a new one without its data",
                    place.vmid
                ),
            )),
            Stage::Creating | Stage::Adopting | Stage::Starting | Stage::Abandoning => {
                let reason = Reason::new("Disappeared", "the machine disappeared before it was ready");
                self.record(|recorded| recorded.give_up(reason))
            }
        })
    }

    /// Gives up a machine that ran once: never before it is sure that it is nowhere. The list of a cluster knows at once
    /// what there is, and what it shows may have been on its way from one node to the other while they were asked.
    fn make_anew(&self, intent: &Intent) -> Planned {
        let Place { node, vmid } = &intent.place;
        let wait = |word: &str, message: String| Ok(Step::Wait(Reason::new(word, message)));
        let silent = self.unsearched();
        if !silent.is_empty() {
            let silent = silent.join(", ");
            let message = format!(
                "VM {vmid} is missing and is made anew when it is known to be nowhere; these nodes cannot be searched \
                 yet: {silent}"
            );
            return wait("SearchIncomplete", message);
        }
        let mut listed = self.listed_claims(None);
        listed.extend(self.second_marks());
        listed.sort();
        listed.dedup();
        let mut there = Vec::new();
        for place in &listed {
            if !matches!(self.sight(place)?, Seen::Absent) {
                there.push(place.clone());
            }
        }
        match (there.as_slice(), listed.is_empty()) {
            ([], true) => {}
            ([], false) => {
                return wait(
                    "Busy",
                    format!("VM {vmid} is missing; waiting until the list of the machines shows it no more"),
                );
            }
            ([place], _) => return self.take_over(place),
            (places, _) => return Ok(Step::Stall(claimants(places))),
        }
        let message = format!("VM {vmid} on {node} is gone with its data; a new one is made");
        Ok(self.record(|recorded| recorded.end_intent(AttemptOutcome::Lost, Reason::new("Missing", message), self.now)))
    }

    /// Both marks are gone, so it is not ours to touch.
    pub(super) fn not_ours(&self, place: &Place) -> Reason {
        Reason::new(
            "NotOurs",
            format!(
                "VM {} on {} carries no mark of this object and is not touched. If it is this object's machine, put this line \
                 into its notes: {}",
                place.vmid,
                place.node,
                self.owner.mark(place.vmid).line()
            ),
        )
    }
}
