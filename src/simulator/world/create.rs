//! Making disks and guests: `qmcreate`, and the drives that a configuration change adds.

use std::time::Duration;

use super::World;
use super::config::{Config, Drive, drive_names};
use super::engine::{Next, Work};
use super::guest::{Guest, Kind};
use super::storage::{Volume, VolumeKey};
use super::task::TaskKey;

/// A drive as it goes into the configuration, and what its making logged.
pub(crate) struct Allocation {
    pub text: String,
    pub lines: Vec<String>,
    pub made: Option<VolumeKey>,
}

/// Makes the volume that a drive asks for: `storage:GiB`, `storage:cloudinit`, or an existing volume.
pub(crate) fn allocate_drive(
    world: &mut World,
    node: &str,
    vmid: u32,
    key: &str,
    value: &str,
) -> Result<Allocation, String> {
    let mut drive = Drive::parse(value);
    let unchanged = |drive: &Drive| Allocation { text: drive.text(), lines: Vec::new(), made: None };
    let Some((storage, name)) = drive.volume().map(|(storage, name)| (storage.to_owned(), name.to_owned())) else {
        return Ok(unchanged(&drive));
    };
    let found = world.storages.get(&storage).ok_or_else(|| format!("storage '{storage}' does not exist"))?;
    if !found.on_node(node) {
        return Err(format!("storage '{storage}' is not available on node '{node}'"));
    }
    let (name, size, format) = if name == "cloudinit" {
        let format = found.format(Some(drive.option("format").unwrap_or("qcow2")));
        drive.drop_option("format");
        drive.set_option("media", "cdrom");
        (world.cloud_init_name(&storage, vmid, &format), 4 << 20, format)
    } else if let Ok(gib) = name.parse::<f64>() {
        let format = found.format(drive.option("format"));
        let source = drive.option("import-from").and_then(|volid| world.volume_by_id(node, volid));
        let size = match source.and_then(|key| world.volumes.get(&key)) {
            Some(volume) => volume.size,
            None => (gib * (1u64 << 30) as f64) as u64,
        };
        drive.drop_option("format");
        drive.drop_option("import-from");
        let name = world.new_disk_name(&storage, node, vmid, &format, "vm");
        (name, size, format)
    } else {
        let existing = world.volume_key(&storage, node, &name);
        let volume = world.volumes.get(&existing).ok_or_else(|| format!("volume '{}' does not exist", drive.file))?;
        let size = volume.size;
        if !drive.is_cdrom() {
            drive.set_size(size);
        }
        return Ok(unchanged(&drive));
    };
    let found = world.storages.get(&storage).ok_or_else(|| format!("storage '{storage}' does not exist"))?;
    let path = found.path_of(&name);
    if size > 1 << 56 {
        return Err(format!(
            "unable to create image: qemu-img: {path}: The image size is too large for file format '{format}'"
        ));
    }
    let (used, total) = world.space(&storage, node);
    // Only LVM takes the whole space at once.
    if !found.is_files() && total.saturating_sub(used) < size {
        return Err(format!("lvcreate '{path}' error: insufficient free space"));
    }
    let mut lines: Vec<String> = world.format_line(&storage, &name, size, &format, None).into_iter().collect();
    let made = world.volume_key(&storage, node, &name);
    let created = world.unix_time();
    world.volumes.insert(made.clone(), Volume { vmid, size, used: size, format, created, base: None });
    drive.file = format!("{storage}:{name}");
    if !drive.is_cdrom() {
        drive.set_size(size);
    }
    let text = drive.text();
    lines.push(format!("{key}: successfully created disk '{text}'"));
    Ok(Allocation { text, lines, made: Some(made) })
}

/// The boot order that Proxmox chooses: the first disk, the first CD-ROM, the first NIC.
pub(crate) fn default_boot_order(config: &Config) -> String {
    let drives = config.drives();
    let disk = drives.iter().find(|(_, drive)| !drive.is_cdrom()).map(|(key, _)| key.clone());
    let cdrom = drives.iter().find(|(_, drive)| drive.is_cdrom()).map(|(key, _)| key.clone());
    let nic = config.nics().first().map(|(index, ..)| format!("net{index}"));
    let order: Vec<String> = disk.into_iter().chain(cdrom).chain(nic).collect();
    if order.is_empty() { " ".into() } else { format!("order={}", order.join(";")) }
}

/// `POST /nodes/N/qemu`.
pub(crate) struct CreateWork {
    pub node: String,
    pub vmid: u32,
    pub config: Config,
    pub pool: Option<String>,
    pub start: bool,
    pub stage: u8,
}

impl Work for CreateWork {
    fn step(&mut self, world: &mut World, task: TaskKey) -> Next {
        self.stage += 1;
        match self.stage {
            1 => Next::lock(self.vmid),
            2 => match self.create(world, task) {
                Ok(()) if self.start => {
                    world.tasks.log(task, "Execute autostart");
                    Next::Sleep(Duration::from_millis(800))
                }
                Ok(()) => Next::Done(Ok(())),
                Err(error) => Next::fail(format!("unable to create VM {} - {error}", self.vmid)),
            },
            _ => {
                world.power_on(self.vmid);
                Next::Done(Ok(()))
            }
        }
    }
}

impl CreateWork {
    fn create(&mut self, world: &mut World, task: TaskKey) -> Result<(), String> {
        let (node, vmid) = (self.node.clone(), self.vmid);
        if let Some(guest) = world.guest(vmid) {
            return Err(format!("VM {vmid} already exists on node '{}'", guest.node));
        }
        if !world.has_quorum() {
            return Err(world.no_quorum_write(&node, vmid));
        }
        let mut config = self.config.clone();
        let mut made = Vec::new();
        for key in drive_names().filter(|key| self.config.contains(key)) {
            let value = config.get(&key).unwrap_or_default().to_owned();
            match allocate_drive(world, &node, vmid, &key, &value) {
                Ok(allocation) => {
                    for line in allocation.lines {
                        world.tasks.log(task, line);
                    }
                    made.extend(allocation.made);
                    config.set(&key, allocation.text);
                }
                Err(error) => {
                    for key in made {
                        world.volumes.remove(&key);
                    }
                    return Err(error);
                }
            }
        }
        if !config.contains("boot") {
            let order = default_boot_order(&config);
            config.set("boot", order);
        }
        if !config.contains("smbios1") {
            config.set("smbios1", format!("uuid={}", world.new_uuid()));
        }
        config.set("vmgenid", world.new_uuid());
        config.set("meta", format!("creation-qemu={},ctime={}", world.qemu_version(), world.unix_time()));
        let mut guest = Guest::new(vmid, &node, Kind::Qemu);
        guest.config = config;
        world.insert_guest(guest);
        if let Some(pool) = self.pool.as_ref().and_then(|pool| world.pools.get_mut(pool)) {
            pool.insert(vmid);
        }
        Ok(())
    }
}
