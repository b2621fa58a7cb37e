//! What has to hold when a walk has come to its end.

use std::collections::BTreeSet;

use super::{
    super::{
        build::*,
        world::{ADOPTEE, Guest, World},
    },
    NICS, Stage,
};
use crate::proxmox::{
    plan::*,
    wire::{Drive, VmConfig},
};

impl Stage {
    /// Somebody else was faster, and nothing was done to it.
    pub(super) fn check_theirs(&self) {
        let guest = &self.world.guests[&ADOPTEE];
        assert!(!guest.mine && guest.config().description() == World::their_mark(), "{guest:?}");
        assert_eq!(guest.config().get("cores"), Some("8"));
    }

    pub(super) fn check_gone(&self) {
        if !self.object.retain {
            let left: Vec<_> = self.world.mine().collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }

    pub(super) fn check_rest(&self) {
        let mine: Vec<_> = self.world.mine().collect();
        let [((_, vmid), guest)] = mine.as_slice() else { panic!("not one machine: {mine:?}\n{:?}", self.object) };
        let at = place(guest.node, *vmid);
        let recorded = self.object.recorded.as_ref().unwrap();
        assert_eq!(recorded.intent.as_ref().unwrap().place, at);
        let wanted = self.object.spec.power.state;
        assert!(wanted.is_none_or(|wanted| guest.power == wanted), "{guest:?}");
        let restarted = !self.object.awaits_restart(*vmid, guest);
        assert!(restarted || self.object.forgotten || guest.power == Power::Stopped, "not restarted: {guest:?}");
        let config = guest.config();
        let spec = &self.object.spec;
        assert!(spec.cores.is_none_or(|cores| config.cores() == cores), "{config:?}");
        assert!(spec.memory_mib.is_none_or(|mib| config.memory_mib() == mib), "{config:?}");
        assert!(spec.disk_bytes.is_none_or(|bytes| config.boot_disk_size() == Some(bytes)), "{config:?}");
        if spec.cloud_init.is_some() {
            assert_eq!((config.get("cipassword"), config.get("ciuser")), (Some("secret"), Some("admin")));
        }
        assert_eq!(config.is_on_boot(), spec.on_boot == Some(true));
        assert!(spec.tags.iter().all(|tag| config.tags().contains(tag)), "{config:?}");
        let there = NICS.iter().filter(|nic| config.get(nic).is_some()).map(|nic| (*nic).to_owned());
        assert!(self.lost || there.eq(spec.nics.keys().cloned()), "{config:?}");
        let text = spec.description.as_deref().unwrap_or_default();
        assert!(config.description().starts_with(text), "{config:?}");
        let waits = guest.pending.keys().any(|key| matches!(key.as_str(), "cores" | "memory"));
        assert!(!waits || !spec.power.reboot || guest.power == Power::Stopped, "not restarted for {guest:?}");
        assert!(config.description().contains(&owner().mark(*vmid).line()));
        let second = config.smbios_uuid() == Some(owner().smbios_uuid(*vmid));
        assert_eq!(second, !self.object.adopts(), "an adopted machine keeps what it takes itself for");
        self.check_disks(guest, recorded);
        assert!(spec.pool.is_none() || guest.pool == spec.pool, "{guest:?}");
        let volumes: Vec<_> = self.world.volumes.iter().filter(|(.., mine)| *mine).collect();
        assert_eq!(volumes, [&(guest.node, *vmid, true)]);
    }

    /// Each disk of the spec is there once, no volume is lost, and none is there that was to go.
    fn check_disks(&self, guest: &Guest, recorded: &Recorded) {
        let (spec, config) = (&self.object.spec, guest.config());
        for (name, disk) in &spec.disks {
            let there: Vec<_> = config.iter().filter(|(_, line)| line.contains(&format!("serial={name},"))).collect();
            let [(_, line)] = there.as_slice() else { panic!("not one disk {name}: {config:?}") };
            assert!(Drive::parse(line).size() >= Some(disk.bytes), "{config:?}");
        }
        let volumes = |config: &VmConfig| -> BTreeSet<String> {
            let named = config.iter().map(|(key, line)| (key, Drive::parse(line).volume));
            named
                .filter(|(key, volume)| *key != "scsi0" && guest.extra.contains(volume))
                .map(|(_, volume)| volume)
                .collect()
        };
        let referred: BTreeSet<_> = volumes(&config).union(&volumes(&guest.current())).cloned().collect();
        assert_eq!(referred, guest.extra, "a volume is lost: {guest:?}");
        if !self.lost {
            let known: BTreeSet<_> = recorded.disks.iter().filter_map(|disk| disk.volume.clone()).collect();
            assert_eq!(known, guest.extra, "{recorded:?}");
            let attached = volumes(&guest.current());
            let gone = |disk: &&KnownDisk| disk.delete && !spec.disks.contains_key(&disk.name);
            let left: Vec<_> = recorded.disks.iter().filter(gone).collect();
            // It is detached at the next boot.
            assert!(left.iter().all(|disk| attached.contains(disk.volume.as_ref().unwrap())), "{left:?} {guest:?}");
        }
    }
}
