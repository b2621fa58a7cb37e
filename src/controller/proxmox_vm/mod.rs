//! Reconciles `ProxmoxVM`: resolve, observe, plan, act, report.

mod act;
mod convert;
mod observe;
mod report;
mod resolve;
mod rest;
mod spec;
mod tell;
mod write;

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use kube::{Api, Client, ResourceExt, api::ListParams, core::DeserializeGuard, runtime::reflector::ObjectRef};
use parking_lot::Mutex;

use self::{observe::Sightings, resolve::World};
use super::{
    Shared,
    ledger::{Entry, Object, Outdated, Version},
    policy,
    run::{Error, Kind, MOST_STEPS, Next, Reconciler},
    unresolved::Unresolved,
};
use crate::{
    api::{
        ProxmoxCluster, ProxmoxVM, USER,
        proxmox_vm::{Disk, Shape},
    },
    proxmox::{
        outcome,
        plan::{
            self, Action, Claim, ClaimedDisk, Claims, CloneState, Cloning, Holding, Intent, Look, Observed, Power,
            QUEUED, Reason, Recorded, Stage, Step, TaskAction,
        },
        wire::Vmid,
    },
};

/// How often a waiting object looks by itself, should no event come.
const WAITING: Duration = Duration::from_secs(20);
/// How often the progress of a task is read.
const TASK_RUNNING: Duration = Duration::from_secs(2);
/// How soon a dependency that does not exist is looked for again: Secrets are not watched.
const DEPENDENCY: Duration = Duration::from_secs(5);
/// How soon the Secrets of a machine at rest are read again; at once, when its object changes.
const SECRETS: Duration = Duration::from_secs(600);
/// How long a stalled object rests, should nobody touch it.
const STALLED: Duration = Duration::from_secs(300);
/// How soon a machine that may be adopted is looked at again: nobody tells of its changes.
const PREVIEW: Duration = Duration::from_secs(30);
/// How soon it is tried again to remove what was left behind.
const LEFTOVERS: Duration = Duration::from_secs(20);
/// How long after a change the list of machines shows it at the latest, the inventory's own pause included.
const LIST_LAG: Duration = Duration::from_secs(20);
/// How soon the guest agent is asked again for addresses.
const AGENT: Duration = Duration::from_secs(20);

/// Reconciles `ProxmoxVM`s.
pub struct MachineReconciler {
    shared: Arc<Shared>,
    /// Uids of the objects whose tag Proxmox refused: it is best effort.
    tag_refused: Mutex<HashSet<String>>,
    /// Taken while VMIDs that rest are written down.
    resting: tokio::sync::Mutex<()>,
}

/// Reads what all objects have recorded, before the first of them is reconciled.
///
/// # Errors
/// When the objects cannot be listed.
pub async fn fill_ledger(shared: &Shared) -> Result<(), kube::Error> {
    let clusters = Api::<DeserializeGuard<ProxmoxCluster>>::all(shared.client.clone());
    for cluster in clusters.list(&ListParams::default()).await? {
        if let Ok(cluster) = cluster.0 {
            rest::learn(shared, &cluster);
        }
    }
    let api = Api::<DeserializeGuard<ProxmoxVM>>::all(shared.client.clone());
    for object in api.list(&ListParams::default()).await? {
        if let Ok(vm) = object.0 {
            shared.ledger.note(&vm.uid().unwrap_or_default(), entry(&vm, &recorded(&vm)));
        }
    }
    Ok(())
}

/// What an object's status records, as far as it can be read.
fn recorded(vm: &ProxmoxVM) -> Recorded {
    vm.status.as_ref().and_then(|status| convert::recorded(status).ok()).unwrap_or_default()
}

