//! Takes the plan's steps as the reconciler of `ProxmoxVM` does, one instruction at a time.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    build::*,
    world::{ADOPTEE, Fault, Guest, NODES, World},
};
use crate::proxmox::{client::Error, inventory::Snapshot, outcome, plan::*, wire::Vmid};

/// More looks and records than any reconcile of the model needs.
const MOST_STEPS: u32 = 60;

/// The object in Kubernetes.
#[derive(Clone, Debug)]
pub struct Object {
    pub spec: MachineSpec,
    pub exists: bool,
    pub deleting: bool,
    /// Its machine stays when it is deleted.
    pub retain: bool,
    pub held: bool,
    /// None, if the status is not there.
    pub recorded: Option<Recorded>,
    pub version: u32,
    /// The processes that there were when the last restart was asked for.
    pub restart: BTreeMap<Vmid, u32>,
    /// The process that was asked to end for it: never another one.
    pub ended: Option<u32>,
    /// What was carried out of it is remembered nowhere any more: neither in the status nor in the notes.
    pub forgotten: bool,
}

impl Object {
    pub fn new() -> Self {
        Self {
            spec: spec(),
            exists: true,
            deleting: false,
            retain: false,
            held: false,
            recorded: None,
            version: 0,
            restart: BTreeMap::new(),
            ended: None,
            forgotten: false,
        }
    }

    /// One that wants a machine that is there, and names little of it.
    pub fn adopting(dry_run: bool) -> Self {
        let (site, vmid) = ADOPTEE;
        let place = place(NODES[site], vmid);
        let spec = MachineSpec {
            name: "web".into(),
            source: Source::Machine { place, dry_run },
            memory_mib: Some(2048),
            power: PowerSpec { state: None, ..PowerSpec::default() },
            ..MachineSpec::default()
        };
        Self { spec, ..Self::new() }
    }

    pub fn adopts(&self) -> bool {
        matches!(self.spec.source, Source::Machine { .. })
    }

    /// From now on the adoption is carried out.
    pub fn end_dry_run(&mut self) {
        if let Source::Machine { dry_run: dry_run @ true, .. } = &mut self.spec.source {
            *dry_run = false;
            self.version += 1;
        }
    }

    /// Somebody asks for a restart.
    pub fn ask_for_restart(&mut self, world: &World) {
        self.spec.power.restart = Some(format!("restart-{}", self.version));
        self.restart = world.mine().map(|((_, vmid), guest)| (*vmid, guest.process)).collect();
        self.ended = None;
        self.forgotten = false;
        self.version += 1;
    }

    /// Whether the last restart that was asked for has not happened to this guest.
    pub fn awaits_restart(&self, vmid: Vmid, guest: &Guest) -> bool {
        self.restart.get(&vmid).is_some_and(|process| guest.process <= *process)
    }
}

/// A reconcile under way.
#[derive(Clone, Debug)]
pub struct Walk {
    pub deleting: bool,
    retain: bool,
    spec: MachineSpec,
    pub recorded: Recorded,
    version: u32,
    machines: BTreeMap<Place, Sight>,
    volumes: BTreeMap<Place, Volumes>,
    tasks: BTreeMap<String, TaskSight>,
    list_is_fresh: bool,
    /// What a call brought, before anything of it is written down.
    pending: Option<(Action, Result<Option<Task>, Error>)>,
    steps: u32,
}

/// A controller: at most one reconcile at a time.
#[derive(Clone, Debug, Default)]
pub struct Walker {
    pub walk: Option<Walk>,
    /// What the last reconcile ended with.
    pub last: Option<Step>,
}

impl Walker {
    /// One instruction: begins a reconcile, takes a step, or writes down what a call brought.
    pub fn step(&mut self, object: &mut Object, world: &mut World, fault: Fault) {
        let Some(mut walk) = self.walk.take() else {
            self.walk = Walk::begin(object);
            return;
        };
        walk.steps += 1;
        assert!(
            walk.steps < MOST_STEPS,
            "the plan does not come to an end: {:?}\n{:?}",
            walk.plan(world),
            walk.recorded
        );
        let step = match walk.pending.take() {
            Some((action, Ok(None))) => {
                let recorded = succeeded(&walk.recorded, &action);
                if recorded == walk.recorded || walk.record(recorded, object) {
                    self.walk = Some(walk);
                }
                return;
            }
            Some((_, Ok(Some(task)))) => {
                walk.recorded.task = Some(task);
                walk.write(object);
                return;
            }
            Some((action, Err(error))) => {
                let outcome = outcome::of_call(&action, &error);
                failed_action(walk.deleting, &walk.recorded, &action, outcome, at(world.seconds))
            }
            None => walk.plan(world),
        };
        self.last = Some(step.clone());
        if walk.take(step, object, world, fault) {
            self.walk = Some(walk);
        }
    }

    /// The process dies.
    pub fn crash(&mut self) {
        *self = Self::default();
    }
}

impl Walk {
    fn begin(object: &Object) -> Option<Self> {
        if !object.exists || (object.deleting && !object.held) {
            return None;
        }
        let lost = object.held && object.recorded.is_none();
        Some(Self {
            deleting: object.deleting,
            retain: object.retain,
            spec: object.spec.clone(),
            recorded: Recorded { lost, ..object.recorded.clone().unwrap_or_default() },
            version: object.version,
            machines: BTreeMap::new(),
            volumes: BTreeMap::new(),
            tasks: BTreeMap::new(),
            list_is_fresh: false,
            pending: None,
            steps: 0,
        })
    }

