//! What the status says of a step: a pure function of what was there, what is recorded and what was decided.

use jiff::Timestamp;

use super::convert;
use crate::{
    api::{
        conditions::{self, Verdict},
        power::PowerState,
        proxmox_vm::{Phase, ProxmoxVM, ProxmoxVMStatus},
        size::Size,
    },
    proxmox::plan::{
        Action, Difference, DiskChange, Intent, Machine, Pending, Place, Power, Reason, Recorded, Stage, Step,
        TaskAction,
    },
};

/// Whether changes wait for a reboot.
pub const REBOOT_REQUIRED: &str = "RebootRequired";

/// What there is to report.
pub struct Report<'a> {
    /// What is recorded now.
    pub recorded: &'a Recorded,
    /// What was decided.
    pub step: &'a Step,
    /// How much of the running clone is done, in percent.
    pub cloned: Option<u8>,
    /// Addresses that the guest agent told, if it was asked.
    pub addresses: Option<Vec<String>>,
    /// The machine, if it was looked at.
    pub machine: Option<&'a Machine>,
}

/// The status after a step.
pub fn status(vm: &ProxmoxVM, report: &Report<'_>, now: Timestamp) -> ProxmoxVMStatus {
    let Report { recorded, step, cloned, addresses, machine } = report;
    let generation = vm.metadata.generation.unwrap_or_default();
    let deleting = vm.metadata.deletion_timestamp.is_some();
    let mut status = vm.status.clone().unwrap_or_default();
    status.observed_generation = generation;
    convert::write(recorded, &mut status);
    match (&recorded.intent, machine) {
        (None, _) => {
            (status.power_state, status.cores) = (None, None);
            (status.memory, status.disk_size) = (None, None);
        }
        (Some(_), Some(machine)) => {
            let Machine { current, power, .. } = machine;
            status.power_state = Some(convert::write_power(*power));
            status.cores = Some(i64::from(current.cores().saturating_mul(current.sockets())));
            status.memory = size(current.memory_mib());
            status.disk_size = current.boot_disk_size().and_then(|bytes| size(bytes >> 20));
        }
        (Some(_), None) => {}
    }
    status.adoption = convert::write_preview(step);
    if matches!(status.power_state, None | Some(PowerState::Stopped)) {
        status.ip_addresses.clear();
    }
    if let Some(addresses) = addresses {
        status.ip_addresses.clone_from(addresses);
    }

    let stage = |intent: &Intent| (intent.attempt, intent.stage);
    if removes_beside(recorded, step, deleting) {
        return status;
    }
    let known = before_intent(vm);
    let moved_on = known.as_ref().map(stage) != recorded.intent.as_ref().map(stage);
    let same_attempt = known.is_some()
        && known.as_ref().map(|intent| intent.attempt) == recorded.intent.as_ref().map(|intent| intent.attempt);
    let before = if same_attempt { status.progress.unwrap_or(0) } else { 0 };
    let progress = if deleting { before } else { progress(recorded, step, *cloned).max(before) };
    let phase = phase(&status, recorded, step, deleting);
    status.progress = Some(progress);
    // A status without a phase is known to be lost until the machine was searched by its marks.
    status.phase = (!recorded.lost).then_some(phase);
    let (verdict, reason) = verdict(&status, recorded, step, moved_on);
    status.message = Some(reason.message.clone());
    conditions::set_verdict(&mut status.conditions, &verdict, &reason.word, &reason.message, generation, now);
    if let Step::Rest { power: _, pending } = step {
        status.pending_changes = pending.iter().map(convert::write_pending).collect();
        set_reboot_required(&mut status, &keys(pending), generation, now);
    }
    status
}

/// Whether the step concerns what an earlier attempt left, beside a machine that is as it should be.
fn removes_beside(recorded: &Recorded, step: &Step, deleting: bool) -> bool {
    let established = recorded.intent.as_ref().filter(|intent| intent.stage == Stage::Established && !deleting);
    let Some(intent) = established else { return false };
    let removal =
        |action: TaskAction| matches!(action, TaskAction::Stop | TaskAction::Destroy | TaskAction::FreeVolume);
    match step {
        Step::Act(Action::Stop(place) | Action::Destroy(place) | Action::FreeVolume { place, .. }) => {
            *place != intent.place
        }
        Step::Act(_) | Step::Rest { .. } | Step::Preview { .. } | Step::Stall(_) => false,
        Step::Look(_) | Step::Record(_) | Step::Retry(..) | Step::Wait(_) | Step::Release => {
            recorded.task.as_ref().is_some_and(|task| removal(task.action))
        }
    }
}

