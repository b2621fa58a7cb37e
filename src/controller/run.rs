//! The wiring that every kind shares: the watch, objects that cannot be read, what wakes an object, pauses, time limits,
//! backoff, metrics, logs.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    future::Future,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, Stream, StreamExt};
use jiff::Timestamp;
use kube::{
    Api, Client, Resource,
    core::{DeserializeGuard, object::HasStatus},
    runtime::{
        Controller, WatchStreamExt,
        controller::{self, Action, Config},
        events::Recorder,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{MissedTickBehavior, interval},
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::Instrument;

use super::{describe, events, pace::Pace, paused, status};
use crate::{
    api::conditions::Conditioned,
    kubernetes,
    telemetry::{Metrics, Objects, Sample, Telemetry},
};

/// Objects that reconcile at the same time, at most.
const CONCURRENCY: usize = 64;
/// What the controller of kube is told instead: the objects that it holds back have their turn in the order of their hashes, so
/// that some would have none for as long as there are many.
const ANY: u16 = 0;
/// How long one reconcile may take: longer than the longest time limit of a single call to Proxmox.
const TIME_LIMIT: Duration = Duration::from_secs(180);
/// Writes that come close together wake an object once.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// How soon an object is looked at again that somebody wrote in between.
const CONFLICT: Duration = Duration::from_millis(100);
/// How often a controller shows that it makes progress, and how long it may be silent.
const TICK: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(60);

/// Looks, records and changes of one reconcile, at most: a plan that asks for more has lost its way.
pub const MOST_STEPS: usize = 256;

/// When an object is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When it changes, or something wakes it.
    Event,
    /// After this time, or earlier when something wakes it.
    After(Duration),
    /// The same while something is under way, of which nobody knows yet whether it succeeds.
    Underway(Duration),
    /// After a pause that grows each time, for something failed.
    Backoff,
}

impl Next {
    fn name(self) -> &'static str {
        match self {
            Self::Event => "done",
            Self::After(_) => "waits",
            Self::Underway(_) => "underway",
            Self::Backoff => "backoff",
        }
    }
}

/// What reconciles the objects of a kind.
pub trait Reconciler: Send + Sync + 'static {
    /// The kind.
    type Kind: Kind;

    /// Brings one object a step or several closer to its spec. What was written or is gone since it was read is no failure but
    /// a reason to begin anew.
    fn reconcile(&self, object: &Self::Kind) -> impl Future<Output = Result<Next, Error>> + Send;

    /// The object is gone: whatever was remembered of it can go too.
    fn forget(&self, name: &ObjectRef<Self::Kind>);

    /// The object is left alone from now on: what goes on for it without a reconcile ends.
    fn pause(&self, _object: &Self::Kind) {}

    /// Where the object stands, in one of few words.
    fn phase(object: &Self::Kind) -> String;
}

/// A kind that can be reconciled.
pub trait Kind:
    Resource<DynamicType = ()>
    + HasStatus<Status: Serialize>
    + Conditioned
    + Serialize
    + DeserializeOwned
    + Clone
    + Debug
    + Send
    + Sync
    + 'static
{
    /// Where its objects are.
    fn api(client: &Client, object: &Self) -> Api<Self>;
}

/// What the controllers of all kinds work with.
pub struct Wiring {
    /// Kubernetes.
    pub client: Client,
    /// Where it is told what happens.
    pub recorder: Recorder,
    /// Where it is told how it goes.
    pub telemetry: Telemetry,
    /// No reconcile begins after this.
    pub stop: CancellationToken,
}

/// Wakes objects of a kind.
pub struct Waker<K: Resource<DynamicType = ()> + 'static> {
    sender: mpsc::UnboundedSender<ObjectRef<DeserializeGuard<K>>>,
    pace: Arc<Pace>,
}

impl<K: Resource<DynamicType = ()> + 'static> Clone for Waker<K> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), pace: self.pace.clone() }
    }
}

