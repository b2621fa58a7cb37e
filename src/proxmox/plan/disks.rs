//! The disks beside the one that a machine boots from: made, attached, changed, detached, and removed only where the spec
//! says so.
//!
//! A disk bears its name as its serial number, and its volume is recorded; either tells which it is, and the lost one is put
//! back. Each change carries the digest of the config that it was computed from, so that one whose answer was lost does not
//! make a second volume.

use super::{
    Action, ConfigValues, Context, DiskChange, ExtraDisk, Intent, KnownDisk, Machine, MachineSpec, Planned, Reason,
    Recorded, Stage, Step, Volumes,
    room::{Demand, usable_storage},
};
use crate::proxmox::wire::{Drive, VmConfig, VolumeKind};

/// Sizes of new disks are told in these.
const GIB: u64 = 1 << 30;
/// The controller of SCSI disks that has a thread for each.
const THREADED: &str = "virtio-scsi-single";

impl Context<'_> {
    /// The next change of the disks, if one is due.
    pub(super) fn disks(&self, spec: &MachineSpec, intent: &Intent, machine: &Machine) -> Option<Step> {
        let known = remembered(spec, self.recorded, intent.stage, machine);
        if known != self.recorded.disks {
            return Some(self.record(|recorded| recorded.disks = known));
        }
        let wanted = || spec.disks.iter().map(|(name, disk)| (name.as_str(), disk));
        wanted()
            .find_map(|(name, disk)| self.attach(intent, machine, name, disk))
            .or_else(|| wanted().find_map(|(name, disk)| self.adjust(intent, machine, name, disk)))
            .or_else(|| wanted().find_map(|(name, disk)| self.enlarge(intent, machine, name, disk)))
            .or_else(|| self.put_away(spec, intent, machine))
    }

    fn known(&self, name: &str) -> Option<&KnownDisk> {
        self.recorded.disks.iter().find(|known| known.name == name)
    }

    fn attach(&self, intent: &Intent, machine: &Machine, name: &str, disk: &ExtraDisk) -> Option<Step> {
        let Machine { config, current, .. } = machine;
        let known = self.known(name);
        if find(config, name, known).is_some() {
            return None;
        }
        let field = |option: &str| format!("spec.disks[{name}].{option}");
        // It is to be detached at the next boot, which is called off.
        if let Some((key, drive)) = find(current, name, known) {
            let value = with_options(&drive, name, disk).to_string();
            return Some(self.change_disk(intent, machine, name, DiskChange::Attach { key: key.to_owned(), value }));
        }
        let key = match free_key(machine) {
            Ok(key) => key,
            Err(reason) => return Some(Step::Stall(reason)),
        };
        if let Some(refused) = unfit(config, &key, name, disk) {
            return Some(Step::Stall(refused));
        }
        let volume = known.and_then(|known| known.volume.as_deref());
        let file = match volume {
            Some(volume) if is_detached(config, volume) => {
                let there = volume.split(':').next().unwrap_or_default();
                if disk.storage.as_deref().is_some_and(|storage| storage != there) {
                    let message = format!(
                        "{}: disk {name} was detached, and its data is {volume}, on another storage; name {there}, or give the \
                         new disk another name",
                        field("storage")
                    );
                    return Some(Step::Stall(Reason::new("DiskElsewhere", message)));
                }
                volume.to_owned()
            }
            Some(volume) => {
                let message = format!(
                    "disk {name} of VM {} on {} is gone, with its volume {volume}; no empty one is made in its place. Attach \
                     the volume again; or take the disk out of spec.disks once to get a new one; or set spec.whenMissing to \
                     Recreate for an empty one at once",
                    intent.place.vmid, intent.place.node
                );
                return Some(Step::Stall(Reason::new("DiskMissing", message)));
            }
            None => {
                let Some(storage) = disk.storage.clone().or_else(|| config.boot_storage()) else {
                    let message = format!(
                        "{}: name one, for the machine boots from no disk whose storage it could be",
                        field("storage")
                    );
                    return Some(Step::Stall(Reason::new("StorageNotNamed", message)));
                };
                match self.lacks_room(intent, &storage, disk) {
                    Ok(None) => {}
                    Ok(Some(step)) | Err(step) => return Some(step),
                }
                format!("{storage}:{}", gibibytes(disk.bytes))
            }
        };
        let value = with_options(&Drive::parse(&file), name, disk).to_string();
        Some(self.change_disk(intent, machine, name, DiskChange::Attach { key, value }))
    }

    /// Whether there is no room for a new disk: then one that never ran is made elsewhere, and any other waits.
    fn lacks_room(&self, intent: &Intent, storage: &str, disk: &ExtraDisk) -> Planned<Option<Step>> {
        let node = &intent.place.node;
        let Some(state) = self.node(node) else { return Ok(None) };
        let lack = match usable_storage(state, storage) {
            Ok(storage) => {
                // The node itself knows better than the list how much can be written.
                let exact = match self.volumes(&intent.place)? {
                    Volumes::Known(stored) => stored.available.get(&storage.name).copied(),
                    Volumes::Unknown(_) => None,
                };
                let demand = Demand { storage, bytes: disk.bytes };
                self.lack_of_storage(node, demand, exact.unwrap_or(storage.avail))
            }
            Err(reason) => Some(reason),
        };
        Ok(lack.map(|lack| Reason::new(&lack.word, format!("{node}: {}", lack.message))).map(|lack| {
            match intent.stage {
                Stage::Creating => self.record(|recorded| recorded.give_up(lack)),
                Stage::Adopting | Stage::Starting | Stage::Established | Stage::Abandoning => Step::Wait(lack),
            }
        }))
    }

    /// Options that differ, and a serial number that was lost.
    fn adjust(&self, intent: &Intent, machine: &Machine, name: &str, disk: &ExtraDisk) -> Option<Step> {
        let config = &machine.config;
        let (key, drive) = find(config, name, self.known(name))?;
        let wanted = with_options(&drive, name, disk);
        if wanted == drive {
            return None;
        }
        if let Some(refused) = unfit(config, key, name, disk) {
            return Some(Step::Stall(refused));
        }
        Some(Step::Act(Action::Configure {
            place: intent.place.clone(),
            set: ConfigValues(vec![(key.to_owned(), wanted.to_string())]),
            delete: Vec::new(),
            password: None,
            digest: config.digest().map(str::to_owned),
        }))
    }

    /// Only what is attached already can grow.
    fn enlarge(&self, intent: &Intent, machine: &Machine, name: &str, disk: &ExtraDisk) -> Option<Step> {
        let (key, drive) = find(&machine.current, name, self.known(name))?;
        let place = intent.place.clone();
        let (disk, bytes) = (key.to_owned(), disk.bytes);
        (drive.size()? < bytes).then_some(Step::Act(Action::Resize { place, disk, bytes }))
    }

    /// Disks that the spec names no more are detached, and their volumes removed if it said so.
    fn put_away(&self, spec: &MachineSpec, intent: &Intent, machine: &Machine) -> Option<Step> {
        let config = &machine.config;
        let unnamed = self.recorded.disks.iter().filter(|known| !spec.disks.contains_key(&known.name));
        unnamed.into_iter().find_map(|known| {
            let name = &known.name;
            let change = match find(config, name, Some(known)) {
                Some((key, _)) => DiskChange::Detach { key: key.to_owned() },
                None if known.delete => {
                    let key = detached_key(config, known.volume.as_deref()?)?;
                    DiskChange::Remove { key: key.to_owned() }
                }
                None => return None,
            };
            if config.is_protected() {
                let message = format!(
                    "disk {name} is named in spec.disks no more, and VM {} on {} is protected: set spec.protection to false to \
                     have the disk taken away, or name it again",
                    intent.place.vmid, intent.place.node
                );
                return Some(Step::Stall(Reason::new("Protected", message)));
            }
            Some(self.change_disk(intent, machine, name, change))
        })
    }

    fn change_disk(&self, intent: &Intent, machine: &Machine, name: &str, change: DiskChange) -> Step {
        let digest = machine.config.digest().map(str::to_owned);
        Step::Act(Action::Disk { place: intent.place.clone(), name: name.to_owned(), change, digest })
    }
}

