//! What a failed call or task means: one exhaustive classification, in one place.

use super::{
    client::{self, ApiError, phrases},
    plan::{Action, Reason, TaskAction},
};

/// What follows from a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It may or may not have happened, or somebody else was faster: look, then decide.
    LookAgain(Reason),
    /// The same again on this node, after a pause.
    RetryHere(Reason),
    /// Not on this node.
    NextNode(Reason),
    /// Something that passes by itself or by an administrator's hand stands in the way.
    Wait(Reason),
    /// Proxmox refuses it for good.
    Stalled(Reason),
}

/// What the end of a task with an error means.
pub fn of_task(action: TaskAction, text: &str) -> Outcome {
    of_text(Doing::from(action), text)
}

/// What a failed call means.
pub fn of_call(action: &Action, error: &client::Error) -> Outcome {
    use client::Error;

    match error {
        Error::Api(refusal) => of_refusal(Doing::from(action), refusal),
        Error::ReplyLost { .. } | Error::Timeout { .. } | Error::Decode { .. } => {
            Outcome::LookAgain(Reason::new("ReplyLost", error.to_string()))
        }
        Error::Unreachable { .. } => Outcome::RetryHere(Reason::new("NodeUnreachable", error.to_string())),
        Error::Fingerprint { .. } | Error::Certificate { .. } => {
            Outcome::Wait(Reason::new("CertificateNotTrusted", error.to_string()))
        }
        Error::Settings(_) => Outcome::Wait(Reason::new("InvalidSettings", error.to_string())),
    }
}

/// What was attempted: a call and the task that it starts fail alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Clone,
    Configure,
    Resize,
    Disk,
    Pool,
    Start,
    Stop,
    Shutdown,
    Suspend,
    Resume,
    Destroy,
    FreeVolume,
    StopTask,
}

impl From<TaskAction> for Doing {
    fn from(action: TaskAction) -> Self {
        match action {
            TaskAction::Clone => Self::Clone,
            TaskAction::Resize => Self::Resize,
            TaskAction::Disk => Self::Disk,
            TaskAction::Start => Self::Start,
            TaskAction::Stop => Self::Stop,
            TaskAction::Shutdown => Self::Shutdown,
            TaskAction::Suspend => Self::Suspend,
            TaskAction::Resume => Self::Resume,
            TaskAction::Destroy => Self::Destroy,
            TaskAction::FreeVolume => Self::FreeVolume,
        }
    }
}

impl From<&Action> for Doing {
    fn from(action: &Action) -> Self {
        match action {
            Action::Clone { .. } => Self::Clone,
            Action::Configure { .. } | Action::Tag { .. } => Self::Configure,
            Action::Resize { .. } => Self::Resize,
            Action::Disk { .. } => Self::Disk,
            Action::Pool { .. } => Self::Pool,
            Action::Start(_) => Self::Start,
            Action::Stop(_) => Self::Stop,
            Action::Shutdown { .. } => Self::Shutdown,
            Action::Suspend(_) => Self::Suspend,
            Action::Resume(_) => Self::Resume,
            Action::Destroy(_) => Self::Destroy,
            Action::FreeVolume { .. } => Self::FreeVolume,
            Action::StopTask(_) => Self::StopTask,
        }
    }
}

fn of_refusal(doing: Doing, refusal: &ApiError) -> Outcome {
    let message = refusal.to_string();
    // It comes with the status of a missing right, too.
    if let Some(pool) = phrases::missing_pool(&refusal.text) {
        let message = format!("spec.pool: Proxmox has no pool {pool}; create it there, or name another");
        return Outcome::Wait(Reason::new("PoolNotFound", message));
    }
    match refusal.status {
        401 => Outcome::Wait(Reason::new("Unauthorized", format!("Proxmox refuses the credentials: {message}"))),
        403 => Outcome::Wait(Reason::new("Forbidden", format!("the credentials lack a right: {message}"))),
        // On a storage that the node does not have or that takes no images.
        400 if doing == Doing::Clone => Outcome::NextNode(Reason::new("CloneRefused", message)),
        400 => Outcome::Stalled(Reason::new("Refused", message)),
        595..=599 if doing == Doing::Clone => Outcome::NextNode(Reason::new("NodeUnreachable", message)),
        595..=599 => Outcome::RetryHere(Reason::new("NodeUnreachable", message)),
        501 => Outcome::Stalled(Reason::new("NotImplemented", message)),
        500 => match of_text(doing, &refusal.text) {
            Outcome::LookAgain(reason) => Outcome::LookAgain(with_request(reason, refusal)),
            Outcome::RetryHere(reason) => Outcome::RetryHere(with_request(reason, refusal)),
            Outcome::NextNode(reason) => Outcome::NextNode(with_request(reason, refusal)),
            Outcome::Wait(reason) => Outcome::Wait(with_request(reason, refusal)),
            Outcome::Stalled(reason) => Outcome::Stalled(with_request(reason, refusal)),
        },
        _ => Outcome::RetryHere(Reason::new("ServerError", message)),
    }
}