/// What an object holds.
fn entry(vm: &ProxmoxVM, recorded: &Recorded) -> Entry {
    let machine = recorded.intent.as_ref().map(|intent| {
        // Of a machine that runs the node's own figures tell.
        let (in_flight, unbooted) = match intent.stage {
            Stage::Creating => (true, true),
            Stage::Starting => (false, true),
            Stage::Adopting | Stage::Established | Stage::Abandoning => (false, false),
        };
        let Shape { cores, memory, disk, power_state: _ } = vm.spec.shape();
        Claim {
            place: intent.place.clone(),
            memory: memory.map_or(0, |memory| memory.bytes().unsigned_abs()),
            disks: if in_flight { claimed_disks(vm, intent, disk.as_ref()) } else { Vec::new() },
            cores: cores.filter(|_| unbooted).and_then(|cores| u32::try_from(cores).ok()).unwrap_or(0),
            group: vm.spec.placement.as_ref().and_then(|placement| placement.group.clone()),
            addresses: policy::addresses(&policy::Request::from(vm)),
        }
    });
    let cloning = recorded.task.as_ref().filter(|task| task.action == TaskAction::Clone).and_then(|task| {
        let template = recorded.intent.as_ref()?.template?;
        Some(Cloning { node: task.node.clone(), template, upid: Some(task.upid.to_string()) })
    });
    Entry {
        object: Object {
            cluster: vm.spec.cluster_ref.name.clone(),
            reference: ObjectRef::from_obj(vm),
            task: recorded.task.as_ref().map(|task| task.upid.to_string()),
            known_by: if vm.labels().contains_key(USER) { known_by(recorded) } else { BTreeSet::new() },
        },
        holding: Holding {
            namespace: vm.namespace().unwrap_or_default(),
            machine,
            leftovers: recorded.leftovers.iter().map(|leftover| leftover.place.clone()).collect(),
            clone: cloning.map(CloneState::Begun),
            candidate: None,
        },
    }
}

/// The VMIDs by which clients may know an object: that of its machine, and those of its attempts.
fn known_by(recorded: &Recorded) -> BTreeSet<Vmid> {
    let attempts = recorded.attempts.iter().filter_map(|attempt| attempt.vmid);
    attempts.chain(recorded.intent.as_ref().map(|intent| intent.place.vmid)).collect()
}

/// The room that the disks of a machine take which is being made.
fn claimed_disks(vm: &ProxmoxVM, intent: &Intent, boot: Option<&Disk>) -> Vec<ClaimedDisk> {
    let storage = |named: &Option<String>| named.clone().or_else(|| intent.storage.clone());
    let extra = vm.spec.disks.iter().map(|extra| (storage(&extra.storage), extra.size));
    let all = boot.map(|boot| (intent.storage.clone(), boot.size)).into_iter().chain(extra);
    all.map(|(storage, size)| ClaimedDisk { storage, bytes: size.bytes().unsigned_abs() }).collect()
}

impl Reconciler for MachineReconciler {
    type Kind = ProxmoxVM;

    async fn reconcile(&self, vm: &ProxmoxVM) -> Result<Next, Error> {
        self.shared.ledger.settle(&vm.uid().unwrap_or_default());
        // Whoever waits for its cluster is woken by it, too.
        if self.shared.ledger.introduce(&vm.uid().unwrap_or_default(), || entry(vm, &recorded(vm))) {
            self.wake_homeless(&vm.spec.cluster_ref.name);
        }
        match resolve::resolve(&self.shared, vm).await {
            Ok(world) => self.advance(vm.clone(), world).await,
            Err(Unresolved::Waiting(reason)) => self.held_up(vm, Step::Wait(reason), DEPENDENCY).await,
            Err(Unresolved::Stalled(reason)) => self.held_up(vm, Step::Stall(reason), STALLED).await,
            Err(Unresolved::Nothing) => Ok(Next::Event),
            Err(Unresolved::Orphaned) => self.orphan(vm).await,
            Err(Unresolved::Kubernetes(error)) => Err(error.into()),
        }
    }

    fn forget(&self, name: &ObjectRef<ProxmoxVM>) {
        for cluster in self.shared.ledger.forget(name) {
            // It may be about to go, and waits for its last machine.
            self.shared.clusters.wake(ObjectRef::new(&cluster));
            self.wake_homeless(&cluster);
        }
    }

