//! `DockerService`: one compose project.

// Each column of the table has a type.
#![allow(clippy::duplicated_attributes)]

mod names;
mod source;
mod status;

use kube::{CustomResource, KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{NameRef, SecretKeyRef};

pub use names::FILEBROWSER;
pub use source::*;
pub use status::*;

/// A compose project on a Docker engine, which is brought up and kept as its compose file says until it is deleted.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "cloudfaster.app",
    version = "v1alpha1",
    kind = "DockerService",
    namespaced,
    shortname = "dks",
    category = "cloudfaster",
    status = "DockerServiceStatus",
    derive = "PartialEq",
    doc = "A compose project on a DockerHost.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Progress",
        type_ = "integer",
        json_path = ".status.progress",
        description = "Progress of the present release in percent"
    ),
    printcolumn(name = "Host", type_ = "string", json_path = ".spec.hostRef.name"),
    printcolumn(
        name = "Containers",
        type_ = "string",
        json_path = ".status.containersReady",
        description = "Containers that are as they should be, of those that there should be"
    ),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Project", type_ = "string", priority = 1, json_path = ".status.project"),
    printcolumn(name = "User", type_ = "string", priority = 1, json_path = ".spec.userId"),
    printcolumn(name = "Message", type_ = "string", priority = 1, json_path = ".status.message")
)]
#[x_kube(validation = Rule::new("[has(self.compose), has(self.composeFile), has(self.types)].filter(given, given).size() == 1").message("give exactly one of compose, composeFile and types"))]
#[x_kube(validation = Rule::new("!has(self.filebrowser) || has(self.types)").message("filebrowser is for types; in a compose file it is a service like any other").field_path(".filebrowser"))]
#[x_kube(validation = Rule::new("!has(self.expose) || !has(self.types)").message("expose is for compose files; of types the primary one is exposed").field_path(".expose"))]
#[x_kube(validation = Rule::new("!has(self.composeFile) || has(self.source)").message("composeFile is a path in source: give source too").field_path(".composeFile"))]
#[x_kube(validation = Rule::new("self.hostRef == oldSelf.hostRef").message("hostRef cannot be changed: a service stays on its host, with its volumes; make a new service").field_path(".hostRef"))]
#[serde(rename_all = "camelCase")]
pub struct DockerServiceSpec {
    /// The DockerHost that the service runs on. Cannot be changed.
    pub host_ref: NameRef,
    /// The compose file, in the format of the compose specification. Variables in it are those of `env` and `envFrom`. Relative
    /// paths in it are those of `source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 262_144))]
    pub compose: Option<String>,
    /// The compose file as a path in `source`: `compose.yaml`, `deploy/docker-compose.yml`. What it names beside itself (files with
    /// variables, folders that it binds, what it builds) is taken from there, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[^/\\s].*$"))]
    pub compose_file: Option<String>,
    /// What it is made of, by the names of the catalogue: `Static`, `PHP`, `Laravel`, `Node.js`, `React`, `Python`, `WordPress`, `MySQL`,
    /// `MariaDB`, `PostgreSQL`, `Redis`, `MongoDB`; several together, of which one answers people. The operator makes a compose
    /// file of them, generates the passwords into Secrets of its own, and has the host's proxy lead people to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 12), extend("x-kubernetes-list-type" = "set"), inner(length(min = 1, max = 63)))]
    pub types: Vec<String>,
    /// Filebrowser over the content of `types`, under a URL of its own; its user is `admin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filebrowser: Option<Filebrowser>,
    /// Where files come from: a repository or an archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The name under which the host's proxy leads people to it: `shop` for `shop.DOMAIN`, or a whole host name that the host's
    /// policy allows. The object's own name without. A name has one service of a host only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$")
    )]
    pub hostname: Option<String>,
    /// Which service of the compose file the host's proxy leads people to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expose: Option<Expose>,
    /// Variables for the compose file. They win over those of `envFrom`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env: Vec<Variable>,
    /// Secrets of the service's namespace, each of whose keys is a variable for the compose file; of equal ones the last wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env_from: Vec<NameRef>,
    /// Profiles of the compose file that are active; `*` means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "set"),
        inner(length(min = 1, max = 63), regex(pattern = "^([*]|[A-Za-z0-9][A-Za-z0-9_.-]*)$"))
    )]
    pub profiles: Vec<String>,
    /// Whether the service runs: `Running` or `Stopped`. A change applies at once. The annotation
    /// `cloudfaster.app/restartedAt` restarts it, once for each new value.
    #[serde(default)]
    pub state: ServiceState,
    /// When images are pulled, in place of what the compose file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<PullPolicy>,
    /// Secrets of type `kubernetes.io/dockerconfigjson` in the service's namespace, with which its images are pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub registry_secrets: Vec<NameRef>,
    /// The way from one release to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// What happens to its volumes, and to itself, when this object is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Whom the service is for, in the words of whoever ordered it. Shown, and not acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub user_id: Option<String>,
}

/// The way from one release to the next. A release is all that the service is made from: its compose file, variables and Secrets,
/// the content of its source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// How long a new container may take to become healthy: `90s`, `10m`. Without it five minutes, or half as long again as its own
    /// health check may take, if that is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 32), regex(pattern = "^([0-9]+(s|m|h))+$"))]
    pub health_deadline: Option<Duration>,
    /// What happens if a release does not come up.
    #[serde(default)]
    pub rollback: Rollback,
}

/// What happens if a release does not come up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Rollback {
    /// The last good release comes back as a whole, and the condition says why. The new one is tried again when something of it
    /// changes, or when a restart is asked for. Volumes are not rolled back.
    #[default]
    Always,
    /// It stays as it is. For a release that changes data in a way that the one before does not understand.
    Never,
}

/// Filebrowser: files in the browser.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Filebrowser {
    /// A key of a Secret of the service's namespace that holds the password of its user `admin`, of at least 12 characters. Without
    /// it one is generated, into the key `FILEBROWSER_PASSWORD` of the Secret `NAME-filebrowser`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,
}

/// A service of the compose file that people reach by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Expose {
    /// The service of the compose file.
    #[schemars(length(min = 1, max = 253))]
    pub service: String,
    /// The port on which it listens inside of its container. It need not be published.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: i64,
}

/// A variable: its value is given, or read from a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.value) != has(self.secretKeyRef)").message("give exactly one of value and secretKeyRef"))]
#[serde(rename_all = "camelCase")]
pub struct Variable {
    /// Name of the variable.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// Value of the variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32_768))]
    pub value: Option<String>,
    /// A key of a Secret of the service's namespace that holds its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,
}

/// Whether a service runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceState {
    /// It runs; what stops is started again.
    #[default]
    Running,
    /// Its containers are there and do not run.
    Stopped,
}

/// When images are pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    /// With each change of the object, and with each restart by its annotation.
    Always,
    /// When the host does not have them.
    Missing,
    /// Never: the host has them, or the service waits.
    Never,
}

/// What happens when the object is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Containers and networks are removed, and named volumes stay, with what users wrote into them.
    #[default]
    KeepVolumes,
    /// Volumes are removed too.
    DeleteVolumes,
    /// The host is not even asked: everything stays there as it is. For a host that does not come back.
    Orphan,
}
