//! Tasks: their ids, logs, ends, and the lists that show them.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde_json::{Map, Value, json};

use super::engine::Work;

/// Number of a task, in the order of their starts.
pub(crate) type TaskKey = u64;

/// How many tasks a node lists in `/cluster/tasks`: the running ones and the latest finished.
const LISTED: usize = 25;

pub(crate) struct Task {
    pub upid: String,
    pub node: String,
    pub kind: String,
    pub id: String,
    pub owner: Owner,
    pub pid: u32,
    pub pstart: u64,
    /// Unix time.
    pub start: u64,
    /// Unix time and status: `OK`, `WARNINGS: n`, or the error.
    pub end: Option<(u64, String)>,
    pub log: Vec<String>,
    pub warnings: u32,
    pub(super) work: Option<Box<dyn Work>>,
    /// The event that will wake it.
    pub(super) wake: u64,
    /// Whether it already said that it waits for a lock.
    pub(super) waits_for: Option<(u32, std::time::Duration)>,
}

/// Who started a task: a user, or a token of theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub user: String,
    pub token: Option<String>,
}

impl Owner {
    /// `user@realm` or `user@realm!token`.
    pub fn full(&self) -> String {
        match &self.token {
            Some(token) => format!("{}!{token}", self.user),
            None => self.user.clone(),
        }
    }

    pub fn parse(full: &str) -> Self {
        match full.split_once('!') {
            Some((user, token)) => Self { user: user.into(), token: Some(token.into()) },
            None => Self { user: full.into(), token: None },
        }
    }
}

impl Task {
    fn person(&self) -> Map<String, Value> {
        let mut map = Map::new();
        map.insert("user".into(), json!(self.owner.user));
        if let Some(token) = &self.owner.token {
            map.insert("tokenid".into(), json!(token));
        }
        map
    }

    /// `/nodes/N/tasks/UPID/status`.
    pub fn status(&self) -> Value {
        let mut map = self.person();
        map.insert("upid".into(), json!(self.upid));
        map.insert("node".into(), json!(self.node));
        map.insert("pid".into(), json!(self.pid));
        map.insert("pstart".into(), json!(self.pstart));
        map.insert("starttime".into(), json!(self.start));
        map.insert("type".into(), json!(self.kind));
        map.insert("id".into(), json!(self.id));
        match &self.end {
            Some((_, status)) => {
                map.insert("status".into(), json!("stopped"));
                map.insert("exitstatus".into(), json!(status));
            }
            None => {
                map.insert("status".into(), json!("running"));
            }
        }
        Value::Object(map)
    }

    /// One line of `/cluster/tasks`.
    fn cluster_line(&self, now: u64) -> Value {
        let mut map = self.person();
        map.insert("upid".into(), json!(self.upid));
        map.insert("node".into(), json!(self.node));
        map.insert("starttime".into(), json!(self.start));
        map.insert("type".into(), json!(self.kind));
        map.insert("id".into(), json!(self.id));
        match &self.end {
            Some((end, status)) => {
                map.insert("endtime".into(), json!(end));
                map.insert("status".into(), json!(status));
                // A number until the daemon has read its own list back, a string from then on.
                let fresh = now < end + 2;
                map.insert("saved".into(), if fresh { json!(1) } else { json!("1") });
            }
            None => {
                map.insert("pid".into(), json!(self.pid));
                map.insert("saved".into(), json!("0"));
            }
        }
        Value::Object(map)
    }

    /// One line of `/nodes/N/tasks`: running ones name the full token and say `RUNNING`.
    pub fn node_line(&self) -> Value {
        let mut map = match &self.end {
            Some(_) => self.person(),
            None => Map::from_iter([("user".to_owned(), json!(self.owner.full()))]),
        };
        map.insert("upid".into(), json!(self.upid));
        map.insert("node".into(), json!(self.node));
        map.insert("pid".into(), json!(self.pid));
        map.insert("pstart".into(), json!(self.pstart));
        map.insert("starttime".into(), json!(self.start));
        map.insert("type".into(), json!(self.kind));
        map.insert("id".into(), json!(self.id));
        match &self.end {
            Some((end, status)) => {
                map.insert("endtime".into(), json!(end));
                map.insert("status".into(), json!(status));
            }
            None => {
                map.insert("status".into(), json!("RUNNING"));
                map.insert("saved".into(), json!("0"));
            }
        }
        Value::Object(map)
    }
}

/// All tasks since the start.
#[derive(Default)]
pub(crate) struct Tasks {
    all: BTreeMap<TaskKey, Task>,
    by_upid: HashMap<String, TaskKey>,
    running: BTreeSet<TaskKey>,
    /// The latest finished ones of each node, newest first.
    finished: BTreeMap<String, VecDeque<TaskKey>>,
    next: TaskKey,
}

impl Tasks {
    pub(super) fn insert(&mut self, task: Task) -> TaskKey {
        let key = self.next;
        self.next += 1;
        self.by_upid.insert(task.upid.clone(), key);
        self.running.insert(key);
        self.all.insert(key, task);
        key
    }

    pub fn get(&self, key: TaskKey) -> Option<&Task> {
        self.all.get(&key)
    }

    pub fn get_mut(&mut self, key: TaskKey) -> Option<&mut Task> {
        self.all.get_mut(&key)
    }

    pub fn find(&self, upid: &str) -> Option<TaskKey> {
        self.by_upid.get(upid).copied()
    }

    pub fn running(&self) -> impl Iterator<Item = (TaskKey, &Task)> {
        self.running.iter().filter_map(|key| Some((*key, self.all.get(key)?)))
    }

    pub fn any_running(&self) -> bool {
        !self.running.is_empty()
    }

    /// From the newest to the oldest.
    pub fn newest_first(&self) -> impl Iterator<Item = &Task> {
        self.all.values().rev()
    }

    pub fn log(&mut self, key: TaskKey, line: impl Into<String>) {
        if let Some(task) = self.all.get_mut(&key) {
            task.log.push(line.into());
        }
    }

    pub(super) fn end(&mut self, key: TaskKey, at: u64, status: String) {
        self.running.remove(&key);
        if let Some(task) = self.all.get_mut(&key) {
            task.end = Some((at, status));
            task.work = None;
            let finished = self.finished.entry(task.node.clone()).or_default();
            finished.push_front(key);
            finished.truncate(LISTED);
        }
    }

    /// `/cluster/tasks`: of each node the running ones and the latest finished, 25 together.
    pub fn cluster_list(&self, now: u64, visible: impl Fn(&Task) -> bool) -> Vec<Value> {
        let mut running: BTreeMap<&str, usize> = BTreeMap::new();
        let mut lines = Vec::new();
        for (_, task) in self.running() {
            *running.entry(task.node.as_str()).or_default() += 1;
            if visible(task) {
                lines.push(task.cluster_line(now));
            }
        }
        for (node, finished) in &self.finished {
            let room = LISTED.saturating_sub(running.get(node.as_str()).copied().unwrap_or(0));
            let shown = finished.iter().take(room).filter_map(|key| self.all.get(key)).filter(|task| visible(task));
            lines.extend(shown.map(|task| task.cluster_line(now)));
        }
        lines
    }
}
