//! Limits and devices of a single container.

use serde::{Deserialize, Serialize};

use super::at::At;

/// A device of the host that the container gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Where it is written.
    #[serde(skip)]
    pub at: At,
    /// The path on the host, or the name of a device of the Container Device Interface (`vendor.com/class=name`).
    pub source: String,
    /// The path inside the container.
    pub target: String,
    /// Some of `r`, `w`, `m`.
    pub permissions: String,
}

/// A limit of a kind of resource: `-1` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ulimit {
    /// The same value for both.
    Single(i64),
    /// Values of their own.
    Pair {
        /// What is in force, which the process may raise.
        soft: i64,
        /// How far it may raise it.
        hard: i64,
    },
}

impl Ulimit {
    /// What is in force.
    pub fn soft(self) -> i64 {
        match self {
            Self::Single(value) => value,
            Self::Pair { soft, .. } => soft,
        }
    }

    /// How far the process may raise it.
    pub fn hard(self) -> i64 {
        match self {
            Self::Single(value) => value,
            Self::Pair { hard, .. } => hard,
        }
    }
}

/// Weights and limits of block devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlkioConfig {
    /// The weight among all containers, 10 to 1000.
    pub weight: Option<u16>,
    /// The weight on single devices.
    pub weight_device: Vec<BlkioWeight>,
    /// Bytes per second read.
    pub device_read_bps: Vec<BlkioThrottle>,
    /// Read operations per second.
    pub device_read_iops: Vec<BlkioThrottle>,
    /// Bytes per second written.
    pub device_write_bps: Vec<BlkioThrottle>,
    /// Write operations per second.
    pub device_write_iops: Vec<BlkioThrottle>,
}

/// The weight on one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlkioWeight {
    /// The device's path on the host.
    pub path: String,
    /// The weight, 10 to 1000.
    pub weight: u16,
}

/// The limit on one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlkioThrottle {
    /// The device's path on the host.
    pub path: String,
    /// Bytes or operations per second.
    pub rate: i64,
}
