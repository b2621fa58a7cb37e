//! Tasks that are awaited, and what their end and failed calls mean for the plan.

use jiff::Timestamp;

use super::{
    Action, Context, Look, Place, Planned, RETRIES_PER_NODE, Reason, Recorded, Removal, Stage, Step, Task, TaskAction,
    TaskSight,
};
use crate::proxmox::{
    outcome::{self, Outcome},
    wire::Vmid,
};

impl<'a> Context<'a> {
    pub(super) fn task_sight(&self, task: &Task) -> Planned<&'a TaskSight> {
        self.observed.tasks.get(task.upid.as_str()).ok_or_else(|| Step::Look(Look::Task(task.clone())))
    }

    /// The step that the recorded task asks for.
    pub(super) fn await_task(&self, removal: Removal) -> Planned<Option<Step>> {
        let Some(task) = &self.recorded.task else { return Ok(None) };
        Ok(Some(match self.task_sight(task)? {
            TaskSight::Running(percent) => Step::Wait(running(task, *percent)),
            TaskSight::Succeeded if task.action == TaskAction::Destroy => self.record(|recorded| {
                recorded.task = None;
                // What has its place from now on is somebody else's.
                if let Some(intent) = &mut recorded.intent
                    && intent.place.node == task.node
                    && task.upid.id() == intent.place.vmid.to_string()
                {
                    intent.stage = Stage::Abandoning;
                }
            }),
            TaskSight::Succeeded => self.record(|recorded| {
                recorded.task = None;
                recorded.note_power(task.action, self.now);
            }),
            TaskSight::Vanished => self.record(|recorded| recorded.task = None),
            // A node that is gone takes its task with it; the machine itself is looked at next.
            TaskSight::Unknown(_) if self.is_gone(&task.node) => self.record(|recorded| recorded.task = None),
            TaskSight::Unknown(why) => {
                let message = format!("{} cannot be asked about its task: {why}", task.node);
                Step::Wait(Reason::new("NodeUnreachable", message))
            }
            TaskSight::Failed(text) => {
                let outcome = outcome::of_task(task.action, text);
                let cleared = self.recorded.with(|recorded| recorded.task = None);
                let failed = Failed::task(task, &cleared);
                settle(&cleared, removal, &failed, outcome, self.now)
            }
        }))
    }
}

/// What follows from a call that failed.
pub fn failed_action(
    desired_gone: bool,
    recorded: &Recorded,
    action: &Action,
    outcome: Outcome,
    now: Timestamp,
) -> Step {
    let removal = if desired_gone { Removal::Deletion } else { Removal::FailedAttempt };
    settle(recorded, removal, &Failed::call(action, recorded), outcome, now)
}

/// What failed: a call, or the task that it started.
struct Failed {
    /// What it was to do, if a task does such.
    action: Option<TaskAction>,
    /// It was about these that earlier attempts left behind, and not about the attempt under way.
    leftovers: Vec<Place>,
    /// What an administrator can type to get it done.
    command: Option<String>,
}

impl Failed {
    fn call(action: &Action, recorded: &Recorded) -> Self {
        let (done, place, command) = match action {
            Action::Clone { .. } => (Some(TaskAction::Clone), None, None),
            Action::Resize { .. } => (Some(TaskAction::Resize), None, None),
            Action::Disk { .. } => (Some(TaskAction::Disk), None, None),
            Action::Start(_) => (Some(TaskAction::Start), None, None),
            Action::Shutdown { .. } => (Some(TaskAction::Shutdown), None, None),
            Action::Suspend(_) => (Some(TaskAction::Suspend), None, None),
            Action::Resume(_) => (Some(TaskAction::Resume), None, None),
            Action::Configure { .. } | Action::Tag { .. } | Action::Pool { .. } | Action::StopTask(_) => {
                (None, None, None)
            }
            Action::Stop(place) => (Some(TaskAction::Stop), Some(place), None),
            Action::Destroy(place) => (Some(TaskAction::Destroy), Some(place), Some(destroy_command(place.vmid))),
            Action::FreeVolume { place, volume } => {
                (Some(TaskAction::FreeVolume), Some(place), Some(format!("pvesm free {volume}")))
            }
        };
        let leftovers = recorded.leftovers.iter().map(|leftover| &leftover.place);
        Self { action: done, leftovers: leftovers.filter(|left| Some(*left) == place).cloned().collect(), command }
    }

    /// A task says its node, and in its id the VMID: `600`, or `600@local` where a volume is freed.
    fn task(task: &Task, recorded: &Recorded) -> Self {
        let removes = matches!(task.action, TaskAction::Stop | TaskAction::Destroy | TaskAction::FreeVolume);
        let digits: String = task.upid.id().chars().take_while(char::is_ascii_digit).collect();
        let vmid: Option<Vmid> = digits.parse().ok();
        let of_intent = |place: &Place| recorded.intent.as_ref().is_some_and(|intent| intent.place == *place);
        let places = recorded.leftovers.iter().map(|leftover| &leftover.place);
        let meant = places.filter(|place| {
            removes && place.node == task.node && vmid.is_none_or(|vmid| vmid == place.vmid) && !of_intent(place)
        });
        let command = vmid.filter(|_| task.action == TaskAction::Destroy).map(destroy_command);
        Self { action: Some(task.action), leftovers: meant.cloned().collect(), command }
    }
}

