//! Making an object once, whatever happens on the way.

use std::{fmt::Debug, sync::Arc, time::Duration};

use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, PostParams, Preconditions},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    Shim,
    attempt::{Attempt, Relation},
    cache::name,
    change,
    fault::Fault,
    index::{Index, Known},
    problem::Problem,
};

/// The header by which a client that asks again is told the same.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// How often it is tried to take back what may have been made.
const WITHDRAWALS: u32 = 20;
const WITHDRAWAL_PAUSE: Duration = Duration::from_secs(3);

/// An object that is being made.
pub struct Making<'a, K: Known> {
    /// Who makes it.
    pub shim: &'a Shim,
    /// Where it is made.
    pub api: Api<K>,
    /// What is seen of it.
    pub seen: &'a Index<K>,
    /// What is made.
    pub attempt: Attempt<K>,
    /// What clients call its kind.
    pub word: &'a str,
    /// What clients call it.
    pub called: &'a str,
}

impl<K> Making<'_, K>
where
    K: Known + Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + 'static,
{
    /// Creates the object, or finds the one that an earlier attempt of the same request created.
    ///
    /// # Errors
    /// When there is another one of its name, or it cannot be created.
    pub async fn create(&self) -> Result<K, Problem> {
        if let Some(object) = self.same_key().await?.into_iter().next() {
            return self.there(object);
        }
        match self.shim.ask(self.api.create(&PostParams::default(), &self.attempt.object)).await {
            Ok(object) => self.alone(object).await,
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let name = self.attempt.object.name_any();
                match self.shim.ask(self.api.get_opt(&name)).await? {
                    Some(object) => self.there(object),
                    None => Err(Problem::conflict(format!(
                        "A {} named {} of this user was just deleted; try again",
                        self.word, self.called
                    ))),
                }
            }
            Err(error) => {
                // Whether it was created nobody knows, unless Kubernetes has refused it.
                if !matches!(&error, kube::Error::Api(status) if status.code < 500 && status.code != 429) {
                    self.take_back_later();
                }
                Err(error.into())
            }
        }
    }

    /// The objects that were made with the same idempotency key.
    async fn same_key(&self) -> Result<Vec<K>, Problem> {
        let Some(selector) = &self.attempt.selector else { return Ok(Vec::new()) };
        let mut found = self.shim.ask(self.api.list(&ListParams::default().labels(selector))).await?.items;
        found.retain(|object| object.meta().deletion_timestamp.is_none());
        Ok(found)
    }

    /// An object that was just made, if it is the only one of its idempotency key. Requests that reuse a key at the same
    /// moment do not see each other's objects before: each looks again, so at most one of them keeps what it made.
    async fn alone(&self, made: K) -> Result<K, Problem> {
        match self.same_key().await?.into_iter().find(|object| object.uid() != made.uid()) {
            Some(other) => {
                if self.shim.ask(change::delete(&self.api, &made)).await.is_err() {
                    self.withdraw_later();
                }
                self.there(other)
            }
            None => Ok(made),
        }
    }

    /// There is an object of this name or key.
    fn there(&self, object: K) -> Result<K, Problem> {
        let Self { word, called, .. } = self;
        let going = object.meta().deletion_timestamp.is_some();
        match self.attempt.relation(&object) {
            Relation::Ours | Relation::Repeated if !going => Ok(object),
            Relation::KeyReused => {
                let why = "the key was used for another request";
                let given = self.attempt.key.as_deref().unwrap_or_default();
                Err(Problem::fault(Fault::value(("header", IDEMPOTENCY_KEY), why, given)))
            }
            Relation::Ours | Relation::Repeated | Relation::Other => Err(Problem::conflict(if going {
                format!("A {word} named {called} of this user is being deleted; try again later")
            } else {
                format!("The user has a {word} named {called} already")
            })),
        }
    }

    /// What becomes of it.
    pub fn follow(&self, object: &K) -> watch::Receiver<Option<Arc<K>>> {
        self.seen.follow(&name(object))
    }

    /// Waits until something becomes of it; whether that was before the time was over, and the shim was to end.
    pub async fn changes(
        &self,
        follow: &mut watch::Receiver<Option<Arc<K>>>,
        until: Instant,
        end: &CancellationToken,
    ) -> bool {
        tokio::select! {
            changed = timeout_at(until, follow.changed()) => matches!(changed, Ok(Ok(()))),
            () = end.cancelled() => false,
        }
    }

    /// Removes it, unless it has changed meanwhile; then as it is now.
    ///
    /// # Errors
    /// When Kubernetes does not answer; it is removed later then.
    pub async fn remove(&self, object: &K) -> Result<Option<K>, Problem> {
        let this = Preconditions { uid: object.uid(), resource_version: object.resource_version() };
        let params = DeleteParams { preconditions: Some(this), ..DeleteParams::default() };
        match self.shim.ask(self.api.delete(&object.name_any(), &params)).await {
            Ok(_) => Ok(None),
            Err(kube::Error::Api(status)) if status.is_conflict() => {
                Ok(self.shim.ask(self.api.get_opt(&object.name_any())).await?)
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
            Err(error) => {
                self.take_back_later();
                Err(error.into())
            }
        }
    }

    /// Takes back what this attempt may have created, as soon as Kubernetes answers again. One with an idempotency key is
    /// left: the client asks again.
    pub fn take_back_later(&self) {
        if self.attempt.selector.is_none() {
            self.withdraw_later();
        }
    }

    fn withdraw_later(&self) {
        let (api, attempt) = (self.api.clone(), self.attempt.clone());
        tokio::spawn(async move {
            let name = attempt.object.name_any();
            for _ in 0..WITHDRAWALS {
                sleep(WITHDRAWAL_PAUSE).await;
                let found = match api.get_opt(&name).await {
                    Ok(found) => found.filter(|object| attempt.relation(object) == Relation::Ours),
                    Err(_) => continue,
                };
                let Some(object) = found else { return };
                if change::delete(&api, &object).await.is_ok() {
                    tracing::info!(object = name, "what a request without an answer made is taken back");
                    return;
                }
            }
            tracing::warn!(object = name, "what a request without an answer may have made could not be taken back");
        });
    }
}
