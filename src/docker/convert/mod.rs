//! From the resolved project to what the engine is asked to make of it, exactly as Docker Compose asks it: names, labels,
//! networks, mounts, limits. Pure.
//!
//! Where this differs from Compose 5.6: networks and images are named by id, since names can come to mean others; the access
//! mode of `volumes_from` is kept; maps are in the order of their keys. No hash is written on networks and volumes.

mod files;
mod host;
mod mounts;
mod networking;
mod objects;
mod ports;
mod resources;

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use bollard::models::{ContainerCreateBody, EndpointSettings, HealthConfig};

use super::{
    compose::model::{At, Dependency, Healthcheck, Project, Service},
    engine::ApiVersion,
    labels,
};

pub use files::files;
pub use objects::{network, volume};

/// The version of Compose that this does as.
pub const COMPOSE_VERSION: &str = "5.6.0";
/// Where Compose's label says that the project's files are: they are on no disk.
const WORKING_DIR: &str = "/";
/// What Compose's label calls them.
const CONFIG_FILES: &str = "/compose.yaml";

/// Why something cannot be made of a service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The project does not have such a service, network or volume.
    #[error("the project has no {kind} {name:?}")]
    Unknown { kind: &'static str, name: String },

    /// Another service's container is needed that was not made yet.
    #[error("services.{service}.{attribute}: the container of {of:?} is not there yet")]
    NotMade { service: String, attribute: &'static str, of: String },

    /// The engine is too old for it.
    #[error("{at}: services.{service}.{attribute} needs Docker {docker} (API {needed}); the host has API {got}")]
    TooOld {
        at: At,
        service: String,
        attribute: &'static str,
        docker: &'static str,
        needed: ApiVersion,
        got: ApiVersion,
    },

    /// A file of the sources, which are not on the host.
    #[error("{at}: services.{service}.{attribute}: {path:?} is a file of the project, which is not on the Docker host")]
    ProjectFile { at: At, service: String, attribute: &'static str, path: String },

    /// A file that would not reach the container.
    #[error("{at}: services.{service}.{attribute}: {target} cannot be put into the container: {reason}")]
    Undeliverable { at: At, service: String, attribute: &'static str, target: String, reason: &'static str },

    /// A value that no engine takes.
    #[error("{at}: services.{service}.{attribute}: {value:?} is not allowed here: {reason}")]
    Value { at: At, service: String, attribute: &'static str, value: String, reason: &'static str },
}

/// What is needed of the host to make a container.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The id of the image.
    pub image: &'a str,
    /// The ids of the networks, by key.
    pub networks: &'a BTreeMap<String, String>,
    /// The ids of the containers whose namespaces or volumes are shared, by service.
    pub shared: &'a BTreeMap<String, String>,
    /// Volumes that take the place of anonymous ones, by target: what a container before this one had.
    pub anonymous: &'a BTreeMap<String, String>,
    /// Labels beside Compose's and the service's own, over which they prevail.
    pub labels: &'a BTreeMap<String, String>,
}

/// How a container is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    pub platform: Option<String>,
    pub body: ContainerCreateBody,
    /// The networks (ids) that it is to be connected to when it is created, before it is started: older engines take
    /// only one at its creation.
    pub connect: Vec<(String, EndpointSettings)>,
}

/// The name of a service's container.
pub fn container_name(project: &Project, service: &str, number: u32) -> String {
    let given = project.services.get(service).and_then(|service| service.container_name.clone());
    given.unwrap_or_else(|| format!("{}-{service}-{number}", project.name))
}