impl<K: Resource<DynamicType = ()> + 'static> Waker<K> {
    /// A waker, and what it wakes.
    pub fn new() -> (Self, Wakes<K>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let pace = Arc::new(Pace::default());
        (Self { sender, pace: pace.clone() }, Wakes { receiver, pace })
    }

    /// Notes the version that our own write left, so that its echo wakes nobody.
    pub fn wrote(&self, object: &ObjectRef<K>, version: &str) {
        self.pace.wrote(&key(object), version);
    }

    /// Has objects reconciled soon.
    pub fn wake_all(&self, objects: impl IntoIterator<Item = ObjectRef<K>>) {
        objects.into_iter().for_each(|object| self.wake(object));
    }

    /// Has the object reconciled soon.
    pub fn wake(&self, object: ObjectRef<K>) {
        self.pace.wake(&key(&object));
        // Without a receiver the controller has ended, and nothing needs waking any more.
        let _ = self.sender.send(object.erase_to());
    }
}

/// The receiving end of a [`Waker`].
pub struct Wakes<K: Resource<DynamicType = ()> + 'static> {
    receiver: mpsc::UnboundedReceiver<ObjectRef<DeserializeGuard<K>>>,
    pace: Arc<Pace>,
}

trait EraseTo<K: Resource<DynamicType = ()>> {
    fn erase_to(self) -> ObjectRef<DeserializeGuard<K>>;
}

impl<K: Resource<DynamicType = ()>> EraseTo<K> for ObjectRef<K> {
    fn erase_to(self) -> ObjectRef<DeserializeGuard<K>> {
        let reference = ObjectRef::new(&self.name);
        match &self.namespace {
            Some(namespace) => reference.within(namespace),
            None => reference,
        }
    }
}

fn key<K: Resource<DynamicType = ()>>(object: &ObjectRef<K>) -> String {
    format!("{}/{}", object.namespace.as_deref().unwrap_or_default(), object.name)
}

/// Why a reconcile failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kubernetes cannot be asked.
    #[error("Kubernetes: {}", describe(.0))]
    Kubernetes(#[from] kube::Error),
    /// The plan does not come to an end.
    #[error("the plan made {MOST_STEPS} steps without an end; the last was {0}")]
    Endless(&'static str),
    /// Others write all the time what is to be written, which this is.
    #[error("{0}: it changes all the time")]
    Contended(String),
}

/// Why a reconcile gave no result.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Reconcile(#[from] Error),
    #[error("the reconcile took longer than {} s", TIME_LIMIT.as_secs())]
    Timeout,
    #[error("the reconcile panicked")]
    Panic,
}

/// What the reconciles of a kind work with.
struct Context<R: Reconciler> {
    reconciler: Arc<R>,
    pace: Arc<Pace>,
    /// The objects as they are now.
    store: Store<DeserializeGuard<R::Kind>>,
    /// Taken in turn: who has waited longest is the next.
    turns: Semaphore,
    stop: CancellationToken,
    client: Client,
    recorder: Recorder,
    metrics: Metrics,
    kind: &'static str,
}

