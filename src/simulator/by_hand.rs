//! What people do to the cluster without its API: with the web interface, an editor, or a shell.

use super::Error;
use super::handle::Simulator;
use super::scenario::{AclSpec, GuestSpec};
use super::world::config::Config;
use super::world::guest::Guest;
use super::world::storage::{Volume, VolumeKey};
use super::world::{World, with_new_identity};

impl Simulator {
    /// Makes a pool.
    pub fn add_pool(&self, name: &str) {
        self.with(|state| {
            state.world.pools.entry(name.to_owned()).or_default();
        });
    }

    /// Adds a guest as if it had always been there.
    pub fn add_vm(&self, spec: &GuestSpec) {
        self.with(|state| state.world.add_guest(spec, false));
    }

    /// Gives a right.
    pub fn grant(&self, line: AclSpec) {
        self.with(|state| state.world.access.grant(line));
    }

    /// Defines a role anew.
    pub fn set_role(&self, name: &str, privileges: &[&str]) {
        self.with(|state| state.world.access.set_role(name, privileges));
    }

    fn edit(&self, vmid: u32, action: impl FnOnce(&mut World, &Guest)) -> Result<(), Error> {
        self.with(|state| {
            let guest = state.world.guest(vmid).cloned().ok_or(Error::NoSuchVm(vmid))?;
            action(&mut state.world, &guest);
            Ok(())
        })
    }

    /// Sets or removes an option of a configuration, as somebody with an editor does it: no lock counts.
    ///
    /// # Errors
    /// When there is no such guest.
    pub fn set_option(&self, vmid: u32, key: &str, value: Option<&str>) -> Result<(), Error> {
        self.edit(vmid, |world, _| {
            if let Some(guest) = world.guest_mut(vmid) {
                match value {
                    Some(value) => guest.config.set(key, value),
                    None => {
                        guest.config.remove(key);
                    }
                }
            }
        })
    }

    /// Edits the notes of a guest.
    ///
    /// # Errors
    /// When there is no such guest.
    pub fn edit_description(&self, vmid: u32, text: &str) -> Result<(), Error> {
        self.set_option(vmid, "description", Some(text))
    }

    /// `qm unlock`.
    ///
    /// # Errors
    /// When there is no such guest.
    pub fn unlock(&self, vmid: u32) -> Result<(), Error> {
        self.set_option(vmid, "lock", None)
    }

    /// Starts or stops a guest, with no task and at once.
    ///
    /// # Errors
    /// When there is no such guest.
    pub fn set_running(&self, vmid: u32, running: bool) -> Result<(), Error> {
        self.edit(vmid, |world, _| if running { world.power_on(vmid) } else { world.power_off(vmid) })
    }

    /// Moves a guest to another node, with no task and at once.
    ///
    /// # Errors
    /// When there is no such guest or node.
    pub fn move_vm(&self, vmid: u32, node: &str) -> Result<(), Error> {
        if !self.nodes().iter().any(|name| name == node) {
            return Err(Error::NoSuchNode(node.into()));
        }
        self.edit(vmid, |world, _| world.move_guest(vmid, node))
    }

    /// Removes a guest's configuration and its volumes, with no task and at once.
    ///
    /// # Errors
    /// When there is no such guest.
    pub fn remove_vm(&self, vmid: u32) -> Result<(), Error> {
        self.edit(vmid, |world, _| {
            let keys: Vec<_> = world.volumes.of_guest(vmid).map(|(key, _)| key.clone()).collect();
            for key in keys {
                world.volumes.remove(&key);
            }
            world.remove_guest(vmid);
            world.drop_from_pools(vmid);
        })
    }

    /// Puts a volume on a storage that no configuration names, such as a killed clone leaves one behind; one
    /// of the same name is replaced.
    pub fn add_volume(&self, volid: &str, node: &str, vmid: u32, gib: u64) {
        self.with(|state| {
            let format = volid.rsplit_once('.').map_or("raw", |(_, format)| format).to_owned();
            let created = state.world.unix_time();
            if let Some(key) = state.world.volume_by_id(node, volid) {
                let size = gib << 30;
                state.world.volumes.insert(key, Volume { vmid, size, used: size, format, created, base: None });
            }
        });
    }

    /// Removes the file of a volume, as somebody with a shell does it. Tells how many there were.
    pub fn remove_volume(&self, volid: &str) -> usize {
        self.with(|state| {
            let keys: Vec<_> = state
                .world
                .volumes
                .iter()
                .filter(|(key, _)| format!("{}:{}", key.storage, key.name) == volid)
                .map(|(key, _)| key.clone())
                .collect();
            for key in &keys {
                state.world.volumes.remove(key);
            }
            keys.len()
        })
    }

    /// A copy made by hand: description and tags are those of the original, the SMBIOS UUID is new.
    ///
    /// # Errors
    /// When there is no such guest.
    pub fn copy_vm(&self, vmid: u32, newid: u32) -> Result<(), Error> {
        self.edit(vmid, |world, guest| world.copy_guest(guest, newid, false))
    }

    /// A backup restored under another id: everything is as in the original, the SMBIOS UUID too.
    ///
    /// # Errors
    /// When there is no such guest.
    pub fn restore_copy(&self, vmid: u32, newid: u32) -> Result<(), Error> {
        self.edit(vmid, |world, guest| world.copy_guest(guest, newid, true))
    }
}

impl World {
    fn copy_guest(&mut self, original: &Guest, newid: u32, keep_identity: bool) {
        let mut config = Config::default();
        for (key, value) in original.config.iter().filter(|(key, _)| !matches!(*key, "lock" | "template")) {
            let value = if keep_identity { value.to_owned() } else { with_new_identity(self, key, value) };
            config.set(key, value);
        }
        for (key, mut drive) in config.drives() {
            let Some(old) = self.volume_by_id(&original.node, &drive.file) else {
                continue;
            };
            let Some(mut volume) = self.volumes.get(&old).cloned() else {
                continue;
            };
            let name = if drive.is_cloud_init() {
                self.cloud_init_name(&old.storage, newid, &volume.format)
            } else {
                self.new_disk_name(&old.storage, &original.node, newid, &volume.format, "vm")
            };
            volume.vmid = newid;
            volume.base = None;
            drive.file = format!("{}:{name}", old.storage);
            self.volumes.insert(VolumeKey { name, ..old }, volume);
            config.set(&key, drive.text());
        }
        let mut guest = Guest::new(newid, &original.node, original.kind);
        guest.config = config;
        self.insert_guest(guest);
    }
}
