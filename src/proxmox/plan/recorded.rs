//! What was recorded before: the write-ahead log, which the status keeps.

use jiff::Timestamp;

use super::Place;
use crate::proxmox::wire::{Upid, Vmid};
pub use crate::reason::Reason;

/// How many attempts are kept.
pub(super) const ATTEMPTS_KEPT: usize = 20;

/// What was recorded before: the write-ahead log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The object holds our finalizer, yet nothing is recorded: the status was lost.
    pub lost: bool,
    /// What we set out to do.
    pub intent: Option<Intent>,
    /// The task that is awaited.
    pub task: Option<Task>,
    /// How the attempts ended, the oldest first.
    pub attempts: Vec<Attempt>,
    /// How many attempts were begun.
    pub attempts_total: i64,
    /// What could not be removed yet.
    pub leftovers: Vec<Leftover>,
    /// When the machine was last started; nothing, when it was ended on purpose since.
    pub started: Option<Started>,
    /// The last restart that was carried out, by what it was asked for with.
    pub restarted: Option<String>,
    /// The last restart for the sake of changes.
    pub reboot: Option<Reboot>,
    /// What of the spec was applied, where the machine itself does not tell.
    pub applied: Applied,
    /// The disks beside the boot disk that the spec names, or named before and that are still there.
    pub disks: Vec<KnownDisk>,
}

/// A disk that the spec names, or named before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownDisk {
    /// Its name in the spec.
    pub name: String,
    /// Its key in Proxmox; none, while it is not attached.
    pub key: Option<String>,
    /// Proxmox' id of its volume, once that is known.
    pub volume: Option<String>,
    /// Its volume is removed when the spec names it no more.
    pub delete: bool,
}

/// A restart for the sake of changes that take effect at no other time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reboot {
    /// The changes.
    pub changes: String,
    /// The QEMU process that was to end.
    pub process: u32,
}

/// What of the spec was applied, where the machine itself does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The version of the password.
    pub password: Option<String>,
    /// The tags that the spec named.
    pub tags: Vec<String>,
    /// The network cards that are there because the spec named them.
    pub nics: Vec<String>,
}

/// A start of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// When its task had ended.
    pub at: Timestamp,
    /// How many there were in a row, each soon after the one before.
    pub count: i64,
}

/// What we set out to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Where.
    pub place: Place,
    /// VMID of the template; not known of a machine that was found by its marks.
    pub template: Option<Vmid>,
    /// Our name of the node that has the template, where that is another one.
    pub template_node: Option<String>,
    /// The storage that the disk is made on.
    pub storage: Option<String>,
    /// Counts the attempts from 1.
    pub attempt: i64,
    /// How far it got.
    pub stage: Stage,
    /// Why it was given up.
    pub reason: Option<Reason>,
    /// Failures that were tried again here.
    pub retries: i64,
    /// When it was written down; of a machine that is being started, when that was.
    pub since: Timestamp,
}

/// How far an attempt got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It may be cloned, and never ran.
    Creating,
    /// It was there before, and is to get our mark.
    Adopting,
    /// Its start was posted.
    Starting,
    /// It was Ready once.
    Established,
    /// It failed and is being removed.
    Abandoning,
}

/// A task that is awaited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub upid: Upid,
    /// Our name of the node.
    pub node: String,
    /// What it does.
    pub action: TaskAction,
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskAction {
    /// Clones.
    Clone,
    /// Grows a disk.
    Resize,
    /// Attaches a disk, detaches it, or removes what was detached.
    Disk,
    /// Starts.
    Start,
    /// Stops hard.
    Stop,
    /// Asks the guest to end.
    Shutdown,
    /// Pauses.
    Suspend,
    /// Lets a paused guest go on.
    Resume,
    /// Destroys.
    Destroy,
    /// Frees a volume.
    FreeVolume,
}

/// How an attempt on a node ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Our name of the node.
    pub node: String,
    /// The VMID, if it came to that.
    pub vmid: Option<Vmid>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// Why.
    pub reason: Reason,
    /// When.
    pub time: Timestamp,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The machine runs there.
    Succeeded,
    /// It was begun and failed.
    Failed,
    /// The node could not take it.
    Skipped,
    /// It ran once, and is nowhere any more.
    Lost,
}

impl AttemptOutcome {
    /// Whether what was made by the attempt never ran.
    pub(super) fn never_ran(self) -> bool {
        match self {
            Self::Failed | Self::Skipped => true,
            Self::Succeeded | Self::Lost => false,
        }
    }
}

/// What could not be removed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Where.
    pub place: Place,
    /// Why it is still there.
    pub reason: String,
    /// What an administrator types on the node.
    pub command: Option<String>,
    /// When it was found, or last tried in vain.
    pub since: Timestamp,
}

impl Recorded {
    /// The record with a change.
    pub fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut next = self.clone();
        change(&mut next);
        next
    }

    /// Adds an attempt, and keeps the last ones.
    pub(super) fn push_attempt(&mut self, attempt: Attempt) {
        self.attempts.push(attempt);
        let surplus = self.attempts.len().saturating_sub(ATTEMPTS_KEPT);
        self.attempts.drain(..surplus);
    }

    /// The attempt is given up: what it made is to be removed.
    pub(super) fn give_up(&mut self, reason: Reason) {
        if let Some(intent) = &mut self.intent {
            intent.stage = Stage::Abandoning;
            intent.reason = Some(reason);
            intent.retries = 0;
        }
    }

    /// The attempt ends, and what it made joins the leftovers.
    pub(super) fn leave_behind(&mut self, reason: Reason, why: String, command: Option<String>, now: Timestamp) {
        if let Some(Intent { place, .. }) = &self.intent {
            self.leftovers.push(Leftover { place: place.clone(), reason: why, command, since: now });
        }
        self.end_intent(AttemptOutcome::Failed, reason, now);
    }

    /// The intent ends, and why.
    pub(super) fn end_intent(&mut self, outcome: AttemptOutcome, reason: Reason, now: Timestamp) {
        self.task = None;
        self.started = None;
        self.reboot = None;
        self.applied = Applied::default();
        self.disks.clear();
        if let Some(intent) = self.intent.take() {
            let Place { node, vmid } = intent.place;
            self.push_attempt(Attempt { node, vmid: Some(vmid), outcome, reason, time: now });
        }
    }
}