    fn phase(vm: &ProxmoxVM) -> String {
        let phase = vm.status.as_ref().and_then(|status| status.phase);
        phase.map_or_else(|| "Unknown".to_owned(), |phase| format!("{phase:?}"))
    }
}

impl Kind for ProxmoxVM {
    fn api(client: &Client, vm: &Self) -> Api<Self> {
        Api::namespaced(client.clone(), &vm.namespace().unwrap_or_default())
    }
}

impl MachineReconciler {
    /// A reconciler of `ProxmoxVM`s.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, tag_refused: Mutex::default(), resting: tokio::sync::Mutex::default() }
    }

    /// Others may have been refused a place for what an object held that is gone: a number, an address, memory, a machine.
    fn wake_homeless(&self, cluster: &str) {
        self.shared.machines.wake_all(self.shared.ledger.objects(cluster, |place| place.is_none()));
    }

    /// Takes steps until something must be awaited.
    async fn advance(&self, vm: ProxmoxVM, world: World) -> Result<Next, Error> {
        if world.recorded.lost {
            // A list from before the loss may lack what was made just then.
            world.fleet.inventory.refresh().await;
        }
        let mut walk = Walk { vm, world, sightings: Sightings::default(), made: None };
        let ended = self.walk(&mut walk).await;
        self.shared.ledger.withdraw(&walk.world.owner.uid);
        ended
    }

    async fn walk(&self, walk: &mut Walk) -> Result<Next, Error> {
        let mut last = "";
        for _ in 0..MOST_STEPS {
            let (step, version) = self.plan(walk);
            last = step.name();
            if let Some(next) = self.take(walk, step, version).await? {
                return Ok(next);
            }
        }
        Err(Error::Endless(last))
    }

    /// The next step, and the version of what is known of the other objects: what is noted after it makes a choice outdated.
    fn plan(&self, walk: &Walk) -> (Step, Version) {
        let World { owner, desired, recorded, fleet } = &walk.world;
        let now = Timestamp::now();
        let snapshot = fleet.inventory.snapshot();
        let ledger = self.shared.ledger.read();
        let user = walk.vm.labels().get(USER);
        let nothing = Claims::default();
        let Sightings { machines, volumes, tasks, list } = &walk.sightings;
        let observed = Observed {
            snapshot: &snapshot,
            claims: ledger.claims(&fleet.name).unwrap_or(&nothing),
            withheld: &|vmid| user.is_some_and(|user| ledger.is_withheld(vmid, &owner.uid, user, now)),
            machines,
            volumes,
            tasks,
            list_is_fresh: *list,
            tag_refused: self.tag_refused.lock().contains(&owner.uid),
        };
        (plan::plan(desired, owner, recorded, &observed, now), ledger.version())
    }

    /// Takes a step; when to come back, if nothing more can be done now.
    async fn take(&self, walk: &mut Walk, step: Step, version: Version) -> Result<Option<Next>, Error> {
        self.queue(walk, &step);
        Ok(match step {
            // Whoever looks at the same VMID is about to take it.
            Step::Look(Look::Vacancy(place)) if !self.shared.ledger.consider(&walk.world.owner.uid, place.vmid) => None,
            Step::Look(look) => {
                let fleet = walk.world.fleet.clone();
                walk.sightings.look(&fleet, &fleet.inventory.snapshot(), look).await;
                None
            }
            Step::Record(ref recorded) => {
                let recorded = (**recorded).clone();
                self.record(walk, &step, recorded, version).await?;
                None
            }
            Step::Act(ref action) if walk.made.as_ref().is_some_and(|made| made.is_same(action)) => {
                let message = "Proxmox took a change and shows other values than it was given; it is tried again later";
                let step = Step::Retry(Box::new(walk.world.recorded.clone()), Reason::new("NotTaken", message));
                self.report(walk, &step, None).await?;
                Some(Next::Backoff)
            }
            Step::Act(ref action) => self.perform(walk, &step, action, version).await?,
            Step::Retry(ref recorded, _) => {
                let recorded = (**recorded).clone();
                self.record(walk, &step, recorded, version).await?;
                Some(Next::Backoff)
            }
            Step::Wait(_) => {
                self.report(walk, &step, None).await?;
                Some(Next::Underway(if walk.world.recorded.task.is_some() { TASK_RUNNING } else { WAITING }))
            }
            Step::Preview { .. } => {
                self.report(walk, &step, None).await?;
                Some(Next::After(PREVIEW))
            }
            Step::Stall(_) => {
                self.report(walk, &step, None).await?;
                Some(Next::After(STALLED))
            }
            Step::Rest { .. } => Some(self.rest(walk, &step).await?),
            Step::Release => {
                self.release(walk).await?;
                Some(Next::Event)
            }
        })
    }

    /// Writes down what is recorded from now on. Nothing outside changes before this is stored.
    async fn record(&self, walk: &mut Walk, step: &Step, recorded: Recorded, version: Version) -> Result<(), Error> {
        let uid = walk.world.owner.uid.clone();
        if recorded.intent != walk.world.recorded.intent && walk.world.recorded.intent.is_none() {
            // Two objects that chose at the same time must not have chosen the same.
            if let Err(Outdated) = self.shared.ledger.claim(&uid, entry(&walk.vm, &recorded), version) {
                return Ok(());
            }
        }
        if recorded.intent.is_some() {
            self.hold(walk).await?;
        }
        let moved_on = recorded.intent != walk.world.recorded.intent || recorded.task != walk.world.recorded.task;
        walk.world.recorded = recorded;
        self.report(walk, step, None).await?;
        self.note(walk);
        if moved_on {
            walk.sightings = Sightings::default();
        }
        Ok(())
    }

    /// Notes what the object holds, and wakes those whose turn has come by it.
    fn note(&self, walk: &Walk) {
        let World { owner, recorded, fleet, .. } = &walk.world;
        if self.shared.ledger.note(&owner.uid, entry(&walk.vm, recorded)) {
            self.shared.machines.wake_all(self.shared.ledger.next_turns(&fleet.name));
        }
    }

    /// Notes whether the object waits to be cloned.
    fn queue(&self, walk: &Walk, step: &Step) {
        let World { owner, recorded, .. } = &walk.world;
        match step {
            Step::Wait(reason) if reason.word == QUEUED => {
                let turn = recorded.intent.as_ref().and_then(|intent| intent.turn(owner));
                self.shared.ledger.wait(&owner.uid, turn);
            }
            Step::Look(_) | Step::Record(_) | Step::Act(_) => {}
            Step::Retry(..)
            | Step::Wait(_)
            | Step::Rest { .. }
            | Step::Preview { .. }
            | Step::Stall(_)
            | Step::Release => {
                self.shared.ledger.wait(&owner.uid, None);
            }
        }
    }

    /// Takes a place among the clones that run, unless somebody else did something since `version`.
    fn begin_clone(&self, walk: &Walk, source: &str, template: Vmid, version: Version) -> Result<(), Outdated> {
        let cloning = Cloning { node: source.to_owned(), template, upid: None };
        let mut entry = entry(&walk.vm, &walk.world.recorded);
        entry.holding.clone = Some(CloneState::Begun(cloning));
        self.shared.ledger.begin(&walk.world.owner.uid, entry, version)
    }

    /// Makes the change, and writes down the task that it started.
    async fn perform(
        &self,
        walk: &mut Walk,
        step: &Step,
        action: &Action,
        version: Version,
    ) -> Result<Option<Next>, Error> {
        if let Action::Clone { source, template, .. } = action
            && let Err(Outdated) = self.begin_clone(walk, source, *template, version)
        {
            return Ok(None);
        }
        let done = self.make(walk, step, action).await;
        self.note(walk);
        done
    }

    async fn make(&self, walk: &mut Walk, step: &Step, action: &Action) -> Result<Option<Next>, Error> {
        self.fence(walk, step).await?;
        let fleet = walk.world.fleet.clone();
        fleet.inventory.hurry();
        let done = act::act(&fleet, action).await;
        walk.sightings = Sightings::default();
        match done {
            Ok(Some(task)) => {
                // The poll that was under way may not have seen it, and would be the last for a while.
                fleet.inventory.hurry();
                walk.world.recorded.task = Some(task);
                self.report(walk, step, None).await?;
                Ok(Some(Next::Underway(TASK_RUNNING)))
            }
            Ok(None) => {
                walk.made = Some(action.clone());
                let recorded = plan::succeeded(&walk.world.recorded, action);
                if recorded != walk.world.recorded {
                    walk.world.recorded = recorded;
                    self.report(walk, step, None).await?;
                }
                // What is written into the notes is to be found by the next search for marks.
                if let Some(Intent { place, .. }) = &walk.world.recorded.intent {
                    fleet.inventory.reread(&place.node, place.vmid);
                }
                Ok(None)
            }
            Err(error) if matches!(action, Action::Tag { ours: true, .. }) => {
                tracing::info!(%error, "Proxmox refuses the tag; the machine goes without");
                self.tag_refused.lock().insert(walk.world.owner.uid.clone());
                Ok(None)
            }
            Err(error) => {
                tracing::info!(%error, action = action.name(), "a call failed");
                if error.api().is_some_and(|refusal| refusal.status == 403) {
                    fleet.doubt_rights();
                    self.shared.clusters.wake(ObjectRef::new(&fleet.name));
                }
                let gone = walk.world.desired.is_end();
                let outcome = outcome::of_call(action, &error);
                let next = plan::failed_action(gone, &walk.world.recorded, action, outcome, Timestamp::now());
                let version = self.shared.ledger.read().version();
                Box::pin(self.take(walk, next, version)).await
            }
        }
    }

    /// The machine is as desired; what is left is to learn its addresses.
    async fn rest(&self, walk: &mut Walk, step: &Step) -> Result<Next, Error> {
        let place = walk.world.recorded.intent.as_ref().map(|intent| intent.place.clone());
        let runs = matches!(step, Step::Rest { power: Power::Running, .. });
        let up = !matches!(step, Step::Rest { power: Power::Stopped, .. });
        let has_agent = runs && walk.sightings.machines.values().any(observe::has_agent);
        let known = walk.vm.status.as_ref().is_some_and(|status| !status.ip_addresses.is_empty());
        let runs_in_list = place.as_ref().and_then(|place| {
            let snapshot = walk.world.fleet.inventory.snapshot();
            snapshot.vm(&place.node, place.vmid).map(|entry| entry.status == "running")
        });
        let addresses = match place {
            Some(place) if has_agent => observe::addresses(&walk.world.fleet, &place).await,
            _ => None,
        };
        let told = addresses.as_ref().is_some_and(|addresses| !addresses.is_empty());
        self.report(walk, step, addresses).await?;
        Ok(match &walk.world.recorded {
            _ if has_agent && !known && !told => Next::After(AGENT),
            recorded if !recorded.leftovers.is_empty() => Next::After(LEFTOVERS),
            // The list is from before: a change back to what it shows would wake nobody.
            _ if runs_in_list.is_some_and(|listed| listed != up) => Next::After(LIST_LAG),
            _ if reads_secrets(&walk.vm) => Next::After(SECRETS),
            _ => Next::Event,
        })
    }
}

/// Whether the spec refers to Secrets: they are not watched.
fn reads_secrets(vm: &ProxmoxVM) -> bool {
    vm.spec.cloud_init.as_ref().is_some_and(|cloud_init| {
        cloud_init.password_secret_ref.is_some() || !cloud_init.ssh_key_secret_refs.is_empty()
    })
}

/// An object on its way through a reconcile.
struct Walk {
    /// As it was last read or written.
    vm: ProxmoxVM,
    world: World,
    sightings: Sightings,
    /// The change that was made last.
    made: Option<Action>,
}
