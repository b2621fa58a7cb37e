//! Watches one engine: connects, subscribes, lists, follows events, and begins again when that breaks.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bollard::models::EventMessage;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use rand::RngExt;
use tokio::{
    sync::{broadcast, mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::docker::{
    engine::{Call, Capacity, Error, Result, events::Events, outcome},
    labels,
};

use super::{
    Changes, Look, Order, QUIET, RELIST, Settings,
    merge::{ACTIONS, Seen, TYPES, look_after},
    snapshot::{Reach, Snapshot},
};

/// How many containers are inspected at once.
const CONCURRENCY: usize = 8;
/// How many events are kept while we look; an engine drops events silently when it cannot hand them over.
const BUFFERED: usize = 16_384;
/// How many events are taken at once.
const BATCH: usize = 1024;
/// How many containers are inspected before what was seen is published.
const CHUNK: usize = 256;
/// The first wait after a failure.
const FIRST_DELAY: Duration = Duration::from_millis(500);
/// The longest.
const LONGEST_DELAY: Duration = Duration::from_secs(30);

pub(super) struct Watcher {
    pub settings: Settings,
    pub publish: watch::Sender<Arc<Snapshot>>,
    pub changes: broadcast::Sender<Arc<Changes>>,
    pub orders: mpsc::Receiver<Order>,
    /// Who waits for the next list.
    pub waiting: Vec<Order>,
    pub requests: watch::Sender<u64>,
}

impl Watcher {
    pub async fn run(mut self) {
        let mut failures: u32 = 0;
        loop {
            let Err(error) = self.follow(&mut failures).await;
            failures = failures.saturating_add(1);
            // An engine that restarts ends the stream: whether it is gone, the next attempt tells.
            if failures == 1 && self.publish.borrow().reach == Reach::Reached {
                continue;
            }
            self.lost(&error);
            // Whoever waits is told by the end of the wait that nothing newer is known.
            self.waiting.clear();
            let full = FIRST_DELAY.saturating_mul(2_u32.saturating_pow(failures.min(16))).min(LONGEST_DELAY);
            let delay = full.mul_f64(rand::rng().random_range(0.25..=0.5));
            let now = tokio::select! {
                () = sleep(delay) => None,
                order = self.orders.recv() => order,
            };
            if let Some(order) = now {
                self.waiting.push(order);
                sleep(delay.min(FIRST_DELAY)).await;
            }
        }
    }

    fn lost(&self, error: &Error) {
        let failure = outcome::of(error);
        let before = self.publish.borrow().clone();
        let since = match &before.reach {
            Reach::Lost { failure: same, .. } if *same == failure => return,
            Reach::Lost { since, .. } => *since,
            Reach::Unknown | Reach::Reached => Timestamp::now(),
        };
        tracing::warn!(host = self.settings.engine.endpoint(), %error, "the Docker host is lost");
        let next = Snapshot { reach: Reach::Lost { failure, since }, ..Snapshot::clone(&before) };
        self.announce(next, Changes { host: true, ..Changes::default() });
    }

    /// Follows the events until that breaks.
    async fn follow(&mut self, failures: &mut u32) -> Result<std::convert::Infallible> {
        let capacity = self.counted(2, self.settings.engine.capacity()).await?;
        let events = self.counted(1, self.settings.engine.subscribe(capacity.time, TYPES, ACTIONS)).await?;
        let (sender, mut heard) = mpsc::channel(BUFFERED);
        let mut reader = JoinSet::new();
        reader.spawn(read(events, sender));
        self.list(Everything::Inspected, capacity).await?;
        *failures = 0;
        self.answer();
        let mut batch = Vec::new();
        let mut relist = Instant::now() + RELIST;
        loop {
            let quiet = Instant::now() + QUIET;
            tokio::select! {
                count = heard.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        let ended = reader.join_next().await;
                        return Err(ended.and_then(std::result::Result::ok).unwrap_or_else(stopped));
                    }
                    let mut look = Look::default();
                    let snapshot = self.publish.borrow().clone();
                    for event in batch.drain(..) {
                        look.add(look_after(&snapshot, &self.settings.installation, event));
                    }
                    self.look(look).await?;
                }
                Some(order) = self.orders.recv() => {
                    let looked = self.look(order.look.clone()).await;
                    self.waiting.push(order);
                    looked?;
                    self.answer();
                }
                () = sleep_until(relist) => {
                    let capacity = self.counted(2, self.settings.engine.capacity()).await?;
                    self.list(Everything::Compared, capacity).await?;
                    relist = Instant::now() + RELIST;
                }
                () = sleep_until(quiet.min(relist)) => {
                    self.counted(1, self.settings.engine.ping()).await?;
                }
            }
        }
    }

    /// Lists everything, and inspects all containers or those of which the list says something new.
    async fn list(&self, everything: Everything, capacity: Capacity) -> Result<()> {
        let engine = &self.settings.engine;
        let label = format!("{}={}", labels::INSTALLATION, self.settings.installation);
        let listed = self.counted(1, engine.list_containers(&[&label])).await?;
        let before = self.publish.borrow().clone();
        let containers = match everything {
            Everything::Compared => before.differing(&listed),
            Everything::Inspected => {
                let known = before.containers.keys().map(|id| id.as_ref().to_owned());
                known.chain(listed.into_iter().filter_map(|summary| summary.id)).collect()
            }
        };
        let seen = self.see(Look { containers, ..Look::lists() }).await?;
        let (next, mut changes) = before.after(&self.settings.installation, seen);
        changes.host = before.reach != Reach::Reached
            || !before.capacity.as_deref().is_some_and(|other| is_same(other, &capacity));
        let next = Snapshot {
            reach: Reach::Reached,
            capacity: Some(Arc::new(capacity)),
            listed_at: Some(Timestamp::now()),
            ..next
        };
        self.announce(next, changes);
        Ok(())
    }

    /// Looks, and publishes what is seen.
    async fn look(&self, look: Look) -> Result<()> {
        let Look { containers, networks, volumes, images } = look;
        let mut rest: Vec<_> = containers.into_iter().collect();
        let mut lists = Look { networks, volumes, images, ..Look::default() };
        while !rest.is_empty() || lists != Look::default() {
            let chunk: BTreeSet<_> = rest.drain(..rest.len().min(CHUNK)).collect();
            let seen = self.see(Look { containers: chunk, ..std::mem::take(&mut lists) }).await?;
            let before = self.publish.borrow().clone();
            let (next, changes) = before.after(&self.settings.installation, seen);
            if !changes.is_empty() {
                self.announce(next, changes);
            }
        }
        Ok(())
    }

    async fn see(&self, look: Look) -> Result<Seen> {
        let engine = &self.settings.engine;
        let Look { containers, networks, volumes, images } = look;
        let label = format!("{}={}", labels::INSTALLATION, self.settings.installation);
        let mut seen = Seen::default();
        let mut inspections = stream::iter(containers)
            .map(|id| async move {
                let found = self.counted(1, engine.find_container(&id)).await;
                found.map(|found| (id, found))
            })
            .buffer_unordered(CONCURRENCY);
        while let Some(inspected) = inspections.next().await {
            let (id, found) = inspected?;
            seen.containers.insert(id, found);
        }
        if networks {
            seen.networks = Some(self.counted(1, engine.list_networks(&[&label])).await?);
        }
        if volumes {
            seen.volumes = Some(self.counted(1, engine.list_volumes(&[&label])).await?);
        }
        let patterns: Vec<_> = self.settings.image_patterns.iter().map(String::as_str).collect();
        if images && !patterns.is_empty() {
            seen.images = Some(self.counted(1, engine.list_images(&patterns)).await?);
        }
        Ok(seen)
    }

    fn announce(&self, next: Snapshot, changes: Changes) {
        self.publish.send_replace(Arc::new(next));
        if !changes.is_empty() {
            // Nobody may be listening.
            let _ = self.changes.send(Arc::new(changes));
        }
    }

    /// Tells whoever waits that everything was looked at.
    fn answer(&mut self) {
        for order in self.waiting.drain(..) {
            // Whoever asked may have gone.
            let _ = order.done.send(());
        }
    }

    async fn counted<T>(&self, requests: u64, answer: impl Future<Output = T>) -> T {
        self.requests.send_modify(|count| *count = count.saturating_add(requests));
        answer.await
    }
}

/// Whether a host is as it was: what is on it, and its clock, aside.
fn is_same(one: &Capacity, other: &Capacity) -> bool {
    let lasting =
        |capacity: &Capacity| Capacity { time: None, containers: 0, running: 0, images: 0, ..capacity.clone() };
    lasting(one) == lasting(other)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Everything {
    /// After a new beginning: what happened in between is not known.
    Inspected,
    /// In case something was missed.
    Compared,
}

/// Takes events off the engine's hands at once; ends when the stream does, or when we do not keep up.
async fn read(mut events: Events, sender: mpsc::Sender<EventMessage>) -> Error {
    loop {
        match events.next().await {
            Ok(event) => {
                if sender.try_send(event).is_err() {
                    return stopped();
                }
            }
            Err(error) => return error,
        }
    }
}

fn stopped() -> Error {
    Error::ReplyLost {
        request: Call::Events.of(""),
        reason: "events came faster than they could be followed".to_owned(),
    }
}
