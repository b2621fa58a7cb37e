//! A small model of Proxmox: a cluster of the nodes `a` and `b`, a stand-alone host `c`, and people who meddle.
//!
//! It checks each change that it is asked for: what is foreign must never be changed, and a machine that may run never
//! made twice.

mod calls;
mod guest;

use std::collections::{BTreeMap, BTreeSet};

pub use guest::Guest;

use super::build::*;
use crate::proxmox::{
    inventory::{GuestKind, Reach, SiteError, SiteState, TaskState},
    plan::*,
    wire::{VmConfig, Vmid},
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
}
