//! The cluster as its scenario says, at the start.

use std::collections::BTreeMap;

use super::World;
use super::config::Drive;
use super::guest::{Guest, Kind, Report, Running};
use super::storage::{Storage, Volume};
use crate::simulator::scenario::{GuestSpec, Scenario};

impl World {
    pub(super) fn fill(&mut self, scenario: &Scenario) {
        self.storages =
            scenario.storages.iter().map(|spec| (spec.name.clone(), Storage { spec: spec.clone() })).collect();
        for spec in &scenario.templates {
            self.add_guest(spec, true);
        }
        for spec in &scenario.vms {
            self.add_guest(spec, false);
        }
        for spec in &scenario.containers {
            let mut guest = Guest::new(spec.vmid, &spec.node, Kind::Lxc);
            guest.config.set("hostname", spec.name.clone());
            self.insert_guest(guest);
        }
        // What exists from the start has long been seen by the statistics daemons.
        self.dirty.clear();
        let reports: Vec<_> = self.guests.values().map(|guest| (guest.vmid, Report::of(guest))).collect();
        for (vmid, report) in reports {
            self.reports.entry(vmid).or_default().settle(Some(report));
        }
    }

    /// Puts a guest into the cluster as if it had always been there.
    pub fn add_guest(&mut self, spec: &GuestSpec, template: bool) {
        let vmid = spec.vmid;
        let mut lines: BTreeMap<String, String> = BTreeMap::new();
        let mut line = |key: &str, value: String| lines.insert(key.to_owned(), value);
        line("name", spec.name.clone());
        line("cores", spec.cores.to_string());
        line("memory", spec.memory_mib.to_string());
        line("scsihw", "virtio-scsi-single".into());
        line("ostype", "l26".into());
        line("serial0", "socket".into());
        line("vga", "serial0".into());
        line("agent", u8::from(spec.agent).to_string());
        line("smbios1", format!("uuid={}", self.new_uuid()));
        line("vmgenid", self.new_uuid());
        line("meta", format!("creation-qemu={},ctime={}", self.qemu_version(), self.unix_time()));
        if let Some(tags) = &spec.tags {
            line("tags", tags.clone());
        }
        if let Some(bridge) = &spec.bridge {
            line("net0", format!("virtio={},bridge={bridge}", self.new_mac()));
        }
        if template {
            line("template", "1".into());
        }
        if let Some(storage) = &spec.storage {
            line("boot", "order=scsi0".into());
            let format = self.storages.get(storage).map(|found| found.format(Some(&spec.format))).unwrap_or_default();
            let prefix = if template { "base" } else { "vm" };
            let name = self.new_disk_name(storage, &spec.node, vmid, &format, prefix);
            line("scsi0", format!("{storage}:{name},size={}G", spec.disk_gib));
            if spec.cloud_init {
                let name = self.cloud_init_name(storage, vmid, &format);
                line("ide2", format!("{storage}:{name},media=cdrom"));
            }
        }
        for (key, value) in &spec.config {
            lines.insert(key.clone(), value.clone());
        }
        let mut guest = Guest::new(vmid, &spec.node, Kind::Qemu);
        for (key, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
            guest.config.set(key, value.clone());
        }
        for (_, drive) in guest.config.drives() {
            self.add_volume_of(&spec.node, vmid, &drive);
        }
        let unused: Vec<String> = guest.config.unused().map(|(_, volume)| volume.to_owned()).collect();
        for volume in unused {
            let mut drive = Drive::parse(&volume);
            drive.set_size(1 << 30);
            self.add_volume_of(&spec.node, vmid, &drive);
        }
        if spec.running {
            guest.running = Some(Running {
                since: self.now,
                booted_at: self.now,
                pid: self.new_pid(),
                paused: false,
                cpus: guest.config.cpus(),
                memory: guest.config.memory(),
            });
            guest.cloud_init = guest.config.clone();
        }
        self.insert_guest(guest);
    }

    fn add_volume_of(&mut self, node: &str, vmid: u32, drive: &Drive) {
        let Some((storage, name)) = drive.volume() else {
            return;
        };
        let size = drive.size().unwrap_or(4 << 20);
        let key = self.volume_key(storage, node, name);
        let (base, file) = match name.rsplit_once('/') {
            Some((base, file)) if base.contains("base-") => match base.rsplit_once('/') {
                Some((base, _owner)) => (Some(base.to_owned()), file),
                None => (Some(base.to_owned()), file),
            },
            Some((_, file)) => (None, file),
            None => (None, name),
        };
        let format = file.rsplit_once('.').map_or("raw", |(_, format)| format).to_owned();
        let used = if base.is_some() { 0 } else { size };
        let created = self.unix_time();
        self.volumes.insert(key, Volume { vmid, size, used, format, created, base });
    }
}
