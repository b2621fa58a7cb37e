//! The configuration of a guest: keys, values, digest, and how Proxmox shows them.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The lines of one section of a guest's configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Config(BTreeMap<String, String>);

/// Options that Proxmox shows as JSON numbers; everything else is a string (even `memory`).
const NUMBERS: &[&str] = &[
    "acpi",
    "autostart",
    "balloon",
    "ciupgrade",
    "cores",
    "cpuunits",
    "freeze",
    "kvm",
    "localtime",
    "migrate_speed",
    "numa",
    "onboot",
    "protection",
    "reboot",
    "shares",
    "snaptime",
    "sockets",
    "tablet",
    "tdf",
    "template",
    "vcpus",
];

/// Drives in the order in which Proxmox goes through them.
pub(crate) fn drive_names() -> impl Iterator<Item = String> {
    let series = |bus: &'static str, count: u32| (0..count).map(move |index| format!("{bus}{index}"));
    series("ide", 4)
        .chain(series("scsi", 31))
        .chain(series("virtio", 16))
        .chain(series("sata", 6))
        .chain(["efidisk0".to_owned(), "tpmstate0".to_owned()])
}

impl Config {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.to_owned(), value.into());
    }

    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    pub fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub fn number(&self, key: &str) -> Option<u64> {
        self.get(key).and_then(|value| value.parse().ok())
    }

    pub fn flag(&self, key: &str) -> bool {
        self.get(key) == Some("1")
    }

    pub fn lock(&self) -> Option<&str> {
        self.get("lock")
    }

    pub fn is_template(&self) -> bool {
        self.flag("template")
    }

    /// Cores times sockets.
    pub fn cpus(&self) -> u64 {
        self.number("cores").unwrap_or(1) * self.number("sockets").unwrap_or(1)
    }

    /// Memory in bytes; 512 MiB when nothing is said.
    pub fn memory(&self) -> u64 {
        let text = self.get("memory").unwrap_or("512");
        let text = text.strip_prefix("current=").unwrap_or(text);
        text.parse::<u64>().unwrap_or(512) << 20
    }

    /// The drives, in Proxmox's order.
    pub fn drives(&self) -> Vec<(String, Drive)> {
        drive_names().filter_map(|key| self.get(&key).map(|value| (key.clone(), Drive::parse(value)))).collect()
    }

    /// The `unusedN` volumes.
    pub fn unused(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().filter(|(key, _)| key.starts_with("unused"))
    }

    /// A volume that no drive has any more does not get lost: it becomes `unusedN`.
    pub fn keep_unused(&mut self, drive: &Drive) {
        if drive.is_cdrom() || drive.volume().is_none() {
            return;
        }
        if let Some(name) = (0..256).map(|index| format!("unused{index}")).find(|name| !self.contains(name)) {
            self.set(&name, drive.file.clone());
        }
    }

    /// A volume that a drive has is unused no more.
    pub fn drop_unused(&mut self, drive: &Drive) {
        let used: Vec<String> =
            self.unused().filter(|(_, volid)| *volid == drive.file).map(|(key, _)| key.to_owned()).collect();
        for key in used {
            self.remove(&key);
        }
    }

    /// Whether the agent option is on.
    pub fn agent(&self) -> bool {
        self.get("agent").is_some_and(|value| {
            let first = value.split(',').next().unwrap_or_default();
            matches!(first, "1" | "enabled=1")
        })
    }

    /// The first disk that is no CD-ROM: what lists call `maxdisk`.
    pub fn boot_disk_size(&self) -> u64 {
        let by_boot = self
            .get("boot")
            .and_then(|boot| boot.strip_prefix("order="))
            .into_iter()
            .flat_map(|order| order.split(';'))
            .filter_map(|key| self.get(key))
            .map(Drive::parse)
            .find(|drive| !drive.is_cdrom());
        by_boot.and_then(|drive| drive.size()).unwrap_or(0)
    }

    /// The NICs: number, MAC address, bridge.
    pub fn nics(&self) -> Vec<(u32, String, Option<String>)> {
        (0..32)
            .filter_map(|index| {
                let text = self.get(&format!("net{index}"))?;
                let parts = PropertyString::parse(text);
                let mac = parts.get("macaddr").map(str::to_owned).or_else(|| {
                    text.split(',').next().and_then(|first| first.split_once('=')).map(|(_, mac)| mac.to_owned())
                });
                Some((index, mac.unwrap_or_default(), parts.get("bridge").map(str::to_owned)))
            })
            .collect()
    }

    fn text(&self) -> String {
        self.iter().fold(String::new(), |mut text, (key, value)| {
            let _ = writeln!(text, "{key}: {value}");
            text
        })
    }

    /// The options as the API shows them; the password never shows.
    pub fn to_json(&self) -> Map<String, Value> {
        self.iter().map(|(key, value)| (key.to_owned(), shown(key, value))).collect()
    }
}

