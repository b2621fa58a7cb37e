//! Reconciles `DockerService`: resolve, observe, plan, act, report.

mod catalogued;
mod convert;
mod reached;
mod releases;
mod report;
mod resolve;
mod source;
mod tasks;
mod variables;
mod write;

use std::{slice, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt, api::ListParams, core::DeserializeGuard, runtime::reflector::ObjectRef};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::{resolve::World, tasks::Tasks};
use super::{
    Shared,
    docks::Berth,
    finalizer,
    run::{Error, Kind, MOST_STEPS, Next, Reconciler},
    unresolved::Unresolved,
};
use crate::{
    api::{DockerService, conditions::READY},
    docker::{
        act::{self, Work},
        desired::Desired,
        engine::{self, outcome},
        observe::{self, ImageMarks},
        observed::{Observed, TaskSight},
        plan::{self, Action, Step},
        recorded::Recorded,
    },
    reason::Reason,
};

/// How long a reconcile waits for what it began. What takes longer wakes its object when it ends.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often progress is told of what takes longer.
const PROGRESS: Duration = Duration::from_secs(2);
/// How often a waiting object looks by itself, should no event come.
const WAITING: Duration = Duration::from_secs(20);
/// How soon a dependency that does not exist is looked for again: Secrets are not watched.
const DEPENDENCY: Duration = Duration::from_secs(5);
/// How soon the Secrets of a service at rest are read again; at once, when its object changes.
const SECRETS: Duration = Duration::from_secs(600);
/// How long a stalled object rests, should nobody touch it.
const STALLED: Duration = Duration::from_secs(300);

/// Reconciles `DockerService`s.
pub struct ServiceReconciler {
    shared: Arc<Shared>,
    tasks: Tasks,
    marks: ImageMarks,
}

/// Reads where all services are, before the first host is reconciled.
///
/// # Errors
/// When the objects cannot be listed.
pub async fn fill_berths(shared: &Shared) -> Result<(), kube::Error> {
    let api = Api::<DeserializeGuard<DockerService>>::all(shared.client.clone());
    for service in api.list(&ListParams::default()).await?.into_iter().filter_map(|object| object.0.ok()) {
        shared.berths.note(&service.uid().unwrap_or_default(), berth(&service));
    }
    Ok(())
}

fn berth(service: &DockerService) -> Berth {
    Berth {
        host: service.spec.host_ref.name.clone(),
        object: ObjectRef::from_obj(service),
        held: finalizer::is_held(service),
        names: reached::names(service),
    }
}

impl Reconciler for ServiceReconciler {
    type Kind = DockerService;

    async fn reconcile(&self, service: &DockerService) -> Result<Next, Error> {
        self.shared.berths.note(&service.uid().unwrap_or_default(), berth(service));
        let resolved = resolve::resolve(&self.shared, service).await;
        if resolved.is_err() && self.shared.berths.refuse(&service.uid().unwrap_or_default()) {
            // Another one may have its place.
            self.shared.services.wake_all(self.shared.berths.of_host(&service.spec.host_ref.name));
        }
        match resolved {
            Ok(world) => self.advance(service.clone(), world).await,
            // After a start of ours everything is fetched anew, and what is well stays so.
            Err(Unresolved::Waiting(reason)) if reason.word == source::FETCHING && is_settled(service) => {
                Ok(Next::After(DEPENDENCY))
            }
            Err(Unresolved::Waiting(reason)) => self.held_up(service, Step::Wait(reason, None), DEPENDENCY).await,
            Err(Unresolved::Stalled(reason)) => self.held_up(service, Step::Stall(reason), STALLED).await,
            Err(Unresolved::Nothing) => Ok(Next::Event),
            Err(Unresolved::Orphaned) => self.orphan(service).await,
            Err(Unresolved::Kubernetes(error)) => Err(error.into()),
        }
    }

    fn forget(&self, name: &ObjectRef<DockerService>) {
        let gone = self.shared.berths.forget(name);
        for (uid, host) in gone {
            self.tasks.forget(&uid);
            self.shared.sources.forget(&uid);
            // It may be about to go, and waits for its last service.
            self.shared.hosts.wake(ObjectRef::new(&host));
            // Others of its namespace may have been refused for its sake.
            self.shared.services.wake_all(self.shared.berths.of_host(&host));
        }
    }

