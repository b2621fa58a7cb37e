//! What tests and the control endpoint see of the simulated cluster.

use std::collections::BTreeMap;

use serde::Serialize;

use super::world::World;
use super::world::guest::Kind;

/// A virtual machine or template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VmView {
    /// Its id.
    pub vmid: u32,
    /// The node it is on.
    pub node: String,
    /// Its name.
    pub name: String,
    /// Whether it runs (paused ones do).
    pub running: bool,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether it is a template.
    pub template: bool,
    /// The pool that it is in.
    pub pool: Option<String>,
    /// Its configuration as it is in effect, without what is pending.
    pub config: BTreeMap<String, String>,
    /// What waits for the next boot; none for an option to be removed.
    pub pending: BTreeMap<String, Option<String>>,
    /// Its digest.
    pub digest: String,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VolumeView {
    /// `storage:name`.
    pub volid: String,
    /// The node it is on; none on shared storage.
    pub node: Option<String>,
    /// The guest that it belongs to by its name.
    pub vmid: u32,
    /// Size in bytes.
    pub size: u64,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskView {
    /// Its id.
    pub upid: String,
    /// Its node.
    pub node: String,
    /// Such as `qmclone`.
    pub kind: String,
    /// The guest it is filed under.
    pub id: String,
    /// `OK` or the error; none while it runs.
    pub status: Option<String>,
    /// Its log.
    pub log: Vec<String>,
}

/// A request that came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestRecord {
    /// Number, from 1.
    pub number: u64,
    /// HTTP method.
    pub method: String,
    /// Path after `/api2/json`, as sent.
    pub path: String,
    /// Parameters; passwords and secrets are left out.
    pub params: BTreeMap<String, String>,
    /// Status of the answer; none while it is awaited, or when the connection was closed without one.
    pub status: Option<u16>,
}

impl World {
    pub(super) fn vm_views(&self) -> Vec<VmView> {
        let guests = self.guests().filter(|guest| guest.kind == Kind::Qemu);
        guests
            .map(|guest| VmView {
                vmid: guest.vmid,
                node: guest.node.clone(),
                name: guest.config.get("name").unwrap_or_default().to_owned(),
                running: guest.running.is_some(),
                paused: guest.running.as_ref().is_some_and(|running| running.paused),
                template: guest.config.is_template(),
                pool: self
                    .pools
                    .iter()
                    .find(|(_, members)| members.contains(&guest.vmid))
                    .map(|(name, _)| name.clone()),
                config: guest.config.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
                pending: guest.pending.clone(),
                digest: guest.digest(),
            })
            .collect()
    }

    pub(super) fn volume_views(&self) -> Vec<VolumeView> {
        let volumes = self.volumes.iter();
        volumes
            .map(|(key, volume)| VolumeView {
                volid: format!("{}:{}", key.storage, key.name),
                node: key.host.clone(),
                vmid: volume.vmid,
                size: volume.size,
            })
            .collect()
    }

    /// From the oldest to the newest.
    pub(super) fn task_views(&self) -> Vec<TaskView> {
        let mut tasks: Vec<TaskView> = self
            .tasks
            .newest_first()
            .map(|task| TaskView {
                upid: task.upid.clone(),
                node: task.node.clone(),
                kind: task.kind.clone(),
                id: task.id.clone(),
                status: task.end.as_ref().map(|(_, status)| status.clone()),
                log: task.log.clone(),
            })
            .collect();
        tasks.reverse();
        tasks
    }
}