/// What is to be recorded of the disks: those that the spec names, before they are made, and where they are.
fn remembered(spec: &MachineSpec, recorded: &Recorded, stage: Stage, machine: &Machine) -> Vec<KnownDisk> {
    let Machine { config, current, .. } = machine;
    let mut disks = Vec::new();
    for old in &recorded.disks {
        let wanted = spec.disks.get(&old.name);
        let delete = wanted.map_or(old.delete, |disk| disk.delete);
        let name = old.name.clone();
        let known = match find(config, &old.name, Some(old)) {
            Some((key, drive)) => {
                let volume = drive.volid().map(str::to_owned);
                KnownDisk { name, key: Some(key.to_owned()), volume, delete }
            }
            None => {
                let kept = old
                    .volume
                    .as_deref()
                    .is_some_and(|volume| is_detached(config, volume) || find(current, &old.name, Some(old)).is_some());
                // What never ran holds nothing that could be missed.
                let missed = wanted.is_some() && stage != Stage::Creating && !spec.recreate;
                let volume = old.volume.clone().filter(|_| kept || missed);
                KnownDisk { name, key: None, volume, delete }
            }
        };
        if wanted.is_some() || known.volume.is_some() {
            disks.push(known);
        }
    }
    for (name, disk) in &spec.disks {
        if recorded.disks.iter().all(|known| known.name != *name) {
            let found = find(config, name, None);
            disks.push(KnownDisk {
                name: name.clone(),
                key: found.as_ref().map(|(key, _)| (*key).to_owned()),
                volume: found.and_then(|(_, drive)| drive.volid().map(str::to_owned)),
                delete: disk.delete,
            });
        }
    }
    disks
}

