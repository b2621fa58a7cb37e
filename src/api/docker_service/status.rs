//! The status of a `DockerService`: what was recorded and observed.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DockerService;
use crate::api::conditions::Conditioned;

/// Where a service stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServicePhase {
    /// Nothing was made yet: something is awaited.
    Pending,
    /// Images are pulled.
    Pulling,
    /// Images are built.
    Building,
    /// Content is put into its volumes.
    Delivering,
    /// Networks, volumes and containers are made, or made anew.
    Creating,
    /// Containers start, and are waited for.
    Starting,
    /// It runs.
    Running,
    /// Its containers are stopped.
    Stopping,
    /// It does not run.
    Stopped,
    /// Some of its containers do not run as they should.
    Degraded,
    /// It is being deleted.
    Deleting,
    /// Nothing happens until the spec changes or somebody mends it; the message says what.
    Stalled,
}

impl ServicePhase {
    /// Whether a person would want to be warned.
    pub fn is_trouble(self) -> bool {
        match self {
            Self::Degraded | Self::Stalled | Self::Stopped => true,
            Self::Pending
            | Self::Pulling
            | Self::Building
            | Self::Delivering
            | Self::Creating
            | Self::Starting
            | Self::Running
            | Self::Stopping
            | Self::Deleting => false,
        }
    }
}

/// What was recorded and observed of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DockerServiceStatus {
    /// The generation of the spec that this status speaks of; -1 before anybody looked.
    #[serde(default)]
    pub observed_generation: i64,
    /// Where the service stands in its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<ServicePhase>,
    /// Progress of the present release in percent, in tens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub progress: Option<i64>,
    /// What happens now, or what is wrong and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `Ready`, `Reconciling` and `Stalled` by the rules of kstatus, and `Paused`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Name of the compose project on the host, as `docker compose ls` shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Containers that are as they should be, of those that there should be: `3/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containers_ready: Option<String>,
    /// Each container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub containers: Vec<ContainerStatus>,
    /// Where it is reached: by its name, or at its first published port if the DockerHost says by which address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where people reach it by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urls: Option<ServiceUrls>,
    /// What the catalogue makes of `types`: all of them, with those that others brought; the first is the primary one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub types: Vec<String>,
    /// Secrets with generated passwords that it was deployed with. One that is lost is not made anew: the databases keep the
    /// password that they began with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub credentials: Vec<String>,
    /// What of the source is deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceStatus>,
    /// Identifies what the spec asks for now: its compose file with all variables, content of configs and secrets included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The value of the annotation `cloudfaster.app/restartedAt` that the service was last restarted for; its hash, if it is long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted_at: Option<String>,
    /// What the operator did, and has begun; written before anything else is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<ServiceRecord>,
}

/// Where people reach a service by name, through the host's proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceUrls {
    /// The service itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main: Option<String>,
    /// Its Filebrowser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filebrowser: Option<String>,
}

/// What of a source is deployed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// The revision: `main@sha1:COMMIT` of a repository, `sha256:DIGEST` of an archive.
    pub revision: String,
    /// Digest of the files themselves, of all that count as the source's root.
    pub digest: String,
    /// What is to be known of it: that a tag was moved, that history was rewritten, that files of Git LFS are only pointers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub notes: Vec<String>,
    /// The value of the annotation `cloudfaster.app/fetchAt` with which it was last fetched, or found to be the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched_at: Option<String>,
}

