//! Builders of what the plan reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

use crate::proxmox::{
    identity,
    inventory::{
        GuestKind, NodeState, Reach, SiteId, SiteState, Snapshot, StorageState, TaskState, VmDetails, VmEntry,
    },
    plan::*,
    wire::{Addresses, NodeMember, Upid, VmConfig, Vmid},
};

pub const GIB: u64 = 1 << 30;
pub const UID: &str = "uid-1";
pub const TEMPLATE: Vmid = 9000;
/// The QEMU process of a machine that runs.
pub const PROCESS: u32 = 4711;

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub fn place(node: &str, vmid: Vmid) -> Place {
    Place { node: node.into(), vmid }
}

pub fn owner() -> Owner {
    Owner { installation: "prod".into(), namespace: "shop".into(), name: "web".into(), uid: UID.into() }
}

pub fn spec() -> MachineSpec {
    MachineSpec {
        name: "web".into(),
        source: Source::Os("debian".into()),
        cores: Some(2),
        memory_mib: Some(2048),
        disk_bytes: Some(20 * GIB),
        storage: None,
        linked: false,
        placement: Placement::default(),
        cloud_init: Some(CloudInit {
            user: Some("admin".into()),
            password: Some(Password { text: "secret".into(), version: "1".into() }),
            ssh_keys: vec!["ssh-ed25519 AAAA a@b".into()],
            ..CloudInit::default()
        }),
        ..MachineSpec::default()
    }
}

pub fn fleet(nodes: &[&str]) -> Fleet {
    let node = |name: &&str| FleetNode {
        name: (*name).to_owned(),
        cordoned: false,
        templates: BTreeMap::from([("debian".to_owned(), TemplateRef::Vmid(TEMPLATE))]),
    };
    Fleet {
        nodes: nodes.iter().map(node).collect(),
        ranges: BTreeMap::from([("debian".to_owned(), (600, 603))]),
        fallback: (700, 702),
        reserve_memory: 0,
        reserve_storage: 0,
        clones_per_node: 4,
        clones_per_template: 2,
    }
}

pub fn config(pairs: &[(&str, &str)]) -> VmConfig {
    pairs.iter().copied().collect()
}

/// The config of a template with a disk of 2 GiB.
pub fn template_config() -> VmConfig {
    config(&[
        ("name", "debian"),
        ("template", "1"),
        ("boot", "order=scsi0"),
        ("scsi0", "local:base-9000-disk-0,size=2G"),
        ("ide2", "local:vm-9000-cloudinit,media=cdrom"),
        ("smbios1", "uuid=11111111-2222-3333-4444-555555555555,serial=abc"),
    ])
}

/// A config with some of its values changed; an empty value takes a key away.
pub fn changed(config: &VmConfig, changes: &[(&str, &str)]) -> VmConfig {
    let mut values: BTreeMap<String, String> = config.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    for (key, value) in changes {
        match value.is_empty() {
            true => values.remove(*key),
            false => values.insert((*key).to_owned(), (*value).to_owned()),
        };
    }
    values.into_iter().collect()
}

/// The config of a machine just after its clone.
pub fn cloned_config(vmid: Vmid) -> VmConfig {
    let description = identity::compose("", &owner().mark(vmid));
    changed(&template_config(), &[("template", ""), ("name", "web"), ("description", &description)])
}

/// The config of a machine that is as the spec says.
pub fn finished_config(vmid: Vmid) -> VmConfig {
    let uuid = format!("uuid={},serial=abc", owner().smbios_uuid(vmid));
    changed(
        &cloned_config(vmid),
        &[
            ("cores", "2"),
            ("memory", "2048"),
            ("ciuser", "admin"),
            ("cipassword", "**********"),
            ("sshkeys", "ssh-ed25519%20AAAA%20a%40b"),
            ("smbios1", &uuid),
            ("scsi0", "local:vm-disk-0,size=20G"),
            ("tags", "cloudfaster"),
        ],
    )
}

pub fn present(config: VmConfig, power: Power) -> Sight {
    let process = (power != Power::Stopped).then_some(PROCESS);
    Sight::Present(Box::new(Machine { current: config.clone(), config, power, process, unprepared: BTreeMap::new() }))
}

