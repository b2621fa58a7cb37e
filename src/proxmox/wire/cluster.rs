//! The cluster as a whole: version, members, resources, permissions.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Vmid, lenient};

/// `/version`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// `9.2.11`.
    pub version: String,
    /// `9.2`.
    #[serde(default)]
    pub release: String,
}

/// An entry of `/cluster/status`: the cluster itself (a stand-alone host has none), or a node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ClusterEntry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, deserialize_with = "lenient::string")]
    name: String,
    #[serde(default, deserialize_with = "lenient::text")]
    ip: Option<String>,
    #[serde(default, deserialize_with = "lenient::maybe_boolean")]
    quorate: Option<bool>,
    #[serde(default, deserialize_with = "lenient::maybe_boolean")]
    online: Option<bool>,
    #[serde(default, deserialize_with = "lenient::boolean")]
    local: bool,
}

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeMember {
    /// Proxmox's own name of it.
    pub name: String,
    /// Its address in the cluster's network.
    pub ip: Option<String>,
    /// Whether the answering node sees it.
    pub online: bool,
    /// Whether it is the one that answered.
    pub local: bool,
}

/// `/cluster/status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Vec<ClusterEntry>")]
pub struct ClusterStatus {
    /// The cluster's name; a stand-alone host has none.
    pub name: Option<String>,
    /// Whether the answering node has quorum; a stand-alone host always has.
    pub quorate: bool,
    /// The members, by name.
    pub nodes: Vec<NodeMember>,
}

impl From<Vec<ClusterEntry>> for ClusterStatus {
    fn from(entries: Vec<ClusterEntry>) -> Self {
        let mut status = Self { quorate: true, ..Self::default() };
        for entry in entries {
            match entry.kind.as_str() {
                "cluster" => {
                    status.name = Some(entry.name);
                    status.quorate = entry.quorate.unwrap_or(false);
                }
                "node" => status.nodes.push(NodeMember {
                    name: entry.name,
                    ip: entry.ip,
                    online: entry.online.unwrap_or(false),
                    local: entry.local,
                }),
                _ => {}
            }
        }
        status.nodes.sort();
        status
    }
}

/// An entry of `/cluster/resources`. `status`, `name` and the load lag by up to ten seconds;
/// existence, `template`, `tags` and `lock` do not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Resource {
    /// `qemu`, `lxc`, `node`, `storage`, `pool`, `sdn`, …
    #[serde(rename = "type", deserialize_with = "lenient::string")]
    pub kind: String,
    #[serde(deserialize_with = "lenient::integer")]
    pub vmid: Option<Vmid>,
    /// Proxmox's own name of the node.
    #[serde(deserialize_with = "lenient::string")]
    pub node: String,
    #[serde(deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// `running`, `stopped`, `unknown`; for nodes `online`, `offline`, `unknown`; for storages `available`.
    #[serde(deserialize_with = "lenient::text")]
    pub status: Option<String>,
    #[serde(deserialize_with = "lenient::boolean")]
    pub template: bool,
    #[serde(deserialize_with = "lenient::text")]
    pub lock: Option<String>,
    #[serde(deserialize_with = "lenient::names")]
    pub tags: Vec<String>,
    /// The pool that a guest is in.
    #[serde(deserialize_with = "lenient::text")]
    pub pool: Option<String>,
    /// Bytes.
    #[serde(deserialize_with = "lenient::integer")]
    pub mem: Option<u64>,
    /// Bytes.
    #[serde(deserialize_with = "lenient::integer")]
    pub maxmem: Option<u64>,
    /// Bytes in use (of a storage).
    #[serde(deserialize_with = "lenient::integer")]
    pub disk: Option<u64>,
    /// Bytes in all.
    #[serde(deserialize_with = "lenient::integer")]
    pub maxdisk: Option<u64>,
    #[serde(deserialize_with = "lenient::integer")]
    pub maxcpu: Option<u32>,
    /// Load of all CPUs together, in thousandths.
    #[serde(deserialize_with = "lenient::thousandths")]
    pub cpu: Option<u32>,
    /// Seconds.
    #[serde(deserialize_with = "lenient::integer")]
    pub uptime: Option<u64>,
    /// A storage's name.
    #[serde(deserialize_with = "lenient::text")]
    pub storage: Option<String>,
    /// What a storage may hold: `images`, `rootdir`, `iso`, …
    #[serde(deserialize_with = "lenient::names")]
    pub content: Vec<String>,
    #[serde(deserialize_with = "lenient::boolean")]
    pub shared: bool,
}

/// `/access/permissions`: path to privilege to whether it is inherited further down.
pub type Permissions = BTreeMap<String, BTreeMap<String, serde_json::Value>>;