    fn plan(&self, world: &World) -> Step {
        let snapshot = Snapshot::new(world.sites.iter().cloned().map(Arc::new).collect());
        let mut fleet = fleet(&["a", "b", "c"]);
        fleet.nodes[1].templates.insert("debian".into(), TemplateRef::Vmid(TEMPLATE + 1));
        let adopted = matches!(self.spec.source, Source::Machine { .. });
        let desired = match self.deleting {
            true if self.retain => Desired::LetGo { adopted },
            true => Desired::Gone { protection: self.spec.protection, adopted },
            false => Desired::Running { machine: self.spec.clone(), fleet, terms: Terms::default() },
        };
        let observed = Observed {
            snapshot: &snapshot,
            claims: &Claims::default(),
            withheld: &|_| false,
            machines: &self.machines,
            volumes: &self.volumes,
            tasks: &self.tasks,
            list_is_fresh: self.list_is_fresh,
            tag_refused: false,
        };
        plan(&desired, &owner(), &self.recorded, &observed, at(world.seconds))
    }

    /// Whether the reconcile goes on.
    fn take(&mut self, step: Step, object: &mut Object, world: &mut World, fault: Fault) -> bool {
        match step {
            Step::Look(Look::Machine(place)) => {
                self.machines.insert(place.clone(), world.sight(&place));
                true
            }
            Step::Look(Look::Volumes(place) | Look::Vacancy(place)) => {
                self.volumes.insert(place.clone(), world.stored(&place));
                true
            }
            Step::Look(Look::List(_)) => {
                world.poll();
                self.list_is_fresh = true;
                true
            }
            Step::Look(Look::Task(task)) => {
                self.tasks.insert(task.upid.to_string(), world.task(&task));
                true
            }
            Step::Record(next) => {
                assert_ne!(*next, self.recorded, "nothing is recorded");
                self.record(*next, object)
            }
            Step::Retry(next, _) => {
                self.record(*next, object);
                false
            }
            // A call of one that does not know of the deletion is beyond any plan: the write before it has to be refused.
            Step::Act(_) if object.deleting && !self.deleting => false,
            Step::Act(action) => {
                let looks_only = matches!(self.spec.source, Source::Machine { dry_run: true, .. });
                assert!(!looks_only, "{action:?} where nothing is to be done");
                let strict = self.version == object.version;
                if strict
                    && (!self.deleting || self.retain)
                    && let Action::Destroy(place) = &action
                {
                    let doomed =
                        world.mine().find(|((_, vmid), guest)| *vmid == place.vmid && guest.node == place.node);
                    let ran = doomed.and_then(|(_, guest)| guest.ran);
                    assert!(ran.is_none_or(|ran| world.seconds - ran <= 60), "{action:?} destroys what was used");
                }
                if let Action::Shutdown { place, .. } = &action
                    && strict
                    && !self.deleting
                    && object.spec.power.state != Some(Power::Stopped)
                    && let Some((_, guest)) = world.mine().find(|((_, vmid), _)| *vmid == place.vmid)
                {
                    let reboots = object.spec.power.reboot && !guest.pending.is_empty();
                    if !reboots {
                        let process = *object.ended.get_or_insert(guest.process);
                        let due = object.spec.power.restart.is_some() && process == guest.process;
                        assert!(due || object.forgotten, "{action:?} for no reason: {guest:?}");
                    }
                }
                let done = world.act(&action, fault, strict);
                self.clear();
                self.pending = Some((action, done));
                true
            }
            Step::Wait(_) | Step::Stall(_) | Step::Rest { .. } | Step::Preview { .. } => false,
            Step::Release => {
                if self.version == object.version {
                    object.exists = false;
                    let left: Vec<_> = world.mine().collect();
                    assert!(left.len() <= usize::from(self.retain), "released with {left:?}");
                    for (_, guest) in &left {
                        let whole = guest.lock().is_none() && !guest.config().is_temporary_clone();
                        assert!(whole && !guest.config().description().contains("cloudfaster.app"), "{guest:?}");
                        assert!(object.adopts() || !guest.config().tags().contains(&TAG.to_owned()), "{guest:?}");
                    }
                    let places: Vec<_> = left.iter().map(|((_, vmid), guest)| (guest.node, *vmid)).collect();
                    let left: Vec<_> = world.volumes.iter().filter(|(.., mine)| *mine).collect();
                    assert!(
                        left.iter().all(|(node, vmid, _)| places.contains(&(*node, *vmid))),
                        "released with {left:?}"
                    );
                }
                false
            }
        }
    }

    fn clear(&mut self) {
        self.machines.clear();
        self.volumes.clear();
        self.tasks.clear();
        self.list_is_fresh = false;
    }

    fn record(&mut self, next: Recorded, object: &mut Object) -> bool {
        if next.intent.is_some() && self.version == object.version {
            object.held = true;
        }
        if next.intent != self.recorded.intent || next.task != self.recorded.task {
            self.clear();
        }
        self.recorded = next;
        self.write(object)
    }

    /// Writes the record, unless somebody else wrote since it was read.
    fn write(&mut self, object: &mut Object) -> bool {
        if self.version != object.version || !object.exists {
            return false;
        }
        object.version += 1;
        self.version = object.version;
        object.recorded = (!self.recorded.lost).then(|| self.recorded.clone());
        true
    }
}
