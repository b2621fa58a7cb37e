//! A service: what its containers are made from.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::at::{At, Positions};
use super::build::Build;
use super::deploy::{Deploy, DeviceReservation, RestartCondition, RestartPolicy};
use super::mounts::{FileGrant, Mount, TmpfsMount, VolumesFrom};
use super::namespace::Namespace;
use super::network::NetworkAttachment;
use super::port::Port;
use super::resources::{BlkioConfig, Device, Ulimit};

/// A service. Sizes are bytes unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Where it is declared, and its attributes: `at.of("cap_add.0")`.
    #[serde(skip)]
    pub at: Positions,

    /// The image. `None` only where it is built, and then it is named `PROJECT-SERVICE`.
    pub image: Option<String>,
    /// How the image is built.
    pub build: Option<Build>,
    /// When the image is pulled.
    pub pull_policy: Option<PullPolicy>,
    /// The platform of the image, as in `linux/arm64`.
    pub platform: Option<String>,

    /// The command; the image's without, none at all if empty.
    pub command: Option<Vec<String>>,
    /// The entry point; the image's without, none at all if empty.
    pub entrypoint: Option<Vec<String>>,
    /// The environment, `env_file` included. A variable without a value is unset, whatever the image says.
    pub environment: BTreeMap<String, Option<String>>,
    /// User, and group behind a colon.
    pub user: Option<String>,
    /// Further groups.
    pub group_add: Vec<String>,
    /// The folder that the command starts in.
    pub working_dir: Option<String>,
    /// Whether a small init process reaps what the command leaves.
    pub init: Option<bool>,
    /// Whether there is a terminal.
    pub tty: bool,
    /// Whether standard input stays open.
    pub stdin_open: bool,
    /// The signal that asks the command to end.
    pub stop_signal: Option<String>,
    /// How long it may take to end before it is killed; 10 seconds without.
    pub stop_grace_period: Option<Duration>,
    /// Commands that run inside the container after it has started.
    pub post_start: Vec<Hook>,
    /// Commands that run inside the container before it is stopped.
    pub pre_stop: Vec<Hook>,

    /// How many containers; see [`Service::replicas`].
    pub scale: Option<u32>,
    /// How the service is deployed.
    pub deploy: Option<Deploy>,
    /// When a container that ended is started again, unless `deploy.restart_policy` says.
    pub restart: Option<Restart>,
    /// What has to be there before, by service: `depends_on`, and what links, shared namespaces and `volumes_from` imply.
    pub depends_on: BTreeMap<String, Dependency>,
    /// How its health is found out.
    pub healthcheck: Option<Healthcheck>,
    /// The profiles in which it runs; always if there is none.
    pub profiles: Vec<String>,
    /// Whether the command line shows its output. Without a meaning here.
    pub attach: Option<bool>,

    /// The container's name, which allows only one.
    pub container_name: Option<String>,
    /// The host name inside.
    pub hostname: Option<String>,
    /// The domain name inside.
    pub domainname: Option<String>,
    /// Labels of the containers, `label_file` included.
    pub labels: BTreeMap<String, String>,
    /// Annotations, which the engine hands to the runtime.
    pub annotations: BTreeMap<String, String>,
    /// Where the output goes.
    pub logging: Option<Logging>,

    /// The networks it is attached to, by key; empty with a `network_mode`.
    pub networks: BTreeMap<String, NetworkAttachment>,
    /// Whose network it lives in, instead of networks of its own.
    pub network_mode: Option<Namespace>,
    /// The published ports.
    pub ports: Vec<Port>,
    /// Ports that the containers listen on, as in `8080`, `8080/udp` or `8080-8085`.
    pub expose: Vec<String>,
    /// Services under further names.
    pub links: Vec<Link>,
    /// Containers outside of the project under further names.
    pub external_links: Vec<Link>,
    /// Addresses of further hosts.
    pub extra_hosts: BTreeMap<String, Vec<String>>,
    /// Name servers.
    pub dns: Vec<String>,
    /// Options of the resolver.
    pub dns_opt: Vec<String>,
    /// Search domains.
    pub dns_search: Vec<String>,
    /// The MAC address.
    pub mac_address: Option<String>,

    /// What is mounted.
    pub volumes: Vec<Mount>,
    /// The mounts of other containers.
    pub volumes_from: Vec<VolumesFrom>,
    /// File systems in memory.
    pub tmpfs: Vec<TmpfsMount>,
    /// The configs that it gets to see.
    pub configs: Vec<FileGrant>,
    /// The secrets that it gets to see.
    pub secrets: Vec<FileGrant>,
    /// Whether the root file system is read-only.
    pub read_only: bool,
    /// The size of `/dev/shm`.
    pub shm_size: Option<i64>,
    /// Options of the storage driver.
    pub storage_opt: BTreeMap<String, String>,

    /// Whether it has all rights on the host.
    pub privileged: bool,
    /// Capabilities beyond the usual.
    pub cap_add: Vec<String>,
    /// Usual capabilities that it does without.
    pub cap_drop: Vec<String>,
    /// Options of the security modules.
    pub security_opt: Vec<String>,
    /// Whose namespace for communication between processes.
    pub ipc: Option<Namespace>,
    /// Whose namespace for processes.
    pub pid: Option<Namespace>,
    /// Whose namespace for host names.
    pub uts: Option<Namespace>,
    /// Whose namespace for users.
    pub userns_mode: Option<Namespace>,
    /// Whose namespace for control groups.
    pub cgroup: Option<Namespace>,
    /// The control group that the containers' own are under.
    pub cgroup_parent: Option<String>,
    /// The runtime.
    pub runtime: Option<String>,
    /// Kernel settings.
    pub sysctls: BTreeMap<String, String>,
    /// Devices of the host.
    pub devices: Vec<Device>,
    /// Rules for devices, as in `c 1:3 mr`.
    pub device_cgroup_rules: Vec<String>,
    /// GPUs.
    pub gpus: Vec<DeviceReservation>,

    /// The most memory.
    pub mem_limit: Option<i64>,
    /// The memory that it is to have at least.
    pub mem_reservation: Option<i64>,
    /// Memory and swap together; `-1` is unlimited.
    pub memswap_limit: Option<i64>,
    /// How readily its memory is swapped out, 0 to 100.
    pub mem_swappiness: Option<i64>,
    /// Whether the kernel never kills it for want of memory.
    pub oom_kill_disable: bool,
    /// How readily the kernel kills it for want of memory, -1000 to 1000.
    pub oom_score_adj: Option<i64>,
    /// Billionths of a CPU (`cpus`).
    pub nano_cpus: Option<i64>,
    /// The CPUs that it may run on, as in `0-3`.
    pub cpuset: Option<String>,
    /// The weight among all containers.
    pub cpu_shares: Option<i64>,
    /// Microseconds of CPU in each `cpu_period`.
    pub cpu_quota: Option<i64>,
    /// Microseconds.
    pub cpu_period: Option<i64>,
    /// Microseconds of real-time CPU in each `cpu_rt_period`.
    pub cpu_rt_runtime: Option<i64>,
    /// Microseconds.
    pub cpu_rt_period: Option<i64>,
    /// The most processes and threads; `-1` is unlimited.
    pub pids_limit: Option<i64>,
    /// Limits of processes, by kind.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Weights and limits of block devices.
    pub blkio_config: Option<BlkioConfig>,
}

