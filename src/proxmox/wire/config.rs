//! A VM's configuration.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use uuid::Uuid;

use super::{
    drive::{Drive, VolumeKind, VolumeRef, kind_of_key},
    lenient,
};

/// The description that a clone has until its first drive is copied (`PVE::API2::Qemu::clone_vm`).
const TEMPORARY_DESCRIPTION: &str = "qmclone temporary file";

/// The configuration of a VM: key to value, as text.
///
/// `/config` shows what waits for the next boot as if it were in force; `/config?current=1` does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmConfig {
    values: BTreeMap<String, String>,
}

impl VmConfig {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub fn name(&self) -> Option<&str> {
        self.get("name")
    }

    pub fn description(&self) -> &str {
        self.get("description").unwrap_or_default()
    }

    /// The digest that a change can carry, so that it is refused if another came first.
    pub fn digest(&self) -> Option<&str> {
        self.get("digest")
    }

    /// `clone`, `backup`, `snapshot`, …
    pub fn lock(&self) -> Option<&str> {
        self.get("lock").filter(|lock| !lock.is_empty())
    }

    pub fn is_template(&self) -> bool {
        self.flag("template")
    }

    /// Whether Proxmox refuses to remove it or its disks.
    pub fn is_protected(&self) -> bool {
        self.flag("protection")
    }

    /// Whether its node starts it when it boots itself.
    pub fn is_on_boot(&self) -> bool {
        self.flag("onboot")
    }

    /// A clone whose first drive is still being copied: it has neither name nor marks yet.
    pub fn is_temporary_clone(&self) -> bool {
        self.description().trim() == TEMPORARY_DESCRIPTION
    }

    pub fn tags(&self) -> Vec<String> {
        lenient::split_names(self.get("tags").unwrap_or_default())
    }

    /// Cores per socket; Proxmox's default is 1.
    pub fn cores(&self) -> u32 {
        self.number("cores").unwrap_or(1)
    }

    /// Proxmox's default is 1.
    pub fn sockets(&self) -> u32 {
        self.number("sockets").unwrap_or(1)
    }

    /// MiB; Proxmox's default is 512. Written `4096` or `current=4096`.
    pub fn memory_mib(&self) -> u64 {
        self.get("memory")
            .map(|value| value.strip_prefix("current=").unwrap_or(value))
            .and_then(|value| value.split(',').next()?.parse().ok())
            .unwrap_or(512)
    }

    /// The SMBIOS UUID, from `smbios1`.
    pub fn smbios_uuid(&self) -> Option<Uuid> {
        self.get("smbios1")?.split(',').find_map(|part| part.strip_prefix("uuid=")).and_then(|uuid| uuid.parse().ok())
    }

    /// A drive by its key: `scsi0`.
    pub fn drive(&self, key: &str) -> Option<Drive> {
        kind_of_key(key).filter(|kind| *kind == VolumeKind::Disk).and_then(|_| self.get(key)).map(Drive::parse)
    }

    /// The key of the disk that the VM boots from: the first disk of `boot: order=`, else `bootdisk`,
    /// else the first of `scsi0`, `virtio0`, `sata0`, `ide0` that is there. Never a CD drive.
    pub fn boot_disk(&self) -> Option<&str> {
        let order = self
            .get("boot")
            .unwrap_or_default()
            .split(',')
            .find_map(|part| part.strip_prefix("order="))
            .unwrap_or_default();
        order.split(';').chain(self.get("bootdisk")).chain(["scsi0", "virtio0", "sata0", "ide0"]).find_map(|key| {
            let key = self.values.get_key_value(key)?.0;
            (!self.drive(key)?.is_cdrom()).then_some(key.as_str())
        })
    }

    /// The storage of the disk that the VM boots from.
    pub fn boot_storage(&self) -> Option<String> {
        let drive = self.drive(self.boot_disk()?)?;
        drive.volid()?.split_once(':').map(|(storage, _)| storage.to_owned())
    }

    /// Bytes of the disk that the VM boots from, if its line says them.
    pub fn boot_disk_size(&self) -> Option<u64> {
        self.drive(self.boot_disk()?)?.size()
    }

    /// The key of the drive that brings cloud-init its settings.
    pub fn cloudinit_drive(&self) -> Option<&str> {
        self.iter().find(|(key, _)| self.drive(key).is_some_and(|drive| drive.is_cloudinit())).map(|(key, _)| key)
    }

