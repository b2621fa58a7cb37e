//! Removing: a failed attempt, what earlier attempts left, and everything when the object is deleted.

use jiff::SignedDuration;

use super::{
    Action, AttemptOutcome, ConfigValues, Context, Intent, Leftover, Machine, Place, Planned, Power, Reason, Recorded,
    Removal, Seen, Stage, Step, TaskAction, TaskSight, Volume, Volumes,
    whose::{Whose, whose},
};
use crate::proxmox::inventory::Reach;

/// What is at a place that is to be empty.
pub(super) enum Remains {
    /// Nothing of ours.
    Nothing,
    /// This brings it closer.
    Step(Step),
    /// It cannot be removed now; why, and the command that helps.
    Stuck(Reason, Option<String>),
    /// It is somebody else's.
    Foreign,
}

/// The word for what is still being made or removed.
const BUSY: &str = "Busy";
/// How root lifts the lock of a clone.
const UNLOCK: &str = "qm unlock";
/// How root removes what is locked for being removed.
const SKIP_LOCK: &str = "--skiplock 1";
/// How long a leftover that could not be removed is left alone, while the object lives.
const LEFTOVER_PAUSE: SignedDuration = SignedDuration::from_secs(15);

impl Context<'_> {
    /// The next step of a deletion: the machine, what earlier attempts left, then the finalizer.
    pub(super) fn remove_everything(&self) -> Planned {
        if let Some(intent) = &self.recorded.intent {
            return match intent.stage {
                Stage::Adopting => self.end_adoption(intent),
                Stage::Creating | Stage::Starting | Stage::Established | Stage::Abandoning => {
                    self.remove_attempt(intent, Removal::Deletion)
                }
            };
        }
        if let Some(step) = self.await_task(Removal::Deletion)? {
            return Ok(step);
        }
        if let Some(step) = self.remove_leftovers(Removal::Deletion)? {
            return Ok(step);
        }
        let late = self.late_clones(Removal::Deletion)?;
        if !late.is_empty() {
            return Ok(self.record(|recorded| self.add_late(recorded, late)));
        }
        Ok(self.claim_out_of_reach().unwrap_or(Step::Release))
    }

    /// What an object that lives does when nothing else is to be done: look whether something that was left behind can
    /// go now.
    pub(super) fn tidy(&self) -> Planned<Option<Step>> {
        let late = self.late_clones(Removal::FailedAttempt)?;
        if !late.is_empty() {
            return Ok(Some(self.record(|recorded| self.add_late(recorded, late))));
        }
        self.remove_leftovers(Removal::FailedAttempt)
    }

    pub(super) fn add_late(&self, recorded: &mut Recorded, late: Vec<Place>) {
        recorded.leftovers.extend(late.into_iter().map(|place| Leftover {
            reason: format!("VM {} on {} was made by an earlier attempt", place.vmid, place.node),
            place,
            command: None,
            since: self.now,
        }));
    }

    /// The next step of removing an attempt.
    pub(super) fn remove_attempt(&self, intent: &Intent, removal: Removal) -> Planned {
        if let Some(step) = self.cancel_task(removal)? {
            return Ok(step);
        }
        let place = &intent.place;
        let ended = || {
            let reason = intent.reason.clone().unwrap_or_else(|| Reason::new("Deleted", "the object was deleted"));
            self.record(|recorded| recorded.end_intent(AttemptOutcome::Failed, reason, self.now))
        };
        Ok(match self.remains(place, Some(intent), removal)? {
            Remains::Nothing => ended(),
            Remains::Step(step) => step,
            Remains::Foreign => match intent.stage {
                Stage::Creating | Stage::Adopting | Stage::Abandoning => ended(),
                Stage::Starting | Stage::Established => {
                    let mut reason = self.not_ours(place);
                    reason.message +=
                        ". If it is not, set spec.deletionPolicy to Orphan, and this object goes without asking";
                    Step::Stall(reason)
                }
            },
            Remains::Stuck(reason, Some(command)) => {
                let failed = intent.reason.clone().unwrap_or_else(|| reason.clone());
                self.leave_behind(failed, reason.message, Some(command))
            }
            Remains::Stuck(reason, None) if removal == Removal::FailedAttempt && reason.word == "NodeUnreachable" => {
                self.node_lost(intent, &reason.message)
            }
            Remains::Stuck(reason, None) => Step::Wait(reason),
        })
    }

    /// The next step for what earlier attempts left, if one can be taken or must be awaited.
    pub(super) fn remove_leftovers(&self, removal: Removal) -> Planned<Option<Step>> {
        let mut waiting = None;
        let here = self.recorded.intent.as_ref().map(|intent| &intent.place);
        for leftover in &self.recorded.leftovers {
            if here == Some(&leftover.place) {
                return Ok(Some(self.forget_leftover(&leftover.place)));
            }
            if removal == Removal::FailedAttempt && self.is_left_alone(leftover) {
                continue;
            }
            match self.remains(&leftover.place, None, removal)? {
                Remains::Nothing | Remains::Foreign => {
                    return Ok(Some(self.forget_leftover(&leftover.place)));
                }
                Remains::Step(step @ (Step::Act(_) | Step::Record(_))) => return Ok(Some(step)),
                Remains::Step(step) => waiting = waiting.or(Some(step)),
                Remains::Stuck(reason, command) if command.is_some() && command != leftover.command => {
                    return Ok(Some(self.record(|recorded| {
                        for known in &mut recorded.leftovers {
                            if known.place == leftover.place {
                                known.reason.clone_from(&reason.message);
                                known.command.clone_from(&command);
                            }
                        }
                    })));
                }
                // No command is given while something works on it.
                Remains::Stuck(reason, None) if reason.word == BUSY => waiting = waiting.or(Some(Step::Wait(reason))),
                Remains::Stuck(reason, command) => {
                    let command = command.or_else(|| leftover.command.clone());
                    let help = command.map(|command| {
                        format!("; an administrator can help on {} with: {command}", leftover.place.node)
                    });
                    let message = format!("{}{}", reason.message, help.unwrap_or_default());
                    waiting = waiting.or(Some(Step::Wait(Reason::new("LeftoverRemains", message))));
                }
            }
        }
        // While the object lives, what is left behind holds up nothing.
        Ok(waiting.filter(|_| removal == Removal::Deletion))
    }

    fn forget_leftover(&self, place: &Place) -> Step {
        self.record(|recorded| recorded.leftovers.retain(|other| other.place != *place))
    }

    /// Whether another look at a leftover would be in vain, by what the inventory shows.
    fn is_left_alone(&self, leftover: &Leftover) -> bool {
        let Leftover { place, command, since, .. } = leftover;
        if !self.node(&place.node).is_some_and(|node| node.reach == Reach::Online) {
            return true;
        }
        match command {
            // Root was told how to lift the lock; when it is gone, the list shows it.
            Some(command) if is_for_root(command) => self.lists(place) && !self.lists_lock(place, None),
            Some(_) | None => !self.is_ahead(*since) && self.now.duration_since(*since) < LEFTOVER_PAUSE,
        }
    }

    /// What is at a place, and what removes it.
    fn remains(&self, place: &Place, intent: Option<&Intent>, removal: Removal) -> Planned<Remains> {
        let Place { node, vmid } = place;
        match self.sight(place)? {
            Seen::Unknown(why) => Ok(Remains::Stuck(
                Reason::new("NodeUnreachable", format!("{node} cannot be asked about VM {vmid}: {why}")),
                None,
            )),
            Seen::Absent => match self.moved(place, intent)? {
                Some(remains) => Ok(remains),
                None => self.loose_volumes(place),
            },
            Seen::Present(machine) => Ok(match whose(self.owner, place, &machine.config) {
                Whose::Foreign => Remains::Foreign,
                Whose::Undecided => self.half_made(place, intent, machine),
                Whose::Ours if machine.config.lock() == Some("clone") => self.half_made(place, intent, machine),
                Whose::Ours => self.destroy(place, intent, machine, removal),
            }),
        }
    }

    fn destroy(&self, place: &Place, intent: Option<&Intent>, machine: &Machine, removal: Removal) -> Remains {
        let Place { node, vmid } = place;
        if let Some(lock) = machine.config.lock() {
            let message = format!(
                "VM {vmid} on {node} is locked ({lock}) and is removed when that has ended; if nothing works on it any more, \
                 an administrator can help with: qm unlock {vmid}"
            );
            return Remains::Stuck(Reason::new("Locked", message), None);
        }
        let used = intent.is_some_and(|intent| intent.stage == Stage::Established);
        match self.protection {
            Some(true) if used && removal == Removal::Deletion => {
                let message = format!(
                    "spec.protection is true, so VM {vmid} on {node} is kept; set it to false to let it be removed"
                );
                return Remains::Stuck(Reason::new("Protected", message), None);
            }
            // The spec says that it is not to be, so that is ours to take away.
            Some(false) if machine.config.is_protected() => {
                return Remains::Step(Step::Act(Action::Configure {
                    place: place.clone(),
                    set: ConfigValues(vec![("protection".to_owned(), "0".to_owned())]),
                    delete: Vec::new(),
                    password: None,
                    digest: machine.config.digest().map(str::to_owned),
                }));
            }
            Some(_) | None if machine.config.is_protected() => {
                let message = format!(
                    "VM {vmid} on {node} is protected; take the protection away in Proxmox to let it be removed"
                );
                return Remains::Stuck(Reason::new("Protected", message), None);
            }
            Some(_) | None => {}
        }
        match (machine.power, removal, intent) {
            (Power::Stopped, ..) => Remains::Step(Step::Act(Action::Destroy(place.clone()))),
            // The wait for a guest that shuts down holds the lock that a stop needs.
            (_, Removal::Deletion, _) => Remains::Step(Step::Act(match self.running_shutdown(place) {
                Some(task) => Action::StopTask(task),
                None => Action::Stop(place.clone()),
            })),
            // It runs after all, so it is no failed attempt.
            (_, Removal::FailedAttempt, Some(intent)) => Remains::Step(self.starting(intent)),
            (_, Removal::FailedAttempt, None) => {
                let message = format!("VM {vmid} on {node} was started by somebody and is not removed while it runs");
                Remains::Stuck(Reason::new("Running", message), None)
            }
        }
    }

    /// A clone or a destroy that was cut short. Locks of that kind are for root alone to lift.
    pub(super) fn half_made(&self, place: &Place, intent: Option<&Intent>, machine: &Machine) -> Remains {
        let Place { node, vmid } = place;
        let dated = !self.lists_lock(place, machine.config.lock());
        if dated || self.is_cloning(place, intent) || self.is_busy(place) {
            let message = format!("VM {vmid} on {node} is still being made or removed");
            return Remains::Stuck(Reason::new(BUSY, message), None);
        }
        let lock = machine.config.lock().unwrap_or("clone");
        let command = match lock {
            "destroyed" => format!("qm destroy {vmid} {SKIP_LOCK} --purge"),
            _ => format!("{UNLOCK} {vmid} && qm destroy {vmid} --purge"),
        };
        let message = format!("VM {vmid} on {node} is half made and locked ({lock}); only root can lift that");
        Remains::Stuck(Reason::new("NeedsAdministrator", message), Some(command))
    }

    /// Before a machine is believed to be gone, its siblings are asked: somebody may have moved it.
    pub(super) fn moved(&self, place: &Place, intent: Option<&Intent>) -> Planned<Option<Remains>> {
        if let Some(intent) = intent
            && let Some(source) = self.at_its_template(intent)?
        {
            return Ok(Some(Remains::Step(self.record_intent(intent, |intent| intent.place = source))));
        }
        for node in self.siblings(&place.node) {
            let other = Place { node, vmid: place.vmid };
            match self.sight(&other)? {
                Seen::Absent => {}
                Seen::Present(machine) if whose(self.owner, &other, &machine.config) == Whose::Ours => {
                    let step = match intent {
                        Some(intent) => self.record_intent(intent, |intent| intent.place = other),
                        // It is the attempt's own.
                        None if self.recorded.intent.as_ref().is_some_and(|intent| intent.place == other) => continue,
                        None => self.record(|recorded| {
                            recorded.leftovers.retain(|left| left.place != other);
                            if let Some(left) = recorded.leftovers.iter_mut().find(|left| left.place == *place) {
                                left.place = other;
                            }
                        }),
                    };
                    return Ok(Some(Remains::Step(step)));
                }
                Seen::Present(_) => {}
                // The cluster's list names the machines of nodes that are down, too.
                Seen::Unknown(_) if !self.lists(&other) => {}
                Seen::Unknown(why) => {
                    let message = format!("VM {} may be on {}, which cannot be asked: {why}", place.vmid, other.node);
                    return Ok(Some(Remains::Stuck(Reason::new("NodeUnreachable", message), None)));
                }
            }
        }
        Ok(None)
    }

    /// The machine is gone; its volumes may not be.
    fn loose_volumes(&self, place: &Place) -> Planned<Remains> {
        let Place { node, vmid } = place;
        let volumes = match self.volumes(place)? {
            Volumes::Known(stored) => &stored.volumes,
            Volumes::Unknown(why) => {
                let message = format!("{node} cannot say whether volumes of VM {vmid} are left: {why}");
                return Ok(Remains::Stuck(Reason::new("NodeUnreachable", message), None));
            }
        };
        Ok(match volumes.first() {
            None => Remains::Nothing,
            Some(volume) => match self.other_holder(place) {
                // They are those of the container that has the VMID now.
                Some(holder) if holder == self.proxmox_name(node) => Remains::Nothing,
                Some(holder) => Remains::Stuck(
                    Reason::new(
                        "VolumeLeft",
                        format!(
                            "volume {} is left on {node}, and VMID {vmid} is another guest's on {holder} now; if it is no \
                             copy of that guest's, it can be removed",
                            volume.id
                        ),
                    ),
                    Some(format!("pvesm free {}", volume.id)),
                ),
                None => self.free(place, volume),
            },
        })
    }

    fn free(&self, place: &Place, volume: &Volume) -> Remains {
        if !volume.shared {
            return Remains::Step(Step::Act(Action::FreeVolume { place: place.clone(), volume: volume.id.clone() }));
        }
        let message =
            format!("volume {} is left on a shared storage, where another cluster's may have the same name", volume.id);
        Remains::Stuck(Reason::new("VolumeLeft", message), Some(format!("pvesm free {}", volume.id)))
    }

    /// A clone that is given up is stopped, and so is the wait for a guest that is to go anyway; any other task is awaited.
    fn cancel_task(&self, removal: Removal) -> Planned<Option<Step>> {
        match &self.recorded.task {
            Some(task)
                if matches!(task.action, TaskAction::Clone | TaskAction::Shutdown)
                    && matches!(self.task_sight(task)?, TaskSight::Running(_)) =>
            {
                Ok(Some(Step::Act(Action::StopTask(task.clone()))))
            }
            _ => self.await_task(removal),
        }
    }
}

/// Whether a command lifts a lock, which no token may do.
fn is_for_root(command: &str) -> bool {
    command.starts_with(UNLOCK) || command.contains(SKIP_LOCK)
}
