//! How a container stands to its host.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models::{
    HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, RestartPolicy as EnginePolicy, RestartPolicyNameEnum,
};

use crate::docker::compose::model::{Logging, Namespace, Port, Restart, TmpfsMount, VolumesFrom, VolumesFromSource};

use super::{Context, Error, list, map, mounts, ports, resources};

/// The attributes of a service that this is about.
pub(super) struct Host<'a> {
    pub restart: Option<Restart>,
    pub init: Option<bool>,
    pub group_add: &'a [String],
    pub annotations: &'a BTreeMap<String, String>,
    pub logging: Option<&'a Logging>,
    pub ports: &'a [Port],
    pub extra_hosts: &'a BTreeMap<String, Vec<String>>,
    pub dns: &'a [String],
    pub dns_opt: &'a [String],
    pub dns_search: &'a [String],
    pub volumes_from: &'a [VolumesFrom],
    pub tmpfs: &'a [TmpfsMount],
    pub read_only: bool,
    pub shm_size: Option<i64>,
    pub storage_opt: &'a BTreeMap<String, String>,
    pub privileged: bool,
    pub cap_add: &'a [String],
    pub cap_drop: &'a [String],
    pub security_opt: &'a [String],
    pub ipc: Option<&'a Namespace>,
    pub pid: Option<&'a Namespace>,
    pub uts: Option<&'a Namespace>,
    pub userns_mode: Option<&'a Namespace>,
    pub cgroup: Option<&'a Namespace>,
    pub runtime: Option<&'a String>,
    pub sysctls: &'a BTreeMap<String, String>,
    pub oom_score_adj: Option<i64>,
}

pub(super) fn config(
    context: &Context<'_>,
    host: Host<'_>,
    limits: resources::Limits<'_>,
    network_mode: String,
    links: Vec<String>,
) -> Result<HostConfig, Error> {
    let Host {
        restart,
        init,
        group_add,
        annotations,
        logging,
        ports,
        extra_hosts,
        dns,
        dns_opt,
        dns_search,
        volumes_from,
        tmpfs,
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
        runtime,
        sysctls,
        oom_score_adj,
    } = host;
    let mode = |attribute, namespace: Option<&Namespace>| {
        namespace.map(|namespace| self::namespace(context, attribute, namespace)).transpose()
    };
    let mounts = mounts::mounts(context)?;
    let security = security(context, security_opt)?;
    let extra_hosts: Vec<_> = extra_hosts
        .iter()
        .flat_map(|(name, addresses)| addresses.iter().map(move |address| format!("{name}:{address}")))
        .collect();
    let tmpfs: HashMap<_, _> = tmpfs
        .iter()
        .map(|TmpfsMount { at: _, target, options }| (target.clone(), options.clone().unwrap_or_default()))
        .collect();
    Ok(HostConfig {
        annotations: map(annotations),
        binds: list(&mounts.binds),
        mounts: list(&mounts.mounts),
        cap_add: list(&capabilities(cap_add)),
        cap_drop: list(&capabilities(cap_drop)),
        network_mode: Some(network_mode),
        init,
        ipc_mode: mode("ipc", ipc)?,
        cgroupns_mode: cgroup.map(|namespace| cgroup_mode(context, namespace)).transpose()?,
        readonly_rootfs: Some(read_only),
        restart_policy: restart.map(policy),
        shm_size,
        sysctls: map(sysctls),
        port_bindings: Some(ports::bindings(ports)),
        volumes_from: list(&borrowed(context, volumes_from)?),
        dns: list(dns),
        dns_search: list(dns_search),
        dns_options: list(dns_opt),
        extra_hosts: list(&extra_hosts),
        security_opt: list(&security.options),
        masked_paths: security.unmasked.then(Vec::new),
        readonly_paths: security.unmasked.then(Vec::new),
        storage_opt: map(storage_opt),
        userns_mode: mode("userns_mode", userns_mode)?,
        uts_mode: mode("uts", uts)?,
        privileged: Some(privileged),
        pid_mode: mode("pid", pid)?,
        tmpfs: (!tmpfs.is_empty()).then_some(tmpfs),
        runtime: runtime.cloned(),
        log_config: logging.map(log),
        group_add: list(group_add),
        links: list(&links),
        oom_score_adj,
        ..resources::config(limits)
    })
}

