//! Between the words of the resource and the words of the plan.

use crate::{
    api::{
        disks::{DiskStatus, RemovalPolicy},
        power::{PowerState, Started},
        proxmox_vm as api,
    },
    controller::status::to_second,
    proxmox::{
        plan::{self, Place, Reason},
        wire::{InvalidUpid, Vmid},
    },
};

/// A status that no operator wrote.
#[derive(Debug, thiserror::Error)]
pub enum InvalidStatus {
    /// A VMID out of range.
    #[error("{0} is no VMID")]
    Vmid(i64),
    /// A task id that cannot be read.
    #[error(transparent)]
    Upid(#[from] InvalidUpid),
}

/// What the status records.
pub fn recorded(status: &api::ProxmoxVMStatus) -> Result<plan::Recorded, InvalidStatus> {
    Ok(plan::Recorded {
        lost: false,
        intent: status.intent.as_ref().map(intent).transpose()?,
        task: status.task.as_ref().map(task).transpose()?,
        attempts: status.attempts.iter().map(attempt).collect::<Result<_, _>>()?,
        attempts_total: status.attempts_total.unwrap_or_default(),
        leftovers: status.leftovers.iter().map(leftover).collect::<Result<_, _>>()?,
        started: status.started.as_ref().map(|Started { at, count }| plan::Started { at: at.0, count: *count }),
        restarted: status.restarted_at.clone(),
        reboot: status.reboot.as_ref().map(|api::Reboot { changes, process }| plan::Reboot {
            changes: changes.clone(),
            process: u32::try_from(*process).unwrap_or_default(),
        }),
        applied: applied(status.applied.as_ref()),
        disks: status.disks.iter().map(disk).collect(),
    })
}

/// Writes what is recorded into a status.
pub fn write(recorded: &plan::Recorded, status: &mut api::ProxmoxVMStatus) {
    let plan::Recorded {
        lost: _,
        intent,
        task,
        attempts,
        attempts_total,
        leftovers,
        started,
        restarted,
        reboot,
        applied,
        disks,
    } = recorded;
    status.node = intent.as_ref().map(|intent| intent.place.node.clone());
    status.vmid = intent.as_ref().map(|intent| i64::from(intent.place.vmid));
    status.intent = intent.as_ref().map(write_intent);
    status.task = task.as_ref().map(write_task);
    status.attempts = attempts.iter().map(write_attempt).collect();
    status.attempts_total = (*attempts_total > 0).then_some(*attempts_total);
    status.leftovers = leftovers.iter().map(write_leftover).collect();
    status.started = started.map(|plan::Started { at, count }| Started { at: to_second(at), count });
    status.restarted_at.clone_from(restarted);
    status.reboot = reboot.as_ref().map(|plan::Reboot { changes, process }| api::Reboot {
        changes: changes.clone(),
        process: i64::from(*process),
    });
    status.applied = write_applied(applied);
    status.disks = disks.iter().map(write_disk).collect();
}

fn disk(disk: &DiskStatus) -> plan::KnownDisk {
    let DiskStatus { name, key, volume, removal_policy } = disk.clone();
    plan::KnownDisk { name, key, volume, delete: removal_policy == RemovalPolicy::Delete }
}

fn write_disk(disk: &plan::KnownDisk) -> DiskStatus {
    let plan::KnownDisk { name, key, volume, delete } = disk.clone();
    let removal_policy = if delete { RemovalPolicy::Delete } else { RemovalPolicy::Retain };
    DiskStatus { name, key, volume, removal_policy }
}

fn applied(applied: Option<&api::Applied>) -> plan::Applied {
    let api::Applied { password_version, tags, nics } = applied.cloned().unwrap_or_default();
    plan::Applied { password: password_version, tags, nics }
}

fn write_applied(applied: &plan::Applied) -> Option<api::Applied> {
    let plan::Applied { password, tags, nics } = applied.clone();
    Some(api::Applied { password_version: password, tags, nics }).filter(|applied| *applied != api::Applied::default())
}

/// What waits for the next boot.
pub fn write_pending(pending: &plan::Pending) -> api::PendingChange {
    let plan::Pending { key, current, next } = pending.clone();
    api::PendingChange { key, current, next }
}

/// What an adoption would change, if that is what the step shows.
pub fn write_preview(step: &plan::Step) -> Option<api::AdoptionPreview> {
    let plan::Step::Preview { place, differences, problem: _ } = step else { return None };
    let differences = differences.iter().cloned().map(|plan::Difference { field, present, desired }| api::Difference {
        field,
        present,
        desired,
    });
    Some(api::AdoptionPreview {
        node: place.node.clone(),
        vmid: i64::from(place.vmid),
        differences: differences.collect(),
    })
}

/// Where the spec wants its machine.
pub fn placement(placement: &api::Placement) -> plan::Placement {
    let api::Placement { nodes, policy, group } = placement;
    plan::Placement {
        nodes: nodes.clone(),
        policy: match policy {
            api::PlacementPolicy::Ordered => plan::Policy::Ordered,
            api::PlacementPolicy::MostFree => plan::Policy::MostFree,
            api::PlacementPolicy::Spread => plan::Policy::Spread,
        },
        group: group.clone(),
    }
}

fn vmid(number: i64) -> Result<Vmid, InvalidStatus> {
    Vmid::try_from(number).map_err(|_| InvalidStatus::Vmid(number))
}

fn place(node: &str, number: i64) -> Result<Place, InvalidStatus> {
    Ok(Place { node: node.to_owned(), vmid: vmid(number)? })
}

fn intent(intent: &api::Intent) -> Result<plan::Intent, InvalidStatus> {
    let api::Intent {
        node,
        vmid: number,
        template,
        template_node,
        storage,
        attempt,
        stage,
        reason,
        message,
        retries,
        since,
    } = intent;
    Ok(plan::Intent {
        place: place(node, *number)?,
        template: template.map(vmid).transpose()?,
        template_node: template_node.clone(),
        storage: storage.clone(),
        attempt: *attempt,
        stage: match stage {
            api::Stage::Creating => plan::Stage::Creating,
            api::Stage::Adopting => plan::Stage::Adopting,
            api::Stage::Starting => plan::Stage::Starting,
            api::Stage::Established => plan::Stage::Established,
            api::Stage::Abandoning => plan::Stage::Abandoning,
        },
        reason: reason.as_ref().map(|word| Reason::new(word, message.clone().unwrap_or_default())),
        retries: retries.unwrap_or_default(),
        since: since.0,
    })
}

fn write_intent(intent: &plan::Intent) -> api::Intent {
    let plan::Intent { place, template, template_node, storage, attempt, stage, reason, retries, since } = intent;
    api::Intent {
        node: place.node.clone(),
        vmid: i64::from(place.vmid),
        template: template.map(i64::from),
        template_node: template_node.clone(),
        storage: storage.clone(),
        attempt: *attempt,
        stage: match stage {
            plan::Stage::Creating => api::Stage::Creating,
            plan::Stage::Adopting => api::Stage::Adopting,
            plan::Stage::Starting => api::Stage::Starting,
            plan::Stage::Established => api::Stage::Established,
            plan::Stage::Abandoning => api::Stage::Abandoning,
        },
        reason: reason.as_ref().map(|reason| reason.word.clone()),
        message: reason.as_ref().map(|reason| reason.message.clone()),
        retries: (*retries > 0).then_some(*retries),
        since: to_second(*since),
    }
}

fn task(task: &api::Task) -> Result<plan::Task, InvalidStatus> {
    let api::Task { upid, node, action } = task;
    Ok(plan::Task {
        upid: upid.parse()?,
        node: node.clone(),
        action: match action {
            api::TaskAction::Clone => plan::TaskAction::Clone,
            api::TaskAction::Resize => plan::TaskAction::Resize,
            api::TaskAction::Disk => plan::TaskAction::Disk,
            api::TaskAction::Start => plan::TaskAction::Start,
            api::TaskAction::Stop => plan::TaskAction::Stop,
            api::TaskAction::Shutdown => plan::TaskAction::Shutdown,
            api::TaskAction::Suspend => plan::TaskAction::Suspend,
            api::TaskAction::Resume => plan::TaskAction::Resume,
            api::TaskAction::Destroy => plan::TaskAction::Destroy,
            api::TaskAction::FreeVolume => plan::TaskAction::FreeVolume,
        },
    })
}

fn write_task(task: &plan::Task) -> api::Task {
    let plan::Task { upid, node, action } = task;
    api::Task {
        upid: upid.to_string(),
        node: node.clone(),
        action: match action {
            plan::TaskAction::Clone => api::TaskAction::Clone,
            plan::TaskAction::Resize => api::TaskAction::Resize,
            plan::TaskAction::Disk => api::TaskAction::Disk,
            plan::TaskAction::Start => api::TaskAction::Start,
            plan::TaskAction::Stop => api::TaskAction::Stop,
            plan::TaskAction::Shutdown => api::TaskAction::Shutdown,
            plan::TaskAction::Suspend => api::TaskAction::Suspend,
            plan::TaskAction::Resume => api::TaskAction::Resume,
            plan::TaskAction::Destroy => api::TaskAction::Destroy,
            plan::TaskAction::FreeVolume => api::TaskAction::FreeVolume,
        },
    }
}

fn attempt(attempt: &api::Attempt) -> Result<plan::Attempt, InvalidStatus> {
    let api::Attempt { node, vmid: number, outcome, reason, message, time } = attempt;
    Ok(plan::Attempt {
        node: node.clone(),
        vmid: number.map(vmid).transpose()?,
        outcome: match outcome {
            api::AttemptOutcome::Succeeded => plan::AttemptOutcome::Succeeded,
            api::AttemptOutcome::Failed => plan::AttemptOutcome::Failed,
            api::AttemptOutcome::Skipped => plan::AttemptOutcome::Skipped,
            api::AttemptOutcome::Lost => plan::AttemptOutcome::Lost,
        },
        reason: Reason::new(reason, message.clone().unwrap_or_default()),
        time: time.0,
    })
}

fn write_attempt(attempt: &plan::Attempt) -> api::Attempt {
    let plan::Attempt { node, vmid, outcome, reason, time } = attempt;
    api::Attempt {
        node: node.clone(),
        vmid: vmid.map(i64::from),
        outcome: match outcome {
            plan::AttemptOutcome::Succeeded => api::AttemptOutcome::Succeeded,
            plan::AttemptOutcome::Failed => api::AttemptOutcome::Failed,
            plan::AttemptOutcome::Skipped => api::AttemptOutcome::Skipped,
            plan::AttemptOutcome::Lost => api::AttemptOutcome::Lost,
        },
        reason: reason.word.clone(),
        message: Some(reason.message.clone()).filter(|message| !message.is_empty()),
        time: to_second(*time),
    }
}

fn leftover(leftover: &api::Leftover) -> Result<plan::Leftover, InvalidStatus> {
    let api::Leftover { node, vmid, reason, command, since } = leftover;
    Ok(plan::Leftover { place: place(node, *vmid)?, reason: reason.clone(), command: command.clone(), since: since.0 })
}

fn write_leftover(leftover: &plan::Leftover) -> api::Leftover {
    let plan::Leftover { place, reason, command, since } = leftover;
    api::Leftover {
        node: place.node.clone(),
        vmid: i64::from(place.vmid),
        reason: reason.clone(),
        command: command.clone(),
        since: to_second(*since),
    }
}

/// Whether the machine is to run.
pub fn power(state: PowerState) -> plan::Power {
    match state {
        PowerState::Running => plan::Power::Running,
        PowerState::Stopped => plan::Power::Stopped,
        PowerState::Paused => plan::Power::Paused,
    }
}

/// Whether the machine runs.
pub fn write_power(power: plan::Power) -> PowerState {
    match power {
        plan::Power::Running => PowerState::Running,
        plan::Power::Stopped => PowerState::Stopped,
        plan::Power::Paused => PowerState::Paused,
    }
}
