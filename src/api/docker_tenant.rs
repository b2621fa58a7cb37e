//! What the administrator of a `DockerHost` lets its tenants ask for: closed unless opened.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::size::Size;

/// A set of namespaces that may use the host, and what they may ask for. Where several entries select a namespace, the first of
/// them decides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DockerTenant {
    /// Labels of the namespaces. An empty selector means every namespace; one namespace is selected by its label
    /// `kubernetes.io/metadata.name`.
    pub namespace_selector: LabelSelector,
    /// What these namespaces may ask for. Without it not even an image: `allow: {images: ["*"]}` is the least that is of use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<DockerAllow>,
    /// What a container gets that asks for no limit of its own. Without it the limit, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defaults: Option<ContainerLimits>,
    /// The most that these namespaces may ask for. What is not named is not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<DockerLimits>,
}

/// What namespaces may ask for. Names may end in `*`, which stands for any ending.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DockerAllow {
    /// Images, by registry and repository as written in full: `docker.io/library/*`, `registry.example.com/shop/web`. A tag
    /// belongs to what may be named: `docker.io/library/nginx:1.29`. Only `*` means all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 128),
        inner(length(min = 1, max = 253), regex(pattern = "^([*]|[^*/]+(/[^*]*)?/[^*]*[*]?)$"))
    )]
    pub images: Vec<String>,
    /// Ports of the host that a container may publish.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub ports: Vec<AllowedPorts>,
    /// Folders and files of the host that may be mounted. The engine's socket needs `engineSocket` besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub host_paths: Vec<AllowedHostPath>,
    /// Whether the engine's socket may be mounted, or a folder that holds it. Whoever has it is root on the host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub engine_socket: bool,
    /// Whether a container, or a command run in it, may be privileged. Whoever is so is root on the host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub privileged: bool,
    /// Capabilities that may be added to those that Docker gives to every container, without `CAP_`; `ALL` must be named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63), regex(pattern = "^[A-Z_]+$")))]
    pub capabilities: Vec<String>,
    /// Namespaces of the host that a container may share.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 6), extend("x-kubernetes-list-type" = "set"))]
    pub host_namespaces: Vec<HostNamespace>,
    /// Devices of the host, by their path or by the name of a CDI device: `/dev/ttyUSB*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = "^[^*]*[*]?$")))]
    pub devices: Vec<String>,
    /// Rules for the device cgroup, as they are written in the compose file: `c 188:* rwm`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)))]
    pub device_cgroup_rules: Vec<String>,
    /// Whether GPUs and other devices may be reserved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gpus: bool,
    /// Security options, as they are written in the compose file: `apparmor:shop-*`. `no-new-privileges:true` is always
    /// allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = "^[^*]*[*]?$")))]
    pub security_options: Vec<String>,
    /// Kernel parameters of a container: `net.core.somaxconn`, `net.ipv4.*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = "^[^*]*[*]?$")))]
    pub sysctls: Vec<String>,
    /// Ulimits besides `nofile`, `nproc`, `core`, `stack`, `data`, `fsize`, `cpu`, `as` and `rss`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63), regex(pattern = "^[a-z]+$")))]
    pub ulimits: Vec<String>,
    /// Container runtimes besides `runc`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253), regex(pattern = "^[^*]*[*]?$")))]
    pub runtimes: Vec<String>,
    /// Parents of a container's cgroup.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253), regex(pattern = "^[^*]*[*]?$")))]
    pub cgroup_parents: Vec<String>,
    /// Whether a container may put itself before those of others: CPU and disk weights above Docker's own, realtime scheduling,
    /// being spared when memory runs out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub precedence: bool,
    /// Logging drivers besides `json-file`, `local` and `none`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253), regex(pattern = "^[^*]*[*]?$")))]
    pub log_drivers: Vec<String>,
    /// OCI annotations, which runtimes act on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253), regex(pattern = "^[^*]*[*]?$")))]
    pub annotations: Vec<String>,
    /// Options of a storage driver for a container's own file system.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253), regex(pattern = "^[^*]*[*]?$")))]
    pub storage_options: Vec<String>,
    /// Names that a service gives to its containers, networks and volumes itself (`container_name`, `name`). They are the
    /// host's, and whoever takes one keeps others from it. Those that begin with the project's own name are always allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = "^[^*]*[*]?$")))]
    pub names: Vec<String>,
    /// Containers that are not the service's own and whose network, processes, IPC or volumes it may share, or that it may
    /// link to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = "^[^*]*[*]?$")))]
    pub containers: Vec<String>,
    /// External networks that a service may join, by their names on the host. Docker's own `bridge` is one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = "^[^*]*[*]?$")))]
    pub external_networks: Vec<String>,
    /// External volumes that a service may mount, by their names on the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = "^[^*]*[*]?$")))]
    pub external_volumes: Vec<String>,
    /// Network drivers besides `bridge`: `macvlan` and `ipvlan` put a container on the host's own network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253), regex(pattern = "^[^*]*[*]?$")))]
    pub network_drivers: Vec<String>,
    /// Options of a network's driver, of its address management and of a container's place in it:
    /// `com.docker.network.driver.mtu`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = "^[^*]*[*]?$")))]
    pub network_options: Vec<String>,
    /// Networks that a subnet of a service's own may be part of: `10.200.0.0/16`. The host routes a subnet to its bridge,
    /// so one that overlaps with something else takes that away from everybody on the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 49), regex(pattern = "^[0-9A-Fa-f.:]+/[0-9]{1,3}$")))]
    pub subnets: Vec<String>,
    /// Volume drivers besides `local`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253), regex(pattern = "^[^*]*[*]?$")))]
    pub volume_drivers: Vec<String>,
    /// File systems that the driver `local` may mount, besides `tmpfs`: `nfs`, `cifs`. A `bind` of a folder of the host
    /// needs `hostPaths` instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63), regex(pattern = "^[a-z0-9._-]+$")))]
    pub file_systems: Vec<String>,
    /// Whether labels and variables may be set that a proxy on the host reads, as `traefik.*`, `caddy*` and `VIRTUAL_HOST`:
    /// with them a service can take over the host name of another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proxy_labels: bool,
    /// Host names outside of the proxy's domain that a service may have: `www.example.org`, `*.example.org` for all below it. Those
    /// below the domain are given to who asks first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = "^([*][.])?[a-z0-9.-]+$")))]
    pub host_names: Vec<String>,
    /// Whether images may be built on the host, and how. Without it none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<AllowedBuild>,
}

