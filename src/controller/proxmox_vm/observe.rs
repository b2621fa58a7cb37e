//! Answers the looks that the plan asks for.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    controller::fleet::{Fleet, Route},
    proxmox::{
        client::{ConfigView, Error},
        inventory::{Reach, Snapshot, TaskState},
        plan::{Look, Machine, Place, Power, Sight, Stored, Task, TaskAction, TaskSight, Volume, Volumes},
        wire::TaskStatus,
    },
};

/// More lines than a clone's log has: it tells its progress percent by percent.
const LOG_LINES: u64 = 1000;

/// What was looked at so far.
#[derive(Default)]
pub struct Sightings {
    /// Machines.
    pub machines: BTreeMap<Place, Sight>,
    /// Volumes.
    pub volumes: BTreeMap<Place, Volumes>,
    /// Tasks by their id.
    pub tasks: BTreeMap<String, TaskSight>,
    /// Whether the inventory was asked.
    pub list: bool,
}

impl Sightings {
    /// Looks, and keeps what was seen.
    pub async fn look(&mut self, fleet: &Fleet, snapshot: &Snapshot, look: Look) {
        match look {
            Look::Machine(place) => {
                let sight = machine(fleet, snapshot, &place).await;
                self.machines.insert(place, sight);
            }
            Look::Volumes(place) | Look::Vacancy(place) => {
                let found = volumes(fleet, &place).await;
                self.volumes.insert(place, found);
            }
            Look::List(node) => {
                fleet.inventory.refresh_node(&node).await;
                self.list = true;
            }
            Look::Task(task) => {
                let sight = self::task(fleet, snapshot, &task).await;
                self.tasks.insert(task.upid.to_string(), sight);
            }
        }
    }

    /// The machine at a place, if it was looked at and is there.
    pub fn machine(&self, place: &Place) -> Option<&Machine> {
        match self.machines.get(place)? {
            Sight::Present(machine) => Some(machine),
            Sight::Absent | Sight::Unknown(_) => None,
        }
    }

    /// How much of the running clone is done, in percent.
    pub fn cloned(&self) -> Option<u8> {
        self.tasks.values().find_map(|sight| match sight {
            TaskSight::Running(percent) => *percent,
            TaskSight::Succeeded | TaskSight::Failed(_) | TaskSight::Vanished | TaskSight::Unknown(_) => None,
        })
    }
}

/// The route to a node, unless its cluster says that it is down: then asking costs only time.
fn route<'a>(fleet: &'a Fleet, snapshot: &Snapshot, node: &str) -> Result<&'a Route, String> {
    if snapshot.node(node).is_some_and(|state| state.reach == Reach::Offline) {
        return Err("it is offline".to_owned());
    }
    fleet.route(node).ok_or_else(|| "the ProxmoxCluster does not name it any more".to_owned())
}

async fn machine(fleet: &Fleet, snapshot: &Snapshot, place: &Place) -> Sight {
    let seen = async {
        let Route { client, name } = route(fleet, snapshot, &place.node).map_err(Sight::Unknown)?;
        let missing = |error: Error| match error.is_missing_config() {
            true => Sight::Absent,
            false => Sight::Unknown(error.to_string()),
        };
        let config = client.vm_config(name, place.vmid, ConfigView::Pending).await.map_err(missing)?;
        let status = client.vm_status_current(name, place.vmid).await.map_err(missing)?;
        let power = match (status.is_running(), status.is_paused()) {
            (_, true) => Power::Paused,
            (true, false) => Power::Running,
            (false, false) => Power::Stopped,
        };
        // What is not running has nothing pending.
        let current = match power {
            Power::Stopped => config.clone(),
            Power::Running | Power::Paused => {
                client.vm_config(name, place.vmid, ConfigView::Current).await.map_err(missing)?
            }
        };
        // One that starts gets a drive that is made anew.
        let unprepared = match power {
            Power::Running | Power::Paused if config.cloudinit_drive().is_some() => {
                let values = client.vm_cloud_init(name, place.vmid).await.unwrap_or_default();
                values.into_iter().filter(|value| value.is_pending()).map(|value| (value.key, value.value)).collect()
            }
            Power::Running | Power::Paused | Power::Stopped => BTreeMap::new(),
        };
        Ok(Sight::Present(Box::new(Machine { config, current, power, process: status.pid, unprepared })))
    };
    seen.await.unwrap_or_else(|other| other)
}

