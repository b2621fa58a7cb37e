//! The event queue: workers move, wait for time or for a lock, and end.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::World;
use super::task::{Owner, Task, TaskKey};

/// How long a worker needs until it does its first thing: parallel calls that were accepted in between
/// compete, as they do on a real node.
const FORK: Duration = Duration::from_millis(20);

/// How long Proxmox waits for the lock of a configuration file.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// A worker, as a state machine.
pub(crate) trait Work: Send {
    /// The worker's next move. Called when its last wait has ended; it holds the locks it asked for.
    fn step(&mut self, world: &mut World, task: TaskKey) -> Next;

    /// What the worker does on SIGTERM: it cleans up and names its error.
    fn interrupted(&mut self, _world: &mut World, _task: TaskKey) -> String {
        "received interrupt".into()
    }
}

/// What a worker wants next.
pub(crate) enum Next {
    /// To go on after that time.
    Sleep(Duration),
    /// To go on with the configuration file of that guest locked.
    Lock { vmid: u32, shared: bool, timeout: Duration },
    /// To end with `OK`, or with an error.
    Done(Result<(), String>),
    /// To vanish without a trace, as a worker does that gets SIGKILL.
    Killed,
}

impl Next {
    pub fn lock(vmid: u32) -> Self {
        Self::Lock { vmid, shared: false, timeout: LOCK_TIMEOUT }
    }

    pub fn fail(error: impl Into<String>) -> Self {
        Self::Done(Err(error.into()))
    }
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Step(TaskKey),
    LockTimeout(TaskKey),
    /// A guest comes up without a task.
    PowerOn(u32),
    /// Something becomes visible in the lists.
    Look,
}

#[derive(Default)]
pub(crate) struct Queue {
    events: BTreeMap<(Duration, u64), Event>,
    next: u64,
}

impl Queue {
    fn push(&mut self, at: Duration, event: Event) -> u64 {
        self.next += 1;
        self.events.insert((at, self.next), event);
        self.next
    }

    pub fn next_at(&self) -> Option<Duration> {
        self.events.keys().next().map(|(at, _)| *at)
    }
}

/// Locks of configuration files (`/var/lock/qemu-server/lock-N.conf`).
#[derive(Default)]
pub(crate) struct Locks {
    /// Per guest who holds it; true for a shared one.
    held: BTreeMap<u32, BTreeMap<TaskKey, bool>>,
    waiting: BTreeMap<u32, VecDeque<(TaskKey, bool)>>,
}

impl Locks {
    fn free_for(&self, vmid: u32, shared: bool) -> bool {
        self.held.get(&vmid).is_none_or(|holders| shared && holders.values().all(|shared| *shared))
    }

    fn release(&mut self, task: TaskKey) -> Vec<u32> {
        let mut released = Vec::new();
        self.held.retain(|vmid, holders| {
            if holders.remove(&task).is_some() {
                released.push(*vmid);
            }
            !holders.is_empty()
        });
        for queue in self.waiting.values_mut() {
            queue.retain(|(waiting, _)| *waiting != task);
        }
        released
    }
}

impl World {
    /// Starts a worker and tells its UPID.
    pub fn fork(&mut self, node: &str, kind: &str, id: &str, owner: &Owner, work: Box<dyn Work>) -> String {
        self.fork_after(FORK, node, kind, id, owner, work)
    }

    pub fn fork_after(
        &mut self,
        delay: Duration,
        node: &str,
        kind: &str,
        id: &str,
        owner: &Owner,
        work: Box<dyn Work>,
    ) -> String {
        let pid = self.new_pid();
        let start = self.unix_time();
        let pstart = self.uptime_ticks();
        let upid = format!("UPID:{node}:{pid:08X}:{pstart:08X}:{start:08X}:{kind}:{id}:{}:", owner.full());
        let task = Task {
            upid: upid.clone(),
            node: node.into(),
            kind: kind.into(),
            id: id.into(),
            owner: owner.clone(),
            pid,
            pstart,
            start,
            end: None,
            log: Vec::new(),
            warnings: 0,
            work: Some(work),
            wake: 0,
            waits_for: None,
        };
        let key = self.tasks.insert(task);
        self.wake_at(key, self.now + delay);
        self.touch();
        upid
    }

    fn wake_at(&mut self, key: TaskKey, at: Duration) {
        let wake = self.queue.push(at, Event::Step(key));
        if let Some(task) = self.tasks.get_mut(key) {
            task.wake = wake;
        }
    }

    /// Makes `advance_to_next_event` stop at that moment.
    pub(super) fn look_at(&mut self, at: Duration) {
        self.queue.push(at, Event::Look);
    }

    pub(super) fn power_on_at(&mut self, vmid: u32, at: Duration) {
        self.queue.push(at, Event::PowerOn(vmid));
    }