fn before_intent(vm: &ProxmoxVM) -> Option<Intent> {
    vm.status.as_ref().and_then(|status| convert::recorded(status).ok())?.intent
}

fn phase(status: &ProxmoxVMStatus, recorded: &Recorded, step: &Step, deleting: bool) -> Phase {
    let task = recorded.task.as_ref().map(|task| task.action);
    match step {
        Step::Stall(_) => Phase::Stalled,
        _ if deleting => Phase::Deleting,
        _ => match &recorded.intent {
            None => Phase::Pending,
            Some(intent) => match intent.stage {
                Stage::Abandoning => Phase::CleaningUp,
                Stage::Adopting => Phase::Adopting,
                Stage::Starting => Phase::Starting,
                Stage::Established
                    if matches!(step, Step::Act(Action::Shutdown { .. })) || task == Some(TaskAction::Shutdown) =>
                {
                    Phase::Stopping
                }
                Stage::Established => match status.power_state {
                    Some(PowerState::Running) | None => Phase::Running,
                    Some(PowerState::Stopped) => Phase::Stopped,
                    Some(PowerState::Paused) => Phase::Paused,
                },
                Stage::Creating if status.progress.unwrap_or(0) < CONFIGURING => Phase::Cloning,
                Stage::Creating => Phase::Configuring,
            },
        },
    }
}

/// When the clone is done and its configuration begins.
const CONFIGURING: i64 = 70;

/// In tens: 10 when a place is chosen, up to 60 by the clone's own figure, then configured, grown, started.
fn progress(recorded: &Recorded, step: &Step, cloned: Option<u8>) -> i64 {
    let Some(intent) = &recorded.intent else { return 0 };
    match intent.stage {
        Stage::Established => 100,
        Stage::Starting => 90,
        Stage::Adopting | Stage::Abandoning => 0,
        Stage::Creating => match (step, recorded.task.as_ref().map(|task| task.action)) {
            (Step::Act(Action::Configure { .. } | Action::Tag { .. } | Action::Pool { .. }), _) => CONFIGURING,
            (Step::Act(Action::Resize { .. } | Action::Disk { .. }), _)
            | (_, Some(TaskAction::Resize | TaskAction::Disk)) => 80,
            (_, Some(TaskAction::Clone)) => {
                let tens = i64::from(cloned.unwrap_or(0)) / 20;
                tens.saturating_mul(10).saturating_add(10)
            }
            _ => 10,
        },
    }
}

fn verdict(status: &ProxmoxVMStatus, recorded: &Recorded, step: &Step, moved_on: bool) -> (Verdict, Reason) {
    match step {
        Step::Rest { power, pending } => {
            let (word, what) = match power {
                Power::Running => ("Running", "runs"),
                Power::Paused => ("Paused", "is paused"),
                Power::Stopped => ("Stopped", "is stopped"),
            };
            let place = recorded.intent.as_ref().map(|intent| &intent.place);
            let mut message = place.map_or(what.to_owned(), |at| format!("{what} on {} as VM {}", at.node, at.vmid));
            let detached = recorded.disks.iter().filter(|disk| disk.key.is_none());
            for (name, volume) in detached.filter_map(|disk| Some((&disk.name, disk.volume.as_ref()?))) {
                message += &format!("; disk {name} is detached and kept as {volume}");
            }
            if !pending.is_empty() {
                message += &format!("; {} will change at the next reboot", keys(pending));
            }
            (Verdict::Ready, Reason::new(word, message))
        }
        Step::Preview { place, differences, problem } => {
            (Verdict::Stalled, Reason::new("DryRun", previewed(place, differences, problem.as_ref())))
        }
        Step::Stall(reason) => (Verdict::Stalled, reason.clone()),
        Step::Wait(reason) | Step::Retry(_, reason) => (Verdict::Reconciling, reason.clone()),
        Step::Act(action) => (Verdict::Reconciling, doing(action)),
        Step::Record(_) | Step::Look(_) | Step::Release => (Verdict::Reconciling, underway(status, recorded, moved_on)),
    }
}

/// What the record alone says of where things stand: a failure if there was one, else what was said before.
fn underway(status: &ProxmoxVMStatus, recorded: &Recorded, moved_on: bool) -> Reason {
    let before = status.conditions.iter().find(|condition| condition.type_ == conditions::RECONCILING);
    match (&recorded.intent, recorded.attempts.last()) {
        (Some(Intent { place, reason: Some(reason), .. }), _) => Reason::new(
            &reason.word,
            format!("failed on {}: {}; what VM {} left there is removed", place.node, reason.message, place.vmid),
        ),
        (None, Some(last)) => Reason::new(&last.reason.word, format!("{}: {}", last.node, last.reason.message)),
        (Some(Intent { place, stage, .. }), _) if moved_on => {
            let (word, what) = match stage {
                Stage::Creating => ("Placed", "is to be cloned"),
                Stage::Adopting => ("Adopting", "is to be adopted"),
                Stage::Starting => ("Starting", "is configured"),
                Stage::Established => ("Running", "runs"),
                Stage::Abandoning => ("CleaningUp", "is given up"),
            };
            Reason::new(word, format!("VM {} on {} {what}", place.vmid, place.node))
        }
        _ => match before {
            Some(before) => Reason::new(&before.reason, &before.message),
            None => Reason::new("Begun", "begun"),
        },
    }
}