/// Whose namespace, as the engine takes it: another service's is its container's.
pub(super) fn namespace(
    context: &Context<'_>,
    attribute: &'static str,
    namespace: &Namespace,
) -> Result<String, Error> {
    Ok(match namespace {
        Namespace::Service(service) => format!("container:{}", context.shared(attribute, service)?),
        Namespace::Host
        | Namespace::Private
        | Namespace::Shareable
        | Namespace::None
        | Namespace::Container(_)
        | Namespace::Other(_) => namespace.to_string(),
    })
}

/// As Docker's clients write them since version 29: `net_admin` is `CAP_NET_ADMIN`.
fn capabilities(given: &[String]) -> Vec<String> {
    let full: BTreeSet<_> = given
        .iter()
        .map(|capability| match capability.trim().to_uppercase() {
            known if known == "ALL" || known.starts_with("CAP_") => known,
            short => format!("CAP_{short}"),
        })
        .collect();
    full.into_iter().collect()
}

fn cgroup_mode(context: &Context<'_>, namespace: &Namespace) -> Result<HostConfigCgroupnsModeEnum, Error> {
    match namespace {
        Namespace::Host => Ok(HostConfigCgroupnsModeEnum::HOST),
        Namespace::Private => Ok(HostConfigCgroupnsModeEnum::PRIVATE),
        other => {
            let at = context.service.at.of("cgroup");
            Err(context.value(at, "cgroup", &other.to_string(), "it is host or private"))
        }
    }
}

fn policy(restart: Restart) -> EnginePolicy {
    let (name, attempts) = match restart {
        Restart::No => (RestartPolicyNameEnum::NO, None),
        Restart::Always => (RestartPolicyNameEnum::ALWAYS, None),
        Restart::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, None),
        Restart::OnFailure(attempts) => (RestartPolicyNameEnum::ON_FAILURE, attempts),
    };
    EnginePolicy { name: Some(name), maximum_retry_count: Some(attempts.map_or(0, i64::from)) }
}

fn log(logging: &Logging) -> HostConfigLogConfig {
    let Logging { driver, options } = logging;
    HostConfigLogConfig { typ: Some(driver.clone().unwrap_or_default()), config: map(options) }
}

/// The containers whose volumes are mounted too.
fn borrowed(context: &Context<'_>, volumes_from: &[VolumesFrom]) -> Result<Vec<String>, Error> {
    let entries = volumes_from.iter().map(|VolumesFrom { at: _, source, mode }| {
        let container = match source {
            VolumesFromSource::Service(service) => context.shared("volumes_from", service)?,
            VolumesFromSource::Container(name) => name,
        };
        Ok(match mode {
            Some(mode) => format!("{container}:{mode}"),
            None => container.to_owned(),
        })
    });
    entries.collect()
}

struct Security {
    options: Vec<String>,
    /// Whether no path of the system is hidden or protected.
    unmasked: bool,
}

fn security(context: &Context<'_>, given: &[String]) -> Result<Security, Error> {
    let mut security = Security { options: Vec::new(), unmasked: false };
    for (index, option) in given.iter().enumerate() {
        if option == "systempaths=unconfined" {
            security.unmasked = true;
            continue;
        }
        if let Some(profile) = option.strip_prefix("seccomp=").or_else(|| option.strip_prefix("seccomp:"))
            && !matches!(profile, "unconfined" | "builtin")
        {
            return Err(Error::ProjectFile {
                at: context.service.at.of(&format!("security_opt.{index}")).clone(),
                service: context.name.to_owned(),
                attribute: "security_opt",
                path: profile.to_owned(),
            });
        }
        security.options.push(option.clone());
    }
    Ok(security)
}
