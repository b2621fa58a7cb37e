//! The state of the simulated cluster and everything that happens in it, without I/O and without a clock
//! of its own: time is passed in, and [`World::advance`] lets happen what is due.

mod agent;
mod boot;
mod change;
mod clone;
pub(crate) mod config;
mod create;
mod destroy;
mod engine;
pub(crate) mod guest;
mod migrate;
mod nodes;
mod power;
mod resize;
mod small;
mod snapshot;
pub(crate) mod storage;
pub(crate) mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

pub(crate) use self::agent::AgentState;
pub(crate) use self::change::{ChangeError, ConfigChange, is_drive};
pub(crate) use self::clone::CloneRequest;
pub(crate) use self::create::CreateWork;
pub(crate) use self::destroy::DestroyRequest;
pub(crate) use self::engine::{LOCK_TIMEOUT, lock_error};
pub(crate) use self::power::{Power, PowerRequest};
pub(crate) use self::resize::ResizeRequest;
pub(crate) use self::small::{ConfigWork, FreeVolume, TemplateWork, no_config, no_such_config, with_new_identity};

pub(crate) use self::migrate::MigrateWork;
pub(crate) use self::nodes::Node as NodeView;
pub(crate) use self::snapshot::{SnapshotStep, SnapshotWork};

use self::engine::{Locks, Queue};
use self::guest::{Guest, Kind, Report, Reports};
use self::nodes::Node;
use self::storage::{Storage, Volumes};
use self::task::Tasks;
use super::access::Access;
use super::faults::Faults;
use super::scenario::{Release, Scenario};

/// How often a node's statistics daemon looks at its guests.
const STATISTICS: Duration = Duration::from_secs(10);

/// How long the last statistics of a node are kept.
const STATISTICS_KEPT: Duration = Duration::from_secs(300);

pub(crate) struct World {
    pub release: Release,
    pub error_text_in_body: bool,
    /// Since the simulator was made.
    pub now: Duration,
    /// Unix time at the start.
    epoch: u64,
    pub cluster_name: Option<String>,
    pub nodes: Vec<Node>,
    pub storages: BTreeMap<String, Storage>,
    pub volumes: Volumes,
    guests: BTreeMap<u32, Guest>,
    reports: BTreeMap<u32, Reports>,
    dirty: BTreeSet<u32>,
    pub tasks: Tasks,
    queue: Queue,
    locks: Locks,
    pub access: Access,
    pub pools: BTreeMap<String, BTreeSet<u32>>,
    pub bridges: BTreeSet<String>,
    pub faults: Faults,
    clone_bytes_per_second: u64,
    boot_time: Duration,
    rng: StdRng,
    version: u64,
}

impl World {
    pub fn new(scenario: &Scenario, epoch: u64) -> Self {
        let mut world = Self {
            release: scenario.release,
            error_text_in_body: scenario.error_text_in_body,
            now: Duration::ZERO,
            epoch,
            cluster_name: scenario.cluster_name.clone().or((scenario.nodes.len() > 1).then(|| "cluster".to_owned())),
            nodes: scenario.nodes.iter().map(Node::new).collect(),
            storages: BTreeMap::new(),
            volumes: Volumes::default(),
            guests: BTreeMap::new(),
            reports: BTreeMap::new(),
            dirty: BTreeSet::new(),
            tasks: Tasks::default(),
            queue: Queue::default(),
            locks: Locks::default(),
            access: Access::new(scenario),
            pools: scenario.pools.iter().map(|pool| (pool.clone(), BTreeSet::new())).collect(),
            bridges: scenario.bridges.iter().cloned().collect(),
            faults: Faults::default(),
            clone_bytes_per_second: (scenario.clone_mib_per_second << 20).max(1),
            boot_time: scenario.boot_time(),
            rng: StdRng::seed_from_u64(scenario.seed),
            version: 0,
        };
        world.fill(scenario);
        world
    }

    pub fn is_v9(&self) -> bool {
        self.release >= Release::V9
    }

    pub fn unix_time(&self) -> u64 {
        self.epoch + self.now.as_secs()
    }

    /// A number that grows with every change that a client could see.
    pub fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn touch(&mut self) {
        self.version += 1;
    }

    pub fn next_event(&self) -> Option<Duration> {
        self.queue.next_at()
    }

    pub fn guests(&self) -> impl Iterator<Item = &Guest> {
        self.guests.values()
    }

    pub fn guest(&self, vmid: u32) -> Option<&Guest> {
        self.guests.get(&vmid)
    }

    /// The virtual machine if it is on that node.
    pub fn guest_on(&self, node: &str, vmid: u32) -> Option<&Guest> {
        self.guests.get(&vmid).filter(|guest| guest.node == node && guest.kind == Kind::Qemu)
    }

    /// Whether a machine or container on that node has the id.
    pub fn is_taken_on(&self, node: &str, vmid: u32) -> bool {
        self.guests.get(&vmid).is_some_and(|guest| guest.node == node)
    }

    pub fn guest_mut(&mut self, vmid: u32) -> Option<&mut Guest> {
        self.dirty.insert(vmid);
        self.version += 1;
        self.guests.get_mut(&vmid)
    }

    pub fn insert_guest(&mut self, guest: Guest) {
        self.dirty.insert(guest.vmid);
        self.version += 1;
        self.guests.insert(guest.vmid, guest);
    }

    pub fn remove_guest(&mut self, vmid: u32) -> Option<Guest> {
        self.dirty.insert(vmid);
        self.version += 1;
        self.guests.remove(&vmid)
    }

    /// Hands changed guests to the statistics daemons, which show them at their next round.
    pub fn flush_reports(&mut self) {
        let next_round = STATISTICS * (self.now.as_secs() / STATISTICS.as_secs() + 1) as u32;
        for vmid in std::mem::take(&mut self.dirty) {
            let report = self.guests.get(&vmid).map(Report::of);
            if self.reports.entry(vmid).or_default().change(self.now, next_round, report) {
                self.look_at(next_round);
            }
        }
        if self.reports.len() > 2 * self.guests.len() + 100 {
            let now = self.now;
            self.reports.retain(|_, reports| !reports.is_forgotten(now));
        }
    }

    /// Whether the last statistics of a node are young enough to be shown.
    pub fn has_statistics(&self, node: &Node) -> bool {
        self.down_since(node).is_none_or(|since| self.now.saturating_sub(since) <= STATISTICS_KEPT)
    }

    /// What the lists show of a guest now, if its node's statistics are young enough.
    pub fn report(&self, guest: &Guest) -> Option<&Report> {
        if self.node(&guest.node).is_some_and(|node| !self.has_statistics(node)) {
            return None;
        }
        self.reports.get(&guest.vmid)?.at(self.now)
    }

    pub fn new_uuid(&mut self) -> String {
        let bits = (u128::from(self.rng.next_u64()) << 64) | u128::from(self.rng.next_u64());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string()
    }

    pub fn new_mac(&mut self) -> String {
        let [a, b, c, ..] = self.rng.next_u64().to_be_bytes();
        format!("BC:24:11:{a:02X}:{b:02X}:{c:02X}")
    }

    pub fn new_pid(&mut self) -> u32 {
        1000 + self.rng.next_u32() % 4_000_000
    }

    fn uptime_ticks(&self) -> u64 {
        500_000 + u64::try_from(self.now.as_millis() / 10).unwrap_or(0)
    }

    /// QEMU's version, as the `meta` option of a new guest names it.
    pub fn qemu_version(&self) -> &'static str {
        if self.is_v9() { "10.0.13" } else { "7.2.22" }
    }
}
