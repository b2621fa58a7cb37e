//! The part of `deploy` that has a meaning on a single host.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::at::At;

/// How a service is deployed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deploy {
    /// How many containers.
    pub replicas: Option<u32>,
    /// What a container may use at most.
    pub limits: Option<ResourceLimits>,
    /// What a container is to have at least.
    pub reservations: Option<ResourceReservations>,
    /// When a container that ended is started again.
    pub restart_policy: Option<RestartPolicy>,
}

/// What a container may use at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceLimits {
    /// Billionths of a CPU.
    pub nano_cpus: Option<i64>,
    /// Bytes.
    pub memory: Option<i64>,
    /// Processes and threads.
    pub pids: Option<i64>,
}

/// What a container is to have at least.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceReservations {
    /// Billionths of a CPU. An engine has no such reservation.
    pub nano_cpus: Option<i64>,
    /// Bytes.
    pub memory: Option<i64>,
    /// Devices such as GPUs.
    pub devices: Vec<DeviceReservation>,
}

/// A request for devices such as GPUs: an entry of `gpus` or of `deploy.resources.reservations.devices`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceReservation {
    /// Where it is written.
    #[serde(skip)]
    pub at: At,
    /// What the device must be able to do (`gpu`).
    pub capabilities: Vec<String>,
    /// The driver.
    pub driver: Option<String>,
    /// How many; `-1` is all. Without, `device_ids` say which.
    pub count: Option<i64>,
    /// Which.
    pub device_ids: Vec<String>,
    /// Options for the driver.
    pub options: BTreeMap<String, String>,
}

/// When a container that ended is started again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestartPolicy {
    /// After which ends.
    pub condition: Option<RestartCondition>,
    /// How long to wait before. An engine has no such setting.
    pub delay: Option<Duration>,
    /// How often at most.
    pub max_attempts: Option<u32>,
    /// How long a container must run to count as started. An engine has no such setting.
    pub window: Option<Duration>,
}

/// After which ends a container is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartCondition {
    /// Never.
    None,
    /// After an exit code other than 0.
    OnFailure,
    /// Always.
    Any,
    /// Always, unless it was stopped.
    UnlessStopped,
}

impl RestartCondition {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::None, Self::OnFailure, Self::Any, Self::UnlessStopped];

    /// As compose files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::OnFailure => "on-failure",
            Self::Any => "any",
            Self::UnlessStopped => "unless-stopped",
        }
    }
}