    /// Every volume that the configuration names, detached ones included.
    pub fn volumes(&self) -> Vec<VolumeRef> {
        self.iter()
            .filter_map(|(key, line)| {
                let kind = kind_of_key(key)?;
                let drive = Drive::parse(line);
                Some(VolumeRef {
                    key: key.to_owned(),
                    volid: drive.volid()?.to_owned(),
                    kind: match kind {
                        VolumeKind::Disk if drive.is_cloudinit() => VolumeKind::CloudInit,
                        VolumeKind::Disk if drive.is_cdrom() => VolumeKind::Cdrom,
                        kind => kind,
                    },
                })
            })
            .collect()
    }

    fn flag(&self, key: &str) -> bool {
        self.get(key) == Some("1")
    }

    fn number(&self, key: &str) -> Option<u32> {
        self.get(key)?.parse().ok()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for VmConfig {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let values = pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Self { values }
    }
}

impl<'de> Deserialize<'de> for VmConfig {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let raw = BTreeMap::<String, Value>::deserialize(input)?;
        Ok(raw.into_iter().filter_map(|(key, value)| Some((key, lenient::as_text(&value)?))).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(value: Value) -> VmConfig {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn numbers_and_strings_read_alike() {
        let real = config(json!({"cores": 2, "memory": "256", "protection": 1, "template": 1}));
        let fake = config(json!({"cores": "2", "memory": 256, "protection": "1", "template": true}));
        for config in [real, fake] {
            assert_eq!((config.cores(), config.memory_mib()), (2, 256));
            assert!(config.is_protected() && config.is_template());
        }
    }

    #[test]
    fn what_is_not_said_has_proxmox_defaults() {
        let empty = config(json!({}));
        assert_eq!((empty.cores(), empty.sockets(), empty.memory_mib()), (1, 1, 512));
        assert_eq!((empty.boot_disk(), empty.lock()), (None, None));
        assert!(empty.volumes().is_empty());
    }

    #[test]
    fn the_boot_disk_is_the_first_disk_of_the_order() {
        let disk = "local:1/vm-1-disk-0.raw,size=10G";
        let cloudinit = "local:1/vm-1-cloudinit.qcow2,media=cdrom,size=4M";
        for (value, key) in [
            (json!({"boot": "order=net0;virtio1;scsi0", "scsi0": disk, "virtio1": disk}), Some("virtio1")),
            (json!({"boot": "order=ide2;sata0", "ide2": cloudinit, "sata0": disk}), Some("sata0")),
            (json!({"boot": "cdn", "bootdisk": "ide0", "ide0": disk, "scsi0": disk}), Some("ide0")),
            (json!({"boot": "order=scsi7", "scsi0": disk}), Some("scsi0")),
            (json!({"ide0": cloudinit}), None),
            (json!({"boot": "order=efidisk0", "efidisk0": disk}), None),
        ] {
            assert_eq!(config(value.clone()).boot_disk(), key, "{value}");
        }
    }

    #[test]
    fn every_volume_is_named_with_what_it_is() {
        let config = config(json!({
            "scsi0": "data2:101/vm-101-disk-0.qcow2,size=2G", "scsihw": "virtio-scsi-pci",
            "ide2": "data2:101/vm-101-cloudinit.qcow2,media=cdrom,size=4M",
            "ide0": "local:iso/debian.iso,media=cdrom", "sata1": "none,media=cdrom",
            "scsi3": "/dev/sdb", "unused0": "lvm:vm-101-disk-9", "efidisk0": "lvm:vm-101-disk-1,size=4M",
        }));
        let volumes: Vec<_> = config.volumes().into_iter().map(|volume| (volume.key, volume.kind)).collect();
        assert_eq!(
            volumes,
            [
                ("efidisk0".to_owned(), VolumeKind::State),
                ("ide0".to_owned(), VolumeKind::Cdrom),
                ("ide2".to_owned(), VolumeKind::CloudInit),
                ("scsi0".to_owned(), VolumeKind::Disk),
                ("unused0".to_owned(), VolumeKind::Unused),
            ]
        );
        assert_eq!(config.cloudinit_drive(), Some("ide2"));
        assert_eq!(config.boot_disk_size(), Some(2 << 30));
    }

    #[test]
    fn the_smbios_uuid_is_found_among_its_neighbours() {
        let uuid = "11111111-2222-3333-4444-555555555555";
        let config = config(json!({"smbios1": format!("serial=YWJj,base64=1,uuid={uuid}")}));
        assert_eq!(config.smbios_uuid(), uuid.parse().ok());
    }
}