/// Ports of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.from <= self.to").message("from must not be greater than to"))]
#[serde(rename_all = "camelCase")]
pub struct AllowedPorts {
    /// First port of the range. A port that the engine may choose needs all from 32768 to 60999.
    #[schemars(range(min = 1, max = 65_535))]
    pub from: i64,
    /// Last port of the range, itself included.
    #[schemars(range(min = 1, max = 65_535))]
    pub to: i64,
    /// The addresses of the host on which they may be published. Without any, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 2, max = 45), regex(pattern = "^[0-9A-Fa-f:.]+$")))]
    pub host_ips: Vec<String>,
}

/// A folder or file of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllowedHostPath {
    /// Its path; what lies in it is allowed too. Links in it that tenants can make lead out of it: share no folder that a
    /// tenant can write and another mounts a part of.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^/([^/]+/)*[^/]*$"))]
    pub path: String,
    /// Whether it may be mounted only for reading.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
}

/// How images may be built. A build runs what its author wrote on the host, without a container's limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllowedBuild {
    /// Contexts that the engine fetches itself, by the beginning of their URL: `https://git.example.com/shop/*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = "^[^*]*[*]?$")))]
    pub remote_contexts: Vec<String>,
    /// Whether a build may be privileged or be granted an entitlement, such as the network of the host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub privileged: bool,
}

/// A namespace of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum HostNamespace {
    /// Its network: all its ports and addresses, and what listens on its loopback address.
    Network,
    /// Its processes.
    Pid,
    /// Its shared memory and message queues.
    Ipc,
    /// Its name.
    Uts,
    /// Its users, where the engine maps them otherwise.
    User,
    /// Its control groups.
    Cgroup,
}

/// What a container gets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.cpus) || self.cpus > 0.0").message("give more than 0 CPUs").field_path(".cpus"))]
#[serde(rename_all = "camelCase")]
pub struct ContainerLimits {
    /// CPUs; parts of one are allowed: `0.5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1024))]
    pub cpus: Option<f64>,
    /// Memory: `512Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_194_304))]
    pub pids: Option<i64>,
}

/// The most that namespaces may ask for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.cpus) || self.cpus > 0.0").message("give more than 0 CPUs").field_path(".cpus"))]
#[serde(rename_all = "camelCase")]
pub struct DockerLimits {
    /// CPUs of a container; parts of one are allowed: `1.5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1024))]
    pub cpus: Option<f64>,
    /// Memory of a container: `2Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Processes and threads of a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_194_304))]
    pub pids: Option<i64>,
    /// Containers of a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub containers: Option<i64>,
    /// Services that a namespace may have on this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub services: Option<i64>,
    /// What a service's source may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentLimits>,
}

/// The most that a source may hold, once it is unpacked. What is not named has the limit that its description tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContentLimits {
    /// All its files: `1Gi` without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// One file: `512Mi` without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_size: Option<Size>,
    /// Files, folders and links: 100,000 without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub entries: Option<i64>,
    /// Folders inside of one another: 64 without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub depth: Option<i64>,
    /// How many times as large an archive may be once it is unpacked: 200 without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub ratio: Option<i64>,
}
