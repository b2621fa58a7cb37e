//! The simulator as a value: cheap to clone, shared by servers, tests and the control endpoint.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::Error;
use super::api::{self, ApiRequest, ApiResponse, Body, Outcome};
use super::clock::{Auto, Clock};
use super::faults::{Effect, Fault, NodeTrouble, RequestFate};
use super::scenario::{Release, Scenario};
use super::view::{RequestRecord, TaskView, VmView, VolumeView};
use super::world::World;

/// How many requests the log keeps.
const LOGGED: usize = 10_000;

/// Unix time at the start of a virtual clock: 2026-01-01.
const VIRTUAL_START: u64 = 1_767_225_600;

/// A simulated Proxmox cluster.
#[derive(Clone)]
pub struct Simulator {
    shared: Arc<Shared>,
}

struct Shared {
    release: Release,
    clock: Clock,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

pub(super) struct State {
    pub(super) world: World,
    requests: VecDeque<RequestRecord>,
    counts: BTreeMap<String, u64>,
    next_request: u64,
}

impl Simulator {
    /// A cluster as the scenario says.
    pub fn new(scenario: Scenario) -> Self {
        let clock = Clock::new(scenario.clock);
        let epoch = if clock.is_virtual() {
            VIRTUAL_START
        } else {
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(VIRTUAL_START, |since| since.as_secs())
        };
        let state = State {
            world: World::new(&scenario, epoch),
            requests: VecDeque::new(),
            counts: BTreeMap::new(),
            next_request: 1,
        };
        Self {
            shared: Arc::new(Shared {
                release: scenario.release,
                clock,
                state: Mutex::new(state),
                changed: watch::Sender::new(0),
            }),
        }
    }

    /// Does something with the world at the present moment, and tells everybody when it changed.
    pub(super) fn with<T>(&self, action: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.shared.state.lock();
        state.world.advance(self.shared.clock.now());
        let result = action(&mut state);
        state.world.flush_reports();
        let version = state.world.version();
        drop(state);
        self.shared.changed.send_if_modified(|last| std::mem::replace(last, version) != version);
        result
    }

    fn look<T>(&self, action: impl FnOnce(&World) -> T) -> T {
        self.with(|state| action(&state.world))
    }

    /// A receiver that is notified of every change: a task moves, a guest starts, a list shows something new.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// The present moment, as the time since the start.
    pub fn now(&self) -> Duration {
        self.shared.clock.now()
    }

    /// Moves a virtual clock forward; everything that is due until then happens, in its order.
    pub fn advance(&self, time: Duration) {
        self.shared.clock.advance_to(self.shared.clock.now() + time);
        self.with(|_| ());
    }

    /// Moves a virtual clock to the next thing that happens. Tells whether there is one.
    pub fn advance_to_next_event(&self) -> bool {
        let next = self.look(World::next_event);
        if let Some(next) = next {
            self.shared.clock.advance_to(next);
            self.with(|_| ());
        }
        next.is_some()
    }

    /// Moves a virtual clock until no task runs.
    pub fn finish_tasks(&self) {
        while self.look(|world| world.tasks.any_running()) && self.advance_to_next_event() {}
    }

    pub(super) async fn until_next_event(&self) {
        let mut changed = self.changed();
        match self.look(World::next_event) {
            Some(next) => tokio::select! {
                () = self.shared.clock.until(next) => {}
                _ = changed.changed() => {}
            },
            None => {
                let _ = changed.changed().await;
            }
        }
        self.with(|_| ());
    }

