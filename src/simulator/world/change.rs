//! Changing a configuration: what takes effect at once, what waits for the next boot.

use super::World;
use super::config::Drive;
use super::create::allocate_drive;
use super::small::no_such_config;

/// A `PUT` or `POST …/config` whose parameters and rights have been checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigChange {
    pub set: Vec<(String, String)>,
    pub delete: Vec<String>,
    pub revert: Vec<String>,
    pub digest: Option<String>,
    pub skiplock: bool,
    /// Whether volumes of deleted drives go at once instead of becoming `unusedN`.
    pub force: bool,
}

/// Why a change was refused.
#[derive(Clone, Debug)]
pub(crate) enum ChangeError {
    /// A plain error: 500 with that text.
    Plain(String),
    /// A parameter is wrong: 400 with that text on that field.
    Field(String, String),
}

impl From<String> for ChangeError {
    fn from(text: String) -> Self {
        Self::Plain(text)
    }
}

/// Options that a running guest takes over at once.
fn is_hot(key: &str) -> bool {
    matches!(
        key,
        "name"
            | "description"
            | "tags"
            | "onboot"
            | "protection"
            | "startup"
            | "hookscript"
            | "balloon"
            | "shares"
            | "hotplug"
            | "lock"
            | "ciuser"
            | "cipassword"
            | "sshkeys"
            | "nameserver"
            | "searchdomain"
            | "citype"
            | "cicustom"
            | "ciupgrade"
            | "cpuunits"
            | "cpulimit"
            | "template"
    ) || key.starts_with("ipconfig")
        || is_device(key)
}

/// Options of a drive that QEMU takes over only when it starts.
const COLD_OPTIONS: &[&str] = &["aio", "cache", "discard", "iothread", "product", "queues", "ro", "ssd", "vendor"];

/// Whether a change of an option waits until a running guest boots again: IDE and SATA disks cannot be plugged, and of
/// a disk that stays some options cannot be changed.
fn waits(key: &str, old: Option<&str>, new: Option<&str>) -> bool {
    if !is_drive(key) {
        return !is_hot(key);
    }
    let parse = |value: Option<&str>| value.map(Drive::parse);
    let (old, new) = (parse(old), parse(new));
    if old.iter().chain(&new).any(Drive::is_cdrom) {
        return false;
    }
    match (old, new) {
        (Some(old), Some(new)) if old.file == new.file => {
            COLD_OPTIONS.iter().any(|option| old.option(option) != new.option(option))
        }
        _ => !key.starts_with("scsi") && !key.starts_with("virtio"),
    }
}

fn is_device(key: &str) -> bool {
    key.starts_with("net") && key != "netdev" || key.starts_with("unused") || is_drive(key)
}

pub(crate) fn is_drive(key: &str) -> bool {
    ["ide", "scsi", "virtio", "sata", "efidisk", "tpmstate"]
        .iter()
        .any(|bus| key.strip_prefix(bus).is_some_and(|index| index.parse::<u32>().is_ok()))
}

impl World {
    /// What refuses a change before anything happens: the lock, the digest.
    pub fn change_refusal(&self, node: &str, vmid: u32, change: &ConfigChange) -> Option<String> {
        let Some(guest) = self.guest_on(node, vmid) else {
            return Some(no_such_config(vmid, node));
        };
        if change.digest.as_ref().is_some_and(|digest| *digest != guest.digest()) {
            return Some("checksum mismatch (file change by other user?)".into());
        }
        if !change.skiplock
            && let Some(lock) = guest.config.lock()
        {
            return Some(format!("VM is locked ({lock})"));
        }
        if guest.config.flag("protection")
            && let Some(key) = change.delete.iter().find(|key| is_drive(key) || key.starts_with("unused"))
        {
            let volume = guest.config.get(key).filter(|_| !is_drive(key));
            let what = volume.map_or_else(|| format!("drive '{key}'"), |volume| format!("unused disk '{volume}'"));
            return Some(format!("can't remove {what} - protection mode enabled"));
        }
        None
    }

