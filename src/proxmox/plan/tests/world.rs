//! A small model of Proxmox: a cluster of the nodes `a` and `b`, a stand-alone host `c`, and people who meddle.
//!
//! It checks each change that it is asked for: what is foreign must never be changed, and a machine that may run never
//! made twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use super::build::*;
use crate::proxmox::{
    client::{ApiError, Error},
    inventory::{GuestKind, Reach, SiteError, SiteState, TaskState},
    plan::*,
    wire::{Drive, Upid, VmConfig, Vmid},
};

pub const NODES: [&str; 3] = ["a", "b", "c"];

/// Site and VMID of the machine that may be adopted.
pub const ADOPTEE: (usize, Vmid) = (0, 500);

pub fn site_of(node: &str) -> usize {
    usize::from(node == "c")
}

pub fn template_of(node: &str) -> Vmid {
    if node == "b" { TEMPLATE + 1 } else { TEMPLATE }
}

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
    fn digest(&self) -> String {
        let mut hasher = DefaultHasher::new();
        (&self.config, &self.pending).hash(&mut hasher);
        format!("{:x}", hasher.finish())
    }

    /// The config that is in force.
    pub fn current(&self) -> VmConfig {
        self.config.clone().into_iter().collect()
    }

    fn set(&mut self, config: &VmConfig) {
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
    fn change_disk(&mut self, vmid: Vmid, change: &DiskChange, hot: bool, number: u32) -> Result<(), String> {
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

/// What a task does when it ends well.
#[derive(Clone, Debug, Hash)]
pub enum Job {
    Clone { vmid: Vmid, description: String, pool: Option<String>, clash: bool },
    Resize { vmid: Vmid, disk: String, bytes: u64 },
    Disk { vmid: Vmid, change: DiskChange, digest: Option<String> },
    Start(Vmid),
    Stop(Vmid),
    Shutdown(Vmid),
    Suspend(Vmid),
    Resume(Vmid),
    Destroy(Vmid),
}

#[derive(Clone, Debug, Hash)]
pub struct Running {
    pub node: &'static str,
    pub job: Job,
}

/// How a call goes wrong beside what Proxmox refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    LostBefore,
    LostAfter,
    /// Proxmox answers with a server error.
    Busy,
}

#[derive(Clone, Debug, Default)]
pub struct World {
    pub seconds: i64,
    pub guests: BTreeMap<(usize, Vmid), Guest>,
    /// Node, VMID, whether they are ours.
    pub volumes: BTreeSet<(&'static str, Vmid, bool)>,
    pub running: BTreeMap<String, Running>,
    pub ended: BTreeMap<String, (&'static str, Result<(), String>)>,
    pub offline: BTreeSet<&'static str>,
    pub failing_since: Option<i64>,
    pub tasks_begun: u32,
    /// What the inventory saw at its last poll.
    pub sites: Vec<SiteState>,
    /// The next clone that fails, or destroy, leaves its volume.
    pub sticky_volumes: bool,
    /// Whether that can happen.
    pub sticks: bool,
}

impl World {
    pub fn new() -> Self {
        let mut world = Self { sticks: true, ..Self::default() };
        world.poll();
        world
    }

    /// The same with somebody's machine that an object may adopt.
    pub fn with_adoptee() -> Self {
        let mut world = Self::new();
        let config = [
            ("name", "old"),
            ("cores", "8"),
            ("memory", "4096"),
            ("description", "Ask Alice"),
            ("boot", "order=scsi0"),
            ("scsi0", "local:vm-500-disk-0,size=32G"),
            ("smbios1", "uuid=22222222-2222-3333-4444-555555555555"),
            ("net0", "virtio=02:00:00:00:00:05,bridge=vmbr0"),
        ];
        let config = config.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let guest = Guest { config, power: Power::Running, process: 1, ran: Some(-1000), ..Guest::new("a") };
        world.guests.insert(ADOPTEE, guest);
        world.volumes.insert(("a", ADOPTEE.1, false));
        world.poll();
        world
    }

    /// The mark of somebody else's on that machine.
    pub fn their_mark() -> String {
        Owner { installation: "other".into(), ..owner() }.mark(ADOPTEE.1).line()
    }

    /// The first change of a machine that is to be adopted marks it, and nothing else. It is ours from then on.
    fn adopt(&mut self, key: (usize, Vmid), action: &Action) {
        let Action::Configure { set, delete, .. } = action else { return };
        let Some(guest) = self.guests.get_mut(&key).filter(|guest| key == ADOPTEE && !guest.mine) else { return };
        let [(name, notes)] = set.0.as_slice() else { return };
        let free = guest.config().description() != Self::their_mark();
        if free && name == "description" && delete.is_empty() && notes.contains(&owner().mark(key.1).line()) {
            guest.mine = true;
            self.volumes.remove(&(guest.node, key.1, false));
            self.volumes.insert((guest.node, key.1, true));
        }
    }

    pub fn mine(&self) -> impl Iterator<Item = (&(usize, Vmid), &Guest)> {
        self.guests.iter().filter(|(_, guest)| guest.mine)
    }

    fn name(node: &str) -> &'static str {
        NODES.into_iter().find(|name| *name == node).unwrap()
    }

    fn guest_at(&self, place: &Place) -> Option<&Guest> {
        let guest = self.guests.get(&(site_of(&place.node), place.vmid))?;
        (guest.node == place.node && !guest.container).then_some(guest)
    }

    // What is seen.

    pub fn poll(&mut self) {
        let old = std::mem::take(&mut self.sites);
        self.sites = vec![site(0, &["a", "b"]), site(1, &["c"])];
        for (at_site, state) in self.sites.iter_mut().enumerate() {
            state.at = Some(at(self.seconds));
            for (name, node) in &mut state.nodes {
                if self.offline.contains(name.as_str()) {
                    node.reach = Reach::Offline;
                }
            }
            for ((site, vmid), guest) in &self.guests {
                if *site == at_site {
                    let mut entry = entry(guest.node, &guest.config());
                    entry.pool.clone_from(&guest.pool);
                    if guest.container {
                        entry.kind = GuestKind::Lxc;
                        entry.details = None;
                    }
                    state.vms.insert(*vmid, entry);
                }
            }
            for (upid, task) in &self.running {
                if site_of(task.node) == at_site && !self.offline.contains(task.node) {
                    state.tasks.insert(upid.parse().unwrap(), TaskState::Running);
                }
            }
            for (upid, (node, end)) in &self.ended {
                if site_of(node) == at_site {
                    let text = end.clone().err().unwrap_or("OK".into());
                    state.tasks.insert(upid.parse().unwrap(), TaskState::Ended { ok: end.is_ok(), text });
                }
            }
        }
        if self.offline.contains("c") {
            let since = *self.failing_since.get_or_insert(self.seconds);
            let mut state = old.into_iter().nth(1).unwrap_or_else(|| site(1, &["c"]));
            state.stale = true;
            state.error = Some(SiteError::Unreachable("no route to host".into()));
            state.failing_since = Some(at(since));
            state.nodes.get_mut("c").unwrap().reach = Reach::Unknown("no route to host".into());
            self.sites[1] = state;
        } else {
            self.failing_since = None;
        }
    }

    pub fn sight(&self, place: &Place) -> Sight {
        if self.offline.contains(place.node.as_str()) {
            return Sight::Unknown("it is offline".into());
        }
        if place.vmid == template_of(&place.node) {
            return present(template_config(), Power::Stopped);
        }
        self.guest_at(place).map_or(Sight::Absent, |guest| {
            let digest = guest.digest();
            let dated = |config: VmConfig| changed(&config, &[("digest", &digest)]);
            Sight::Present(Box::new(Machine {
                config: dated(guest.config()),
                current: dated(guest.current()),
                power: guest.power,
                process: (guest.power != Power::Stopped).then_some(guest.process),
                unprepared: BTreeMap::new(),
            }))
        })
    }

    pub fn stored(&self, place: &Place) -> Volumes {
        if self.offline.contains(place.node.as_str()) {
            return Volumes::Unknown("it is offline".into());
        }
        let here = self.volumes.iter().filter(|(node, vmid, _)| *node == place.node && *vmid == place.vmid);
        let volumes =
            here.map(|(_, vmid, mine)| Volume { id: format!("local:{vmid}-{mine}"), shared: false }).collect();
        Volumes::Known(Stored { volumes, available: BTreeMap::new() })
    }

    pub fn task(&self, task: &Task) -> TaskSight {
        if self.offline.contains(task.node.as_str()) {
            return TaskSight::Unknown("it is offline".into());
        }
        match self.ended.get(task.upid.as_str()) {
            Some((_, Ok(()))) => TaskSight::Succeeded,
            Some((_, Err(text))) => TaskSight::Failed(text.clone()),
            None if self.running.contains_key(task.upid.as_str()) => TaskSight::Running(None),
            None => TaskSight::Vanished,
        }
    }

    // What is done.

    /// Makes a change that the plan asks for. `strict` is a controller that knows the latest record.
    pub fn act(&mut self, action: &Action, fault: Fault, strict: bool) -> Result<Option<Task>, Error> {
        let lost = || Error::ReplyLost { request: format!("{action:?}"), reason: "reset".into() };
        match fault {
            Fault::LostBefore => return Err(lost()),
            Fault::Busy => return Err(refusal(503, "busy")),
            Fault::None | Fault::LostAfter => {}
        }
        let done = self.change(action, strict);
        if fault == Fault::LostAfter { Err(lost()) } else { done }
    }

    fn change(&mut self, action: &Action, strict: bool) -> Result<Option<Task>, Error> {
        let place = match action {
            Action::Clone { place, .. }
            | Action::Configure { place, .. }
            | Action::Tag { place, .. }
            | Action::Resize { place, .. }
            | Action::Disk { place, .. }
            | Action::Pool { place, .. }
            | Action::FreeVolume { place, .. } => place.clone(),
            Action::Start(place)
            | Action::Stop(place)
            | Action::Shutdown { place, .. }
            | Action::Suspend(place)
            | Action::Resume(place)
            | Action::Destroy(place) => place.clone(),
            Action::StopTask(task) => super::build::place(&task.node, 0),
        };
        let node = Self::name(&place.node);
        let (key, vmid) = ((site_of(node), place.vmid), place.vmid);
        if self.offline.contains(node) {
            return Err(refusal(595, "No route to host"));
        }
        self.adopt(key, action);
        if !matches!(action, Action::Clone { .. } | Action::StopTask(_) | Action::FreeVolume { .. })
            && let Some(guest) = self.guest_at(&place)
        {
            let raced = key == ADOPTEE && guest.config().description() == Self::their_mark();
            assert!(guest.mine || !strict || raced, "{action:?} changes what is foreign: {guest:?}");
            // Between the look and the call somebody else may have taken the VMID: that is beyond a plan.
            if !guest.mine {
                return Err(refusal(500, "checksum mismatch (file change by other user?)"));
            }
        }
        match action {
            Action::Pool { pool, .. } => {
                let guest =
                    self.guests.get_mut(&key).filter(|guest| guest.node == node).ok_or_else(|| missing(vmid))?;
                if guest.pool.as_ref() == Some(pool) {
                    return Err(refusal(500, &format!("update pools failed: VM {vmid} is already a pool member")));
                }
                guest.pool = Some(pool.clone());
                Ok(None)
            }
            Action::Clone { template, description, pool, .. } => {
                assert_eq!(*template, template_of(node), "the template is another node's");
                if strict {
                    // One at that very VMID makes Proxmox refuse the clone.
                    for (key, guest) in self.mine().filter(|(other, _)| **other != key) {
                        assert!(guest.ran.is_none(), "{action:?} while {key:?} may run: {guest:?}");
                    }
                }
                let clash = match self.guests.get(&key) {
                    Some(guest) if guest.node == node => {
                        let text = format!("unable to create VM {vmid}: config file already exists");
                        return Err(refusal(500, &text));
                    }
                    Some(_) => true,
                    None => false,
                };
                if !clash {
                    let stub = BTreeMap::from([
                        ("lock".to_owned(), "clone".to_owned()),
                        ("description".to_owned(), "qmclone temporary file".to_owned()),
                    ]);
                    // No process of an earlier machine under this VMID comes after those of this one.
                    let process = (self.tasks_begun + 1) * 1000;
                    let guest = Guest { config: stub, mine: true, process, ..Guest::new(node) };
                    self.guests.insert(key, guest);
                    self.volumes.insert((node, vmid, true));
                }
                let job = Job::Clone { vmid, description: description.clone(), pool: pool.clone(), clash };
                Ok(Some(self.begin(node, TaskAction::Clone, "qmclone", *template, job)))
            }
            Action::Configure { set, delete, password, .. } => {
                let guest = self.unlocked(&place)?;
                for (key, value) in &set.0 {
                    guest.change(key, value);
                }
                if let Some(password) = password {
                    guest.change("cipassword", &password.password.text);
                }
                for key in delete {
                    guest.config.remove(key);
                    guest.pending.remove(key);
                }
                Ok(None)
            }
            Action::Tag { tags, .. } => {
                self.unlocked(&place)?.config.insert("tags".into(), tags.clone());
                Ok(None)
            }
            Action::Disk { change, digest, .. } => {
                let guest = self.unlocked(&place)?;
                if digest.as_ref() != Some(&guest.digest()) {
                    return Err(refusal(500, "checksum mismatch (file change by other user?)"));
                }
                let job = Job::Disk { vmid, change: change.clone(), digest: digest.clone() };
                Ok(Some(self.begin(node, TaskAction::Disk, "qmconfig", vmid, job)))
            }
            Action::Resize { disk, bytes, .. } => {
                let job = Job::Resize { vmid, disk: disk.clone(), bytes: *bytes };
                Ok(Some(self.begin(node, TaskAction::Resize, "resize", vmid, job)))
            }
            Action::Start(_) => Ok(Some(self.begin(node, TaskAction::Start, "qmstart", vmid, Job::Start(vmid)))),
            Action::Stop(_) => Ok(Some(self.begin(node, TaskAction::Stop, "qmstop", vmid, Job::Stop(vmid)))),
            Action::Shutdown { .. } => {
                if self.guest_at(&place).is_some_and(|guest| guest.power == Power::Paused) {
                    return Err(refusal(500, "VM is paused - cannot shutdown"));
                }
                let job = Job::Shutdown(vmid);
                Ok(Some(self.begin(node, TaskAction::Shutdown, "qmshutdown", vmid, job)))
            }
            Action::Suspend(_) | Action::Resume(_) => {
                if self.guest_at(&place).is_none_or(|guest| guest.power == Power::Stopped) {
                    return Err(refusal(500, &format!("VM {vmid} not running")));
                }
                let (action, kind, job) = match action {
                    Action::Suspend(_) => (TaskAction::Suspend, "qmpause", Job::Suspend(vmid)),
                    _ => (TaskAction::Resume, "qmresume", Job::Resume(vmid)),
                };
                Ok(Some(self.begin(node, action, kind, vmid, job)))
            }
            Action::Destroy(_) => {
                match self.guest_at(&place) {
                    None => return Err(missing(vmid)),
                    Some(guest) if guest.power != Power::Stopped => {
                        return Err(refusal(500, &format!("VM {vmid} is running - destroy failed")));
                    }
                    Some(_) => {}
                }
                Ok(Some(self.begin(node, TaskAction::Destroy, "qmdestroy", vmid, Job::Destroy(vmid))))
            }
            Action::FreeVolume { volume, .. } => {
                assert!(volume.ends_with("true"), "{action:?} removes what is foreign");
                self.volumes.remove(&(node, vmid, true));
                Ok(None)
            }
            Action::StopTask(task) => {
                self.end(task.upid.as_str(), false);
                Ok(Some(task.clone()))
            }
        }
    }

    fn unlocked(&mut self, place: &Place) -> Result<&mut Guest, Error> {
        if self.guest_at(place).is_none() {
            return Err(missing(place.vmid));
        }
        let guest = self.guests.get_mut(&(site_of(&place.node), place.vmid)).unwrap();
        match guest.lock() {
            Some(lock) => Err(refusal(500, &format!("VM is locked ({lock})"))),
            None => Ok(guest),
        }
    }

    fn begin(&mut self, node: &'static str, action: TaskAction, kind: &str, id: Vmid, job: Job) -> Task {
        self.tasks_begun += 1;
        let upid: Upid = upid(node, self.tasks_begun, kind, id);
        self.running.insert(upid.to_string(), Running { node, job });
        Task { upid, node: node.to_owned(), action }
    }

    /// Ends a task, well or not.
    pub fn end(&mut self, upid: &str, well: bool) {
        let Some(Running { node, job }) = self.running.remove(upid) else { return };
        let end = self.carry_out(node, &job, well);
        self.ended.insert(upid.to_owned(), (node, end));
    }

    /// Workers die without a word; a clone's target stays locked.
    pub fn kill(&mut self, which: impl Fn(&Running) -> bool) {
        let killed: Vec<_> =
            self.running.iter().filter(|(_, task)| which(task)).map(|(upid, _)| upid.clone()).collect();
        for upid in killed {
            let Running { node, .. } = self.running.remove(&upid).unwrap();
            self.ended.insert(upid, (node, Err("unexpected status".into())));
        }
    }

    pub fn some_of_mine(&mut self, which: impl Fn(&Guest) -> bool) -> Option<&mut Guest> {
        self.guests.values_mut().find(|guest| guest.mine && which(guest))
    }

    fn carry_out(&mut self, node: &'static str, job: &Job, well: bool) -> Result<(), String> {
        let (Job::Clone { vmid, .. }
        | Job::Resize { vmid, .. }
        | Job::Disk { vmid, .. }
        | Job::Start(vmid)
        | Job::Stop(vmid)
        | Job::Shutdown(vmid)
        | Job::Suspend(vmid)
        | Job::Resume(vmid)
        | Job::Destroy(vmid)) = *job;
        let key = (site_of(node), vmid);
        let here = super::build::place(node, vmid);
        if let Job::Clone { description, pool, clash, .. } = job {
            if *clash {
                return Err(format!("unable to create VM {vmid}: File exists"));
            }
            if !well {
                self.guests.remove(&key);
                if !std::mem::take(&mut self.sticky_volumes) {
                    self.volumes.remove(&(node, vmid, true));
                }
                return Err("clone failed: copy failed".into());
            }
            let guest = self.guests.get_mut(&key).unwrap();
            guest.pool.clone_from(pool);
            guest.set(&changed(&template_config(), &[("template", ""), ("description", description)]));
            return Ok(());
        }
        if self.guest_at(&here).is_none() {
            return match job {
                Job::Stop(_) | Job::Shutdown(_) => Ok(()),
                _ => Err(format!("Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist")),
            };
        }
        let (seconds, tasks_begun) = (self.seconds, self.tasks_begun);
        let guest = self.guests.get_mut(&key).unwrap();
        if let Some(lock) = guest.lock() {
            return Err(format!("VM is locked ({lock})"));
        }
        match job {
            Job::Shutdown(_) if !well => return Err("VM quit/powerdown failed - got timeout".into()),
            _ if !well => return Err("command failed: exit code 1".into()),
            Job::Clone { .. } => {}
            Job::Resize { disk, bytes, .. } => {
                let Some(line) = guest.config.get_mut(disk) else {
                    return Err(format!("disk '{disk}' does not exist"));
                };
                let mut drive = Drive::parse(line);
                drive.options.insert("size".into(), format!("{}G", bytes >> 30));
                *line = drive.to_string();
            }
            Job::Disk { digest, .. } if digest.as_ref() != Some(&guest.digest()) => {
                return Err("checksum mismatch (file change by other user?)".into());
            }
            Job::Disk { change, .. } => {
                return guest.change_disk(vmid, change, tasks_begun % 3 != 0, tasks_begun);
            }
            Job::Start(_) if guest.power != Power::Stopped => return Err(format!("VM {vmid} already running")),
            Job::Start(_) => {
                guest.switch(true);
                guest.ran = Some(seconds);
            }
            Job::Stop(_) => guest.switch(false),
            Job::Shutdown(_) if guest.power == Power::Stopped => {}
            Job::Shutdown(_) => guest.switch(false),
            Job::Suspend(_) | Job::Resume(_) if guest.power == Power::Stopped => {
                return Err(format!("VM {vmid} not running"));
            }
            Job::Suspend(_) => guest.power = Power::Paused,
            Job::Resume(_) => guest.power = Power::Running,
            Job::Destroy(_) if guest.power != Power::Stopped => {
                return Err(format!("VM {vmid} is running - destroy failed"));
            }
            Job::Destroy(_) => {
                self.guests.remove(&key);
                if !std::mem::take(&mut self.sticky_volumes) {
                    self.volumes.remove(&(node, vmid, true));
                }
            }
        }
        Ok(())
    }
}

fn refusal(status: u16, text: &str) -> Error {
    Error::from(Box::new(ApiError {
        request: "POST /x".into(),
        status,
        text: text.into(),
        fields: BTreeMap::default(),
    }))
}

fn missing(vmid: Vmid) -> Error {
    refusal(500, &format!("Configuration file 'nodes/x/qemu-server/{vmid}.conf' does not exist"))
}