/// The keys of disks that the machine runs with otherwise than the spec says, until its next boot.
pub(super) fn pending(spec: &MachineSpec, recorded: &Recorded, machine: &Machine) -> Vec<String> {
    let Machine { config, current, .. } = machine;
    let known = |name: &str| recorded.disks.iter().find(|known| known.name == name);
    let named = spec.disks.iter().filter_map(|(name, disk)| match find(current, name, known(name)) {
        Some((key, drive)) => (with_options(&drive, name, disk) != drive).then(|| key.to_owned()),
        None => find(config, name, known(name)).map(|(key, _)| key.to_owned()),
    });
    let unnamed = recorded.disks.iter().filter(|known| !spec.disks.contains_key(&known.name));
    let going = unnamed.filter_map(|known| Some(find(current, &known.name, Some(known))?.0.to_owned()));
    named.chain(going).collect()
}

/// The disks that the spec names and that a machine has otherwise, or not at all: the name, what is there, and what is
/// to be.
pub(super) fn unlike<'a>(spec: &'a MachineSpec, config: &VmConfig) -> Vec<(&'a str, Option<String>, String)> {
    let unlike = spec.disks.iter().filter_map(|(name, disk)| {
        let size = format!("{}G", gibibytes(disk.bytes));
        let Some((_, drive)) = find(config, name, None) else {
            return Some((name.as_str(), None, format!("a new one of {size}")));
        };
        let mut wanted = with_options(&drive, name, disk);
        if drive.size().is_some_and(|present| present < disk.bytes) {
            wanted.options.insert("size".to_owned(), size);
        }
        (wanted != drive).then(|| (name.as_str(), Some(drive.to_string()), wanted.to_string()))
    });
    unlike.collect()
}

/// Where a config has a disk: by its serial number, else by the volume that was recorded. Never the one that it boots from.
fn find<'a>(config: &'a VmConfig, name: &str, known: Option<&KnownDisk>) -> Option<(&'a str, Drive)> {
    let boot = config.boot_disk();
    let disks = || {
        let keys = config.iter().map(|(key, _)| key).filter(|key| Some(*key) != boot);
        keys.filter_map(|key| Some((key, config.drive(key).filter(|drive| !drive.is_cdrom())?)))
    };
    let volume = known.and_then(|known| known.volume.as_deref());
    let is_named = |drive: &Drive| drive.options.get("serial").map(String::as_str) == Some(name);
    let is_known = |drive: &Drive| volume.is_some() && drive.volid() == volume;
    disks()
        .find(|(_, drive)| is_named(drive) && is_known(drive))
        .or_else(|| disks().find(|(_, drive)| is_known(drive)))
        .or_else(|| disks().find(|(_, drive)| is_named(drive)))
}