/// What another object holds: memory and disk in GiB.
pub fn claim(node: &str, vmid: Vmid, memory: u64, disk: u64) -> Claim {
    Claim {
        place: place(node, vmid),
        memory: memory * GIB,
        disks: vec![ClaimedDisk { storage: None, bytes: disk * GIB }],
        cores: 0,
        group: None,
        addresses: Addresses::default(),
    }
}

/// A cluster of nodes with a template each, polled and in order.
pub fn site(id: usize, nodes: &[&str]) -> SiteState {
    let mut site = SiteState {
        cluster: (nodes.len() > 1).then(|| format!("cluster-{id}")),
        members: nodes
            .iter()
            .map(|name| NodeMember { name: (*name).to_owned(), ip: None, online: true, local: false })
            .collect(),
        quorate: true,
        at: Some(at(0)),
        ..SiteState::default()
    };
    for (index, name) in nodes.iter().enumerate() {
        let storage = StorageState {
            name: "local".into(),
            active: true,
            content: vec!["images".into()],
            total: 1000 * GIB,
            avail: 1000 * GIB,
            ..StorageState::default()
        };
        let node = NodeState {
            site: SiteId(id),
            proxmox_name: format!("pve-{name}"),
            reach: Reach::Online,
            max_memory: 64 * GIB,
            cpus: 16,
            storages: vec![storage],
            ..NodeState::default()
        };
        site.nodes.insert((*name).to_owned(), node);
        let vmid = TEMPLATE + u32::try_from(index).unwrap();
        site.vms.insert(vmid, entry(name, &template_config()));
    }
    site
}

/// A guest as the inventory knows it, its config read.
pub fn entry(node: &str, config: &VmConfig) -> VmEntry {
    VmEntry {
        node: Some(node.to_owned()),
        proxmox_node: format!("pve-{node}"),
        kind: GuestKind::Qemu,
        name: config.name().map(str::to_owned),
        template: config.is_template(),
        status: "stopped".into(),
        lock: config.lock().map(str::to_owned),
        tags: config.tags(),
        max_memory: config.memory_mib() << 20,
        details: Some(Arc::new(VmDetails::from(config))),
        ..VmEntry::default()
    }
}

pub fn upid(node: &str, number: u32, kind: &str, id: Vmid) -> Upid {
    format!("UPID:pve-{node}:{number:08X}:00000001:6B03CAC0:{kind}:{id}:op@pve!full:").parse().unwrap()
}

/// All that a situation is made of.
#[derive(Clone)]
pub struct Scene {
    pub desired: Desired,
    pub recorded: Recorded,
    pub sites: Vec<SiteState>,
    pub claims: Claims,
    pub withheld: BTreeSet<Vmid>,
    /// How many objects there are besides.
    others: usize,
    pub machines: BTreeMap<Place, Sight>,
    pub volumes: BTreeMap<Place, Volumes>,
    pub tasks: BTreeMap<String, TaskSight>,
    pub list_is_fresh: bool,
    pub tag_refused: bool,
    pub now: Timestamp,
}

impl Scene {
    /// The nodes `a` and `b` of a cluster, each with a template (9000 and 9001), and nothing else.
    pub fn new() -> Self {
        let mut fleet = fleet(&["a", "b"]);
        fleet.nodes[1].templates.insert("debian".into(), TemplateRef::Vmid(TEMPLATE + 1));
        Self {
            desired: Desired::Running { machine: spec(), fleet, terms: Terms::default() },
            recorded: Recorded::default(),
            sites: vec![site(0, &["a", "b"])],
            claims: Claims::default(),
            withheld: BTreeSet::new(),
            others: 0,
            machines: BTreeMap::new(),
            volumes: BTreeMap::new(),
            tasks: BTreeMap::new(),
            list_is_fresh: false,
            tag_refused: false,
            now: at(0),
        }
    }

    /// An attempt under way at VM 600 on node `a`.
    pub fn at_stage(stage: Stage) -> Self {
        Self::new().with(|scene| {
            scene.recorded.attempts_total = 1;
            scene.recorded.intent = Some(Intent {
                place: place("a", 600),
                template: Some(TEMPLATE),
                template_node: None,
                storage: Some("local".into()),
                attempt: 1,
                stage,
                reason: None,
                retries: 0,
                since: at(0),
            });
            scene.recorded.applied.password = Some("1".into());
        })
    }

