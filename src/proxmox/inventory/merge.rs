//! From a poll's answers to the next state of a site: pure functions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

use crate::proxmox::wire::{ClusterStatus, ClusterTask, Resource, TaskStatus, Upid, VmConfig, Vmid};

use super::{
    Node,
    state::{
        GuestKind, NodeState, Reach, SiteError, SiteId, SiteState, StorageState, TaskState, VmDetails, VmEntry,
        describe,
    },
};

/// How many ended tasks are remembered that Proxmox's list has dropped.
const REMEMBERED_TASKS: usize = 500;

/// What one poll heard.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    pub at: Timestamp,
    pub status: ClusterStatus,
    pub resources: Vec<Resource>,
    pub tasks: Vec<ClusterTask>,
    /// How tasks ended that ran before and are listed no more; nothing if nobody knows.
    pub left_list: BTreeMap<Upid, Option<TaskState>>,
    /// Read now and then only.
    pub version: Option<String>,
    /// VMs whose configuration somebody changed, as we were told.
    pub reread: BTreeSet<Vmid>,
}

/// What a site is configured to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Configured<'a> {
    pub id: SiteId,
    pub nodes: &'a [Node],
    pub stand_alone: bool,
}

impl SiteState {
    /// A site of which nothing is known yet.
    pub(super) fn unknown(site: Configured<'_>) -> Self {
        let mut state = Self::default();
        for node in site.nodes {
            state.nodes.insert(
                node.name.clone(),
                NodeState { site: site.id, proxmox_name: node.proxmox_name.clone(), ..NodeState::default() },
            );
        }
        state
    }

    /// Keeps what was known, and says why it is not news.
    pub(super) fn fail(&mut self, error: SiteError) {
        self.doubt(&error.to_string());
        self.error = Some(error);
        self.failing_since.get_or_insert_with(Timestamp::now);
    }

    fn doubt(&mut self, why: &str) {
        self.stale = true;
        for node in self.nodes.values_mut() {
            node.reach = Reach::Unknown(why.to_owned());
            node.last_error = Some(why.to_owned());
        }
    }

    /// The state after a poll that was answered.
    pub(super) fn after(&self, site: Configured<'_>, answers: Answers) -> Self {
        let Answers { at, status, resources, tasks, left_list, version, reread } = answers;
        let version = version.or_else(|| self.version.clone());
        if !status.quorate {
            // A node that is cut off lists what was, not what is.
            let mut state = Self { quorate: false, error: None, failing_since: None, version, ..self.clone() };
            state.doubt("the node that answers has no quorum");
            return state;
        }
        let what = describe(status.name.as_deref(), &status.nodes);
        let mut state = Self {
            cluster: status.name.clone(),
            members: status.nodes.clone(),
            version,
            quorate: true,
            error: None,
            at: Some(at),
            stale: false,
            failing_since: None,
            nodes: Self::unknown(site).nodes,
            vms: BTreeMap::new(),
            tasks: merge_tasks(&self.tasks, tasks, left_list),
        };
        let vms = resources.iter().filter_map(|entry| guest(site, entry));
        state.vms.extend(vms);
        for node in state.nodes.values_mut() {
            fill_node(node, &status, &resources, &state.vms);
            if !status.nodes.iter().any(|member| member.name == node.proxmox_name) {
                let text = format!("{what} has no node {:?}", node.proxmox_name);
                node.reach = Reach::Unknown(text.clone());
                node.last_error = Some(text);
            }
        }
        let touched = touched_by_tasks(&self.tasks, &state.tasks);
        for (vmid, vm) in &mut state.vms {
            let touch = touched.get(vmid).copied();
            let told = reread.contains(vmid).then_some(Touch::Changed);
            carry_details(vm, self.vms.get(vmid), touch.max(told));
        }
        if site.stand_alone && status.nodes.len() > 1 {
            state.fail(SiteError::Mismatch(format!("{what} is configured as a stand-alone host")));
        }
        state
    }

    /// The VMs whose configuration has to be read, and Proxmox's names of their nodes.
    pub(super) fn due(&self) -> Vec<(Vmid, String)> {
        let due = self.vms.iter().filter(|(_, vm)| vm.details_due && !self.is_offline(&vm.proxmox_node));
        due.map(|(vmid, vm)| (*vmid, vm.proxmox_node.clone())).collect()
    }