/// Runs the controller of a kind until it is told to stop, and the reconciles that were under way have ended.
pub async fn run<R: Reconciler>(wiring: &Wiring, kind: &'static str, reconciler: Arc<R>, wakes: Wakes<R::Kind>) {
    let Wiring { client, recorder, telemetry, stop } = wiring;
    let Wakes { receiver, pace } = wakes;
    let plural = R::Kind::plural(&()).into_owned();
    let (store, changes) = watched::<R::Kind>(client);
    telemetry.metrics.sample(census::<R>(kind, store.clone(), pace.clone()));
    let pulse = telemetry.health.pulse(format!("controller-{plural}"), SILENCE);
    let filled = telemetry.health.check(format!("cache-{plural}"));
    let context = Arc::new(Context {
        reconciler,
        pace,
        store: store.clone(),
        turns: Semaphore::new(CONCURRENCY),
        stop: stop.clone(),
        client: client.clone(),
        recorder: recorder.clone(),
        metrics: telemetry.metrics.clone(),
        kind,
    });
    let results = Controller::for_stream(changes, store.clone())
        .with_config(Config::default().concurrency(ANY).debounce(DEBOUNCE))
        .reconcile_on(UnboundedReceiverStream::new(receiver))
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(
            |object, context| async move {
                // The controller of kube asks all that go on whenever one of them moves, and on one processor: of tasks it has only
                // the ends to ask for.
                let task = tokio::spawn(async move { in_turn(&context, &object).await }.in_current_span());
                AbortOnDropHandle::new(task).await.unwrap_or(Err(Failure::Panic))
            },
            |object, failure: &Failure, context| {
                let delay = context.pace.failed(&key(&ObjectRef::from(&*object)));
                tracing::warn!(error = %failure, retry_after = ?delay, "reconcile failed");
                Action::requeue(delay)
            },
            context.clone(),
        );
    let mut results = pin!(results);
    let mut ready = pin!(store.wait_until_ready().fuse());
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            result = results.next() => match result {
                Some(Err(controller::Error::ObjectNotFound(gone))) => forget(&context, &gone.name, gone.namespace.as_deref()),
                Some(_) => {}
                None => break,
            },
            done = &mut ready => if done.is_ok() { filled.pass() },
            _ = ticks.tick() => pulse.beat(),
        }
    }
    pulse.retire();
    tracing::info!(kind, "controller ended");
}

fn forget<R: Reconciler>(context: &Context<R>, name: &str, namespace: Option<&str>) {
    let reference = ObjectRef::<R::Kind>::new(name);
    let reference = match namespace {
        Some(namespace) => reference.within(namespace),
        None => reference,
    };
    context.pace.forget(&key(&reference));
    context.reconciler.forget(&reference);
}

/// The objects of a kind in a cache, and a stream of those that changed or went. A watch that fails is begun anew after a
/// pause that grows up to half a minute, for as long as it takes.
fn watched<K: Kind>(client: &Client) -> (Store<DeserializeGuard<K>>, impl Stream<Item = Seen<K>> + Send + use<K>) {
    let (store, writer) = reflector::store();
    let api = Api::<DeserializeGuard<K>>::all(client.clone());
    let events = kubernetes::relisting(api, watcher::Config::default()).default_backoff();
    let changes = events.reflect(writer).touched_objects().filter_map(|change| {
        // It has paused already; the controller would pause once more, and with it all that wakes objects.
        std::future::ready(match change {
            Ok(object) => Some(Ok(object)),
            Err(error) => {
                tracing::warn!(error = kubernetes::why(&error), kind = %K::kind(&()), "the watch failed and is begun anew");
                None
            }
        })
    });
    (store, changes)
}

/// An object that changed or went.
type Seen<K> = Result<DeserializeGuard<K>, watcher::Error>;

/// Counts the objects of a kind for whoever asks.
fn census<R: Reconciler>(
    kind: &'static str,
    store: Store<DeserializeGuard<R::Kind>>,
    pace: Arc<Pace>,
) -> impl Fn() -> Option<Sample> {
    move || {
        let mut phases = BTreeMap::new();
        for object in store.state() {
            let phase = match &object.0 {
                Ok(object) if paused::is_shown(object) => "Paused".to_owned(),
                Ok(object) => R::phase(object),
                Err(_) => "Invalid".to_owned(),
            };
            let count: &mut u64 = phases.entry(phase).or_default();
            *count = count.saturating_add(1);
        }
        let (backing_off, woken) = pace.count();
        Some(Sample::Objects(Objects { kind, phases, backing_off, woken }))
    }
}

/// Counts a reconcile, however it ends: it may be dropped, too.
struct Counted<'a> {
    metrics: &'a Metrics,
    kind: &'static str,
    begun: Instant,
    outcome: &'static str,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.metrics.reconcile_ended(self.kind, self.outcome, self.begun.elapsed());
    }
}

/// Whether an object was written or is gone since it was read.
fn is_outdated(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_conflict() || status.is_not_found())
}