impl Service {
    /// How many containers: `scale` or `deploy.replicas`, which may not contradict one another; 1 without.
    pub fn replicas(&self) -> u32 {
        self.scale.or_else(|| self.deploy.as_ref().and_then(|deploy| deploy.replicas)).unwrap_or(1)
    }

    /// When its containers are started again: `deploy.restart_policy`, else `restart`. Delays and windows are Swarm's, and an
    /// engine takes a number of attempts for failures only.
    pub fn restarts(&self) -> Option<Restart> {
        let Some(RestartPolicy { condition, delay: _, max_attempts, window: _ }) =
            self.deploy.as_ref().and_then(|deploy| deploy.restart_policy.as_ref())
        else {
            return self.restart;
        };
        Some(match condition {
            None | Some(RestartCondition::Any) => Restart::Always,
            Some(RestartCondition::None) => Restart::No,
            Some(RestartCondition::OnFailure) => Restart::OnFailure(*max_attempts),
            Some(RestartCondition::UnlessStopped) => Restart::UnlessStopped,
        })
    }

    /// Its networks, the primary one first: by priority, then by name.
    pub fn networks_by_priority(&self) -> Vec<(&str, &NetworkAttachment)> {
        let mut networks: Vec<_> = self.networks.iter().map(|(name, attachment)| (name.as_str(), attachment)).collect();
        networks.sort_by_key(|(_, attachment)| std::cmp::Reverse(attachment.priority));
        networks
    }
}

