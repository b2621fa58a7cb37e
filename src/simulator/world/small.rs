//! The short workers, and what several of the others share.

use std::time::Duration;

use super::World;
use super::engine::{Next, Work};
use super::storage::VolumeKey;
use super::task::TaskKey;

/// What most calls say of a guest that is not on that node.
pub(crate) fn no_such_config(vmid: u32, node: &str) -> String {
    format!("Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist")
}

/// What clone, stop and shutdown say of it.
pub(crate) fn no_config(vmid: u32, node: &str) -> String {
    format!("unable to find configuration file for VM {vmid} on node '{node}'")
}

/// A configuration line for a copy: a new UUID, new MAC addresses, everything else as it was.
pub(crate) fn with_new_identity(world: &mut World, key: &str, value: &str) -> String {
    if key == "smbios1" {
        let uuid = world.new_uuid();
        let others = value.split(',').filter(|part| !part.starts_with("uuid="));
        return others.fold(format!("uuid={uuid}"), |text, part| text + "," + part);
    }
    let is_nic = key.strip_prefix("net").is_some_and(|index| index.parse::<u32>().is_ok());
    if !is_nic {
        return value.to_owned();
    }
    let mac = world.new_mac();
    let parts: Vec<String> = value
        .split(',')
        .enumerate()
        .map(|(index, part)| match part.split_once('=') {
            Some((model, _)) if index == 0 => format!("{model}={mac}"),
            Some(("macaddr", _)) => format!("macaddr={mac}"),
            _ => part.to_owned(),
        })
        .collect();
    parts.join(",")
}

impl World {
    pub fn warn(&mut self, task: TaskKey, line: String) {
        let counts = self.is_v9();
        if let Some(task) = self.tasks.get_mut(task) {
            task.log.push(line);
            task.warnings += u32::from(counts);
        }
    }

    pub fn drop_from_pools(&mut self, vmid: u32) {
        for pool in self.pools.values_mut() {
            pool.remove(&vmid);
        }
    }

    /// Whether a fault kills this worker before it has done anything. Clone and destroy look for themselves.
    pub(super) fn task_killed_by_fault(&mut self, key: TaskKey) -> bool {
        let Some(task) = self.tasks.get(key) else {
            return false;
        };
        if matches!(task.kind.as_str(), "qmclone" | "qmdestroy") {
            return false;
        }
        let (kind, node, vmid) = (task.kind.clone(), task.node.clone(), task.id.parse().unwrap_or(0));
        self.faults.killed(&kind, &node, vmid)
    }

    /// Starts a guest after a while without a task, as `qmeventd` does after a reboot.
    pub(super) fn power_on_later(&mut self, vmid: u32, after: Duration) {
        self.power_on_at(vmid, self.now + after);
    }
}

/// `POST …/config`: the change as a task.
pub(crate) struct ConfigWork<F>(pub Option<F>);

impl<F: FnOnce(&mut World, TaskKey) -> Result<(), String> + Send> Work for ConfigWork<F> {
    fn step(&mut self, world: &mut World, task: TaskKey) -> Next {
        match self.0.take() {
            Some(change) => Next::Done(change(world, task)),
            None => Next::Done(Ok(())),
        }
    }
}

/// `POST …/template`.
pub(crate) struct TemplateWork {
    pub node: String,
    pub vmid: u32,
    pub locked: bool,
}

impl Work for TemplateWork {
    fn step(&mut self, world: &mut World, _task: TaskKey) -> Next {
        if !self.locked {
            self.locked = true;
            return Next::lock(self.vmid);
        }
        Next::Done(self.convert(world))
    }
}

impl TemplateWork {
    fn convert(&self, world: &mut World) -> Result<(), String> {
        let guest = world.guest_on(&self.node, self.vmid).ok_or_else(|| no_such_config(self.vmid, &self.node))?;
        if let Some(lock) = guest.config.lock() {
            return Err(format!("VM is locked ({lock})"));
        }
        let mut config = guest.config.clone();
        for (key, mut drive) in config.drives() {
            if drive.is_cdrom() {
                continue;
            }
            let Some(old) = world.volume_by_id(&self.node, &drive.file) else {
                continue;
            };
            let Some(volume) = world.volumes.remove(&old) else {
                continue;
            };
            let renamed = old.name.replacen(&format!("vm-{}-", self.vmid), &format!("base-{}-", self.vmid), 1);
            let new = VolumeKey { name: renamed, ..old };
            drive.file = format!("{}:{}", new.storage, new.name);
            world.volumes.insert(new, volume);
            config.set(&key, drive.text());
        }
        config.set("template", "1");
        if let Some(guest) = world.guest_mut(self.vmid) {
            guest.config = config;
        }
        Ok(())
    }
}

/// `DELETE …/content/VOLUME`.
pub(crate) struct FreeVolume {
    pub key: VolumeKey,
    pub vmid: u32,
}

impl Work for FreeVolume {
    fn step(&mut self, world: &mut World, task: TaskKey) -> Next {
        let volid = format!("{}:{}", self.key.storage, self.key.name);
        match world.free_volume(&self.key, self.vmid) {
            Ok(()) => {
                world.tasks.log(task, format!("Removed volume '{volid}'"));
                Next::Done(Ok(()))
            }
            Err(error) => Next::fail(error),
        }
    }
}