    /// The marked VM whose configuration is read next though nothing says that it changed: what somebody edits by hand shows
    /// in no list and makes no task. One after the other, so that many cost no more than one.
    pub(super) fn turn(&self, last: Option<Vmid>) -> Option<(Vmid, String)> {
        let marked = |vm: &VmEntry| vm.details.as_ref().is_some_and(|details| !details.marks.all().is_empty());
        let mut marked = self.vms.iter().filter(|(_, vm)| marked(vm) && !self.is_offline(&vm.proxmox_node));
        let first = marked.clone().next();
        let next = marked.find(|(vmid, _)| last.is_none_or(|last| **vmid > last));
        next.or(first).map(|(vmid, vm)| (*vmid, vm.proxmox_node.clone()))
    }

    fn is_offline(&self, node: &str) -> bool {
        self.members.iter().any(|member| member.name == node && !member.online)
    }

    /// The state after configurations were read; those that could not be stay due.
    pub(super) fn with_configs(&self, configs: &[(Vmid, VmConfig)]) -> Self {
        let mut state = self.clone();
        for (vmid, config) in configs {
            if let Some(vm) = state.vms.get_mut(vmid) {
                vm.details = Some(Arc::new(VmDetails::from(config)));
                vm.details_due = false;
            }
        }
        state
    }

    /// Whether something goes on that ends soon. Tasks only: a lock that nobody holds any more stays for ever.
    pub(super) fn is_busy(&self) -> bool {
        let ours = |upid: &Upid| upid.kind().starts_with("qm") || upid.kind() == "resize";
        self.tasks.iter().any(|(upid, task)| *task == TaskState::Running && ours(upid))
    }

    /// Tasks that ran and are not listed any more.
    pub(super) fn left_list(&self, listed: &[ClusterTask]) -> Vec<Upid> {
        let listed: BTreeSet<_> = listed.iter().map(|task| &task.upid).collect();
        self.tasks
            .iter()
            .filter(|(upid, task)| **task == TaskState::Running && !listed.contains(upid))
            .map(|(upid, _)| upid.clone())
            .collect()
    }
}

impl TaskState {
    pub(super) fn ended(text: &str) -> Self {
        Self::Ended { ok: TaskStatus::is_success(text), text: text.to_owned() }
    }

    pub(super) fn from_end(end: Option<&str>) -> Self {
        end.map_or(Self::Running, Self::ended)
    }
}

fn guest(site: Configured<'_>, entry: &Resource) -> Option<(Vmid, VmEntry)> {
    let kind = match entry.kind.as_str() {
        "qemu" => GuestKind::Qemu,
        "lxc" => GuestKind::Lxc,
        _ => return None,
    };
    let ours = site.nodes.iter().find(|node| node.proxmox_name == entry.node);
    let vm = VmEntry {
        node: ours.map(|node| node.name.clone()),
        proxmox_node: entry.node.clone(),
        kind,
        name: entry.name.clone(),
        template: entry.template,
        status: entry.status.clone().unwrap_or_else(|| "unknown".to_owned()),
        lock: entry.lock.clone(),
        tags: entry.tags.clone(),
        pool: entry.pool.clone(),
        max_memory: entry.maxmem.unwrap_or_default(),
        max_disk: entry.maxdisk.unwrap_or_default(),
        uptime: entry.uptime.unwrap_or_default(),
        details: None,
        details_due: kind == GuestKind::Qemu,
    };
    Some((entry.vmid?, vm))
}

/// What somebody did to a VM since the last poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Touch {
    /// Its configuration may say something else.
    Changed,
    /// Its VMID may be another VM's now.
    Remade,
}

/// Keeps the details of a VM that is the same as before, and says whether they have to be read again.
fn carry_details(vm: &mut VmEntry, before: Option<&VmEntry>, touch: Option<Touch>) {
    let Some(before) = before.filter(|before| before.kind == vm.kind) else {
        return;
    };
    let Some(details) = &before.details else {
        return;
    };
    let relocked = before.lock != vm.lock;
    let making = matches!(vm.lock.as_deref(), Some("clone" | "create"));
    if touch == Some(Touch::Remade) || (relocked && making) {
        return;
    }
    let changed = before.proxmox_node != vm.proxmox_node
        || before.template != vm.template
        || before.tags != vm.tags
        || (vm.name.is_some() && before.name != vm.name);
    vm.details = Some(details.clone());
    vm.details_due =
        before.details_due || details.temporary || changed || touch.is_some() || (relocked && before.lock.is_some());
}