    /// Answers a request; none means that the connection closes without an answer.
    pub(crate) async fn answer(&self, request: ApiRequest) -> Option<ApiResponse> {
        self.progress_when_polled(&request);
        let arrived = self.now();
        let (number, fates) = self.with(|state| {
            let fates = state.world.faults.request_fates(&request.method, &request.path);
            (state.record(&request), fates)
        });
        if fates.contains(&RequestFate::RequestLost) || !self.reaches_a_node(&request) {
            return None;
        }
        let slow: Duration =
            fates.iter().filter_map(|fate| if let RequestFate::Slow(time) = fate { Some(*time) } else { None }).sum();
        let forced = fates.iter().find_map(|fate| match fate {
            RequestFate::Status(code, reason) => {
                Some(ApiResponse { status: *code, reason: Some(reason.clone()), body: Body::Empty })
            }
            _ => None,
        });
        let (response, not_before) = match forced {
            Some(response) => (response, arrived),
            None => self.outcome(&request, arrived).await,
        };
        if fates.contains(&RequestFate::ReplyLost) {
            return None;
        }
        self.wait_until(not_before + slow).await;
        self.with(|state| state.settle(number, response.status));
        Some(response)
    }

    async fn outcome(&self, request: &ApiRequest, arrived: Duration) -> (ApiResponse, Duration) {
        loop {
            let mut changed = self.changed();
            let (outcome, next) = self.with(|state| {
                let outcome = api::handle(&mut state.world, request, arrived);
                (outcome, state.world.next_event())
            });
            let until = match outcome {
                Outcome::Done { response, not_before } => return (response, not_before),
                Outcome::Wait { until } => next.map_or(until, |next| next.min(until)),
            };
            if self.shared.clock.auto() == Auto::Never {
                tokio::select! {
                    () = self.shared.clock.until(until) => {}
                    _ = changed.changed() => {}
                }
            } else {
                self.shared.clock.advance_to(until);
            }
        }
    }

    async fn wait_until(&self, moment: Duration) {
        if self.shared.clock.auto() != Auto::Never {
            self.shared.clock.advance_to(moment);
        }
        self.shared.clock.until(moment).await;
        self.with(|_| ());
    }

    /// With [`Auto::WhenPolled`] a look at tasks takes a second, or the time to the next event.
    fn progress_when_polled(&self, request: &ApiRequest) {
        let polls = request.method == "GET"
            && (request.path.contains("/tasks")
                || request.path.contains("/status/current")
                || request.path.contains("/cluster/resources"));
        if self.shared.clock.auto() != Auto::WhenPolled || !polls {
            return;
        }
        let next = self.look(World::next_event);
        if let Some(next) = next {
            self.shared.clock.advance_to(next.max(self.now() + Duration::from_secs(1)));
            self.with(|_| ());
        }
    }

    fn reaches_a_node(&self, request: &ApiRequest) -> bool {
        self.look(|world| match &request.entry {
            None => world.entry_node().is_some(),
            Some(name) => {
                world.node(name).is_some_and(|node| matches!(world.trouble(node), None | Some(NodeTrouble::DaemonDown)))
            }
        })
    }

    /// Makes something go wrong; the id is for [`Simulator::clear_fault`].
    ///
    /// # Errors
    /// When the path of the filter is no regular expression.
    pub fn fault(&self, fault: Fault) -> Result<u64, Error> {
        Ok(self.with(|state| {
            let now = state.world.now;
            state.world.touch();
            state.world.faults.add(fault, now)
        })?)
    }

    /// Ends a fault. Tells whether there was one of that id.
    pub fn clear_fault(&self, id: u64) -> bool {
        self.with(|state| {
            let fault = state.world.faults.remove(id);
            state.after_clearing(fault.iter());
            fault.is_some()
        })
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.with(|state| {
            let faults = state.world.faults.clear();
            state.after_clearing(faults.iter());
        });
    }

    /// The faults: id, what is left of each, and how often it hit.
    pub fn faults(&self) -> Vec<(u64, Fault, u32)> {
        self.look(|world| world.faults.list().map(|(id, fault, hits)| (id, fault.clone(), hits)).collect())
    }

    /// Switches a node on or off.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn switch_node(&self, name: &str, online: bool) -> Result<(), Error> {
        self.with(|state| {
            let now = state.world.now;
            let node = state.world.nodes.iter_mut().find(|node| node.name == name);
            let node = node.ok_or_else(|| Error::NoSuchNode(name.into()))?;
            node.online = online;
            node.off_since = now;
            state.world.touch();
            Ok(())
        })
    }