    /// Lets everything happen that is due until then.
    pub fn advance(&mut self, to: Duration) {
        while let Some((&(at, number), &event)) = self.queue.events.first_key_value() {
            if at > to {
                break;
            }
            self.queue.events.remove(&(at, number));
            self.now = self.now.max(at);
            match event {
                Event::Step(key) if self.tasks.get(key).is_some_and(|task| task.wake == number) => self.run(key),
                Event::LockTimeout(key) if self.tasks.get(key).is_some_and(|task| task.wake == number) => {
                    self.lock_timed_out(key);
                }
                Event::Step(_) | Event::LockTimeout(_) => {}
                Event::PowerOn(vmid) => self.power_on(vmid),
                Event::Look => self.touch(),
            }
            self.flush_reports();
        }
        self.now = self.now.max(to);
    }

    fn run(&mut self, key: TaskKey) {
        if self.task_killed_by_fault(key) {
            return self.finish(key, Next::Killed);
        }
        loop {
            let Some(mut work) = self.tasks.get_mut(key).and_then(|task| task.work.take()) else {
                return;
            };
            let next = work.step(self, key);
            if let Some(task) = self.tasks.get_mut(key) {
                task.work = Some(work);
            }
            self.touch();
            match next {
                Next::Sleep(time) => return self.wake_at(key, self.now + time),
                Next::Lock { vmid, shared, timeout } => {
                    if self.try_lock(key, vmid, shared) {
                        continue;
                    }
                    self.tasks.log(key, "trying to acquire lock...");
                    self.locks.waiting.entry(vmid).or_default().push_back((key, shared));
                    let wake = self.queue.push(self.now + timeout, Event::LockTimeout(key));
                    if let Some(task) = self.tasks.get_mut(key) {
                        task.wake = wake;
                        task.waits_for = Some((vmid, self.now));
                    }
                    return;
                }
                end @ (Next::Done(_) | Next::Killed) => return self.finish(key, end),
            }
        }
    }

    fn try_lock(&mut self, key: TaskKey, vmid: u32, shared: bool) -> bool {
        if self.faults.config_locked(vmid) || !self.locks.free_for(vmid, shared) {
            return false;
        }
        self.locks.held.entry(vmid).or_default().insert(key, shared);
        true
    }

    fn lock_timed_out(&mut self, key: TaskKey) {
        let Some((vmid, _)) = self.tasks.get_mut(key).and_then(|task| task.waits_for.take()) else {
            return;
        };
        self.finish(key, Next::fail(lock_error(vmid)));
    }

    fn finish(&mut self, key: TaskKey, end: Next) {
        let now = self.unix_time();
        let status = match end {
            Next::Done(Ok(())) => match self.tasks.get(key).map_or(0, |task| task.warnings) {
                0 => {
                    self.tasks.log(key, "TASK OK");
                    "OK".to_owned()
                }
                warnings => {
                    self.tasks.log(key, format!("TASK WARNINGS: {warnings}"));
                    format!("WARNINGS: {warnings}")
                }
            },
            Next::Done(Err(error)) => {
                self.tasks.log(key, format!("TASK ERROR: {error}"));
                error
            }
            Next::Killed | Next::Sleep(_) | Next::Lock { .. } => "unexpected status".to_owned(),
        };
        self.tasks.end(key, now, status);
        for vmid in self.locks.release(key) {
            self.wake_waiting(vmid);
        }
        self.touch();
    }

    /// Hands a free lock to those who wait for it, in their order.
    pub(crate) fn wake_waiting(&mut self, vmid: u32) {
        while let Some(&(key, shared)) = self.locks.waiting.get(&vmid).and_then(VecDeque::front) {
            if !self.try_lock(key, vmid, shared) {
                return;
            }
            if let Some(queue) = self.locks.waiting.get_mut(&vmid) {
                queue.pop_front();
            }
            if let Some(task) = self.tasks.get_mut(key) {
                task.waits_for = None;
                task.log.push(" OK".into());
            }
            self.wake_at(key, self.now);
        }
        self.locks.waiting.remove(&vmid);
    }

    /// Whether somebody holds the lock of that configuration file.
    pub fn is_config_locked(&self, vmid: u32) -> bool {
        self.faults.config_locked(vmid) || !self.locks.free_for(vmid, false)
    }

    /// SIGTERM to a worker, as `DELETE /nodes/N/tasks/UPID` sends it.
    pub fn interrupt(&mut self, key: TaskKey) {
        let Some(mut work) = self.tasks.get_mut(key).and_then(|task| task.work.take()) else {
            return;
        };
        let error = work.interrupted(self, key);
        self.finish(key, Next::fail(error));
        self.flush_reports();
    }

    /// SIGKILL to a worker: no clean-up, no word in the log.
    pub fn kill(&mut self, key: TaskKey) {
        if self.tasks.get(key).is_some_and(|task| task.end.is_none()) {
            self.finish(key, Next::Killed);
            self.flush_reports();
        }
    }
}

/// What a lock that is not to be had says.
pub(crate) fn lock_error(vmid: u32) -> String {
    format!("can't lock file '/var/lock/qemu-server/lock-{vmid}.conf' - got timeout")
}
