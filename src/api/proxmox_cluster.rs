//! `ProxmoxCluster`: how to reach Proxmox, and what tenants may do there.

// Each column of the table has a type.
#![allow(clippy::duplicated_attributes)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    common::{NameRef, VmidRange},
    conditions::Conditioned,
    size::Size,
    tenant::Tenant,
};

/// A Proxmox VE cluster behind one or several endpoints, or a set of stand-alone hosts: how to reach them, the order
/// of their nodes, the templates for each operating system, and which namespaces may use them.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "cloudfaster.app",
    version = "v1alpha1",
    kind = "ProxmoxCluster",
    shortname = "pxc",
    category = "cloudfaster",
    status = "ProxmoxClusterStatus",
    derive = "PartialEq",
    doc = "A Proxmox VE cluster, or a set of stand-alone hosts, on which ProxmoxVMs are made.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(
        name = "Nodes",
        type_ = "string",
        json_path = ".status.nodesReady",
        description = "Nodes that answer, of those named"
    ),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    )
)]
#[x_kube(validation = Rule::new("(has(self.endpoints) && size(self.endpoints) > 0) || self.nodes.all(n, has(n.endpoint))").message("name the cluster's endpoints, or give every node an endpoint of its own"))]
#[serde(rename_all = "camelCase")]
pub struct ProxmoxClusterSpec {
    /// URLs of the Proxmox API, such as `https://10.0.0.1:8006`, each of a node of one and the same Proxmox cluster; the
    /// next one is asked when one does not answer. Stand-alone hosts have an endpoint at their node instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 253), regex(pattern = "^https://[^/]+/?$")), extend("x-kubernetes-list-type" = "set"))]
    pub endpoints: Vec<String>,
    /// Where the credentials are.
    pub credentials: Credentials,
    /// How the servers' certificates are checked. Without it the system's certificate authorities decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The nodes on which machines may be made, in the order in which they are tried.
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub nodes: Vec<Node>,
    /// The template for each operating system. A node can override it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["os"]))]
    pub templates: Vec<Template>,
    /// VMIDs for the machines of an operating system.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["os"]))]
    pub vmid_ranges: Vec<OsVmidRange>,
    /// VMIDs for operating systems that have no range or whose range is used up.
    #[serde(default = "default_fallback_range")]
    pub fallback_vmid_range: VmidRange,
    /// What is kept free on each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserve: Option<Reserve>,
    /// How many clones may run at a time. Machines wait for their turn.
    #[serde(default)]
    pub clones: CloneLimits,
    /// Who may make machines here, and what they may ask for. Nobody, if the list is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub tenants: Vec<Tenant>,
    /// Tags that no tenant may put on a machine; a name may end in `*`, which stands for any ending. `cloudfaster`, whatever
    /// begins so, and the tags that `templates` name are reserved in any case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 127), regex(pattern = "^[^*]*[*]?$")))]
    pub reserved_tags: Vec<String>,
}

fn default_fallback_range() -> VmidRange {
    VmidRange { from: 9000, to: 9999 }
}

/// How many clones may run at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloneLimits {
    /// Clones on a node, of all its templates.
    #[serde(default = "default_clones_per_node")]
    #[schemars(range(min = 1, max = 1_000))]
    pub per_node: i64,
    /// Clones of one template of a node. With more than two, those on LVM and ZFS run into each other's storage locks.
    #[serde(default = "default_clones_per_template")]
    #[schemars(range(min = 1, max = 1_000))]
    pub per_template: i64,
}

impl Default for CloneLimits {
    fn default() -> Self {
        Self { per_node: default_clones_per_node(), per_template: default_clones_per_template() }
    }
}

fn default_clones_per_node() -> i64 {
    4
}

fn default_clones_per_template() -> i64 {
    2
}

/// Where the credentials for Proxmox are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// A Secret in the operator's namespace with the keys `tokenId` (`USER@REALM!NAME`) and `tokenSecret` of an API
    /// token, or `username` (`USER@REALM`) and `password`.
    pub secret_ref: NameRef,
}

/// How a server's certificate is checked; at most one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.caBundle), has(self.fingerprints), has(self.insecureSkipVerify) && self.insecureSkipVerify].filter(x, x).size() <= 1").message("give at most one of caBundle, fingerprints and insecureSkipVerify"))]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Certificates of the authorities to trust, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536))]
    pub ca_bundle: Option<String>,
    /// SHA-256 fingerprints of the servers' certificates, as Proxmox shows them: `AB:CD:…`, 32 bytes. Each node of a
    /// cluster has a certificate of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 95), regex(pattern = "^([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}$")))]
    pub fingerprints: Vec<String>,
    /// Accept any certificate. Whoever is on the network path can then read the credentials; a condition warns of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_skip_verify: Option<bool>,
}

