//! Removing: a failed attempt, what earlier attempts left, and everything when the object is deleted.

use super::{
    Action, AttemptOutcome, Context, Intent, Leftover, Machine, Place, Planned, Power, Reason, Removal, Sight, Stage,
    Step, Task, TaskAction, TaskSight, Volumes,
    whose::{Whose, whose},
};

/// What is at a place that is to be empty.
enum Remains {
    /// Nothing of ours.
    Nothing,
    /// This brings it closer.
    Step(Step),
    /// It cannot be removed now; why, and the command that helps.
    Stuck(Reason, Option<String>),
    /// It is somebody else's.
    Foreign,
}

impl Context<'_> {
    /// The next step of a deletion: the machine, what earlier attempts left, then the finalizer.
    pub(super) fn remove_everything(&self) -> Planned {
        if let Some(intent) = &self.recorded.intent {
            return self.remove_attempt(intent, Removal::Deletion);
        }
        if let Some(step) = self.await_any_task()? {
            return Ok(step);
        }
        if let Some(step) = self.remove_leftovers(Removal::Deletion)? {
            return Ok(step);
        }
        // A clone call that was under way when the process died may have been carried out after its attempt was over.
        let late = self.other_claims(None)?;
        if !late.is_empty() {
            return Ok(self.record(|recorded| {
                recorded.leftovers.extend(late.into_iter().map(|place| Leftover {
                    reason: format!("VM {} on {} was made by an earlier attempt", place.vmid, place.node),
                    place,
                    command: None,
                    since: self.now,
                }));
            }));
        }
        Ok(Step::Release)
    }

    /// The next step of removing an attempt.
    pub(super) fn remove_attempt(&self, intent: &Intent, removal: Removal) -> Planned {
        if let Some(step) = self.cancel_task(intent, removal)? {
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
            Remains::Foreign if removal == Removal::FailedAttempt || intent.stage == Stage::Creating => ended(),
            Remains::Foreign => Step::Stall(self.not_ours(place)),
            Remains::Stuck(reason, Some(command)) => {
                let failed = intent.reason.clone().unwrap_or_else(|| reason.clone());
                self.leave_behind(intent, failed, reason.message, Some(command))
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
        for leftover in &self.recorded.leftovers {
            match self.remains(&leftover.place, None, removal)? {
                Remains::Nothing | Remains::Foreign => {
                    return Ok(Some(self.record(|recorded| {
                        recorded.leftovers.retain(|other| other.place != leftover.place);
                    })));
                }
                Remains::Step(step @ (Step::Act(_) | Step::Record(_))) => return Ok(Some(step)),
                Remains::Step(step) => waiting = waiting.or(Some(step)),
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

    /// What is at a place, and what removes it.
    fn remains(&self, place: &Place, intent: Option<&Intent>, removal: Removal) -> Planned<Remains> {
        let Place { node, vmid } = place;
        match self.sight(place)? {
            Sight::Unknown(why) => Ok(Remains::Stuck(
                Reason::new("NodeUnreachable", format!("{node} cannot be asked about VM {vmid}: {why}")),
                None,
            )),
            Sight::Absent => match intent {
                Some(intent) if removal == Removal::Deletion => match self.moved(intent)? {
                    Some(remains) => Ok(remains),
                    None => self.loose_volumes(place),
                },
                _ => self.loose_volumes(place),
            },
            Sight::Present(machine) => Ok(match whose(self.owner, place, &machine.config) {
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
            let message = format!("VM {vmid} on {node} is locked ({lock}); it is removed when that has ended");
            return Remains::Stuck(Reason::new("Locked", message), None);
        }
        if machine.config.is_protected() {
            let message =
                format!("VM {vmid} on {node} is protected; take the protection away in Proxmox to let it be removed");
            return Remains::Stuck(Reason::new("Protected", message), None);
        }
        match (machine.power, removal, intent) {
            (Power::Stopped, ..) => Remains::Step(Step::Act(Action::Destroy(place.clone()))),
            (_, Removal::Deletion, _) => Remains::Step(Step::Act(Action::Stop(place.clone()))),
            // It runs after all, so it is no failed attempt.
            (_, Removal::FailedAttempt, Some(intent)) => Remains::Step(self.record_intent(intent, |intent| {
                intent.stage = Stage::Starting;
                intent.reason = None;
            })),
            (_, Removal::FailedAttempt, None) => {
                let message = format!("VM {vmid} on {node} was started by somebody and is not removed while it runs");
                Remains::Stuck(Reason::new("Running", message), None)
            }
        }
    }

    /// A clone or a destroy that was cut short. Locks of that kind are for root alone to lift.
    fn half_made(&self, place: &Place, intent: Option<&Intent>, machine: &Machine) -> Remains {
        let Place { node, vmid } = place;
        if intent.is_some_and(|intent| self.running_clones(intent) > 0) || self.is_busy(place) {
            let message = format!("VM {vmid} on {node} is still being made or removed");
            return Remains::Stuck(Reason::new("Busy", message), None);
        }
        let lock = machine.config.lock().unwrap_or("clone");
        let command = match lock {
            "destroyed" => format!("qm destroy {vmid} --skiplock 1 --purge"),
            _ => format!("qm unlock {vmid} && qm destroy {vmid} --purge"),
        };
        let message = format!("VM {vmid} on {node} is half made and locked ({lock}); only root can lift that");
        Remains::Stuck(Reason::new("NeedsAdministrator", message), Some(command))
    }

    /// Before a deletion believes that a machine is gone, its siblings are asked: it may have been moved.
    fn moved(&self, intent: &Intent) -> Planned<Option<Remains>> {
        if !matches!(intent.stage, Stage::Starting | Stage::Established) {
            return Ok(None);
        }
        let place = &intent.place;
        for node in self.siblings(&place.node) {
            let other = Place { node, vmid: place.vmid };
            match self.sight(&other)? {
                Sight::Absent => {}
                Sight::Present(machine) if whose(self.owner, &other, &machine.config) == Whose::Ours => {
                    let step = self.record_intent(intent, |intent| intent.place = other);
                    return Ok(Some(Remains::Step(step)));
                }
                Sight::Present(_) => {}
                // The cluster's list names the machines of nodes that are down, too.
                Sight::Unknown(_) if !self.lists(&other) => {}
                Sight::Unknown(why) => {
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
            Some(volume) if volume.shared => Remains::Stuck(
                Reason::new(
                    "VolumeLeft",
                    format!(
                        "volume {} is left on a shared storage, where another cluster's may have the same name",
                        volume.id
                    ),
                ),
                Some(format!("pvesm free {}", volume.id)),
            ),
            Some(volume) => {
                Remains::Step(Step::Act(Action::FreeVolume { place: place.clone(), volume: volume.id.clone() }))
            }
        })
    }

    /// A clone that is given up is stopped; any other task is awaited.
    fn cancel_task(&self, intent: &Intent, removal: Removal) -> Planned<Option<Step>> {
        match &self.recorded.task {
            Some(task) if task.action == TaskAction::Clone => match self.task_sight(task)? {
                TaskSight::Running(_) => Ok(Some(Step::Act(Action::StopTask(task.clone())))),
                _ => self.await_task_of(Some(intent), removal),
            },
            Some(Task { .. }) => self.await_task_of(Some(intent), removal),
            None => Ok(None),
        }
    }
}
