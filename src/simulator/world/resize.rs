//! Growing a disk: `resize`.

use std::time::Duration;

use super::World;
use super::config::parse_size;
use super::engine::{Next, Work};
use super::small::no_such_config;
use super::task::TaskKey;
use crate::simulator::scenario::StorageKind;

/// The largest qcow2 image that `qemu-img` can make with clusters of 64 KiB.
const LARGEST: u64 = 1 << 56;

/// A `PUT …/resize` whose parameters have been checked.
#[derive(Clone, Debug)]
pub(crate) struct ResizeRequest {
    pub node: String,
    pub vmid: u32,
    pub disk: String,
    pub size: String,
    pub digest: Option<String>,
    pub skiplock: bool,
}

struct ResizeWork {
    request: ResizeRequest,
    locked: bool,
    waited: bool,
}

impl ResizeRequest {
    pub fn work(self) -> Box<dyn Work> {
        Box::new(ResizeWork { request: self, locked: false, waited: false })
    }
}

impl Work for ResizeWork {
    fn step(&mut self, world: &mut World, task: TaskKey) -> Next {
        if !self.locked {
            self.locked = true;
            return Next::lock(self.request.vmid);
        }
        if !self.waited {
            self.waited = true;
            return Next::Sleep(Duration::from_millis(100));
        }
        Next::Done(self.resize(world, task))
    }
}

impl ResizeWork {
    fn resize(&self, world: &mut World, task: TaskKey) -> Result<(), String> {
        let ResizeRequest { node, vmid, disk, size, digest, skiplock } = &self.request;
        let vmid = *vmid;
        let guest = world.guest_on(node, vmid).ok_or_else(|| no_such_config(vmid, node))?;
        if digest.as_ref().is_some_and(|digest| *digest != guest.digest()) {
            return Err("checksum mismatch (file change by other user?)".into());
        }
        if let Some(lock) = guest.config.lock().filter(|_| !skiplock) {
            return Err(format!("VM is locked ({lock})"));
        }
        let mut drive = guest
            .config
            .drives()
            .into_iter()
            .find_map(|(key, drive)| (key == *disk).then_some(drive))
            .ok_or_else(|| format!("disk '{disk}' does not exist"))?;
        if drive.is_cdrom() {
            return Err("you can't resize a cdrom".into());
        }
        let running = guest.running.is_some();
        let template = guest.config.is_template();
        let key = world.volume_by_id(node, &drive.file).ok_or_else(|| format!("disk '{disk}' does not exist"))?;
        let volume =
            world.volumes.get(&key).cloned().ok_or_else(|| format!("volume '{}' does not exist", drive.file))?;
        let wanted = match size.strip_prefix('+') {
            Some(more) => volume.size.saturating_add(parse_size(more).unwrap_or(0)),
            None => parse_size(size).unwrap_or(0),
        };
        if wanted < volume.size {
            return Err("shrinking disks is not supported".into());
        }
        if wanted > volume.size {
            let storage = world.storages.get(&key.storage);
            let path = storage.map(|found| found.path_of(&key.name)).unwrap_or_default();
            let kind = storage.map(|found| found.spec.kind);
            let preallocation = if world.is_v9() { "'--preallocation=metadata' " } else { "" };
            let failed = format!(
                "command '/usr/bin/qemu-img resize {preallocation}-f {} {path} {wanted}' failed: exit code 1",
                volume.format
            );
            if template && volume.format == "qcow2" {
                let line = format!("Could not open '{path}'");
                world.tasks.log(task, format!("qemu-img: {line}: {line}: Operation not permitted"));
                return Err(failed);
            }
            if wanted > LARGEST {
                world.tasks.log(task, "qemu-img: Failed to grow the L1 table: File too large");
                return Err(failed);
            }
            let (used, total) = world.space(&key.storage, node);
            let thick = kind == Some(StorageKind::Lvm);
            if thick && total.saturating_sub(used) < wanted - volume.size {
                return Err(format!("command '/sbin/lvextend -L {}k {path}' failed: exit code 5", wanted >> 10));
            }
            let space = if thick { volume.used + (wanted - volume.size) } else { volume.used };
            world.volumes.resize(&key, wanted, space);
            if !running {
                world.tasks.log(task, "Image resized.");
            }
        }
        if !world.has_quorum() {
            return Err(world.no_quorum_write(node, vmid));
        }
        drive.set_size(wanted);
        if let Some(guest) = world.guest_mut(vmid) {
            guest.config.set(disk, drive.text());
        }
        Ok(())
    }
}