    pub fn spec(&mut self) -> &mut MachineSpec {
        let Desired::Running { machine, .. } = &mut self.desired else { panic!("nothing is desired") };
        machine
    }

    pub fn fleet(&mut self) -> &mut Fleet {
        let Desired::Running { fleet, .. } = &mut self.desired else { panic!("nothing is desired") };
        fleet
    }

    pub fn terms(&mut self) -> &mut Terms {
        let Desired::Running { terms, .. } = &mut self.desired else { panic!("nothing is desired") };
        terms
    }

    /// The spec of the machine, changed.
    pub fn asking(self, change: impl FnOnce(&mut MachineSpec)) -> Self {
        self.with(|scene| change(scene.spec()))
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Another object of the same namespace holds something.
    pub fn other(&mut self, holding: Holding) {
        let uid = format!("other-{}", self.others);
        self.others += 1;
        self.claims.put(&uid, Holding { namespace: owner().namespace, ..holding });
    }

    /// Another object has a machine, or a place for one.
    pub fn placed(&mut self, claim: Claim) {
        self.other(Holding { machine: Some(claim), ..Holding::default() });
    }

    /// Other objects are being cloned.
    pub fn cloning(&mut self, clones: impl IntoIterator<Item = Cloning>) {
        for cloning in clones {
            self.other(Holding { clone: Some(CloneState::Begun(cloning)), ..Holding::default() });
        }
    }

    /// A machine at a place: seen, and listed.
    pub fn machine(self, at: Place, config: VmConfig, power: Power) -> Self {
        self.with(|scene| {
            let site = scene.sites.iter_mut().find(|site| site.nodes.contains_key(&at.node)).unwrap();
            site.vms.insert(at.vmid, entry(&at.node, &config));
            scene.machines.insert(at, present(config, power));
        })
    }

    pub fn absent(self, at: Place) -> Self {
        self.with(|scene| {
            scene.machines.insert(at, Sight::Absent);
        })
    }

    /// The volumes of a place, all on a storage of the node's own.
    pub fn stored(self, at: Place, volumes: &[&str]) -> Self {
        let volumes = volumes.iter().map(|id| Volume { id: (*id).to_owned(), shared: false }).collect();
        self.with(|scene| {
            scene.volumes.insert(at, Volumes::Known(Stored { volumes, available: BTreeMap::new() }));
        })
    }

    pub fn deleted(self) -> Self {
        self.with(|scene| scene.desired = Desired::Gone { protection: None, adopted: false })
    }

    /// Deleted, and its machine is to stay.
    pub fn let_go(self) -> Self {
        self.with(|scene| scene.desired = Desired::LetGo { adopted: false })
    }

    /// A task that is awaited.
    pub fn task(self, node: &str, action: TaskAction, kind: &str, id: Vmid, sight: TaskSight) -> Self {
        self.with(|scene| {
            let upid = upid(node, 1, kind, id);
            if sight == TaskSight::Running(None) {
                let site = scene.sites.iter_mut().find(|site| site.nodes.contains_key(node)).unwrap();
                site.tasks.insert(upid.clone(), TaskState::Running);
            }
            scene.tasks.insert(upid.to_string(), sight);
            scene.recorded.task = Some(Task { upid, node: node.to_owned(), action });
        })
    }

    /// What the plan says as things stand.
    pub fn next(&self) -> Step {
        let snapshot = Snapshot::new(self.sites.iter().cloned().map(Arc::new).collect());
        let observed = Observed {
            snapshot: &snapshot,
            claims: &self.claims,
            withheld: &|vmid| self.withheld.contains(&vmid),
            machines: &self.machines,
            volumes: &self.volumes,
            tasks: &self.tasks,
            list_is_fresh: self.list_is_fresh,
            tag_refused: self.tag_refused,
        };
        plan(&self.desired, &owner(), &self.recorded, &observed, self.now)
    }

    /// The first step that is not the record of another: where the plan comes to. What is not said is not there.
    pub fn settle(&mut self) -> Step {
        for _ in 0..50 {
            match self.next() {
                Step::Record(next) => self.recorded = *next,
                Step::Look(Look::Volumes(place) | Look::Vacancy(place)) => {
                    self.volumes.insert(place, Volumes::Known(Stored::default()));
                }
                Step::Look(Look::Machine(place)) => {
                    self.machines.insert(place, Sight::Absent);
                }
                Step::Look(Look::List(_)) => self.list_is_fresh = true,
                Step::Look(Look::Task(task)) => {
                    self.tasks.insert(task.upid.to_string(), TaskSight::Vanished);
                }
                step => return step,
            }
        }
        panic!("the plan does not come to an end: {:?}", self.next());
    }

    /// A word for what the plan comes to, and the reason's, if it has one.
    pub fn outcome(mut self) -> String {
        word(&self.settle())
    }
}

/// A word for a step.
pub fn word(step: &Step) -> String {
    let place = |place: &Place| format!("{}/{}", place.node, place.vmid);
    match step {
        Step::Look(look) => format!("look {look:?}"),
        Step::Record(_) => "record".into(),
        Step::Retry(_, reason) => format!("retry {}", reason.word),
        Step::Wait(reason) => format!("wait {}", reason.word),
        Step::Stall(reason) => format!("stall {}", reason.word),
        Step::Preview { place: of, differences, problem } => {
            let fields: Vec<_> = differences.iter().map(|difference| difference.field.as_str()).collect();
            let problem = problem.as_ref().map(|reason| format!(" but {}", reason.word));
            format!("preview {} {}{}", place(of), fields.join(","), problem.unwrap_or_default())
        }
        Step::Rest { power, pending } => {
            let word = match power {
                Power::Running => "rest",
                Power::Paused => "rest paused",
                Power::Stopped => "rest stopped",
            };
            let keys: Vec<_> = pending.iter().map(|change| change.key.as_str()).collect();
            match keys.is_empty() {
                true => word.into(),
                false => format!("{word}, reboot for {}", keys.join(",")),
            }
        }
        Step::Release => "release".into(),
        Step::Act(action) => match action {
            Action::Pool { place: of, pool } => format!("pool {} {pool}", place(of)),
            Action::Clone { place: to, source, template, linked, storage, .. } => {
                let from = if *source == to.node { String::new() } else { format!(" of {source}") };
                let on = storage.as_ref().map(|name| format!(" on {name}")).unwrap_or_default();
                format!("clone {template}{from} to {}{on}{}", place(to), if *linked { ", linked" } else { "" })
            }
            Action::Configure { place: of, set, delete, password, .. } => {
                let password = password.as_ref().map(|_| "cipassword".to_owned());
                let set = set.0.iter().map(|(key, _)| key.clone());
                let keys: Vec<_> = set.chain(delete.iter().map(|key| format!("-{key}"))).chain(password).collect();
                format!("configure {} {}", place(of), keys.join(","))
            }
            Action::Tag { place: of, tags, .. } => format!("tag {} {tags}", place(of)),
            Action::Resize { place: of, disk, bytes } => format!("resize {} {disk} {}G", place(of), bytes >> 30),
            Action::Disk { place: of, name, change, .. } => {
                let change = match change {
                    DiskChange::Attach { key, value } => format!("attach {key}: {value}"),
                    DiskChange::Detach { key } => format!("detach {key}"),
                    DiskChange::Remove { key } => format!("remove {key}"),
                };
                format!("disk {} {name} {change}", place(of))
            }
            Action::Start(of) => format!("start {}", place(of)),
            Action::Stop(of) => format!("stop {}", place(of)),
            Action::Shutdown { place: of, how: ShutdownSpec { force: false, .. } } => {
                format!("shut down {}", place(of))
            }
            Action::Shutdown { place: of, .. } => format!("shut down {} by force", place(of)),
            Action::Suspend(of) => format!("suspend {}", place(of)),
            Action::Resume(of) => format!("resume {}", place(of)),
            Action::Destroy(of) => format!("destroy {}", place(of)),
            Action::FreeVolume { place: of, volume } => format!("free {} {volume}", place(of)),
            Action::StopTask(task) => format!("stop {:?} on {}", task.action, task.node),
        },
    }
}