    /// Makes a change.
    pub fn change_config(&mut self, node: &str, vmid: u32, change: &ConfigChange) -> Result<(), ChangeError> {
        if let Some(refusal) = self.change_refusal(node, vmid, change) {
            return Err(refusal.into());
        }
        if !self.has_quorum() {
            return Err(self.no_quorum_write(node, vmid).into());
        }
        let running = self.guest(vmid).is_some_and(|guest| guest.running.is_some());
        if running {
            self.check_hotplug(vmid, change)?;
        }
        let mut values = Vec::new();
        for (key, value) in &change.set {
            values.push((key.clone(), self.prepare(node, vmid, key, value)?));
        }
        for key in &change.delete {
            self.delete_option(node, vmid, key, change.force, running)?;
        }
        for (key, value) in values {
            self.set_option(vmid, &key, value, running);
        }
        if let Some(guest) = self.guest_mut(vmid) {
            for key in &change.revert {
                // A disk that was made and not plugged yet.
                if let Some(Some(value)) =
                    guest.pending.remove(key).filter(|_| is_drive(key) && !guest.config.contains(key))
                {
                    guest.config.keep_unused(&Drive::parse(&value));
                }
            }
        }
        Ok(())
    }

    fn check_hotplug(&self, vmid: u32, change: &ConfigChange) -> Result<(), ChangeError> {
        for (key, value) in change.set.iter().filter(|(key, _)| key.starts_with("net")) {
            let bridge = value.split(',').find_map(|part| part.strip_prefix("bridge="));
            if bridge.is_some_and(|bridge| !self.bridges.contains(bridge)) {
                return Err(ChangeError::Field(
                    key.clone(),
                    format!(
                        "hotplug problem - VM {vmid} qmp command 'netdev_add' failed - network script \
                         /usr/libexec/qemu-server/pve-bridge-hotplug failed with status 512\n"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The value as it is stored: volumes made, MAC addresses drawn, tags sorted.
    fn prepare(&mut self, node: &str, vmid: u32, key: &str, value: &str) -> Result<String, String> {
        if is_drive(key) {
            return allocate_drive(self, node, vmid, key, value).map(|allocation| allocation.text);
        }
        if key == "boot" {
            return self.checked_boot_order(vmid, value);
        }
        if key == "vmgenid" && value == "1" {
            return Ok(self.new_uuid());
        }
        Ok(self.stored_value(key, value))
    }

    /// The stored form of an option that is no drive.
    pub fn stored_value(&mut self, key: &str, value: &str) -> String {
        match key {
            "tags" => {
                let lower = value.to_lowercase();
                let mut tags: Vec<&str> =
                    lower.split([',', ';', ' ']).map(str::trim).filter(|tag| !tag.is_empty()).collect();
                tags.sort_unstable();
                tags.dedup();
                tags.join(";")
            }
            "description" => {
                let lines: Vec<&str> = value.lines().map(str::trim_end).collect();
                lines.join("\n").trim_end().to_owned()
            }
            _ if key.strip_prefix("net").is_some_and(|index| index.parse::<u32>().is_ok()) => self.stored_nic(value),
            _ => value.to_owned(),
        }
    }

    /// Model and MAC address first, a new address when none is given.
    fn stored_nic(&mut self, value: &str) -> String {
        let mut model = None;
        let mut mac = None;
        let mut others = Vec::new();
        for (index, part) in value.split(',').enumerate() {
            match part.split_once('=') {
                Some(("model", given)) => model = Some(given.to_owned()),
                Some(("macaddr", given)) => mac = Some(given.to_owned()),
                Some((given, address)) if index == 0 => {
                    model = Some(given.to_owned());
                    mac = Some(address.to_owned());
                }
                None if index == 0 => model = Some(part.to_owned()),
                _ => others.push(part),
            }
        }
        let mac = mac.unwrap_or_else(|| self.new_mac());
        let start = format!("{}={mac}", model.unwrap_or_else(|| "virtio".into()));
        others.into_iter().fold(start, |text, part| text + "," + part)
    }

    fn checked_boot_order(&self, vmid: u32, value: &str) -> Result<String, String> {
        let order = value.strip_prefix("order=").unwrap_or_default();
        if let Some(guest) = self.guest(vmid) {
            let missing = order.split(';').find(|key| !key.is_empty() && !guest.config.contains(key));
            if let Some(key) = missing {
                return Err(format!("invalid bootorder: device '{key}' does not exist'"));
            }
        }
        Ok(value.to_owned())
    }

    fn set_option(&mut self, vmid: u32, key: &str, value: String, running: bool) {
        let removed = value.is_empty() && matches!(key, "description" | "tags" | "sshkeys" | "cipassword");
        let Some(guest) = self.guest_mut(vmid) else {
            return;
        };
        if is_drive(key) {
            let drive = Drive::parse(&value);
            // A volume that is replaced does not get lost.
            let replaced = [
                guest.pending.get(key).cloned().flatten(),
                guest.config.get(key).map(str::to_owned).filter(|_| !running),
            ];
            for old in replaced.iter().flatten().map(|old| Drive::parse(old)).filter(|old| old.file != drive.file) {
                guest.config.keep_unused(&old);
            }
            guest.config.drop_unused(&drive);
        }
        if running && waits(key, guest.config.get(key), Some(&value)) {
            if guest.config.get(key) == Some(&value) {
                guest.pending.remove(key);
            } else {
                guest.pending.insert(key.to_owned(), Some(value));
            }
            return;
        }
        if running
            && is_drive(key)
            && let Some(old) =
                guest.config.get(key).map(Drive::parse).filter(|old| old.file != Drive::parse(&value).file)
        {
            guest.config.keep_unused(&old);
        }
        guest.pending.remove(key);
        if removed {
            guest.config.remove(key);
        } else {
            guest.config.set(key, value);
        }
    }

    fn delete_option(&mut self, node: &str, vmid: u32, key: &str, force: bool, running: bool) -> Result<(), String> {
        let value = self.guest(vmid).and_then(|guest| guest.config.get(key)).map(str::to_owned);
        let Some(value) = value else {
            if let Some(guest) = self.guest_mut(vmid)
                && let Some(Some(value)) = guest.pending.remove(key).filter(|_| is_drive(key))
            {
                guest.config.keep_unused(&Drive::parse(&value));
            }
            return Ok(());
        };
        if running && waits(key, Some(&value), None) {
            if let Some(guest) = self.guest_mut(vmid) {
                guest.pending.insert(key.to_owned(), None);
            }
            return Ok(());
        }
        if key.starts_with("unused") {
            let volume = self.volume_by_id(node, &value).filter(|key| self.volumes.get(key).is_some());
            if let Some(volume) = volume {
                self.free_volume(&volume, vmid)?;
            }
        } else if is_drive(key) {
            let drive = Drive::parse(&value);
            let volume = self.volume_by_id(node, &drive.file).filter(|key| self.volumes.get(key).is_some());
            match volume {
                Some(volume) if force || drive.is_cloud_init() => self.free_volume(&volume, vmid)?,
                Some(_) => {
                    if let Some(guest) = self.guest_mut(vmid) {
                        guest.config.keep_unused(&drive);
                    }
                }
                None => {}
            }
        }
        if let Some(guest) = self.guest_mut(vmid) {
            guest.pending.remove(key);
            guest.config.remove(key);
            // A device that is gone leaves the boot order.
            if is_device(key)
                && let Some(order) = guest.config.get("boot").and_then(|boot| boot.strip_prefix("order="))
            {
                let left: Vec<&str> = order.split(';').filter(|device| *device != key).collect();
                let order = format!("order={}", left.join(";"));
                guest.config.set("boot", order);
            }
        }
        Ok(())
    }
}