/// Reconciles an object when its turn has come, as it is then.
async fn in_turn<R: Reconciler>(context: &Context<R>, object: &DeserializeGuard<R::Kind>) -> Result<Action, Failure> {
    let _turn = tokio::select! {
        turn = context.turns.acquire() => turn,
        () = context.stop.cancelled() => return Ok(Action::await_change()),
    };
    match context.store.get(&ObjectRef::from(object)) {
        // What waits may be many, and needs no room for a whole reconcile meanwhile.
        Some(object) => Box::pin(one(context, &object)).await,
        None => Ok(Action::await_change()),
    }
}

async fn one<R: Reconciler>(context: &Context<R>, object: &DeserializeGuard<R::Kind>) -> Result<Action, Failure> {
    let Context { pace, metrics, kind, .. } = context;
    let name = key(&ObjectRef::from(object));
    let object = match &object.0 {
        Ok(object) => object,
        Err(invalid) => {
            // The schema lets no such object in; one from before a change of the schema does not stop the others.
            tracing::error!(object = name, error = %invalid, "object cannot be read, and is left alone");
            return Ok(Action::await_change());
        }
    };
    let object = match pause_or_resume(context, object, &name).await.map_err(Error::Kubernetes)? {
        Turn::Over(action) => return Ok(action),
        Turn::On(object) => object,
    };
    let version = object.meta().resource_version.clone().unwrap_or_default();
    if let Some(rest) =
        pace.not_yet(&name, &version, object.meta().generation, object.meta().deletion_timestamp.is_some())
    {
        return Ok(rest.map_or_else(Action::await_change, Action::requeue));
    }
    metrics.reconcile_begins(kind);
    let mut counted = Counted { metrics, kind, begun: Instant::now(), outcome: "cut_off" };
    let reconcile = AssertUnwindSafe(context.reconciler.reconcile(&object)).catch_unwind();
    let (outcome, done) = match tokio::time::timeout(TIME_LIMIT, reconcile).await {
        Err(_) => ("timeout", Err(Failure::Timeout)),
        Ok(Err(_)) => ("panic", Err(Failure::Panic)),
        Ok(Ok(done)) => match done {
            Err(Error::Kubernetes(error)) if is_outdated(&error) => {
                let again = Next::After(CONFLICT);
                (again.name(), Ok(again))
            }
            Err(error) => ("error", Err(error.into())),
            Ok(next) => (next.name(), Ok(next)),
        },
    };
    counted.outcome = outcome;
    drop(counted);
    Ok(match pace.done(&name, done?) {
        Some(delay) => Action::requeue(delay),
        None => Action::await_change(),
    })
}

/// Whether an object has its turn.
enum Turn<K> {
    /// It is reconciled, as it is now.
    On(K),
    /// It is not.
    Over(Action),
}

/// Leaves an object alone that is to be, and says so in its status; or says that it goes on.
async fn pause_or_resume<R: Reconciler>(
    context: &Context<R>,
    object: &R::Kind,
    name: &str,
) -> Result<Turn<R::Kind>, kube::Error> {
    let after = match paused::paused(object, Timestamp::now()) {
        Some(after) => {
            context.reconciler.pause(object);
            after
        }
        None if paused::is_shown(object) => paused::resumed(object, Timestamp::now()),
        None => return Ok(Turn::On(object.clone())),
    };
    let api = R::Kind::api(&context.client, object);
    let written = match status::replace(&api, object, &after).await {
        Ok(written) => written,
        // It is read anew, for somebody wrote in between.
        Err(error) if is_outdated(&error) => return Ok(Turn::Over(Action::requeue(DEBOUNCE))),
        Err(error) => return Err(error),
    };
    if let Some(written) = &written {
        events::publish(&context.recorder, written, &paused::event(written)).await;
    }
    // What failed before the pause is tried at once after it.
    context.pace.forget(name);
    if paused::is_shown(&after) {
        return Ok(Turn::Over(Action::await_change()));
    }
    Ok(Turn::On(written.unwrap_or(after)))
}