fn with_request(reason: Reason, refusal: &ApiError) -> Reason {
    Reason { message: refusal.to_string(), ..reason }
}

/// Proxmox says the same sentences as the answer of a call and as the end of a task.
fn of_text(doing: Doing, text: &str) -> Outcome {
    let reason = |word: &str| Reason::new(word, text.trim());
    if phrases::is_lock_timeout(text) {
        return Outcome::RetryHere(reason("LockTimeout"));
    }
    if phrases::is_no_worker(text) {
        return Outcome::RetryHere(reason("NoWorker"));
    }
    if phrases::vm_lock(text).is_some() {
        return Outcome::Wait(reason("Locked"));
    }
    if phrases::is_no_quorum(text) {
        return Outcome::Wait(reason("NoQuorum"));
    }
    if phrases::is_digest_mismatch(text) {
        return Outcome::LookAgain(reason("ChangedMeanwhile"));
    }
    if phrases::missing_permission(text).is_some() {
        return Outcome::Wait(reason("Forbidden"));
    }
    match doing {
        Doing::Clone if phrases::is_config_exists(text) => Outcome::LookAgain(reason("VmidTaken")),
        Doing::Clone if phrases::is_missing_config(text) => Outcome::NextNode(reason("NoTemplate")),
        Doing::Clone => Outcome::NextNode(reason("CloneFailed")),
        // The machine is not where it was: what that means is for the plan to say.
        _ if phrases::is_missing_config(text) => Outcome::LookAgain(reason("NotFound")),
        Doing::Configure => Outcome::Stalled(reason("Refused")),
        Doing::Resize => Outcome::NextNode(reason("ResizeFailed")),
        // It waits for the next boot now, which the config shows.
        Doing::Disk if phrases::is_not_hot(text) => Outcome::LookAgain(reason("WaitsForBoot")),
        Doing::Disk => Outcome::NextNode(reason("DiskFailed")),
        Doing::Pool if text.contains("already a pool member") => Outcome::LookAgain(reason("ChangedMeanwhile")),
        Doing::Pool => Outcome::RetryHere(reason("PoolRefused")),
        Doing::Start if text.contains("already running") => Outcome::LookAgain(reason("AlreadyRunning")),
        Doing::Start => Outcome::NextNode(reason("StartFailed")),
        Doing::Stop => Outcome::RetryHere(reason("StopFailed")),
        // Somebody, or the guest itself, was faster.
        Doing::Shutdown | Doing::Suspend | Doing::Resume if phrases::is_other_power(text) => {
            Outcome::LookAgain(reason("PowerChanged"))
        }
        Doing::Shutdown if phrases::is_deaf(text) => Outcome::RetryHere(Reason::new(
            "ShutdownTimedOut",
            format!(
                "the guest did not shut down in time ({}); it is asked again. Shut it down from inside, give it longer \
                 with spec.shutdown.timeoutSeconds, or allow that it is ended hard with spec.shutdown.forceAfterTimeout",
                text.trim()
            ),
        )),
        Doing::Shutdown => Outcome::RetryHere(reason("ShutdownFailed")),
        Doing::Suspend => Outcome::RetryHere(reason("SuspendFailed")),
        Doing::Resume => Outcome::RetryHere(reason("ResumeFailed")),
        Doing::Destroy if text.contains("is running") => Outcome::LookAgain(reason("Running")),
        Doing::Destroy => Outcome::RetryHere(reason("DestroyFailed")),
        Doing::FreeVolume => Outcome::RetryHere(reason("VolumeNotFreed")),
        Doing::StopTask => Outcome::LookAgain(reason("TaskNotStopped")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(outcome: Outcome) -> (&'static str, String) {
        match outcome {
            Outcome::LookAgain(reason) => ("look again", reason.word),
            Outcome::RetryHere(reason) => ("retry here", reason.word),
            Outcome::NextNode(reason) => ("next node", reason.word),
            Outcome::Wait(reason) => ("wait", reason.word),
            Outcome::Stalled(reason) => ("stalled", reason.word),
        }
    }

    #[test]
    fn the_ends_of_tasks_are_told_apart() {
        use TaskAction::{Clone, Destroy, Resize, Resume, Shutdown, Start, Suspend};
        for (action, text, expected) in [
            (
                Clone,
                "can't lock file '/var/lock/qemu-server/lock-600.conf' - got timeout",
                ("retry here", "LockTimeout"),
            ),
            (
                Clone,
                "clone failed: copy failed: command 'qemu-img convert' failed: exit code 1",
                ("next node", "CloneFailed"),
            ),
            (Clone, "unexpected status", ("next node", "CloneFailed")),
            (Clone, "unable to create VM 600: config file already exists", ("look again", "VmidTaken")),
            (Clone, "link failed: File exists", ("look again", "VmidTaken")),
            (Start, "VM is locked (backup)", ("wait", "Locked")),
            (Start, "VM 600 already running", ("look again", "AlreadyRunning")),
            (Start, "start failed: QEMU exited with code 1", ("next node", "StartFailed")),
            (Start, "cluster not ready - no quorum?", ("wait", "NoQuorum")),
            (Resize, "VM is locked (clone)", ("wait", "Locked")),
            (Resize, "command 'qemu-img resize' failed: exit code 1", ("next node", "ResizeFailed")),
            (Destroy, "Configuration file 'nodes/a/qemu-server/1.conf' does not exist", ("look again", "NotFound")),
            (Shutdown, "VM quit/powerdown failed - got timeout", ("retry here", "ShutdownTimedOut")),
            (Shutdown, "VM quit/powerdown failed", ("retry here", "ShutdownTimedOut")),
            (Shutdown, "VM is locked (backup)", ("wait", "Locked")),
            (Shutdown, "VM is paused - cannot shutdown", ("look again", "PowerChanged")),
            (Shutdown, "received interrupt", ("retry here", "ShutdownFailed")),
            (Suspend, "VM 600 not running", ("look again", "PowerChanged")),
            (Resume, "VM 600 not running", ("look again", "PowerChanged")),
            (Resume, "VM 600 qmp command 'cont' failed - got timeout", ("retry here", "ResumeFailed")),
            (Destroy, "base volume 'local:9/b' is still in use by linked cloned", ("retry here", "DestroyFailed")),
        ] {
            let (class, word) = word(of_task(action, text));
            assert_eq!((class, word.as_str()), expected, "{action:?}: {text}");
        }
    }

    #[test]
    fn refused_calls_are_told_apart() {
        let refusal = |status: u16, text: &str| {
            client::Error::from(Box::new(ApiError {
                request: "POST /x".into(),
                status,
                text: text.into(),
                fields: Default::default(),
            }))
        };
        let place = crate::proxmox::plan::Place { node: "a".into(), vmid: 100 };
        let clone = Action::Clone {
            place: place.clone(),
            source: place.node.clone(),
            template: 9000,
            linked: false,
            storage: None,
            pool: None,
            name: "n".into(),
            description: String::new(),
        };
        let pool = Action::Pool { place: place.clone(), pool: "x".into() };
        let tag = Action::Tag { place: place.clone(), tags: "t".into(), ours: false, named: Vec::new() };
        let start = Action::Start(place);
        for (action, status, text, expected) in [
            (&clone, 401, "Authentication failed!", ("wait", "Unauthorized")),
            (&clone, 403, "Permission check failed (/vms/9000, VM.Clone)", ("wait", "Forbidden")),
            (&clone, 595, "No route to host", ("next node", "NodeUnreachable")),
            (&start, 595, "No route to host", ("retry here", "NodeUnreachable")),
            (&clone, 500, "unable to find configuration file for VM 9000 on node 'a'", ("next node", "NoTemplate")),
            (&clone, 500, "storage 'x' does not exist", ("next node", "CloneFailed")),
            (&clone, 403, "Permission check failed (pool 'x' does not exist)", ("wait", "PoolNotFound")),
            (&pool, 500, "update pools failed: pool 'x' does not exist", ("wait", "PoolNotFound")),
            (&pool, 500, "update pools failed: VM 100 is already a pool member", ("look again", "ChangedMeanwhile")),
            (&pool, 403, "Permission check failed (/pool/x, Pool.Allocate)", ("wait", "Forbidden")),
            (&clone, 503, "busy", ("retry here", "ServerError")),
            (&clone, 500, "got no worker upid - start worker failed", ("retry here", "NoWorker")),
            (&tag, 500, "got no worker upid - start worker failed", ("retry here", "NoWorker")),
            (&tag, 500, "invalid format of tags", ("stalled", "Refused")),
            (&start, 400, "Parameter verification failed.", ("stalled", "Refused")),
        ] {
            let (class, word) = word(of_call(action, &refusal(status, text)));
            assert_eq!((class, word.as_str()), expected, "{status} {text}");
        }
    }
}