/// How a service's container is made; numbers begin with 1.
///
/// # Errors
/// What the engine cannot do, or what is missing.
pub fn container(
    project: &Project,
    name: &str,
    number: u32,
    given: &Given<'_>,
    api: ApiVersion,
) -> Result<Made, Error> {
    let Some(service) = project.services.get(name) else {
        return Err(Error::Unknown { kind: "service", name: name.to_owned() });
    };
    let context = Context { project, name, number, service, given, api };
    let Service {
        at: _,
        // By its id.
        image: _,
        // Elsewhere: images are fetched, files delivered, and services ordered before this.
        build: _,
        pull_policy: _,
        platform,
        command,
        entrypoint,
        environment,
        user,
        group_add,
        working_dir,
        init,
        tty,
        stdin_open,
        stop_signal,
        stop_grace_period,
        post_start: _,
        pre_stop: _,
        scale: _,
        deploy,
        // It is what `deploy` says, if that says anything.
        restart: _,
        depends_on,
        healthcheck,
        profiles: _,
        attach: _,
        // It is in the name.
        container_name: _,
        hostname,
        domainname,
        labels,
        annotations,
        logging,
        networks: _,
        network_mode: _,
        ports,
        expose,
        links: _,
        external_links: _,
        extra_hosts,
        dns,
        dns_opt,
        dns_search,
        mac_address: _,
        volumes: _,
        volumes_from,
        tmpfs,
        configs: _,
        secrets: _,
        read_only,
        shm_size,
        storage_opt,
        privileged,
        cap_add,
        cap_drop,
        security_opt,
        ipc,
        pid,
        uts,
        userns_mode,
        cgroup,
        cgroup_parent,
        runtime,
        sysctls,
        devices,
        device_cgroup_rules,
        gpus,
        mem_limit,
        mem_reservation,
        memswap_limit,
        mem_swappiness,
        oom_kill_disable,
        oom_score_adj,
        nano_cpus,
        cpuset,
        cpu_shares,
        cpu_quota,
        cpu_period,
        cpu_rt_runtime,
        cpu_rt_period,
        pids_limit,
        ulimits,
        blkio_config,
    } = service;

    let host = host::Host {
        restart: service.restarts(),
        init: *init,
        group_add,
        annotations,
        logging: logging.as_ref(),
        ports,
        extra_hosts,
        dns,
        dns_opt,
        dns_search,
        volumes_from,
        tmpfs,
        read_only: *read_only,
        shm_size: *shm_size,
        storage_opt,
        privileged: *privileged,
        cap_add,
        cap_drop,
        security_opt,
        ipc: ipc.as_ref(),
        pid: pid.as_ref(),
        uts: uts.as_ref(),
        userns_mode: userns_mode.as_ref(),
        cgroup: cgroup.as_ref(),
        runtime: runtime.as_ref(),
        sysctls,
        oom_score_adj: *oom_score_adj,
    };
    let limits = resources::Limits {
        deploy: deploy.as_ref(),
        cgroup_parent: cgroup_parent.as_ref(),
        devices,
        device_cgroup_rules,
        gpus,
        mem_limit: *mem_limit,
        mem_reservation: *mem_reservation,
        memswap_limit: *memswap_limit,
        mem_swappiness: *mem_swappiness,
        oom_kill_disable: *oom_kill_disable,
        nano_cpus: *nano_cpus,
        cpuset: cpuset.as_ref(),
        cpu_shares: *cpu_shares,
        cpu_quota: *cpu_quota,
        cpu_period: *cpu_period,
        cpu_rt_runtime: *cpu_rt_runtime,
        cpu_rt_period: *cpu_rt_period,
        pids_limit: *pids_limit,
        ulimits,
        blkio_config: blkio_config.as_ref(),
    };
    let networking = networking::networking(&context)?;
    let host_config = host::config(&context, host, limits, networking.mode, networking.links)?;
    let body = ContainerCreateBody {
        hostname: hostname.clone(),
        domainname: domainname.clone(),
        user: user.clone(),
        attach_stdin: Some(false),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        exposed_ports: Some(ports::exposed(&context, ports, expose)?),
        tty: Some(*tty),
        open_stdin: Some(*stdin_open),
        stdin_once: Some(false),
        env: Some(environment_of(environment)),
        cmd: command.clone(),
        healthcheck: healthcheck.as_ref().map(health),
        image: Some(given.image.to_owned()),
        working_dir: working_dir.clone(),
        entrypoint: entrypoint.clone(),
        labels: Some(labels_of(&context, labels, depends_on)),
        stop_signal: stop_signal.clone(),
        stop_timeout: stop_grace_period.map(|grace| i64::try_from(grace.as_secs()).unwrap_or(i64::MAX)),
        host_config: Some(host_config),
        networking_config: networking.config,
        ..ContainerCreateBody::default()
    };
    Ok(Made { platform: platform.clone(), body, connect: networking.connect })
}