/// When the image is pulled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullPolicy {
    /// Each time.
    Always,
    /// Not at all.
    Never,
    /// If the host does not have it.
    Missing,
    /// Not at all: it is built.
    Build,
    /// If it was pulled longer ago than this.
    Every(Duration),
}

/// When a container that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// Never.
    No,
    /// Always.
    Always,
    /// Always, unless it was stopped.
    UnlessStopped,
    /// After an exit code other than 0, at most so many times.
    OnFailure(Option<u32>),
}

/// What has to be there before a service starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// Where it is written, or what implies it.
    #[serde(skip)]
    pub at: At,
    /// What the other must have reached.
    pub condition: Condition,
    /// Whether this one restarts when the other is recreated or restarted on purpose.
    pub restart: bool,
    /// Whether it is an error if the other is not there.
    pub required: bool,
}

/// What a service must have reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It was started.
    #[default]
    ServiceStarted,
    /// It is healthy.
    ServiceHealthy,
    /// It ended with exit code 0.
    ServiceCompletedSuccessfully,
}

impl Condition {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ServiceStarted, Self::ServiceHealthy, Self::ServiceCompletedSuccessfully];

    /// As compose files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceStarted => "service_started",
            Self::ServiceHealthy => "service_healthy",
            Self::ServiceCompletedSuccessfully => "service_completed_successfully",
        }
    }
}

/// How the health of a container is found out. What is not said, the image or the engine says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Healthcheck {
    /// `CMD` and a command, `CMD-SHELL` and a line for the shell, or `NONE`; the image's test if empty.
    pub test: Vec<String>,
    /// How long from one test to the next.
    pub interval: Option<Duration>,
    /// How long a test may take.
    pub timeout: Option<Duration>,
    /// How many must fail in a row.
    pub retries: Option<u32>,
    /// How long failures do not count after the start.
    pub start_period: Option<Duration>,
    /// How long from one test to the next in the start period.
    pub start_interval: Option<Duration>,
    /// Whether there is none, whatever the image says.
    pub disable: bool,
}

/// A command that runs inside a container at a point of its life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hook {
    /// Where it is written.
    #[serde(skip)]
    pub at: At,
    /// The command.
    pub command: Vec<String>,
    /// The user; the container's without.
    pub user: Option<String>,
    /// Whether it has all rights on the host.
    pub privileged: bool,
    /// The folder it starts in; the container's without.
    pub working_dir: Option<String>,
    /// Further variables.
    pub environment: BTreeMap<String, Option<String>>,
}

/// Where the output goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Logging {
    /// The log driver; the engine's default without.
    pub driver: Option<String>,
    /// Options for the driver.
    pub options: BTreeMap<String, String>,
}

/// Another container under a further name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Where it is written.
    #[serde(skip)]
    pub at: At,
    /// The service, or the container if it is an external link.
    pub target: String,
    /// The further name; the target's own without.
    pub alias: Option<String>,
}
