//! Destroying: `qmdestroy`.

use std::time::Duration;

use super::World;
use super::config::Config;
use super::engine::{Next, Work};
use super::guest::Guest;
use super::small::no_such_config;
use super::storage::VolumeKey;
use super::task::TaskKey;

/// A `DELETE …/qemu/ID` whose parameters have been checked.
#[derive(Clone, Debug)]
pub(crate) struct DestroyRequest {
    pub node: String,
    pub vmid: u32,
    pub skiplock: bool,
    pub purge: bool,
    pub unreferenced: bool,
}

struct DestroyWork {
    request: DestroyRequest,
    stage: Stage,
}

enum Stage {
    Lock,
    /// The lock is held; the configuration is still whole.
    Begin,
    Volumes,
    /// The configuration is down to `lock: destroyed`.
    Purge,
}

impl DestroyRequest {
    pub fn work(self) -> Box<dyn Work> {
        Box::new(DestroyWork { request: self, stage: Stage::Lock })
    }
}

impl World {
    /// What refuses a destroy in the call itself and again in its task.
    pub fn destroy_refusal(&self, node: &str, vmid: u32) -> Option<String> {
        let Some(guest) = self.guest_on(node, vmid) else {
            return Some(no_such_config(vmid, node));
        };
        if guest.config.flag("protection") {
            return Some(format!("can't remove VM {vmid} - protection mode enabled"));
        }
        guest.running.is_some().then(|| format!("VM {vmid} is running - destroy failed"))
    }

    /// The volumes of a guest's configuration that are its own.
    fn volumes_of(&self, guest: &Guest) -> Vec<VolumeKey> {
        let mut volids: Vec<String> = guest.config.drives().into_iter().map(|(_, drive)| drive.file).collect();
        volids.extend(guest.config.unused().map(|(_, volid)| volid.to_owned()));
        let keys = volids.iter().filter_map(|volid| self.volume_by_id(&guest.node, volid));
        keys.filter(|key| self.volumes.get(key).is_none_or(|volume| volume.vmid == guest.vmid)).collect()
    }
}

impl Work for DestroyWork {
    fn step(&mut self, world: &mut World, task: TaskKey) -> Next {
        let vmid = self.request.vmid;
        match self.stage {
            Stage::Lock => {
                self.stage = Stage::Begin;
                Next::lock(vmid)
            }
            Stage::Begin => {
                self.stage = Stage::Volumes;
                Next::Sleep(Duration::from_millis(150))
            }
            Stage::Volumes => match self.volumes(world, task) {
                Ok(()) => {
                    self.stage = Stage::Purge;
                    Next::Sleep(Duration::from_millis(150))
                }
                Err(error) => Next::fail(error),
            },
            Stage::Purge => {
                if world.faults.killed("qmdestroy", &self.request.node, vmid) {
                    return Next::Killed;
                }
                if self.request.purge {
                    world.tasks.log(task, format!("purging VM {vmid} from related configurations.."));
                }
                world.remove_guest(vmid);
                world.drop_from_pools(vmid);
                Next::Done(Ok(()))
            }
        }
    }
}

impl DestroyWork {
    fn volumes(&mut self, world: &mut World, task: TaskKey) -> Result<(), String> {
        let DestroyRequest { node, vmid, skiplock, .. } = &self.request;
        let vmid = *vmid;
        if let Some(refusal) = world.destroy_refusal(node, vmid) {
            return Err(refusal);
        }
        let guest = world.guest_on(node, vmid).ok_or_else(|| no_such_config(vmid, node))?;
        if let Some(lock) = guest.config.lock().filter(|_| !skiplock) {
            return Err(format!("VM is locked ({lock})"));
        }
        let mut keys = world.volumes_of(guest);
        if guest.config.is_template() {
            for key in &keys {
                if world.is_base_in_use(key) {
                    let volid = format!("{}:{}", key.storage, key.name);
                    return Err(format!("base volume '{volid}' is still in use by linked cloned"));
                }
            }
        }
        if self.request.unreferenced {
            let unreferenced: Vec<_> = world
                .volumes
                .of_guest(vmid)
                .filter(|(key, _)| {
                    let here = key.host.as_deref().is_none_or(|host| host == node);
                    here && !keys.contains(key)
                })
                .map(|(key, _)| key.clone())
                .collect();
            keys.extend(unreferenced);
        }
        for key in keys {
            if world.volumes.get(&key).is_none() {
                let path = world.storages.get(&key.storage).map(|found| found.path_of(&key.name)).unwrap_or_default();
                world.tasks.log(task, format!("disk image '{path}' does not exist"));
            } else if let Err(error) = world.free_volume(&key, vmid) {
                let volid = format!("{}:{}", key.storage, key.name);
                world.warn(task, format!("Could not remove disk '{volid}', check manually: {error}"));
            }
        }
        if !world.has_quorum() {
            return Err(world.no_quorum_write(&self.request.node, vmid));
        }
        if let Some(guest) = world.guest_mut(vmid) {
            guest.config = Config::default();
            guest.config.set("lock", "destroyed");
            guest.pending.clear();
            guest.snapshots.clear();
        }
        Ok(())
    }
}
