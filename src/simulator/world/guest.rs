//! A guest: its configuration, its power state, and what the cluster's lists say about it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::change::is_drive;
use super::config::{Config, Drive, digest};

/// Virtual machine or container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Qemu,
    Lxc,
}

#[derive(Clone, Debug)]
pub(crate) struct Guest {
    pub vmid: u32,
    pub node: String,
    pub kind: Kind,
    pub config: Config,
    /// Changes that wait for the next boot; an empty option means that the key is to be removed.
    pub pending: BTreeMap<String, Option<String>>,
    pub snapshots: BTreeMap<String, Config>,
    /// What the cloud-init drive was last made from.
    pub cloud_init: Config,
    pub running: Option<Running>,
}

/// A QEMU process.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub since: Duration,
    /// When the guest inside has booted: from then on its agent answers and it obeys a shutdown.
    pub booted_at: Duration,
    pub pid: u32,
    pub paused: bool,
    pub cpus: u64,
    pub memory: u64,
}

impl Guest {
    pub fn new(vmid: u32, node: &str, kind: Kind) -> Self {
        Self {
            vmid,
            node: node.into(),
            kind,
            config: Config::default(),
            pending: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            cloud_init: Config::default(),
            running: None,
        }
    }

    pub fn digest(&self) -> String {
        let mut pending = Config::default();
        for (key, value) in &self.pending {
            pending.set(key, value.clone().unwrap_or_else(|| "(removed)".to_owned()));
        }
        digest([&self.config, &pending].into_iter().chain(self.snapshots.values()))
    }

    /// The configuration as it will be at the next boot: what `/config` shows.
    pub fn with_pending(&self) -> Config {
        let mut config = self.config.clone();
        for (key, value) in &self.pending {
            match value {
                Some(value) => config.set(key, value.clone()),
                None => {
                    config.remove(key);
                }
            }
        }
        config
    }

    /// The pending changes take effect, as a stop or a start does it.
    pub fn apply_pending(&mut self) {
        let detached: Vec<Drive> = self
            .pending
            .iter()
            .filter_map(|(key, next)| {
                let old = self.config.get(key).filter(|_| is_drive(key)).map(Drive::parse)?;
                next.as_deref().is_none_or(|next| Drive::parse(next).file != old.file).then_some(old)
            })
            .collect();
        self.config = self.with_pending();
        self.pending.clear();
        for drive in detached {
            self.config.keep_unused(&drive);
        }
    }

    pub fn cpus(&self) -> u64 {
        self.running.as_ref().map_or_else(|| self.config.cpus(), |running| running.cpus)
    }

    pub fn memory(&self) -> u64 {
        self.running.as_ref().map_or_else(|| self.config.memory(), |running| running.memory)
    }

    /// Memory of the host that it has touched: about a twentieth, as measured.
    pub fn touched_memory(&self) -> u64 {
        if self.running.is_some() { self.memory() / 20 } else { 0 }
    }
}

/// What a node's statistics daemon last broadcast about a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub name: Option<String>,
    pub running_since: Option<Duration>,
    pub template: bool,
    pub cpus: u64,
    pub memory: u64,
    pub disk: u64,
}

impl Report {
    pub fn of(guest: &Guest) -> Self {
        Self {
            name: guest.config.get("name").or(guest.config.get("hostname")).map(str::to_owned),
            running_since: guest.running.as_ref().map(|running| running.since),
            template: guest.config.is_template(),
            cpus: guest.cpus(),
            memory: guest.memory(),
            disk: guest.config.boot_disk_size(),
        }
    }
}

/// The broadcast of a VMID over time: the current one and the next, which becomes visible later.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reports {
    current: Option<Report>,
    next: Option<(Duration, Option<Report>)>,
}

impl Reports {
    /// What lists show at that moment.
    pub fn at(&self, now: Duration) -> Option<&Report> {
        match &self.next {
            Some((visible, report)) if *visible <= now => report.as_ref(),
            _ => self.current.as_ref(),
        }
    }

    /// Takes note of a change, which lists will show from `visible` on. Tells whether there is one.
    pub fn change(&mut self, now: Duration, visible: Duration, report: Option<Report>) -> bool {
        if let Some((due, next)) = self.next.take_if(|(due, _)| *due <= now) {
            debug_assert!(due <= now);
            self.current = next;
        }
        let last = self.next.as_ref().map_or(&self.current, |(_, next)| next);
        if *last == report {
            return false;
        }
        self.next = Some((visible, report));
        true
    }

    pub fn settle(&mut self, report: Option<Report>) {
        self.current = report;
        self.next = None;
    }

    pub fn is_forgotten(&self, now: Duration) -> bool {
        self.at(now).is_none() && self.next.as_ref().is_none_or(|(visible, _)| *visible <= now)
    }
}
