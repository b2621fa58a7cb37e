//! Leading by a Lease: of several replicas one works, and another takes over when it goes.
//!
//! The ready-made libraries do not fit: of those for this version of kube, one takes the holder's clock for its own and
//! does not notice that it cannot renew, and the others are for older versions. [`decide`] has the rules; here is the loop.

mod decide;
mod watch;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, api::PostParams, core::Status};
use parking_lot::Mutex;
use rand::RngExt;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::{
    decide::{Move, Sight},
    watch::Watch,
};
use super::describe;
use crate::telemetry::{Check, Metrics, Pulse, Telemetry};

pub use decide::{InvalidTerms, Terms};

/// The name of the Lease, in the operator's namespace.
pub const NAME: &str = "cloudfaster-controller";
/// How long it is tried to give the Lease back at the end.
const RELEASE: Duration = Duration::from_secs(3);
/// The pause after another wrote at the same time.
const OVERTAKEN: Duration = Duration::from_millis(100);

/// Who this process is among the replicas: the host, which is the pod's name in Kubernetes, and what no process before it
/// in the same pod was.
pub fn identity() -> String {
    let host = hostname::get().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!("{host}_{}", uuid::Uuid::new_v4())
}

/// Why a leader leads no longer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Another took over.
    #[error("the Lease {NAME} is held by {0} now")]
    Taken(String),
    /// It may be anybody's by now.
    #[error("the Lease {NAME} could not be renewed within {} s: {why}", within.as_secs_f64())]
    NotRenewed {
        /// The deadline.
        within: Duration,
        /// What went wrong last.
        why: String,
    },
}

/// Until when this process leads, as far as it knows.
#[derive(Clone, Debug, Default)]
pub struct Reign(Arc<Mutex<Option<Instant>>>);

impl Reign {
    /// Whether it leads now. A process that was stopped for a while does not, however it wakes up.
    pub fn is_current(&self) -> bool {
        self.0.lock().is_some_and(|until| Instant::now() < until)
    }

    fn extend(&self, until: Instant) {
        *self.0.lock() = Some(until);
    }

    fn end(&self) {
        *self.0.lock() = None;
    }

    fn until(&self) -> Instant {
        self.0.lock().unwrap_or_else(Instant::now)
    }
}

/// A replica in the election.
pub struct Elector {
    api: Api<Lease>,
    identity: String,
    terms: Terms,
    sight: Sight,
    watch: Watch,
    reign: Reign,
    pulse: Pulse,
    ready: Check,
    metrics: Metrics,
}

/// What an attempt came to.
enum Attempt {
    /// The Lease is ours for another while.
    Ours,
    /// It is somebody else's.
    Waits { holder: String, until: Instant },
    /// Somebody wrote at the same time; what came of it was read.
    Overtaken,
}

impl Elector {
    /// A replica that has not begun to take part.
    pub fn new(client: Client, namespace: &str, identity: String, terms: Terms, telemetry: &Telemetry) -> Self {
        let api = Api::namespaced(client, namespace);
        let now = Instant::now();
        Self {
            sight: Sight::nothing(now),
            watch: Watch::new(api.clone(), NAME, terms.retry),
            reign: Reign::default(),
            // Each round has two requests and two pauses at most.
            pulse: telemetry.health.pulse("lease", terms.duration.saturating_mul(2).max(Duration::from_secs(30))),
            ready: telemetry.health.check("lease"),
            metrics: telemetry.metrics.clone(),
            api,
            identity,
            terms,
        }
    }

    /// Tells whether this replica leads.
    pub fn reign(&self) -> Reign {
        self.reign.clone()
    }

    /// Waits until this replica leads. It is ready meanwhile, as long as Kubernetes answers.
    pub async fn acquire(&mut self) {
        let mut known = None;
        let mut problem = String::new();
        // What is there is read before anything is written.
        let mut looked = self.look(self.terms.request_limit()).await;
        loop {
            self.pulse.beat();
            let attempt = match looked {
                Ok(()) => self.attempt(self.terms.request_limit()).await,
                Err(error) => Err(error),
            };
            looked = match attempt {
                Ok(Attempt::Ours) => {
                    self.ready.pass();
                    self.metrics.leads(true);
                    tracing::info!(identity = self.identity, lease = NAME, "leads");
                    return;
                }
                Ok(Attempt::Waits { holder, until }) => {
                    self.ready.pass();
                    problem.clear();
                    if known.as_ref() != Some(&holder) {
                        tracing::info!(identity = self.identity, leader = holder, "stands by");
                        known = Some(holder);
                    }
                    self.stand_by(until).await
                }
                Ok(Attempt::Overtaken) => {
                    sleep(OVERTAKEN).await;
                    Ok(())
                }
                Err(error) => {
                    self.ready.fail(format_args!("Lease {NAME}: {error}"));
                    if problem != error {
                        tracing::warn!(error, "the Lease cannot be acquired; trying again");
                        problem = error;
                    }
                    sleep(self.jittered()).await;
                    self.look(self.terms.request_limit()).await
                }
            };
        }
    }

