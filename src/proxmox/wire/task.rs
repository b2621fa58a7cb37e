//! Tasks: their state, their log, and the cluster's list of them.

use serde::Deserialize;

use super::{lenient, upid::Upid};

/// A task as `/nodes/N/tasks/UPID/status` tells it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TaskStatus {
    /// `running` or `stopped`.
    pub status: String,
    /// How it ended: `OK`, `WARNINGS: n` (it succeeded), or the error.
    #[serde(default, deserialize_with = "lenient::text")]
    pub exitstatus: Option<String>,
}

impl TaskStatus {
    /// How it ended, or nothing while it runs.
    pub fn end(&self) -> Option<&str> {
        (self.status != "running").then(|| self.exitstatus.as_deref().unwrap_or("unknown"))
    }

    /// Whether an end such as `OK` or `WARNINGS: 1` is a success.
    pub fn is_success(end: &str) -> bool {
        end == "OK" || end.starts_with("WARNINGS: ")
    }
}

/// A line of a task's log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LogLine {
    /// Its number, from 1.
    #[serde(default, deserialize_with = "lenient::integer")]
    pub n: Option<u64>,
    /// Its text.
    #[serde(default)]
    pub t: String,
}

/// A task as the cluster's list tells it: what runs, and the latest few that ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ClusterTask {
    pub upid: Upid,
    /// Proxmox's own name of the node that runs it.
    #[serde(default)]
    pub node: String,
    /// When it ended, in seconds since 1970; nothing while it runs.
    #[serde(default, deserialize_with = "lenient::integer")]
    pub endtime: Option<u64>,
    /// `OK` or the error; absent, or `RUNNING`, while it runs.
    #[serde(default, deserialize_with = "lenient::text")]
    pub status: Option<String>,
}

/// `/cluster/tasks`, without what is no task that we could name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct ClusterTasks(#[serde(deserialize_with = "lenient::entries")] pub Vec<ClusterTask>);

impl ClusterTask {
    /// How it ended, or nothing while it runs.
    pub fn end(&self) -> Option<&str> {
        self.endtime?;
        Some(self.status.as_deref().unwrap_or("unknown"))
    }
}
