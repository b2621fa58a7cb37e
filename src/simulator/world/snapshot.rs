//! Snapshots: `qmsnapshot`, `qmdelsnapshot`, `qmrollback`.

use super::World;
use super::engine::{Next, Work};
use super::small::no_such_config;
use super::task::TaskKey;

pub(crate) enum SnapshotStep {
    Create { description: String },
    Delete,
    Rollback { start: bool },
}

pub(crate) struct SnapshotWork {
    pub node: String,
    pub vmid: u32,
    pub name: String,
    pub step: SnapshotStep,
    pub locked: bool,
}

impl Work for SnapshotWork {
    fn step(&mut self, world: &mut World, task: TaskKey) -> Next {
        if !self.locked {
            self.locked = true;
            return Next::lock(self.vmid);
        }
        Next::Done(self.run(world, task))
    }
}

impl SnapshotWork {
    fn run(&self, world: &mut World, task: TaskKey) -> Result<(), String> {
        let (vmid, name) = (self.vmid, &self.name);
        let guest = world.guest_on(&self.node, vmid).ok_or_else(|| no_such_config(vmid, &self.node))?.clone();
        if let Some(lock) = guest.config.lock() {
            return Err(format!("VM is locked ({lock})"));
        }
        let exists = guest.snapshots.contains_key(name);
        if let SnapshotStep::Create { .. } = self.step {
            if guest.config.is_template() {
                return Err("you can't take a snapshot if it's a template".into());
            }
            if exists {
                return Err(format!("snapshot name '{name}' already used"));
            }
            self.check_feature(world, &guest)?;
        } else if !exists {
            return Err(format!("snapshot '{name}' does not exist"));
        }
        if !world.has_quorum() {
            return Err(world.no_quorum_write(&self.node, vmid));
        }
        if let SnapshotStep::Create { .. } = self.step {
            for (key, drive) in guest.config.drives().into_iter().filter(|(_, drive)| !drive.is_cdrom()) {
                world.tasks.log(task, format!("snapshotting 'drive-{key}' ({})", drive.file));
            }
        }
        let time = world.unix_time();
        let Some(guest) = world.guest_mut(vmid) else {
            return Ok(());
        };
        match &self.step {
            SnapshotStep::Create { description } => {
                let mut config = guest.config.clone();
                config.set("description", description.clone());
                config.set("snaptime", time.to_string());
                guest.snapshots.insert(name.clone(), config);
                guest.config.set("parent", name.clone());
            }
            SnapshotStep::Delete => {
                let parent = guest.snapshots.remove(name).and_then(|config| config.get("parent").map(str::to_owned));
                if guest.config.get("parent") == Some(name) {
                    guest.config.remove("parent");
                    if let Some(parent) = parent {
                        guest.config.set("parent", parent);
                    }
                }
            }
            SnapshotStep::Rollback { start } => {
                if let Some(mut config) = guest.snapshots.get(name).cloned() {
                    config.remove("snaptime");
                    config.set("parent", name.clone());
                    if let Some(description) = guest.config.get("description").map(str::to_owned) {
                        config.set("description", description);
                    } else {
                        config.remove("description");
                    }
                    guest.config = config;
                }
                guest.pending.clear();
                guest.running = None;
                if *start {
                    world.power_on(vmid);
                }
                let uuid = world.new_uuid();
                if let Some(guest) = world.guest_mut(vmid) {
                    guest.config.set("vmgenid", uuid);
                }
            }
        }
        Ok(())
    }

    /// Raw files cannot have snapshots.
    fn check_feature(&self, world: &World, guest: &super::guest::Guest) -> Result<(), String> {
        for (_, drive) in guest.config.drives().into_iter().filter(|(_, drive)| !drive.is_cdrom()) {
            let Some(key) = world.volume_by_id(&self.node, &drive.file) else { continue };
            let files = world.storages.get(&key.storage).is_some_and(super::storage::Storage::is_files);
            if files && world.volumes.get(&key).is_some_and(|volume| volume.format != "qcow2") {
                return Err("snapshot feature is not available".into());
            }
        }
        Ok(())
    }
}