    /// Renews until this replica leads no longer.
    pub async fn hold(&mut self) -> Lost {
        let mut problem = "there was no time for it".to_owned();
        let mut due = Instant::now() + self.terms.retry;
        let lost = loop {
            self.pulse.beat();
            let deadline = self.reign.until();
            tokio::select! {
                biased;
                () = sleep_until(deadline) => break Lost::NotRenewed { within: self.terms.renew_deadline, why: problem },
                lease = self.watch.next(self.sight.version()) => {
                    if lease.as_ref().and_then(decide::holder) == Some(&self.identity) {
                        continue;
                    }
                    // What a watch tells may be from before we took over.
                    if let Err(error) = self.look(self.limit(deadline)).await {
                        problem = error;
                    }
                }
                () = sleep_until(due) => {}
            }
            match self.attempt(self.limit(deadline)).await {
                Ok(Attempt::Ours) => {}
                Ok(Attempt::Waits { holder, .. }) => break Lost::Taken(holder),
                Ok(Attempt::Overtaken) => {
                    due = Instant::now() + OVERTAKEN.min(self.terms.retry);
                    continue;
                }
                Err(error) => {
                    tracing::warn!(error, "the Lease was not renewed; trying again");
                    self.ready.fail(format_args!("Lease {NAME}: {error}"));
                    problem = error;
                    due = Instant::now() + self.terms.retry;
                    continue;
                }
            }
            self.ready.pass();
            due = Instant::now() + self.terms.retry;
        };
        self.reign.end();
        self.metrics.leads(false);
        self.ready.fail(&lost);
        lost
    }

    /// Gives the Lease back, if it is ours, so that another replica takes over at once.
    pub async fn release(mut self) {
        self.reign.end();
        self.metrics.leads(false);
        match timeout(RELEASE, self.give_back()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error, "the Lease was not given back; it ends by itself"),
            Err(_) => tracing::warn!("the Lease was not given back in time; it ends by itself"),
        }
        self.pulse.retire();
        self.ready.retire();
    }

    async fn give_back(&mut self) -> Result<(), String> {
        loop {
            self.look(RELEASE).await?;
            let Some(free) = decide::released(&self.identity, &self.sight, Timestamp::now()) else { return Ok(()) };
            match self.api.replace(NAME, &PostParams::default(), &free).await {
                Ok(_) => {
                    tracing::info!(identity = self.identity, "the Lease is given back");
                    return Ok(());
                }
                // A renewal of ours was still on its way.
                Err(error) if is(&error, Status::is_conflict) => {}
                Err(error) => return Err(describe(&error)),
            }
        }
    }

    /// Waits for a change, or until it is time to look; tells what there is to know.
    async fn stand_by(&mut self, until: Instant) -> Result<(), String> {
        let look = (Instant::now() + self.jittered()).min(until);
        tokio::select! {
            lease = self.watch.next(self.sight.version()) => {
                self.sight.see(lease, Instant::now());
                Ok(())
            }
            () = sleep_until(look) => self.look(self.terms.request_limit()).await,
        }
    }

    /// Reads the Lease.
    async fn look(&mut self, limit: Duration) -> Result<(), String> {
        let lease = within(limit, self.api.get_opt(NAME)).await?.map_err(|error| describe(&error))?;
        self.sight.see(lease, Instant::now());
        Ok(())
    }

    /// Makes the next move.
    async fn attempt(&mut self, limit: Duration) -> Result<Attempt, String> {
        // The reign counts from before the request: it may have been late on its way.
        let now = Instant::now();
        let params = PostParams::default();
        let written = match decide::next(NAME, &self.identity, &self.terms, &self.sight, now, Timestamp::now()) {
            Move::Wait { holder, until } => return Ok(Attempt::Waits { holder, until }),
            Move::Create(lease) => match within(limit, self.api.create(&params, &lease)).await? {
                // The namespace is missing.
                Err(error) if is(&error, Status::is_not_found) => return Err(describe(&error)),
                written => written,
            },
            Move::Write(lease) => within(limit, self.api.replace(NAME, &params, &lease)).await?,
        };
        match written {
            Ok(lease) => {
                self.sight.see(Some(lease), now);
                self.reign.extend(now + self.terms.renew_deadline);
                Ok(Attempt::Ours)
            }
            Err(error) if is(&error, |it| it.is_conflict() || it.is_already_exists() || it.is_not_found()) => {
                self.look(limit).await?;
                Ok(Attempt::Overtaken)
            }
            Err(error) => Err(describe(&error)),
        }
    }

    /// How long a request of a leader may take.
    fn limit(&self, deadline: Instant) -> Duration {
        self.terms.request_limit().min(deadline.saturating_duration_since(Instant::now()))
    }

    /// Those who wait do not all look at the same time.
    fn jittered(&self) -> Duration {
        self.terms.retry.mul_f64(rand::rng().random_range(1.0..=2.2))
    }
}

fn is(error: &kube::Error, what: impl Fn(&Status) -> bool) -> bool {
    matches!(error, kube::Error::Api(status) if what(status))
}

async fn within<T>(limit: Duration, request: impl Future<Output = T>) -> Result<T, String> {
    timeout(limit, request).await.map_err(|_| format!("Kubernetes did not answer within {} s", limit.as_secs_f64()))
}
