//! The poller of one site: asks, merges, publishes, waits.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use tokio::{
    sync::broadcast,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::proxmox::{
    client::{Client, ConfigView, Error},
    wire::{ClusterStatus, Upid, VmConfig, Vmid},
};

use super::{
    Control, Shared, Site,
    changes::Changes,
    merge::Answers,
    snapshot::Snapshot,
    state::{SiteError, SiteId, SiteState, TaskState, describe},
};

/// How many small requests are under way at once.
const CONCURRENCY: usize = 8;

/// The longest wait after failures.
const PATIENCE: Duration = Duration::from_secs(60);

/// For each second that a poll takes there are so many until the next, however often the poller is woken: else one whose
/// lists are long would ask all the time while much is made.
const BREATH: u32 = 4;

/// How often the endpoints of a site are asked whether they are the same cluster.
const COMPARE_ENDPOINTS: Duration = Duration::from_secs(600);

pub(super) struct Poller {
    pub id: SiteId,
    pub site: Site,
    pub shared: Arc<Shared>,
    pub changes: broadcast::Sender<Arc<Changes>>,
    pub fast: Duration,
    pub slow: Duration,
}

/// What a poller remembers between its polls.
#[derive(Default)]
struct Memory {
    failures: u32,
    compared: Option<Instant>,
    /// The VM whose configuration was read last without a reason.
    turn: Option<Vmid>,
}