    /// The names of the nodes.
    pub fn nodes(&self) -> Vec<String> {
        self.look(|world| world.nodes.iter().map(|node| node.name.clone()).collect())
    }

    /// All virtual machines and templates, by VMID.
    pub fn vms(&self) -> Vec<VmView> {
        self.look(World::vm_views)
    }

    /// One virtual machine.
    pub fn vm(&self, vmid: u32) -> Option<VmView> {
        self.vms().into_iter().find(|vm| vm.vmid == vmid)
    }

    /// All volumes.
    pub fn volumes(&self) -> Vec<VolumeView> {
        self.look(World::volume_views)
    }

    /// All tasks, from the oldest to the newest.
    pub fn tasks(&self) -> Vec<TaskView> {
        self.look(World::task_views)
    }

    /// The tasks that run.
    pub fn running_tasks(&self) -> Vec<TaskView> {
        self.tasks().into_iter().filter(|task| task.status.is_none()).collect()
    }

    /// The latest requests, from the oldest to the newest.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.with(|state| state.requests.iter().cloned().collect())
    }

    /// How many requests came, by method and kind of path (`GET /nodes/*/qemu/*/config`).
    pub fn request_counts(&self) -> BTreeMap<String, u64> {
        self.with(|state| state.counts.clone())
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.with(|state| {
            state.requests.clear();
            state.counts.clear();
        });
    }

    /// SIGKILL to a task's worker. Tells whether it ran.
    pub fn kill_task(&self, upid: &str) -> bool {
        self.with(|state| {
            let key = state.world.tasks.find(upid);
            let running = key.filter(|key| state.world.tasks.get(*key).is_some_and(|task| task.end.is_none()));
            if let Some(key) = running {
                state.world.kill(key);
            }
            running.is_some()
        })
    }

    /// The release that is played.
    pub fn release(&self) -> Release {
        self.shared.release
    }
}

impl State {
    fn record(&mut self, request: &ApiRequest) -> u64 {
        // Whoever waits for a request to come is told.
        self.world.touch();
        let number = self.next_request;
        self.next_request += 1;
        let hidden = |key: &str| matches!(key, "password" | "cipassword" | "otp");
        let params = request
            .params
            .iter()
            .filter(|(key, _)| !hidden(key))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        if self.requests.len() >= LOGGED {
            self.requests.pop_front();
        }
        self.requests.push_back(RequestRecord {
            number,
            method: request.method.clone(),
            path: request.path.clone(),
            params,
            status: None,
        });
        *self.counts.entry(format!("{} {}", request.method, kind_of(&request.path))).or_default() += 1;
        number
    }

    fn settle(&mut self, number: u64, status: u16) {
        let record = self.requests.iter_mut().rev().find(|record| record.number == number);
        if let Some(record) = record {
            record.status = Some(status);
        }
    }

    /// Whoever waited for a lock that a fault held may have it now.
    fn after_clearing<'a>(&mut self, faults: impl Iterator<Item = &'a Fault>) {
        self.world.touch();
        for fault in faults {
            if fault.effect != Effect::ConfigLocked {
                continue;
            }
            let vmids: Vec<u32> = match fault.filter.vmid {
                Some(vmid) => vec![vmid],
                None => self.world.guests().map(|guest| guest.vmid).collect(),
            };
            for vmid in vmids {
                self.world.wake_waiting(vmid);
            }
        }
    }
}

/// A path with its variables replaced by stars.
fn kind_of(path: &str) -> String {
    let mut previous = "";
    let words = path.split('/').filter(|word| !word.is_empty()).map(|word| {
        let variable = matches!(previous, "nodes" | "tasks" | "storage" | "content" | "pools")
            || (previous == "qemu" && word.bytes().all(|byte| byte.is_ascii_digit()));
        previous = word;
        if variable { "*" } else { word }
    });
    words.fold(String::new(), |text, word| text + "/" + word)
}