/// The key of a detached volume.
fn detached_key(config: &VmConfig, volume: &str) -> Option<String> {
    let detached = config.volumes().into_iter().filter(|found| found.kind == VolumeKind::Unused);
    detached.filter(|found| found.volid == volume).map(|found| found.key).next()
}

fn is_detached(config: &VmConfig, volume: &str) -> bool {
    detached_key(config, volume).is_some()
}

/// A free slot on the bus of the boot disk, for which the guest has a driver for sure. The first of each bus is left free:
/// machines without a boot order boot from it.
fn free_key(machine: &Machine) -> Result<String, Reason> {
    let Machine { config, current, .. } = machine;
    let boot = config.boot_disk().unwrap_or_default().trim_end_matches(|digit: char| digit.is_ascii_digit());
    let (bus, slots) = match boot {
        "virtio" => ("virtio", 1..=15),
        "sata" | "ide" => ("sata", 1..=5),
        _ => ("scsi", 1..=30),
    };
    let most = *slots.end();
    let free =
        slots.map(|slot| format!("{bus}{slot}")).find(|key| config.get(key).is_none() && current.get(key).is_none());
    free.ok_or_else(|| {
        Reason::new(
            "NoDiskSlot",
            format!("spec.disks: the machine has {most} disks on {bus} already, which is all it can have"),
        )
    })
}

/// An option that Proxmox does not know for disks of that bus, or that it overlooks.
fn unfit(config: &VmConfig, key: &str, name: &str, disk: &ExtraDisk) -> Option<Reason> {
    let refused = |option: &str, why: String| {
        let message = format!("spec.disks[{name}].{option}: {why}; leave it out");
        Some(Reason::new("InvalidSpec", message))
    };
    let threaded = match key.trim_end_matches(|digit: char| digit.is_ascii_digit()) {
        "virtio" => true,
        "scsi" => config.get("scsihw") == Some(THREADED),
        _ => false,
    };
    if disk.ssd == Some(true) && key.starts_with("virtio") {
        return refused("ssd", format!("{key}, the slot of the disk, has no such option"));
    }
    if disk.io_thread == Some(true) && !threaded {
        return refused(
            "ioThread",
            format!("{key}, the slot of the disk, has no thread of its own without {THREADED}"),
        );
    }
    None
}

/// The drive with its name, and the options that the spec gives.
fn with_options(drive: &Drive, name: &str, disk: &ExtraDisk) -> Drive {
    let ExtraDisk { bytes: _, storage: _, discard, ssd, io_thread, backup, delete: _ } = disk;
    let mut drive = drive.clone();
    drive.options.insert("serial".to_owned(), name.to_owned());
    let mut set = |option: &str, wanted: Option<bool>, otherwise: bool, words: [&str; 2]| {
        let Some(wanted) = wanted else { return };
        let there = drive.options.get(option).map_or(otherwise, |value| is_on(value));
        if there != wanted {
            let [off, on] = words;
            drive.options.insert(option.to_owned(), if wanted { on } else { off }.to_owned());
        }
    };
    set("discard", *discard, false, ["ignore", "on"]);
    set("ssd", *ssd, false, ["0", "1"]);
    set("iothread", *io_thread, false, ["0", "1"]);
    set("backup", *backup, true, ["0", "1"]);
    drive
}

fn is_on(value: &str) -> bool {
    matches!(value, "1" | "on" | "yes" | "true")
}

/// A size as Proxmox takes it for a new disk: in GiB, exactly.
fn gibibytes(bytes: u64) -> String {
    let (whole, part) = (bytes / GIB, bytes % GIB);
    if part == 0 {
        return whole.to_string();
    }
    // A mebibyte is a GiB divided by 2 ten times, so ten decimals say it exactly.
    let decimals = (part >> 20).saturating_mul(9_765_625);
    let decimals = format!("{decimals:010}");
    format!("{whole}.{}", decimals.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_new_disks_are_exact() {
        for (mib, text) in [(1024, "1"), (512, "0.5"), (1, "0.0009765625"), (100, "0.09765625"), (40 << 10, "40")] {
            assert_eq!(gibibytes(mib << 20), text);
        }
    }
}