/// VMs at which a task began or ended that can change what their configuration says.
fn touched_by_tasks(before: &BTreeMap<Upid, TaskState>, now: &BTreeMap<Upid, TaskState>) -> BTreeMap<Vmid, Touch> {
    let mut touched = BTreeMap::new();
    for (upid, task) in now {
        let touch = match upid.kind() {
            "qmdestroy" | "qmcreate" | "qmrestore" => Touch::Remade,
            "resize" | "qmconfig" | "qmtemplate" | "qmrollback" | "qmigrate" | "qmmove" => Touch::Changed,
            // A clone is filed under its template, which it leaves as it is.
            _ => continue,
        };
        if let (false, Ok(vmid)) = (before.get(upid) == Some(task), upid.id().parse()) {
            let known = touched.entry(vmid).or_insert(touch);
            *known = touch.max(*known);
        }
    }
    touched
}

fn merge_tasks(
    before: &BTreeMap<Upid, TaskState>,
    listed: Vec<ClusterTask>,
    left_list: BTreeMap<Upid, Option<TaskState>>,
) -> BTreeMap<Upid, TaskState> {
    let mut tasks: BTreeMap<_, _> =
        listed.into_iter().map(|task| (task.upid.clone(), TaskState::from_end(task.end()))).collect();
    for (upid, state) in left_list {
        if let Some(state) = state {
            tasks.entry(upid).or_insert(state);
        }
    }
    let mut remembered: Vec<_> =
        before.iter().filter(|(upid, task)| **task != TaskState::Running && !tasks.contains_key(upid)).collect();
    remembered.sort_by_key(|(upid, _)| std::cmp::Reverse(upid.start()));
    for (upid, task) in remembered.into_iter().take(REMEMBERED_TASKS) {
        tasks.insert(upid.clone(), task.clone());
    }
    tasks
}

fn fill_node(node: &mut NodeState, status: &ClusterStatus, resources: &[Resource], vms: &BTreeMap<Vmid, VmEntry>) {
    let of_node = || resources.iter().filter(|entry| entry.node == node.proxmox_name);
    let load = of_node().find(|entry| entry.kind == "node");
    let member = status.nodes.iter().find(|member| member.name == node.proxmox_name);
    let said = load.and_then(|entry| entry.status.as_deref());
    let reach = match (member.map(|member| member.online), said) {
        (Some(false), _) | (_, Some("offline")) => Reach::Offline,
        (Some(true), Some("online")) => Reach::Online,
        (_, Some(other)) => Reach::Unknown(format!("Proxmox says {other:?} of it")),
        (_, None) => Reach::Unknown("Proxmox shows nothing of it: is Sys.Audit missing?".to_owned()),
    };
    let storages = of_node().filter_map(|entry| {
        let total = entry.maxdisk.unwrap_or_default();
        let used = entry.disk.unwrap_or_default();
        Some(StorageState {
            name: entry.storage.clone()?,
            shared: entry.shared,
            active: entry.status.as_deref() == Some("available"),
            content: entry.content.clone(),
            total,
            used,
            avail: total.saturating_sub(used),
        })
    });
    node.storages = storages.collect();
    node.storages.sort_by(|one, other| one.name.cmp(&other.name));
    node.max_memory = load.and_then(|entry| entry.maxmem).unwrap_or_default();
    node.used_memory = load.and_then(|entry| entry.mem).unwrap_or_default();
    node.cpus = load.and_then(|entry| entry.maxcpu).unwrap_or_default();
    node.cpu_load = load.and_then(|entry| entry.cpu).unwrap_or_default();
    node.guest_memory = vms
        .values()
        .filter(|vm| vm.proxmox_node == node.proxmox_name && !vm.template)
        .fold(0, |sum: u64, vm| sum.saturating_add(vm.max_memory));
    node.last_error = match &reach {
        Reach::Online => None,
        Reach::Offline => Some("its cluster says that it is offline".to_owned()),
        Reach::Unknown(why) => Some(why.clone()),
    };
    node.reach = reach;
}
