//! Moving a guest to another node: `qmigrate`, and what recovery on shared storage does without a task.

use std::time::Duration;

use super::World;
use super::engine::{Next, Work};
use super::small::no_such_config;
use super::storage::VolumeKey;
use super::task::TaskKey;

pub(crate) struct MigrateWork {
    pub node: String,
    pub vmid: u32,
    pub target: String,
    pub stage: u8,
}

impl Work for MigrateWork {
    fn step(&mut self, world: &mut World, task: TaskKey) -> Next {
        self.stage += 1;
        match self.stage {
            1 => Next::lock(self.vmid),
            2 => {
                let Some(guest) = world.guest_on(&self.node, self.vmid) else {
                    return Next::fail(no_such_config(self.vmid, &self.node));
                };
                if let Some(lock) = guest.config.lock() {
                    return Next::fail(format!("VM is locked ({lock})"));
                }
                world.tasks.log(task, format!("starting migration of VM {} to node '{}'", self.vmid, self.target));
                if let Some(guest) = world.guest_mut(self.vmid) {
                    guest.config.set("lock", "migrate");
                }
                Next::Sleep(Duration::from_secs(3))
            }
            _ => {
                if let Some(guest) = world.guest_mut(self.vmid) {
                    guest.config.remove("lock");
                }
                world.move_guest(self.vmid, &self.target);
                world.tasks.log(task, "migration finished successfully (duration 00:00:03)");
                Next::Done(Ok(()))
            }
        }
    }
}

impl World {
    /// Moves a guest and its local volumes.
    pub fn move_guest(&mut self, vmid: u32, target: &str) {
        let Some(guest) = self.guest_mut(vmid) else {
            return;
        };
        let old = std::mem::replace(&mut guest.node, target.to_owned());
        let local: Vec<VolumeKey> = self
            .volumes
            .of_guest(vmid)
            .filter(|(key, _)| key.host.as_deref() == Some(old.as_str()))
            .map(|(key, _)| key.clone())
            .collect();
        for key in local {
            if let Some(volume) = self.volumes.remove(&key) {
                self.volumes.insert(VolumeKey { host: Some(target.to_owned()), ..key }, volume);
            }
        }
    }
}
