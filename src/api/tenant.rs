//! What the administrator of a `ProxmoxCluster` lets its tenants ask for: closed unless opened.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{common::VmidRange, size::Size};

/// A set of namespaces that may use the cluster, and what they may ask for. Where several entries select a namespace, the
/// first of them decides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// Labels of the namespaces. An empty selector means every namespace; one namespace is selected by its label
    /// `kubernetes.io/metadata.name`.
    pub namespace_selector: LabelSelector,
    /// What these namespaces may ask for beyond an operating system of `spec.templates`, its size and its power. Without
    /// it nothing of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Allow>,
    /// The most that these namespaces may ask for. What is not named is not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// What namespaces may ask for. Names may end in `*`, which stands for any ending.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Allow {
    /// Templates that a machine may name itself, by `spec.template`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub templates: Option<AllowedTemplates>,
    /// VMIDs of existing machines that may be adopted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub adoption: Vec<VmidRange>,
    /// Bridges and VLANs that a network card may be on. A machine that names none keeps those of its template.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub networks: Vec<AllowedNetwork>,
    /// What an own MAC address may begin with: `BC:24:11`, or `BC:24:11:0A`. One that another machine has is refused in any
    /// case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 17), regex(pattern = "^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){0,5}$")))]
    pub mac_prefixes: Vec<String>,
    /// Networks that a static address may be of: `10.20.0.0/16`. One that another machine has is refused in any case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 49), regex(pattern = "^[0-9A-Fa-f.:]+/[0-9]{1,3}$")))]
    pub addresses: Vec<String>,
    /// Storages that a disk may name. A disk that names none is where that of the template is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 100), regex(pattern = "^[^*]*[*]?$")))]
    pub storages: Vec<String>,
    /// Pools that a machine may be put into.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128), regex(pattern = "^[^*]*[*]?$")))]
    pub pools: Vec<String>,
}

/// Templates that a machine may name itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllowedTemplates {
    /// Names of templates in Proxmox.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = "^[^*]*[*]?$")))]
    pub names: Vec<String>,
    /// VMIDs of templates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub vmids: Vec<VmidRange>,
}

/// A bridge, and the VLANs on it, that a network card may be on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllowedNetwork {
    /// Name of the bridge.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[^*]*[*]?$"))]
    pub bridge: String,
    /// VLAN tags, one of which a network card has to have there. Without any a card has none: on a bridge that is aware of
    /// VLANs, such a card reaches all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub vlans: Vec<VlanRange>,
}

/// A closed range of VLAN tags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.from <= self.to").message("from must not be greater than to"))]
#[serde(rename_all = "camelCase")]
pub struct VlanRange {
    /// First tag of the range.
    #[schemars(range(min = 1, max = 4094))]
    pub from: i64,
    /// Last tag of the range, itself included.
    #[schemars(range(min = 1, max = 4094))]
    pub to: i64,
}

/// The most that namespaces may ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// CPU cores of a machine, over all its sockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub cores: Option<i64>,
    /// Memory of a machine: `16Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Size of each disk: `200Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_size: Option<Size>,
    /// Disks of a machine, the one that it boots from included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub disks: Option<i64>,
    /// Machines that a namespace may have in this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub machines: Option<i64>,
}