fn destroy_command(vmid: Vmid) -> String {
    format!("qm destroy {vmid} --purge")
}

/// What an outcome means for the record.
fn settle(recorded: &Recorded, removal: Removal, failed: &Failed, outcome: Outcome, now: Timestamp) -> Step {
    if !failed.leftovers.is_empty() {
        return settle_leftover(recorded, removal, failed, outcome, now);
    }
    let stage = recorded.intent.as_ref().filter(|_| removal == Removal::FailedAttempt).map(|intent| intent.stage);
    let give_up = |reason| Step::Record(Box::new(recorded.with(|recorded| recorded.give_up(reason))));
    let again = |reason| Step::Retry(Box::new(recorded.clone()), reason);
    let counted = recorded.with(|recorded| {
        if let Some(intent) = &mut recorded.intent {
            intent.retries = intent.retries.saturating_add(1);
        }
    });
    let exhausted = counted.intent.as_ref().is_some_and(|intent| intent.retries > RETRIES_PER_NODE);
    let count = |reason| Step::Retry(Box::new(counted.clone()), reason);

    if stage == Some(Stage::Abandoning) {
        // What cannot be removed must not keep the next node waiting.
        return match outcome {
            Outcome::LookAgain(reason) => again(reason),
            Outcome::RetryHere(reason)
            | Outcome::Wait(reason)
            | Outcome::NextNode(reason)
            | Outcome::Stalled(reason)
                if exhausted =>
            {
                Step::Record(Box::new(recorded.with(|recorded| {
                    let why = recorded.intent.as_ref().and_then(|intent| intent.reason.clone());
                    let why = why.unwrap_or_else(|| reason.clone());
                    recorded.leave_behind(why, reason.message, failed.command.clone(), now);
                })))
            }
            Outcome::RetryHere(reason)
            | Outcome::Wait(reason)
            | Outcome::NextNode(reason)
            | Outcome::Stalled(reason) => count(reason),
        };
    }
    let cloning = stage == Some(Stage::Creating) && failed.action == Some(TaskAction::Clone);
    // A machine that may have run stays where it is, whatever else fails.
    let replaceable = match stage {
        Some(Stage::Creating) => {
            matches!(failed.action, Some(TaskAction::Clone | TaskAction::Resize | TaskAction::Disk))
        }
        Some(Stage::Starting) => failed.action == Some(TaskAction::Start),
        Some(Stage::Adopting | Stage::Established | Stage::Abandoning) | None => false,
    };
    match outcome {
        Outcome::LookAgain(reason) | Outcome::RetryHere(reason) if cloning && exhausted => give_up(reason),
        Outcome::LookAgain(reason) if cloning => count(reason),
        Outcome::LookAgain(reason) | Outcome::Wait(reason) => again(reason),
        Outcome::RetryHere(reason) => count(reason),
        Outcome::NextNode(reason) if replaceable => give_up(reason),
        Outcome::NextNode(reason) => again(reason),
        Outcome::Stalled(reason) => Step::Stall(reason),
    }
}

/// What was left behind and cannot be removed holds up nothing while the object lives; its deletion goes on trying.
fn settle_leftover(recorded: &Recorded, removal: Removal, failed: &Failed, outcome: Outcome, now: Timestamp) -> Step {
    let (Outcome::LookAgain(reason)
    | Outcome::RetryHere(reason)
    | Outcome::NextNode(reason)
    | Outcome::Wait(reason)
    | Outcome::Stalled(reason)) = outcome;
    let noted = recorded.with(|recorded| {
        for leftover in &mut recorded.leftovers {
            if failed.leftovers.contains(&leftover.place) {
                leftover.reason.clone_from(&reason.message);
                leftover.command = failed.command.clone().or(leftover.command.take());
                leftover.since = now;
            }
        }
    });
    match removal {
        Removal::FailedAttempt => Step::Record(Box::new(noted)),
        Removal::Deletion => Step::Retry(Box::new(noted), reason),
    }
}

fn running(task: &Task, percent: Option<u8>) -> Reason {
    let done = percent.map(|percent| format!(" ({percent} %)")).unwrap_or_default();
    let (word, what) = match task.action {
        TaskAction::Clone => ("Cloning", "cloning the template"),
        TaskAction::Resize => ("Resizing", "growing a disk"),
        TaskAction::Disk => ("ChangingDisks", "changing the disks"),
        TaskAction::Start => ("Starting", "starting the machine"),
        TaskAction::Stop => ("Stopping", "stopping the machine"),
        TaskAction::Shutdown => ("ShuttingDown", "asking the guest to shut down"),
        TaskAction::Suspend => ("Pausing", "pausing the machine"),
        TaskAction::Resume => ("Resuming", "resuming the machine"),
        TaskAction::Destroy => ("Destroying", "removing the machine"),
        TaskAction::FreeVolume => ("Destroying", "removing a volume"),
    };
    Reason::new(word, format!("{what} on {}{done}", task.node))
}
