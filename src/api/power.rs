//! Whether a machine runs, and how that changes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The annotation that asks for a restart: each new value restarts the machine once, as `kubectl rollout restart` does.
pub const RESTARTED_AT: &str = "cloudfaster.app/restartedAt";

/// Whether a machine runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PowerState {
    /// It runs; when the guest ends by itself, it is started again.
    #[default]
    Running,
    /// It does not run.
    Stopped,
    /// It keeps its memory and does not go on.
    Paused,
}

/// How a guest is asked to shut down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shutdown {
    /// Seconds that the guest has to shut down cleanly.
    #[serde(default = "default_timeout")]
    #[schemars(range(min = 1, max = 3600))]
    pub timeout_seconds: i64,
    /// Whether the machine is ended hard when that time is over, as by pulling the plug. Without it the guest is asked
    /// again, later and later.
    #[serde(default)]
    pub force_after_timeout: bool,
}

fn default_timeout() -> i64 {
    180
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { timeout_seconds: default_timeout(), force_after_timeout: false }
    }
}

/// The last start of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// When it was started.
    pub at: Time,
    /// How many starts there were in a row, each soon after the one before; a guest that ends again and again by itself is
    /// started later and later.
    pub count: i64,
}
