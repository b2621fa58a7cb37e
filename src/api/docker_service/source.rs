//! Where the content of a service comes from.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::common::SecretKeyRef;

/// Where the content of a service comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// An archive: ZIP, tar or tar.gz, told apart by what is in it.
    pub archive: ArchiveSource,
    /// The folder of the source that counts as its root: `deploy/site`. All of it without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[^/].*$"))]
    pub path: Option<String>,
    /// Paths of the source that outlast releases, since the service or its users write there: `uploads`, `storage/app`. Each becomes
    /// a volume of its own, which starts empty and is kept like every named volume. What is bound in the compose file and is
    /// not in the source is persistent by itself. All else in a folder that is bound is delivered anew with each release that
    /// changes it, and what was written there is gone then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "set"),
        inner(length(min = 1, max = 512), regex(pattern = "^[^/.][^\\\\]*$"))
    )]
    pub persistent_paths: Vec<String>,
}

/// An archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.configMapRef) != has(self.secretKeyRef)").message("give exactly one of configMapRef and secretKeyRef"))]
#[serde(rename_all = "camelCase")]
pub struct ArchiveSource {
    /// A key of a ConfigMap of the service's namespace that holds the archive, in `binaryData`. A ConfigMap holds 1 MiB at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapKeyRef>,
    /// A key of a Secret of the service's namespace that holds the archive. A Secret holds 1 MiB at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,
}

/// One key of a ConfigMap of the object's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap, in the namespace of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the ConfigMap's data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}
