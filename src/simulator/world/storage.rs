//! Storages and the volumes on them.

use std::collections::{BTreeMap, BTreeSet};

use super::World;
use crate::simulator::scenario::{StorageKind, StorageSpec};

#[derive(Clone, Debug)]
pub(crate) struct Storage {
    pub spec: StorageSpec,
}

impl Storage {
    pub fn on_node(&self, node: &str) -> bool {
        self.spec.nodes.is_empty() || self.spec.nodes.iter().any(|name| name == node)
    }

    pub fn has_content(&self, kind: &str) -> bool {
        self.spec.content.iter().any(|word| word == kind)
    }

    /// Whether volumes are files under a mount point, with formats.
    pub fn is_files(&self) -> bool {
        matches!(self.spec.kind, StorageKind::Dir | StorageKind::Nfs | StorageKind::Cifs)
    }

    pub fn shared(&self) -> bool {
        self.spec.shared || matches!(self.spec.kind, StorageKind::Nfs | StorageKind::Cifs | StorageKind::Rbd)
    }

    pub fn plugin(&self) -> &'static str {
        match self.spec.kind {
            StorageKind::Dir => "dir",
            StorageKind::Nfs => "nfs",
            StorageKind::Cifs => "cifs",
            StorageKind::Lvm => "lvm",
            StorageKind::LvmThin => "lvmthin",
            StorageKind::ZfsPool => "zfspool",
            StorageKind::Rbd => "rbd",
        }
    }

    pub fn mount_point(&self) -> String {
        match &self.spec.path {
            Some(path) => path.clone(),
            None if self.spec.name == "local" => "/var/lib/vz".into(),
            None if self.spec.kind == StorageKind::Dir => format!("/var/lib/{}", self.spec.name),
            None => format!("/mnt/pve/{}", self.spec.name),
        }
    }

    /// Where a volume is on the host, as logs name it.
    pub fn path_of(&self, volume: &str) -> String {
        let name = volume.rsplit('/').next().unwrap_or(volume);
        match self.spec.kind {
            StorageKind::Dir | StorageKind::Nfs | StorageKind::Cifs => {
                let mut parts = volume.rsplit('/');
                let file = parts.next().unwrap_or(volume);
                let owner = parts.next().unwrap_or_default();
                format!("{}/images/{owner}/{file}", self.mount_point())
            }
            StorageKind::Lvm | StorageKind::LvmThin => format!("/dev/pve/{name}"),
            StorageKind::ZfsPool => format!("/dev/zvol/rpool/data/{name}"),
            StorageKind::Rbd => format!("rbd:rbd/{name}"),
        }
    }

    /// The format a volume gets: files have the one asked for, devices are raw.
    pub fn format(&self, wanted: Option<&str>) -> String {
        if self.is_files() { wanted.unwrap_or("raw").to_owned() } else { "raw".to_owned() }
    }

    pub fn supports_linked_clones(&self, format: &str) -> bool {
        match self.spec.kind {
            StorageKind::Dir | StorageKind::Nfs | StorageKind::Cifs => format == "qcow2",
            StorageKind::LvmThin | StorageKind::ZfsPool | StorageKind::Rbd => true,
            StorageKind::Lvm => false,
        }
    }
}

/// Where a volume is: storage, node (none on shared storage), name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VolumeKey {
    pub storage: String,
    pub host: Option<String>,
    pub name: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Volume {
    pub vmid: u32,
    /// Size as the guest sees it, in bytes.
    pub size: u64,
    /// Space taken on the storage, in bytes.
    pub used: u64,
    pub format: String,
    /// Unix time of its making.
    pub created: u64,
    /// Name of the volume it is a linked clone of.
    pub base: Option<String>,
}