    fn phase(service: &DockerService) -> String {
        let phase = service.status.as_ref().and_then(|status| status.phase);
        phase.map_or_else(|| "Unknown".to_owned(), |phase| format!("{phase:?}"))
    }
}

impl Kind for DockerService {
    fn api(client: &Client, service: &Self) -> Api<Self> {
        Api::namespaced(client.clone(), &service.namespace().unwrap_or_default())
    }
}

impl ServiceReconciler {
    /// A reconciler of `DockerService`s. What it does on hosts ends with the token.
    pub fn new(shared: Arc<Shared>, stop: CancellationToken) -> Self {
        Self { shared, tasks: Tasks::new(stop), marks: ImageMarks::default() }
    }

    /// Takes steps until something must be awaited.
    async fn advance(&self, service: DockerService, world: World) -> Result<Next, Error> {
        let mut walk = Walk { service, world };
        let mut seen: Option<Observed> = None;
        let mut last = "";
        for _ in 0..MOST_STEPS {
            let mut observed = match seen.take() {
                Some(seen) => seen,
                None => {
                    // First what has ended, then the host, on which that is seen. The other way round something that ends in
                    // between would seem not to have been done.
                    let tasks = self.tasks.sights(&walk.world.owner.uid);
                    match self.observe(&walk.world).await {
                        Ok(observed) => Observed { tasks, ..observed },
                        Err(error) => return self.unseen(&mut walk, &error).await,
                    }
                }
            };
            let World { owner, desired, recorded, .. } = &walk.world;
            let step = plan::plan(desired, owner, recorded, &observed, Timestamp::now());
            last = step.name();
            match step {
                Step::Look(looks) => {
                    if let Err(error) = observe::look(&walk.world.dock.engine, looks, &mut observed).await {
                        return self.unseen(&mut walk, &error).await;
                    }
                    seen = Some(observed);
                }
                Step::Record(ref next) => {
                    if !self.record(&mut walk, &step, (**next).clone(), &observed).await? {
                        return Ok(Next::After(Duration::ZERO));
                    }
                    seen = Some(observed);
                }
                Step::Act(ref actions) => {
                    if !self.act(&mut walk, &step, actions, &observed).await? {
                        return Ok(Next::Underway(PROGRESS));
                    }
                }
                Step::Wait(_, again) => {
                    self.report(&mut walk, &step, Some(&observed)).await?;
                    let pause = if observed.tasks.values().any(is_running) { PROGRESS } else { WAITING };
                    return Ok(Next::Underway(sooner(pause, again)));
                }
                Step::Stall(_) => {
                    self.report(&mut walk, &step, Some(&observed)).await?;
                    return Ok(Next::After(STALLED));
                }
                Step::Rest { again, .. } => {
                    self.report(&mut walk, &step, Some(&observed)).await?;
                    let due = walk.world.supplied.as_ref().and_then(|supplied| supplied.due);
                    let again = again.into_iter().chain(due).min();
                    return Ok(match again {
                        Some(_) => Next::After(sooner(SECRETS, again)),
                        None if reads_secrets(&walk.service) => Next::After(SECRETS),
                        None => Next::Event,
                    });
                }
                Step::Release => {
                    if let Err(error) = releases::let_go(&walk.world.dock.engine, &walk.world.owner).await {
                        return self.unseen(&mut walk, &error).await;
                    }
                    self.release(&walk.service).await?;
                    return Ok(Next::Event);
                }
            }
        }
        Err(Error::Endless(last))
    }

    fn secrets(&self, service: &DockerService) -> Api<Secret> {
        Api::namespaced(self.shared.client.clone(), &service.namespace().unwrap_or_default())
    }

    async fn observe(&self, world: &World) -> engine::Result<Observed> {
        let snapshot = world.dock.inventory.snapshot();
        let containers = observe::containers(&snapshot, &world.owner, &world.recorded);
        self.marks.learn(&world.dock.engine, &containers).await?;
        Ok(observe::observed(&snapshot, &containers, &self.marks, &world.owner))
    }

    /// The host did not answer a look.
    async fn unseen(&self, walk: &mut Walk, error: &engine::Error) -> Result<Next, Error> {
        let failure = outcome::of(error);
        let step = Step::Wait(Reason::new(failure.word, failure.message), None);
        self.report(walk, &step, None).await?;
        Ok(Next::Backoff)
    }