/// What every part of a container's making needs.
struct Context<'a> {
    project: &'a Project,
    name: &'a str,
    number: u32,
    service: &'a Service,
    given: &'a Given<'a>,
    api: ApiVersion,
}

impl Context<'_> {
    /// The container of another service.
    fn shared(&self, attribute: &'static str, service: &str) -> Result<&str, Error> {
        self.given.shared.get(service).map(String::as_str).ok_or_else(|| Error::NotMade {
            service: self.name.to_owned(),
            attribute,
            of: service.to_owned(),
        })
    }

    /// Refuses what an older engine would ignore.
    fn needs(&self, minor: u32, docker: &'static str, at: &At, attribute: &'static str) -> Result<(), Error> {
        let needed = ApiVersion::new(1, minor);
        if self.api >= needed {
            return Ok(());
        }
        Err(Error::TooOld { at: at.clone(), service: self.name.to_owned(), attribute, docker, needed, got: self.api })
    }

    fn value(&self, at: &At, attribute: &'static str, value: &str, reason: &'static str) -> Error {
        Error::Value { at: at.clone(), service: self.name.to_owned(), attribute, value: value.to_owned(), reason }
    }
}

fn labels_of(
    context: &Context<'_>,
    own: &BTreeMap<String, String>,
    depends_on: &BTreeMap<String, Dependency>,
) -> HashMap<String, String> {
    let Context { project, name, number, service: _, given, api: _ } = context;
    let depends: Vec<_> = depends_on
        .iter()
        .map(|(other, Dependency { at: _, condition, restart, required: _ })| {
            format!("{other}:{}:{restart}", condition.as_str())
        })
        .collect();
    let number = number.to_string();
    let compose = [
        (labels::compose::PROJECT, project.name.as_str()),
        (labels::compose::SERVICE, name),
        (labels::compose::VERSION, COMPOSE_VERSION),
        (labels::compose::WORKING_DIR, WORKING_DIR),
        (labels::compose::CONFIG_FILES, CONFIG_FILES),
        (labels::compose::ONE_OFF, "False"),
        (labels::compose::CONTAINER_NUMBER, &number),
        (labels::compose::DEPENDS_ON, &depends.join(",")),
        (labels::compose::IMAGE, given.image),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let pairs = |map: &BTreeMap<String, String>| map.clone().into_iter();
    pairs(own).chain(compose).chain(pairs(given.labels)).collect()
}

/// As the engine takes it: a name alone takes a variable of the image's away.
fn environment_of(environment: &BTreeMap<String, Option<String>>) -> Vec<String> {
    let variables = environment.iter().map(|(name, value)| match value {
        Some(value) => format!("{name}={value}"),
        None => name.clone(),
    });
    variables.collect()
}

fn health(check: &Healthcheck) -> HealthConfig {
    let Healthcheck { test, interval, timeout, retries, start_period, start_interval, disable } = check;
    HealthConfig {
        test: Some(if *disable { vec!["NONE".to_owned()] } else { test.clone() }).filter(|test| !test.is_empty()),
        interval: interval.map(nanoseconds),
        timeout: timeout.map(nanoseconds),
        retries: retries.map(i64::from),
        start_period: start_period.map(nanoseconds),
        start_interval: start_interval.map(nanoseconds),
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// As a list, unless there is nothing in it.
fn list<T: Clone>(values: &[T]) -> Option<Vec<T>> {
    (!values.is_empty()).then(|| values.to_vec())
}

/// As a map, unless there is nothing in it.
fn map(values: &BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!values.is_empty()).then(|| values.clone().into_iter().collect())
}