fn size(mib: u64) -> Option<Size> {
    i64::try_from(mib).ok().map(Size::of_mebibytes).filter(|size| size.is_writable())
}

/// What the adoption would change, and what a person has to do for it.
fn previewed(place: &Place, differences: &[Difference], problem: Option<&Reason>) -> String {
    let part = |value: &Option<String>| value.clone().unwrap_or_else(|| "(not shown)".to_owned());
    let changes = differences.iter().map(|Difference { field, present, desired }| match (present, desired) {
        (None, None) => field.clone(),
        _ => format!("{field} {} → {}", part(present), part(desired)),
    });
    let changes: Vec<_> = changes.collect();
    let Place { node, vmid } = place;
    let what = match changes.as_slice() {
        [] => format!("VM {vmid} on {node} is as the spec says, and would get a mark in its notes only"),
        changes => format!("VM {vmid} on {node} would be changed: {}", changes.join(", ")),
    };
    match problem {
        Some(problem) => format!("{what}; it cannot be adopted so: {}", problem.message),
        None => format!("{what}; set spec.adopt.dryRun to false to adopt it"),
    }
}

fn doing(action: &Action) -> Reason {
    match action {
        Action::Clone { place, source, template, .. } => {
            let from = if *source == place.node { String::new() } else { format!(" of {source}") };
            Reason::new("Cloning", format!("cloning template {template}{from} to VM {} on {}", place.vmid, place.node))
        }
        Action::Configure { place, .. } | Action::Tag { place, .. } => {
            Reason::new("Configuring", format!("configuring VM {} on {}", place.vmid, place.node))
        }
        Action::Resize { place, disk, .. } => {
            Reason::new("Resizing", format!("growing {disk} of VM {} on {}", place.vmid, place.node))
        }
        Action::Disk { place, name, change, .. } => {
            let (word, what) = match change {
                DiskChange::Attach { .. } => ("AttachingDisk", "attaching"),
                DiskChange::Detach { .. } => ("DetachingDisk", "detaching"),
                DiskChange::Remove { .. } => ("RemovingDisk", "removing"),
            };
            Reason::new(word, format!("{what} disk {name} of VM {} on {}", place.vmid, place.node))
        }
        Action::Pool { place, pool } => {
            let message = format!("putting VM {} on {} into the pool {pool}", place.vmid, place.node);
            Reason::new("Configuring", message)
        }
        Action::Start(place) => Reason::new("Starting", format!("starting VM {} on {}", place.vmid, place.node)),
        Action::Stop(place) => Reason::new("Stopping", format!("stopping VM {} on {}", place.vmid, place.node)),
        Action::Shutdown { place, .. } => {
            Reason::new("ShuttingDown", format!("asking the guest of VM {} on {} to shut down", place.vmid, place.node))
        }
        Action::Suspend(place) => Reason::new("Pausing", format!("pausing VM {} on {}", place.vmid, place.node)),
        Action::Resume(place) => Reason::new("Resuming", format!("resuming VM {} on {}", place.vmid, place.node)),
        Action::Destroy(place) => Reason::new("Destroying", format!("removing VM {} from {}", place.vmid, place.node)),
        Action::FreeVolume { place, volume } => {
            Reason::new("Destroying", format!("removing volume {volume} from {}", place.node))
        }
        Action::StopTask(task) => Reason::new("Stopping", format!("stopping the clone on {}", task.node)),
    }
}

fn keys(pending: &[Pending]) -> String {
    pending.iter().map(|change| change.key.as_str()).collect::<Vec<_>>().join(", ")
}

fn set_reboot_required(status: &mut ProxmoxVMStatus, keys: &str, generation: i64, now: Timestamp) {
    if keys.is_empty() {
        conditions::remove_condition(&mut status.conditions, REBOOT_REQUIRED);
        return;
    }
    let message = format!("{keys} will change at the next reboot of the machine");
    let condition = conditions::condition(REBOOT_REQUIRED, "True", "PendingChanges", &message, generation, now);
    conditions::set_condition(&mut status.conditions, condition);
}
