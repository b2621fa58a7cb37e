//! Where the content of a service comes from.

use kube::{KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::common::{NameRef, SecretKeyRef};

/// An annotation of a service: each new value asks at once whether its source has something newer.
pub const FETCH_AT: &str = "cloudfaster.app/fetchAt";

/// Where the content of a service comes from: a repository or an archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.git) != has(self.archive)").message("give exactly one of git and archive"))]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// A git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitSource>,
    /// An archive: ZIP, tar or tar.gz, told apart by what is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<ArchiveSource>,
    /// The folder of the source that counts as its root: `deploy/site`. All of it without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[^/\\s].*$"))]
    pub path: Option<String>,
    /// Paths of the source that outlast releases, since the service or its users write there: `uploads`, `storage/app`. Each becomes
    /// a volume of its own, which starts empty and is kept like every named volume. What is bound in the compose file and is
    /// not in the source is persistent by itself. All else in a folder that is bound is delivered anew with each release that
    /// changes it, and what was written there is gone then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "set"),
        inner(length(min = 1, max = 512), regex(pattern = "^[^/.\\s][^\\\\]*$"))
    )]
    pub persistent_paths: Vec<String>,
}

/// A git repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.branch), has(self.tag), has(self.commit), has(self.version)].filter(given, given).size() <= 1").message("give at most one of branch, tag, commit and version"))]
#[serde(rename_all = "camelCase")]
pub struct GitSource {
    /// The repository's URL: `https://git.example.com/shop/site.git`, `ssh://git@git.example.com/shop/site.git` or
    /// `git@git.example.com:shop/site.git`. It holds no password.
    #[schemars(length(min = 1, max = 2048))]
    pub url: String,
    /// A branch, whose newest commit is deployed. Without any of `branch`, `tag`, `commit` and `version` it is the repository's
    /// own default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub branch: Option<String>,
    /// A tag, wherever it points to by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub tag: Option<String>,
    /// A commit, by its whole hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40), regex(pattern = "^[0-9a-f]{40}$"))]
    pub commit: Option<String>,
    /// A range of versions, as in `1.2`, `>=1.2, <2` or `~1.4`: the tag with the highest version in it is deployed. Tags may begin
    /// with `v`. Pre-releases count only if the range names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub version: Option<String>,
    /// Whether submodules are fetched. Those on the repository's own host get its credentials, others none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub submodules: bool,
    /// A Secret of the service's namespace with what the server asks for: `username` and `password` (or a token) for `https://`;
    /// `ssh-privatekey` and `known_hosts` for SSH; `ca.crt` for a server whose certificate is signed by an authority of your own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<NameRef>,
    /// How often the repository is asked whether there is something new: `5m`, at least `30s`. Without it, every ten minutes. The
    /// annotation `cloudfaster.app/fetchAt` asks at once, with each new value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = "^([0-9]+(s|m|h))+$"))]
    pub interval: Option<Duration>,
}

/// An archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.url), has(self.configMapRef), has(self.secretKeyRef), has(self.artifact)].filter(given, given).size() == 1").message("give exactly one of url, configMapRef, secretKeyRef and artifact"))]
#[x_kube(validation = Rule::new("!has(self.url) || has(self.sha256)").message("an archive by url needs its sha256, so that what is deployed is what was meant").field_path(".sha256"))]
#[x_kube(validation = Rule::new("!has(self.secretRef) || has(self.url)").message("secretRef is for an archive by url").field_path(".secretRef"))]
#[serde(rename_all = "camelCase")]
pub struct ArchiveSource {
    /// The archive's URL: `https://downloads.example.com/site-1.4.zip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub url: Option<String>,
    /// SHA-256 of the archive, as `sha256sum` prints it. What has another is not deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
    /// A Secret of the service's namespace with `username` and `password` for the server, and `ca.crt` for a server whose
    /// certificate is signed by an authority of your own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<NameRef>,
    /// A key of a ConfigMap of the service's namespace that holds the archive, in `binaryData`. A ConfigMap holds 1 MiB at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapKeyRef>,
    /// A key of a Secret of the service's namespace that holds the archive. A Secret holds 1 MiB at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,
    /// SHA-256 of an archive that was uploaded through the REST API for the service's namespace. It is kept in the operator's
    /// artifact store for as long as a service of the namespace names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^[0-9a-f]{64}$"))]
    pub artifact: Option<String>,
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