/// Every storage that can hold disks is asked: the volumes of one that is down are not known.
async fn volumes(fleet: &Fleet, place: &Place) -> Volumes {
    let Some(Route { client, name }) = fleet.route(&place.node) else {
        return Volumes::Unknown("the ProxmoxCluster does not name the node any more".to_owned());
    };
    let storages = match client.node_storages(name).await {
        Ok(storages) => storages,
        Err(error) => return Volumes::Unknown(error.to_string()),
    };
    let mut stored = Stored::default();
    for storage in storages {
        if !storage.enabled || !storage.content.iter().any(|kind| kind == "images") {
            continue;
        }
        stored.available.insert(storage.name.clone(), storage.avail.unwrap_or(0));
        if !storage.active {
            return Volumes::Unknown(format!("storage {} is not available", storage.name));
        }
        match client.storage_content(name, &storage.name, Some(place.vmid)).await {
            Ok(volumes) => stored.volumes.extend(
                volumes
                    .into_iter()
                    // Backups carry the VMID too, and outlast the machine.
                    .filter(|volume| matches!(volume.content.as_deref(), None | Some("images" | "rootdir")))
                    .filter(|volume| volume.vmid.is_none_or(|vmid| vmid == place.vmid))
                    .map(|volume| Volume { id: volume.volid, shared: storage.shared }),
            ),
            Err(error) => return Volumes::Unknown(error.to_string()),
        }
    }
    Volumes::Known(stored)
}

async fn task(fleet: &Fleet, snapshot: &Snapshot, task: &Task) -> TaskSight {
    if let Some(TaskState::Ended { ok, text }) = snapshot.task(&task.node, &task.upid) {
        return if *ok { TaskSight::Succeeded } else { TaskSight::Failed(text.clone()) };
    }
    let Route { client, .. } = match route(fleet, snapshot, &task.node) {
        Ok(route) => route,
        Err(why) => return TaskSight::Unknown(why),
    };
    let status = match client.task_status(&task.upid).await {
        Ok(status) => status,
        Err(Error::Api(refusal)) if refusal.is_no_such_task() => return TaskSight::Vanished,
        Err(error) => return TaskSight::Unknown(error.to_string()),
    };
    match status.end() {
        Some(end) if TaskStatus::is_success(end) => TaskSight::Succeeded,
        Some(end) => TaskSight::Failed(end.to_owned()),
        None if task.action == TaskAction::Clone => TaskSight::Running(progress(fleet, task).await),
        None => TaskSight::Running(None),
    }
}

/// The percentage in the last lines of a clone's log: `transferred 12.5 MiB of 1.0 GiB (1.22%)`.
async fn progress(fleet: &Fleet, task: &Task) -> Option<u8> {
    let Route { client, .. } = fleet.route(&task.node)?;
    let lines = client.task_log(&task.upid, 0, LOG_LINES).await.ok()?;
    lines.iter().rev().find_map(|line| percent(&line.t))
}

fn percent(line: &str) -> Option<u8> {
    let (_, rest) = line.rsplit_once('(')?;
    let number: f64 = rest.split_once("%)")?.0.parse().ok()?;
    (0.0..=100.0).contains(&number).then_some(number as u8)
}

/// Whether the machine is said to have a guest agent (`agent: 1` or `agent: enabled=1,…`).
pub fn has_agent(sight: &Sight) -> bool {
    match sight {
        Sight::Present(machine) => machine
            .config
            .get("agent")
            .is_some_and(|agent| agent.split(',').any(|part| matches!(part, "1" | "enabled=1"))),
        Sight::Absent | Sight::Unknown(_) => false,
    }
}

/// The addresses that the guest agent tells. Silence is normal, for long after the boot.
pub async fn addresses(fleet: &Fleet, place: &Place) -> Option<Vec<String>> {
    let Route { client, name } = fleet.route(&place.node)?;
    let interfaces = client.agent_interfaces(name, place.vmid).await.ok()?;
    let useful = |address: &IpAddr| match address {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local() && !address.is_unspecified(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local() && !address.is_unspecified(),
    };
    Some(interfaces.addresses().into_iter().filter(useful).map(|address| address.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn progress_is_read_from_lines_of_the_log() {
        for (line, expected) in [
            ("transferred 12.5 MiB of 1.0 GiB (1.22%)", Some(1)),
            ("transferred 1.0 GiB of 1.0 GiB (100.00%)", Some(100)),
            ("create full clone of drive scsi0 (local:9000/base-9000-disk-0.qcow2)", None),
            ("TASK OK", None),
        ] {
            assert_eq!(percent(line), expected, "{line}");
        }
    }
}