    /// Writes down what is recorded from now on. Nothing outside changes before this is stored. Whether the same is desired as
    /// before: the last good release may have to come back.
    async fn record(&self, walk: &mut Walk, step: &Step, next: Recorded, observed: &Observed) -> Result<bool, Error> {
        self.hold(walk).await?;
        let (good, lost) = (&next.good, &next.lost_release);
        if let (Some(good), Some(project)) = (good, &walk.world.project)
            && walk.world.recorded.good.as_ref().map(|good| &good.release) != Some(&good.release)
        {
            releases::keep(&self.secrets(&walk.service), &walk.service, &good.release, project).await?;
            if let Err(error) = releases::hold(&walk.world.dock.engine, &walk.world.owner, good).await {
                tracing::warn!(%error, "the images of a release are not held");
            }
        }
        let turns_back = *lost != walk.world.recorded.lost_release && lost.is_some();
        walk.world.recorded = next;
        self.report(walk, step, Some(observed)).await?;
        Ok(!turns_back)
    }

    /// Begins changes, and waits for them a while. Whether all have ended.
    async fn act(&self, walk: &mut Walk, step: &Step, actions: &[Action], observed: &Observed) -> Result<bool, Error> {
        self.hold(walk).await?;
        self.fence(walk, step, observed).await?;
        let uid = walk.world.owner.uid.clone();
        let keys: Vec<String> = actions.iter().map(Action::key).collect();
        for (action, key) in actions.iter().zip(&keys) {
            let work = work(&walk.world, action);
            let (services, object) = (self.shared.services.clone(), ObjectRef::from_obj(&walk.service));
            let (dock, changed) = (walk.world.dock.clone(), act::look(slice::from_ref(action)));
            let begun = Instant::now();
            let perform = async move |progress| {
                let ended = work.perform(progress).await;
                // Nobody waits any more who would look at what it changed; until that is seen it has not ended.
                if begun.elapsed() >= PATIENCE {
                    dock.inventory.look(changed).await;
                }
                ended
            };
            self.tasks.begin(&uid, key, perform, move || services.wake(object));
        }
        self.tasks.settle(&uid, &keys, PATIENCE).await;
        let sights = self.tasks.sights(&uid);
        walk.world.dock.inventory.look(act::look(actions)).await;
        Ok(!keys.iter().any(|key| sights.get(key).is_some_and(is_running)))
    }
}

/// A change, and what it takes to make it.
fn work(world: &World, action: &Action) -> Work {
    let present = match (&world.project, &world.desired) {
        (Some(project), Desired::Present(deployment)) => Some((project.clone(), Arc::new((**deployment).clone()))),
        _ => None,
    };
    Work {
        engine: world.dock.engine.clone(),
        owner: world.owner.clone(),
        present,
        delivery: world.delivery.clone(),
        credentials: world.registries.for_action(action),
        admission: world.admission.clone(),
        api: world.dock.inventory.snapshot().capacity.as_ref().map(|capacity| capacity.api).unwrap_or_default(),
        action: action.clone(),
    }
}

fn is_running(sight: &TaskSight) -> bool {
    matches!(sight, TaskSight::Running(_))
}

/// A pause, or less if something is due before.
fn sooner(pause: Duration, due: Option<Timestamp>) -> Duration {
    let Some(due) = due else { return pause };
    Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default().min(pause)
}

/// Whether an object was found to be as its present spec says.
fn is_settled(service: &DockerService) -> bool {
    let Some(status) = &service.status else { return false };
    let ready = status.conditions.iter().any(|condition| condition.type_ == READY && condition.status == "True");
    ready && Some(status.observed_generation) == service.metadata.generation
}

/// Whether the spec refers to Secrets: they are not watched.
fn reads_secrets(service: &DockerService) -> bool {
    let spec = &service.spec;
    !spec.env_from.is_empty()
        || !spec.registry_secrets.is_empty()
        || spec.source.is_some()
        || spec.env.iter().any(|variable| variable.secret_key_ref.is_some())
}

/// An object on its way through a reconcile.
struct Walk {
    /// As it was last read or written.
    service: DockerService,
    world: World,
}
