//! `DockerHost`: how to reach a Docker engine, and what tenants may do there.

// Each column of the table has a type.
#![allow(clippy::duplicated_attributes)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{common::NameRef, conditions::Conditioned, docker_tenant::DockerTenant};

/// A Docker engine: how to reach it, and which namespaces may run compose projects on it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "cloudfaster.app",
    version = "v1alpha1",
    kind = "DockerHost",
    shortname = "dkh",
    category = "cloudfaster",
    status = "DockerHostStatus",
    derive = "PartialEq",
    doc = "A Docker engine on which DockerServices run.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Engine", type_ = "string", json_path = ".status.engine.version"),
    printcolumn(name = "CPUs", type_ = "integer", json_path = ".status.cpus"),
    printcolumn(name = "Memory", type_ = "string", json_path = ".status.memory"),
    printcolumn(
        name = "Services",
        type_ = "integer",
        json_path = ".status.services",
        description = "DockerServices that have, or may have, something on it"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Endpoint", type_ = "string", priority = 1, json_path = ".spec.endpoint"),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    )
)]
#[x_kube(validation = Rule::new("!self.endpoint.startsWith('ssh:') || has(self.credentials)").message("an engine behind ssh:// needs credentials: a Secret with ssh-privatekey and known_hosts"))]
#[x_kube(validation = Rule::new("!self.endpoint.startsWith('tcp:') || has(self.credentials) != (has(self.insecurePlaintext) && self.insecurePlaintext)").message("an engine behind tcp:// needs either credentials, a Secret with ca.pem, cert.pem and key.pem, or insecurePlaintext"))]
#[x_kube(validation = Rule::new("!self.endpoint.startsWith('unix:') || !has(self.credentials)").message("a unix socket takes no credentials: leave them out"))]
#[x_kube(validation = Rule::new("!has(self.servicePorts) || (has(self.publicAddress) && !has(self.proxy))").message("servicePorts needs publicAddress, and is for hosts without proxy").field_path(".servicePorts"))]
#[x_kube(validation = Rule::new("self.endpoint.startsWith('tcp:') || !has(self.insecurePlaintext) || !self.insecurePlaintext").message("insecurePlaintext is for tcp:// only"))]
#[serde(rename_all = "camelCase")]
pub struct DockerHostSpec {
    /// Where the engine's API is, as in `DOCKER_HOST`: `tcp://10.0.0.5:2376` over TLS, `ssh://deploy@10.0.0.5` with a user who
    /// may use the engine there, or `unix:///var/run/docker.sock` of the machine that the operator runs on.
    #[schemars(
        length(max = 253),
        regex(pattern = "^(unix://(/[^/ ]+)+|tcp://[^/@ ]+|ssh://[^/@: ]+@[^/@ ]+(/[^ ]+)?)/?$")
    )]
    pub endpoint: String,
    /// Where the credentials are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<DockerCredentials>,
    /// Speak to a `tcp://` engine without TLS. Whoever reaches its port is root on the host, and whoever is on the network path
    /// can be; a condition warns of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_plaintext: Option<bool>,
    /// The engine that is expected, by its id (`docker info --format '{{.ID}}'`). Without it the first that answers is
    /// noted, and another one is not used while services are on the host; name its id here to have it used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub engine_id: Option<String>,
    /// Name or address by which people reach the ports that the host publishes; the URLs of services are made of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$"))]
    pub public_address: Option<String>,
    /// The host's proxy, which leads the names of services to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
    /// Ports of the host that services of types, and those that say what they expose, are given where there is no proxy, one for
    /// each URL. They are reached at `publicAddress`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_ports: Option<PortRange>,
    /// Where the images of the catalogue come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalogue: Option<Catalogue>,
    /// Secrets of type `kubernetes.io/dockerconfigjson` in the operator's namespace, with which images are pulled for all
    /// services of the host. A service's own come first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub registry_secrets: Vec<NameRef>,
    /// Who may run services here, and what they may ask for. Nobody, if the list is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub tenants: Vec<DockerTenant>,
    /// Labels that no tenant may set, since something on the host acts on them; a name may end in `*`, which stands for any
    /// ending. Those of Compose, of the operator and of the usual proxies are reserved in any case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = "^[^*]*[*]?$")))]
    pub reserved_labels: Vec<String>,
}