impl Poller {
    pub async fn run(self, shutdown: CancellationToken) {
        let Some(control) = self.shared.controls.get(self.id.0) else {
            return;
        };
        let configured = self.site.configured(self.id);
        let mut state = Arc::new(SiteState::unknown(configured));
        let mut memory = Memory::default();
        loop {
            let number = *control.begun.borrow() + 1;
            control.begun.send_replace(number);
            let begun = Instant::now();
            tokio::select! {
                () = self.poll(control, &mut state, &mut memory) => {}
                () = shutdown.cancelled() => return,
            }
            control.finished.send_replace(number);
            let breath = begun.elapsed().saturating_mul(BREATH).min(self.fast);
            tokio::select! {
                () = sleep(breath) => {}
                () = shutdown.cancelled() => return,
            }
            tokio::select! {
                () = sleep(self.pause(control, &state, &memory)) => {}
                () = control.wake.notified() => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    fn pause(&self, control: &Control, state: &SiteState, memory: &Memory) -> Duration {
        if memory.failures > 0 {
            let doubled = 2_u32.saturating_pow(memory.failures.min(10) - 1);
            return self.slow.saturating_mul(doubled).min(PATIENCE.max(self.slow));
        }
        let expected = *control.busy_until.lock() > Instant::now();
        if expected || state.is_busy() { self.fast } else { self.slow }
    }

    async fn poll(&self, control: &Control, state: &mut Arc<SiteState>, memory: &mut Memory) {
        let reread = control.reread.lock().clone();
        let answers = match self.ask(state, memory).await {
            Ok(answers) => answers,
            Err(error) => {
                memory.failures = memory.failures.saturating_add(1);
                if state.error.as_ref() != Some(&error) {
                    tracing::warn!(site = self.id.0, %error, "Proxmox cannot be asked");
                }
                let mut failed = SiteState::clone(state);
                failed.fail(error);
                self.publish(state, failed);
                return;
            }
        };
        memory.failures = 0;
        if !answers.status.quorate {
            self.site.client.switch_endpoint();
        }
        let answers = Answers { reread: reread.clone(), ..answers };
        let next = state.after(self.site.configured(self.id), answers);
        if next.is_current() {
            let mut waiting = control.reread.lock();
            waiting.retain(|vmid| !reread.contains(vmid));
        }
        let mut due = next.due();
        if due.is_empty() && !next.is_busy() {
            let turn = next.turn(memory.turn);
            memory.turn = turn.as_ref().map(|(vmid, _)| *vmid);
            due.extend(turn);
        }
        self.publish(state, next);
        if !state.stale && !due.is_empty() {
            let configs = self.read_configs(due).await;
            self.publish(state, state.with_configs(&configs));
        }
    }

    async fn ask(&self, state: &SiteState, memory: &mut Memory) -> Result<Answers, SiteError> {
        let client = &self.site.client;
        let at = Timestamp::now();
        let (status, resources, tasks) = tokio::try_join!(client.cluster_status(), client.resources(), client.tasks())
            .map_err(|error| SiteError::from(&error))?;
        self.compare_endpoints(&status, memory).await?;
        let version = if state.version.is_none() || state.error.is_some() {
            let version = client.version().await;
            Some(version.map_err(|error| SiteError::from(&error))?.version)
        } else {
            None
        };
        let left_list = look_up(client, state.left_list(&tasks)).await;
        Ok(Answers { at, status, resources, tasks, left_list, version, ..Answers::default() })
    }

    /// Endpoints of different clusters in one site would mix their VMs up.
    async fn compare_endpoints(&self, status: &ClusterStatus, memory: &mut Memory) -> Result<(), SiteError> {
        let client = &self.site.client;
        let recent = memory.compared.is_some_and(|at| at.elapsed() < COMPARE_ENDPOINTS);
        if client.endpoints().len() < 2 || recent {
            return Ok(());
        }
        memory.compared = None;
        for endpoint in client.endpoints() {
            // One that is down cannot be compared; it is not used either.
            let Ok(other) = client.cluster_status_at(endpoint).await else {
                continue;
            };
            if !is_same(status, &other) {
                return Err(SiteError::Mismatch(format!(
                    "the endpoints are not of one cluster: {endpoint} is {}, another is {}",
                    describe(other.name.as_deref(), &other.nodes),
                    describe(status.name.as_deref(), &status.nodes),
                )));
            }
        }
        memory.compared = Some(Instant::now());
        Ok(())
    }

    async fn read_configs(&self, due: Vec<(Vmid, String)>) -> Vec<(Vmid, VmConfig)> {
        let client = &self.site.client;
        stream::iter(due)
            .map(|(vmid, node)| async move {
                match client.vm_config(&node, vmid, ConfigView::Current).await {
                    Ok(config) => Some((vmid, config)),
                    Err(error) => {
                        // It may have gone since the list was made; else it is tried at the next poll.
                        tracing::debug!(site = self.id.0, vmid, %error, "no configuration");
                        None
                    }
                }
            })
            .buffer_unordered(CONCURRENCY)
            .filter_map(std::future::ready)
            .collect()
            .await
    }

    fn publish(&self, state: &mut Arc<SiteState>, next: SiteState) {
        let next = Arc::new(next);
        let before = std::mem::replace(state, next.clone());
        {
            // Held until the snapshot is in place, lest two sites' snapshots overtake each other.
            let mut states = self.shared.states.lock();
            if let Some(slot) = states.get_mut(self.id.0) {
                *slot = next.clone();
            }
            let snapshot = Snapshot::new(states.clone());
            *self.shared.snapshot.write() = Arc::new(snapshot);
        }
        let changes = Changes::between(self.id, &before, &next);
        if !changes.is_empty() {
            // Nobody may be listening.
            let _ = self.changes.send(Arc::new(changes));
        }
    }
}

/// What became of tasks that the list has dropped.
async fn look_up(client: &Client, upids: Vec<Upid>) -> BTreeMap<Upid, Option<TaskState>> {
    stream::iter(upids)
        .map(|upid| async move {
            let state = match client.task_status(&upid).await {
                Ok(status) => Some(TaskState::from_end(status.end())),
                Err(Error::Api(refusal)) if refusal.is_no_such_task() => None,
                // Unknown is not ended.
                Err(_) => Some(TaskState::Running),
            };
            (upid, state)
        })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await
}

fn is_same(one: &ClusterStatus, other: &ClusterStatus) -> bool {
    let members = |status: &ClusterStatus| -> Vec<_> {
        let nodes = status.nodes.iter();
        nodes.map(|node| (node.name.clone(), node.ip.clone())).collect()
    };
    one.name == other.name && members(one) == members(other)
}