/// All volumes of the cluster, with the space they take kept in sum.
#[derive(Clone, Debug, Default)]
pub(crate) struct Volumes {
    all: BTreeMap<VolumeKey, Volume>,
    used: BTreeMap<(String, Option<String>), u64>,
    by_guest: BTreeMap<u32, BTreeSet<VolumeKey>>,
    /// Linked clones by the volume that they need.
    clones: BTreeMap<VolumeKey, BTreeSet<VolumeKey>>,
}

fn base_of(key: &VolumeKey, volume: &Volume) -> Option<VolumeKey> {
    let name = volume.base.clone()?;
    Some(VolumeKey { name, ..key.clone() })
}

fn forget<K: Ord>(index: &mut BTreeMap<K, BTreeSet<VolumeKey>>, entry: &K, key: &VolumeKey) {
    if let Some(keys) = index.get_mut(entry) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(entry);
        }
    }
}

impl Volumes {
    pub fn insert(&mut self, key: VolumeKey, volume: Volume) {
        self.remove(&key);
        *self.used.entry((key.storage.clone(), key.host.clone())).or_default() += volume.used;
        self.by_guest.entry(volume.vmid).or_default().insert(key.clone());
        if let Some(base) = base_of(&key, &volume) {
            self.clones.entry(base).or_default().insert(key.clone());
        }
        self.all.insert(key, volume);
    }

    pub fn remove(&mut self, key: &VolumeKey) -> Option<Volume> {
        let volume = self.all.remove(key)?;
        if let Some(used) = self.used.get_mut(&(key.storage.clone(), key.host.clone())) {
            *used = used.saturating_sub(volume.used);
        }
        forget(&mut self.by_guest, &volume.vmid, key);
        if let Some(base) = base_of(key, &volume) {
            forget(&mut self.clones, &base, key);
        }
        Some(volume)
    }

    /// The volumes that carry the id of a guest.
    pub fn of_guest(&self, vmid: u32) -> impl Iterator<Item = (&VolumeKey, &Volume)> {
        let keys = self.by_guest.get(&vmid).into_iter().flatten();
        keys.filter_map(|key| Some((key, self.all.get(key)?)))
    }

    pub fn get(&self, key: &VolumeKey) -> Option<&Volume> {
        self.all.get(key)
    }

    pub fn used(&self, storage: &str, host: Option<&str>) -> u64 {
        self.used.get(&(storage.to_owned(), host.map(str::to_owned))).copied().unwrap_or(0)
    }

    /// Sets size and space taken.
    pub fn resize(&mut self, key: &VolumeKey, size: u64, used: u64) {
        if let Some(mut volume) = self.remove(key) {
            volume.size = size;
            volume.used = used;
            self.insert(key.clone(), volume);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&VolumeKey, &Volume)> {
        self.all.iter()
    }

    /// The volumes of one storage as one node sees it.
    pub fn on<'a>(&'a self, storage: &str, host: Option<&str>) -> impl Iterator<Item = (&'a VolumeKey, &'a Volume)> {
        let from = VolumeKey { storage: storage.into(), host: host.map(str::to_owned), name: String::new() };
        let (storage, host) = (from.storage.clone(), from.host.clone());
        self.all.range(from..).take_while(move |(key, _)| key.storage == storage && key.host == host)
    }
}

impl World {
    /// The key of a volume as that node sees it.
    pub fn volume_key(&self, storage: &str, node: &str, name: &str) -> VolumeKey {
        let shared = self.storages.get(storage).is_some_and(Storage::shared);
        VolumeKey { storage: storage.into(), host: (!shared).then(|| node.to_owned()), name: name.into() }
    }

    /// The key of `storage:name`.
    pub fn volume_by_id(&self, node: &str, volid: &str) -> Option<VolumeKey> {
        let (storage, name) = volid.split_once(':')?;
        Some(self.volume_key(storage, node, name))
    }