/// Ports of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.from <= self.to").message("from must not be greater than to"))]
#[serde(rename_all = "camelCase")]
pub struct PortRange {
    /// First port of the range.
    #[schemars(range(min = 1, max = 65_535))]
    pub from: i64,
    /// Last port of the range, itself included.
    #[schemars(range(min = 1, max = 65_535))]
    pub to: i64,
}

/// Where the images of the catalogue come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Catalogue {
    /// A registry that has a mirror of Docker Hub, with a path if it has one: `registry.example.com/hub`. The catalogue's
    /// `nginx:1.30-alpine` is `registry.example.com/hub/library/nginx:1.30-alpine` then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._/-]+)?$"))]
    pub mirror: Option<String>,
    /// Images in place of the catalogue's, by its keys for them: `nginx`, `php`, `node`, `mysql`, ….
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 64))]
    pub images: BTreeMap<String, String>,
}

/// A proxy that runs on the host and learns by labels of containers what it leads where. A service meets it on a network of its
/// own, on which no other service is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.kind == 'Traefik' || (!has(self.entryPoint) && !has(self.certResolver))").message("entryPoint and certResolver are for Traefik"))]
#[serde(rename_all = "camelCase")]
pub struct Proxy {
    /// Which one it is: `Traefik`, or `Caddy` with its Docker proxy.
    pub kind: ProxyKind,
    /// The domain below which services have their names: of the service `shop` it is `shop.DOMAIN`, and of its Filebrowser
    /// `shop-filebrowser.DOMAIN`.
    #[schemars(
        length(min = 1, max = 190),
        regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$")
    )]
    pub domain: String,
    /// Name of its container, which is connected to the network of each service. Leave it out for a proxy that is a process of
    /// the host itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]*$"))]
    pub container: Option<String>,
    /// Traefik's entry point; `websecure` without, `web` with `plaintext`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    pub entry_point: Option<String>,
    /// Traefik's certificate resolver; its default certificate without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    pub cert_resolver: Option<String>,
    /// People reach services by `http://`, without TLS: another proxy before this one may have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plaintext: bool,
}

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProxyKind {
    /// Traefik.
    Traefik,
    /// Caddy, with caddy-docker-proxy.
    Caddy,
}

/// Where the credentials for an engine are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DockerCredentials {
    /// A Secret in the operator's namespace. For `tcp://` with the keys `ca.pem`, `cert.pem` and `key.pem` as in
    /// `DOCKER_CERT_PATH`, or `ca.crt`, `tls.crt` and `tls.key`; only that authority is trusted. For `ssh://` with the keys
    /// `ssh-privatekey`, `passphrase` if it has one, and `known_hosts`, as `ssh-keyscan` prints it: no other server is trusted.
    pub secret_ref: NameRef,
}

/// What was observed of the engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DockerHostStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Ready`, `Reconciling` and `Stalled`; `TLSVerified` is there when it is false, `Paused` when it is true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The engine, as it was when it last answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineStatus>,
    /// Number of the host's CPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<i64>,
    /// Memory of the host in all, in MiB or GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// DockerServices that have, or may have, something on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<i64>,
    /// Containers on the host, whosever they are, counted about once a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containers: Option<ContainerCount>,
    /// Secrets of the operator's namespace that are held by its finalizer for this host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub held_secrets: Vec<String>,
}

/// A Docker engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EngineStatus {
    /// The engine's id, which it keeps as long as its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The engine's version: `29.1.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The version of the engine's API: `1.52`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Name of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The host's operating system and architecture: `Debian GNU/Linux 13 (trixie), x86_64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operating_system: Option<String>,
}

/// Containers on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerCount {
    /// All of them.
    pub total: i64,
    /// Those that run.
    pub running: i64,
}

impl Conditioned for DockerHost {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    fn conditions_mut(&mut self) -> (&mut Vec<Condition>, Option<&mut Option<String>>) {
        let status = self
            .status
            .get_or_insert_with(|| DockerHostStatus { observed_generation: -1, ..DockerHostStatus::default() });
        (&mut status.conditions, None)
    }
}
