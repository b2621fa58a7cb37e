//! The wiring that every kind shares: objects that cannot be read, what wakes an object, time limits, backoff, logs.

use std::{fmt::Debug, future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt};
use kube::{
    Api, Client, Resource,
    core::DeserializeGuard,
    runtime::{
        Controller,
        controller::{Action, Config},
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;

use super::pace::Pace;

/// Objects that reconcile at the same time, at most.
const CONCURRENCY: u16 = 64;
/// How long one reconcile may take: longer than the longest time limit of a single call to Proxmox.
const TIME_LIMIT: Duration = Duration::from_secs(180);
/// Writes that come close together wake an object once.
const DEBOUNCE: Duration = Duration::from_millis(20);

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

/// What reconciles the objects of a kind.
pub trait Reconciler: Send + Sync + 'static {
    /// The kind.
    type Kind: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static;
    /// What a reconcile fails with. A conflict is no failure but a reason to begin anew.
    type Error: std::error::Error + Send + 'static;

    /// Brings one object a step or several closer to its spec.
    fn reconcile(&self, object: &Self::Kind) -> impl Future<Output = Result<Next, Self::Error>> + Send;

    /// The object is gone: whatever was remembered of it can go too.
    fn forget(&self, name: &ObjectRef<Self::Kind>);
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

/// Why a reconcile gave no result.
#[derive(Debug, thiserror::Error)]
enum Failure<E> {
    #[error(transparent)]
    Reconcile(E),
    #[error("the reconcile took longer than {} s", TIME_LIMIT.as_secs())]
    Timeout,
    #[error("the reconcile panicked")]
    Panic,
}

/// Runs the controller of a kind until it is told to end.
///
/// `started` is given the store of the kind before the first object is reconciled.
pub async fn run<R: Reconciler>(
    client: Client,
    reconciler: Arc<R>,
    wakes: Wakes<R::Kind>,
    started: impl FnOnce(Store<DeserializeGuard<R::Kind>>),
    shutdown: CancellationToken,
) {
    let Wakes { receiver, pace } = wakes;
    let kind = R::Kind::kind(&()).into_owned();
    let controller = Controller::new(Api::<DeserializeGuard<R::Kind>>::all(client), watcher::Config::default())
        .with_config(Config::default().concurrency(CONCURRENCY).debounce(DEBOUNCE))
        .reconcile_on(UnboundedReceiverStream::new(receiver))
        .graceful_shutdown_on(shutdown.cancelled_owned());
    let store = controller.store();
    started(store);
    let context = Arc::new((reconciler, pace));
    controller
        .run(
            |object, context| async move {
                let (reconciler, pace) = &*context;
                one(&**reconciler, pace, &object).await
            },
            |object, failure: &Failure<R::Error>, context| {
                let (_, pace) = &*context;
                let delay = pace.failed(&key(&ObjectRef::from(&*object)));
                tracing::warn!(error = %failure, retry_after = ?delay, "reconcile failed");
                Action::requeue(delay)
            },
            context.clone(),
        )
        .for_each(|result| {
            let context = context.clone();
            async move {
                if let Err(kube::runtime::controller::Error::ObjectNotFound(gone)) = result {
                    let name = gone.name.clone();
                    let namespace = gone.namespace.clone();
                    let mut reference = ObjectRef::<R::Kind>::new(&name);
                    if let Some(namespace) = namespace {
                        reference = reference.within(&namespace);
                    }
                    context.1.forget(&key(&reference));
                    context.0.forget(&reference);
                }
            }
        })
        .await;
    tracing::info!(kind, "controller ended");
}

async fn one<R: Reconciler>(
    reconciler: &R,
    pace: &Pace,
    object: &DeserializeGuard<R::Kind>,
) -> Result<Action, Failure<R::Error>> {
    let name = key(&ObjectRef::from(object));
    let object = match &object.0 {
        Ok(object) => object,
        Err(invalid) => {
            // The schema lets no such object in; one from before a change of the schema does not stop the others.
            tracing::error!(object = name, error = %invalid, "object cannot be read, and is left alone");
            return Ok(Action::await_change());
        }
    };
    let version = object.meta().resource_version.clone().unwrap_or_default();
    if let Some(rest) =
        pace.not_yet(&name, &version, object.meta().generation, object.meta().deletion_timestamp.is_some())
    {
        return Ok(rest.map_or_else(Action::await_change, Action::requeue));
    }
    let reconcile = AssertUnwindSafe(reconciler.reconcile(object)).catch_unwind();
    let next = tokio::time::timeout(TIME_LIMIT, reconcile)
        .await
        .map_err(|_| Failure::Timeout)?
        .map_err(|_| Failure::Panic)?
        .map_err(Failure::Reconcile)?;
    Ok(match pace.done(&name, next) {
        Some(delay) => Action::requeue(delay),
        None => Action::await_change(),
    })
}