    /// Bytes used and in all on that storage as that node sees it; a full storage has none left.
    pub fn space(&self, storage: &str, node: &str) -> (u64, u64) {
        let Some(found) = self.storages.get(storage) else {
            return (0, 0);
        };
        let host = (!found.shared()).then_some(node);
        let total = found.spec.size_gib << 30;
        if self.faults.storage_full(storage, node) {
            return (total, total);
        }
        ((found.spec.used_gib << 30) + self.volumes.used(storage, host), total)
    }

    /// A name for a new volume that no volume of that guest has on that storage, counting from 0.
    pub fn new_disk_name(&self, storage: &str, node: &str, vmid: u32, format: &str, prefix: &str) -> String {
        let Some(found) = self.storages.get(storage) else {
            return String::new();
        };
        let host = (!found.shared()).then_some(node);
        let taken: Vec<u32> = self
            .volumes
            .of_guest(vmid)
            .filter(|(key, _)| key.storage == storage && key.host.as_deref() == host)
            .filter_map(|(key, _)| {
                let file = key.name.rsplit('/').next()?;
                let number = file.split_once("-disk-")?.1;
                number.split('.').next()?.parse().ok()
            })
            .collect();
        let index = (0..).find(|index| !taken.contains(index)).unwrap_or(0);
        self.volume_name(found, vmid, &format!("{prefix}-{vmid}-disk-{index}"), format)
    }

    /// The name of the cloud-init volume of a guest.
    pub fn cloud_init_name(&self, storage: &str, vmid: u32, format: &str) -> String {
        match self.storages.get(storage) {
            Some(found) => self.volume_name(found, vmid, &format!("vm-{vmid}-cloudinit"), format),
            None => String::new(),
        }
    }

    fn volume_name(&self, storage: &Storage, vmid: u32, stem: &str, format: &str) -> String {
        if storage.is_files() { format!("{vmid}/{stem}.{format}") } else { stem.to_owned() }
    }

    /// What the making of a volume writes to the task log.
    pub fn format_line(
        &self,
        storage: &str,
        name: &str,
        size: u64,
        format: &str,
        backing: Option<&str>,
    ) -> Option<String> {
        let found = self.storages.get(storage)?;
        let path = found.path_of(name);
        let v9 = self.is_v9();
        match (found.is_files(), format, backing) {
            (true, "qcow2", Some(base)) => {
                let (cluster, extended) = if v9 { ("131072", "on preallocation=metadata") } else { ("65536", "off") };
                Some(format!(
                    "Formatting '{path}', fmt=qcow2 cluster_size={cluster} extended_l2={extended} compression_type=zlib \
                     size={size} backing_file=../{base} backing_fmt=qcow2 lazy_refcounts=off refcount_bits=16"
                ))
            }
            (true, "qcow2", None) => Some(format!(
                "Formatting '{path}', fmt=qcow2 cluster_size=65536 extended_l2=off preallocation=metadata \
                 compression_type=zlib size={size} lazy_refcounts=off refcount_bits=16"
            )),
            (true, other, _) => Some(format!("Formatting '{path}', fmt={other} size={size} preallocation=off")),
            (false, _, _) if matches!(found.spec.kind, StorageKind::Lvm | StorageKind::LvmThin) => {
                Some(format!("  Logical volume \"{}\" created.", name.rsplit('/').next().unwrap_or(name)))
            }
            (false, _, _) => None,
        }
    }

    /// Takes a volume away. Fails on one that is undeletable or that linked clones still need.
    pub fn free_volume(&mut self, key: &VolumeKey, vmid: u32) -> Result<(), String> {
        if self.faults.undeletable(vmid) {
            return Err(format!("unable to remove volume '{}:{}' - Device or resource busy", key.storage, key.name));
        }
        if self.is_base_in_use(key) {
            return Err(format!("base volume '{}:{}' is still in use by linked cloned", key.storage, key.name));
        }
        self.volumes.remove(key);
        Ok(())
    }

    /// Whether some linked clone needs that volume.
    pub fn is_base_in_use(&self, key: &VolumeKey) -> bool {
        self.volumes.clones.contains_key(key)
    }
}