/// One option as the API shows it.
pub(crate) fn shown(key: &str, value: &str) -> Value {
    if key == "cipassword" {
        return Value::from("**********");
    }
    match value.parse::<i64>() {
        Ok(number) if NUMBERS.contains(&key) => Value::from(number),
        _ => Value::from(value),
    }
}

/// The digest of a configuration file: opaque, forty hexadecimal digits.
pub(crate) fn digest<'a>(sections: impl IntoIterator<Item = &'a Config>) -> String {
    let mut hash = Sha256::new();
    for section in sections {
        hash.update(section.text());
        hash.update(b"--\n");
    }
    let mut text = hex::encode(hash.finalize());
    text.truncate(40);
    text
}

/// A value of the form `first,key=value,…`.
#[derive(Clone, Debug)]
pub(crate) struct PropertyString<'a> {
    parts: Vec<(&'a str, &'a str)>,
}

impl<'a> PropertyString<'a> {
    pub fn parse(text: &'a str) -> Self {
        Self { parts: text.split(',').filter_map(|word| word.split_once('=')).collect() }
    }

    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.parts.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }
}

/// One drive of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Drive {
    /// `storage:volume`, `storage:GiB` for one to be made, `none`, or a path.
    pub file: String,
    options: Vec<(String, String)>,
}

impl Drive {
    pub fn parse(text: &str) -> Self {
        let mut words = text.split(',');
        let first = words.next().unwrap_or_default();
        let file = first.strip_prefix("file=").unwrap_or(first).to_owned();
        let options =
            words.filter_map(|word| word.split_once('=')).map(|(key, value)| (key.into(), value.into())).collect();
        Self { file, options }
    }

    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub fn set_option(&mut self, key: &str, value: &str) {
        match self.options.iter_mut().find(|(name, _)| name == key) {
            Some(option) => option.1 = value.to_owned(),
            None => self.options.push((key.to_owned(), value.to_owned())),
        }
    }

    pub fn drop_option(&mut self, key: &str) {
        self.options.retain(|(name, _)| name != key);
    }

    pub fn is_cdrom(&self) -> bool {
        self.option("media") == Some("cdrom")
    }

    pub fn is_cloud_init(&self) -> bool {
        let name = self.file.rsplit([':', '/']).next().unwrap_or_default();
        self.is_cdrom() && (name.contains("cloudinit"))
    }

    /// Storage and volume name, if it is a volume.
    pub fn volume(&self) -> Option<(&str, &str)> {
        self.file.split_once(':').filter(|(storage, _)| !storage.starts_with('/'))
    }

    pub fn size(&self) -> Option<u64> {
        self.option("size").and_then(parse_size)
    }

    pub fn set_size(&mut self, bytes: u64) {
        self.set_option("size", &format_size(bytes));
    }

    pub fn text(&self) -> String {
        self.options.iter().fold(self.file.clone(), |mut text, (key, value)| {
            let _ = write!(text, ",{key}={value}");
            text
        })
    }
}

/// Bytes of a size such as `512M`, `3.5G` or `1073741824`.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (digits, unit) = match text.char_indices().last()? {
        (at, 'K') => (text.get(..at)?, 1u64 << 10),
        (at, 'M') => (text.get(..at)?, 1 << 20),
        (at, 'G') => (text.get(..at)?, 1 << 30),
        (at, 'T') => (text.get(..at)?, 1 << 40),
        _ => (text, 1),
    };
    let number: f64 = digits.parse().ok()?;
    // Sizes stay far below 2^53, where f64 is exact.
    (number >= 0.0).then_some((number * unit as f64) as u64)
}

/// The shortest exact notation, as Proxmox writes it: `2560M`, not `2.5G`.
pub(crate) fn format_size(bytes: u64) -> String {
    let mut number = bytes;
    for unit in ["", "K", "M", "G"] {
        if !number.is_multiple_of(1024) {
            return format!("{number}{unit}");
        }
        number /= 1024;
        if unit == "G" {
            return if number > 0 && number * 1024 * (1 << 30) == bytes {
                format!("{number}T")
            } else {
                format!("{}G", bytes >> 30)
            };
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_proxmox_writes_them() {
        for (bytes, text) in [(4 << 20, "4M"), (2 << 30, "2G"), ((5 << 30) / 2, "2560M"), (1 << 40, "1T"), (512, "512")]
        {
            assert_eq!(format_size(bytes), text);
            assert_eq!(parse_size(text), Some(bytes));
        }
    }

    #[test]
    fn drives_survive_a_round_trip() {
        let text = "data2:101/vm-101-cloudinit.qcow2,media=cdrom,size=4M";
        let drive = Drive::parse(text);
        assert!(drive.is_cloud_init());
        assert_eq!(drive.size(), Some(4 << 20));
        assert_eq!(drive.text(), text);
    }
}