/// A node on which machines may be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Name of the node in this list, unique.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Proxmox's own name of the node, where it differs: stand-alone hosts are often all called `pve`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub proxmox_name: Option<String>,
    /// URL of the Proxmox API of a stand-alone host. Nodes without it belong to the cluster behind `spec.endpoints`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = "^https://[^/]+/?$"))]
    pub endpoint: Option<String>,
    /// How the certificate of a stand-alone host is checked, where it differs from `spec.tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// No new machines on this node.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cordoned: bool,
    /// Templates of this node, where they differ from `spec.templates`: template ids differ from node to node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["os"]))]
    pub templates: Vec<Template>,
}

/// The template for an operating system, by VMID, by name or by tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.vmid), has(self.name), has(self.tag)].filter(x, x).size() == 1").message("give exactly one of vmid, name and tag"))]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// Name of the operating system, as machines ask for it: `UBUNTU24_SERVER`.
    #[schemars(length(min = 1, max = 63))]
    pub os: String,
    /// VMID of the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 999_999_999))]
    pub vmid: Option<i64>,
    /// Name of the template in Proxmox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
    /// Tag that the template has and no other template of its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 127))]
    pub tag: Option<String>,
}

/// VMIDs for the machines of an operating system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.from <= self.to").message("from must not be greater than to"))]
#[serde(rename_all = "camelCase")]
pub struct OsVmidRange {
    /// Name of the operating system.
    #[schemars(length(min = 1, max = 63))]
    pub os: String,
    /// First VMID of the range; Proxmox begins at 100.
    #[schemars(range(min = 100, max = 999_999_999))]
    pub from: i64,
    /// Last VMID of the range, itself included.
    #[schemars(range(min = 100, max = 999_999_999))]
    pub to: i64,
}

/// What is kept free on each node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reserve {
    /// Memory that no machine gets: `2Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Room kept free on the storage that a machine's disks go to: `20Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Size>,
}

/// What was observed of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxmoxClusterStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Ready`, `Reconciling` and `Stalled`; `TLSVerified`, `RightsSufficient` and `TemplatesFound` are there when they are
    /// false, `Paused` when it is true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Proxmox VE's version, of the first endpoint that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Nodes that are online, of those named: `4/5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_ready: Option<String>,
    /// Clones that run, whoever began them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_clones: Option<i64>,
    /// Each operating system of the spec, and how many nodes have a template for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["os"]))]
    pub templates: Vec<OsStatus>,
    /// Each node, in the order of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub nodes: Vec<NodeStatus>,
    /// VMIDs that were released and by which clients of the REST API may still know a machine. Each rests for seven days before
    /// a machine of another user of that API gets it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["vmid"]))]
    pub resting_vmids: Vec<RestingVmid>,
    /// Secrets of the operator's namespace that are held by its finalizer for this cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub held_secrets: Vec<String>,
}

/// A VMID that was released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestingVmid {
    /// The VMID that rests.
    pub vmid: i64,
    /// The user whose machine had it, by the label `cloudfaster.app/user`.
    pub owner: String,
    /// When it was released.
    pub released: Time,
}

impl Conditioned for ProxmoxCluster {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    fn conditions_mut(&mut self) -> (&mut Vec<Condition>, Option<&mut Option<String>>) {
        let status = self
            .status
            .get_or_insert_with(|| ProxmoxClusterStatus { observed_generation: -1, ..ProxmoxClusterStatus::default() });
        (&mut status.conditions, None)
    }
}

/// On how many nodes there is a template for an operating system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OsStatus {
    /// Name of the operating system.
    pub os: String,
    /// Nodes on which its template was found.
    pub nodes: i64,
}

/// What was observed of a node. Figures that come and go are told anew only when they have changed by a twentieth.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Name of the node, as in the spec.
    pub name: String,
    /// Whether the node is online.
    pub online: bool,
    /// Proxmox VE's version, of the cluster or host that the node belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Templates that were found, by operating system.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["os"]))]
    pub templates: Vec<FoundTemplate>,
    /// Memory that neither is used nor has been promised to a machine, in GiB: `48Gi`. The reserve is part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_free: Option<String>,
    /// Memory in all, in GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_total: Option<String>,
    /// Number of CPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<i64>,
    /// Load of all CPUs together, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_load: Option<i64>,
    /// Storages that can hold disks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub storages: Vec<StorageStatus>,
    /// Clones that run on the node, whoever began them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_clones: Option<i64>,
    /// Why the node cannot be used, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When `online` or `message` last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// A template that was found on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FoundTemplate {
    /// Name of the operating system.
    pub os: String,
    /// VMID of the template.
    pub vmid: i64,
    /// The node that has it on a shared storage, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// What was observed of a storage, as its node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageStatus {
    /// Name of the storage.
    pub name: String,
    /// Whether it works at the moment.
    pub active: bool,
    /// Whether other nodes see the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
    /// Room that is left, in GiB, at most.
    pub free: String,
    /// Room in all, in GiB.
    pub total: String,
}