/// What the operator did on the host, and has begun.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRecord {
    /// The containers that were made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub containers: Vec<MadeContainer>,
    /// The images that were pulled or built.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["reference"]))]
    pub images: Vec<FetchedImage>,
    /// Containers that did their work once for a release, and are not run again for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["service", "number"]))]
    pub completed: Vec<CompletedContainer>,
    /// Containers that were stopped in order to be started again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub halted: Vec<StartedContainer>,
    /// Ids of containers in which the commands of `post_start` have yet to run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub hooks: Vec<String>,
    /// New containers that did not come up; the former one is kept instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["service", "number"]))]
    pub failed: Vec<FailedContainer>,
    /// The last release that came up whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good: Option<GoodRelease>,
    /// A release that did not come up, and in whose place the last good one is brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_release: Option<LostRelease>,
    /// Names of the volumes into which content is being delivered, and since when.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub delivering: BTreeMap<String, String>,
    /// Names of the volumes into which content was delivered, and when that was seen.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub delivered: BTreeMap<String, String>,
    /// Volumes with the content of former releases, about to be removed, and what users had written into them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub surveyed: BTreeMap<String, String>,
    /// What users had written into the content of the release before this one, which is gone with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<String>,
    /// The restart that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarting: Option<Restarting>,
}

/// A container that was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MadeContainer {
    /// Id of the container.
    pub id: String,
    /// The service of the compose file that it belongs to.
    pub service: String,
    /// Which of the service's containers it is, from 1.
    pub number: i64,
    /// A hash of its settings that can be changed while it runs, as they were when it was new.
    pub settings: String,
}

/// An image that was pulled or built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FetchedImage {
    /// Its reference.
    pub reference: String,
    /// Id of the image.
    pub image: String,
    /// When that was.
    pub at: Time,
    /// What it was fetched for: a release and a restart, or a hash of what it was built from.
    pub cause: String,
}

/// A container that did its work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompletedContainer {
    /// The service of the compose file.
    pub service: String,
    /// Which of the service's containers, from 1.
    pub number: i64,
    /// The release for which it did.
    pub release: String,
}

/// A new container that did not come up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedContainer {
    /// The service of the compose file.
    pub service: String,
    /// Which of the service's containers, from 1.
    pub number: i64,
    /// What it was made from, as a hash: it is not tried again before that is another one.
    pub config: String,
    /// Id of its image.
    pub image: String,
    /// The restart that was asked for last: another one asks for another try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<String>,
    /// Why, in one word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
}

/// A release that came up whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GoodRelease {
    /// Which. The Secret `NAME-release` holds what it was made from.
    pub release: String,
    /// Containers that did their work once for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["service", "number"]))]
    pub completed: Vec<ContainerPlace>,
    /// Ids of the images that its services ran from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// Names of the volumes with its content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub contents: Vec<String>,
    /// SHA-256 of the model in the Secret: one that somebody changed is not deployed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
}

/// Where a container stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPlace {
    /// The service of the compose file.
    pub service: String,
    /// Which of the service's containers, from 1.
    pub number: i64,
}

/// A release that did not come up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LostRelease {
    /// Which: it is not tried again before the spec asks for another.
    pub release: String,
    /// The restart that was asked for last: another one asks for another try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<String>,
    /// Why, in one word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
}

/// A restart that is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restarting {
    /// What it was asked for with.
    pub value: String,
    /// The containers that are to restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub before: Vec<StartedContainer>,
}

/// A container, and when it had been started before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartedContainer {
    /// Id of the container.
    pub id: String,
    /// When it had been started, to the nanosecond as the engine has it: whether it was started since is told by it, and a
    /// time of Kubernetes ends at the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
}

/// What was observed of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStatus {
    /// Its name on the host.
    pub name: String,
    /// The service of the compose file that it belongs to.
    pub service: String,
    /// Which of the service's containers it is, from 1.
    pub number: i64,
    /// Docker's word for its state: `created`, `running`, `restarting`, `exited`, `paused`, `dead`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Docker's word for its health, if it has a health check: `starting`, `healthy`, `unhealthy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// The exit code of the last end of its first process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// How often the engine has restarted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarts: Option<i64>,
    /// When it was started last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
}

impl Conditioned for DockerService {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    fn conditions_mut(&mut self) -> (&mut Vec<Condition>, Option<&mut Option<String>>) {
        let status = self
            .status
            .get_or_insert_with(|| DockerServiceStatus { observed_generation: -1, ..DockerServiceStatus::default() });
        (&mut status.conditions, Some(&mut status.message))
    }
}
