//! Tasks that are awaited, and what their end and failed calls mean for the plan.

use super::{
    Action, Context, Intent, Look, Planned, RETRIES_PER_NODE, Reason, Recorded, Removal, Stage, Step, Task, TaskAction,
    TaskSight,
};
use crate::proxmox::{
    inventory::Reach,
    outcome::{self, Outcome},
};

impl<'a> Context<'a> {
    pub(super) fn task_sight(&self, task: &Task) -> Planned<&'a TaskSight> {
        self.observed.tasks.get(task.upid.as_str()).ok_or_else(|| Step::Look(Look::Task(task.clone())))
    }

    /// The step that the recorded task asks for, while a machine is made or kept.
    pub(super) fn await_task(&self, intent: &Intent) -> Planned<Option<Step>> {
        self.await_task_of(Some(intent), Removal::FailedAttempt)
    }

    /// The step that the recorded task asks for, with no attempt under way.
    pub(super) fn await_any_task(&self) -> Planned<Option<Step>> {
        self.await_task_of(None, Removal::Deletion)
    }

    pub(super) fn await_task_of(&self, intent: Option<&Intent>, removal: Removal) -> Planned<Option<Step>> {
        let Some(task) = &self.recorded.task else { return Ok(None) };
        Ok(Some(match self.task_sight(task)? {
            TaskSight::Running(percent) => Step::Wait(running(task, *percent)),
            TaskSight::Succeeded | TaskSight::Vanished => self.record(|recorded| recorded.task = None),
            TaskSight::Unknown(why) => match intent {
                // A node that is gone takes its task with it; the machine itself is looked at next.
                Some(_) if self.node(&task.node).is_some_and(|node| node.reach == Reach::Offline) => {
                    self.record(|recorded| recorded.task = None)
                }
                _ => {
                    let message = format!("{} cannot be asked about its task: {why}", task.node);
                    Step::Wait(Reason::new("NodeUnreachable", message))
                }
            },
            TaskSight::Failed(text) => {
                let outcome = outcome::of_task(task.action, text);
                let cleared = self.recorded.with(|recorded| recorded.task = None);
                settle(&cleared, removal, outcome, task.action == TaskAction::Clone)
            }
        }))
    }
}

/// What follows from a call that failed.
pub fn failed_action(desired_gone: bool, recorded: &Recorded, action: &Action, outcome: Outcome) -> Step {
    let removal = if desired_gone { Removal::Deletion } else { Removal::FailedAttempt };
    settle(recorded, removal, outcome, matches!(action, Action::Clone { .. }))
}

/// What an outcome means for the record.
fn settle(recorded: &Recorded, removal: Removal, outcome: Outcome, cloning: bool) -> Step {
    let advancing = removal == Removal::FailedAttempt
        && recorded.intent.as_ref().is_some_and(|intent| matches!(intent.stage, Stage::Creating | Stage::Starting));
    let give_up = |reason: Reason| {
        Step::Record(Box::new(recorded.with(|recorded| {
            if let Some(intent) = &mut recorded.intent {
                intent.stage = Stage::Abandoning;
                intent.reason = Some(reason);
            }
        })))
    };
    match outcome {
        Outcome::LookAgain(reason) => Step::Retry(Box::new(recorded.clone()), reason),
        Outcome::Wait(reason) => Step::Retry(Box::new(recorded.clone()), reason),
        Outcome::RetryHere(reason) => {
            let retries = recorded.intent.as_ref().map_or(0, |intent| intent.retries).saturating_add(1);
            if advancing && cloning && retries > RETRIES_PER_NODE {
                return give_up(reason);
            }
            let counted = recorded.with(|recorded| {
                if let Some(intent) = &mut recorded.intent {
                    intent.retries = retries;
                }
            });
            Step::Retry(Box::new(counted), reason)
        }
        Outcome::NextNode(reason) if advancing => give_up(reason),
        Outcome::NextNode(reason) => Step::Retry(Box::new(recorded.clone()), reason),
        Outcome::Stalled(reason) => Step::Stall(reason),
    }
}

fn running(task: &Task, percent: Option<u8>) -> Reason {
    let done = percent.map(|percent| format!(" ({percent} %)")).unwrap_or_default();
    let (word, what) = match task.action {
        TaskAction::Clone => ("Cloning", "cloning the template"),
        TaskAction::Resize => ("Resizing", "growing the disk"),
        TaskAction::Start => ("Starting", "starting the machine"),
        TaskAction::Stop => ("Stopping", "stopping the machine"),
        TaskAction::Destroy => ("Destroying", "removing the machine"),
        TaskAction::FreeVolume => ("Destroying", "removing a volume"),
    };
    Reason::new(word, format!("{what} on {}{done}", task.node))
}
