//! A machine or container of the model, and what changes of its config do to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use crate::proxmox::{
    plan::*,
    wire::{Drive, VmConfig, Vmid},
};

/// A machine or container.
#[derive(Clone, Debug)]
pub struct Guest {
    pub node: &'static str,
    /// What is in force.
    pub config: BTreeMap<String, String>,
    /// What the next boot brings; an empty value takes a key away.
    pub pending: BTreeMap<String, String>,
    /// The volumes of its disks beside the first.
    pub extra: BTreeSet<String>,
    pub power: Power,
    /// The QEMU process, while there is one.
    pub process: u32,
    pub container: bool,
    pub pool: Option<String>,
    /// A clone call of ours made it.
    pub mine: bool,
    /// When it was last started.
    pub ran: Option<i64>,
}

impl Guest {
    /// Somebody's, without a config and off.
    pub fn new(node: &'static str) -> Self {
        Self {
            node,
            config: BTreeMap::new(),
            pending: BTreeMap::new(),
            extra: BTreeSet::new(),
            power: Power::Stopped,
            process: 0,
            container: false,
            pool: None,
            mine: false,
            ran: None,
        }
    }

    /// The config as it will be after the next boot.
    pub fn config(&self) -> VmConfig {
        let mut config = self.config.clone();
        config.extend(self.pending.clone());
        config.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }

    /// Tells one config from another.
    pub(super) fn digest(&self) -> String {
        let mut hasher = DefaultHasher::new();
        (&self.config, &self.pending).hash(&mut hasher);
        format!("{:x}", hasher.finish())
    }

    /// The config that is in force.
    pub fn current(&self) -> VmConfig {
        self.config.clone().into_iter().collect()
    }

    pub(super) fn set(&mut self, config: &VmConfig) {
        self.config = config.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    }

    /// A change takes effect at once, if it can.
    pub fn change(&mut self, key: &str, value: &str) {
        let waits = matches!(key, "cores" | "sockets" | "memory" | "cpu" | "smbios1");
        self.pending.remove(key);
        if !waits || self.power == Power::Stopped {
            self.config.insert(key.to_owned(), value.to_owned());
        } else if self.config.get(key).map(String::as_str) != Some(value) {
            self.pending.insert(key.to_owned(), value.to_owned());
        }
    }

    /// A disk that is taken off the config becomes `unusedN`.
    pub fn keep_unused(&mut self, line: &str) {
        let key = (0..).map(|number| format!("unused{number}")).find(|key| !self.config.contains_key(key)).unwrap();
        self.config.insert(key, Drive::parse(line).volume);
    }

    /// What a change of disks comes to. Of one that runs, some cannot be plugged.
    pub(super) fn change_disk(
        &mut self,
        vmid: Vmid,
        change: &DiskChange,
        hot: bool,
        number: u32,
    ) -> Result<(), String> {
        let waits = !hot && self.power != Power::Stopped;
        match change {
            DiskChange::Attach { key, value } => {
                let mut drive = Drive::parse(value);
                if let Ok(gib) = drive.volume.rsplit(':').next().unwrap().parse::<u64>() {
                    drive.volume = format!("local:vm-{vmid}-disk-{number}");
                    drive.options.insert("size".into(), format!("{gib}G"));
                    assert!(self.extra.insert(drive.volume.clone()));
                } else if !self.extra.contains(&drive.volume) {
                    return Err(format!("volume {} does not exist", drive.volume));
                }
                self.config.retain(|key, value| !(key.starts_with("unused") && *value == drive.volume));
                drive.options.entry("size".into()).or_insert("1G".into());
                self.pending.remove(key);
                if self.config.get(key).map(|line| Drive::parse(line).volume).as_ref() == Some(&drive.volume) {
                    self.config.insert(key.clone(), drive.to_string());
                } else if waits {
                    self.pending.insert(key.clone(), drive.to_string());
                    return Err(format!("{key}: hotplug problem - no room for it"));
                } else if let Some(old) = self.config.insert(key.clone(), drive.to_string()) {
                    self.keep_unused(&old);
                }
            }
            DiskChange::Detach { key } => {
                if let Some(made) = self.pending.remove(key) {
                    self.keep_unused(&made);
                } else if waits && self.config.contains_key(key) {
                    self.pending.insert(key.clone(), String::new());
                    return Err(format!("{key}: hotplug problem - the guest keeps it"));
                } else if let Some(old) = self.config.remove(key) {
                    self.keep_unused(&old);
                }
            }
            DiskChange::Remove { key } => {
                if let Some(volume) = self.config.remove(key) {
                    assert!(self.extra.remove(&volume), "{volume} is none of its own");
                }
            }
        }
        Ok(())
    }

    pub fn lock(&self) -> Option<&str> {
        self.config.get("lock").map(String::as_str)
    }

    /// QEMU is started or ends.
    pub fn switch(&mut self, on: bool) {
        for (key, value) in std::mem::take(&mut self.pending) {
            let old = self.config.remove(&key);
            if !value.is_empty() {
                self.config.insert(key, value);
            } else if let Some(old) = old {
                self.keep_unused(&old);
            }
        }
        self.process += u32::from(on);
        self.power = if on { Power::Running } else { Power::Stopped };
    }
}
