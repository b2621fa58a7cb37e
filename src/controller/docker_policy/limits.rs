//! What containers may use: maxima, and what those get that ask for nothing.

use std::{collections::BTreeMap, fmt::Display};

use super::{Refused, Terms};
use crate::{
    api::{
        docker_tenant::{ContainerLimits, ContentLimits, DockerLimits, DockerTenant},
        size::Size,
    },
    docker::{
        compose::model::{Deploy, Project, Service},
        content::Limits,
    },
};

const NANO: f64 = 1e9;

/// What a container of a service may use, wherever the file says it.
struct Asked {
    /// Billionths of a CPU.
    cpus: Option<i64>,
    /// Bytes.
    memory: Option<i64>,
    pids: Option<i64>,
}

impl Asked {
    fn of(service: &Service) -> Self {
        let limits = service.deploy.as_ref().and_then(|deploy| deploy.limits.clone()).unwrap_or_default();
        // Docker takes 0 and less for no limit at all.
        let given = |deployed: Option<i64>, own: Option<i64>| {
            deployed.filter(|value| *value != 0).or(own).filter(|value| *value > 0)
        };
        Self {
            cpus: given(limits.nano_cpus, service.nano_cpus).or_else(|| by_quota(service)),
            memory: given(limits.memory, service.mem_limit),
            pids: given(limits.pids, service.pids_limit),
        }
    }
}

/// A quota of microseconds in each period, 100 ms if it is not given.
fn by_quota(service: &Service) -> Option<i64> {
    let quota = service.cpu_quota.filter(|quota| *quota > 0)?;
    let period = service.cpu_period.filter(|period| *period > 0).unwrap_or(100_000);
    quota.saturating_mul(1_000_000_000).checked_div(period)
}

fn nano(cpus: f64) -> i64 {
    // At most 1024 CPUs, as the schema says: far from where a float loses whole numbers.
    #[allow(clippy::cast_possible_truncation)]
    let whole = (cpus * NANO).round() as i64;
    whole
}

/// What a container gets that asks for nothing.
fn defaults(tenant: &DockerTenant) -> ContainerLimits {
    let ContainerLimits { cpus, memory, pids } = tenant.defaults.clone().unwrap_or_default();
    let most = tenant.limits.clone().unwrap_or_default();
    ContainerLimits { cpus: cpus.or(most.cpus), memory: memory.or(most.memory), pids: pids.or(most.pids) }
}

/// What a source of the tenant's may hold.
pub fn content(tenant: &DockerTenant) -> Limits {
    let asked = tenant.limits.as_ref().and_then(|limits| limits.content.clone()).unwrap_or_default();
    let ContentLimits { size, file_size, entries, depth, ratio } = asked;
    let all = Limits::default();
    let bytes = |size: Option<Size>, otherwise: u64| size.map_or(otherwise, |size| size.bytes().unsigned_abs());
    let number = |number: Option<i64>, otherwise: u64| number.map_or(otherwise, i64::unsigned_abs);
    Limits {
        size: bytes(size, all.size),
        file_size: bytes(file_size, all.file_size),
        entries: number(entries, all.entries),
        depth: depth.and_then(|depth| u32::try_from(depth).ok()).unwrap_or(all.depth),
        ratio: number(ratio, all.ratio),
        ..all
    }
}

/// Gives what the tenant's entry lays down to the containers that ask for no limit of their own.
pub fn set_defaults(tenant: &DockerTenant, project: &mut Project) {
    let ContainerLimits { cpus, memory, pids } = defaults(tenant);
    for service in project.services.values_mut() {
        let asked = Asked::of(service);
        if let (None, Some(cpus)) = (asked.cpus, cpus) {
            service.nano_cpus = Some(nano(cpus));
            // The engine takes only one of the two ways to say it.
            (service.cpu_quota, service.cpu_period) = (None, None);
        }
        if let (None, Some(memory)) = (asked.memory, memory) {
            service.mem_limit = Some(memory.bytes());
        }
        if let (None, Some(pids)) = (asked.pids, pids) {
            service.pids_limit = Some(pids);
        }
        let Some(Deploy { limits: Some(limits), .. }) = &mut service.deploy else { continue };
        // What is said there as no limit would win over what was set.
        for value in [&mut limits.nano_cpus, &mut limits.memory, &mut limits.pids] {
            *value = value.filter(|value| *value > 0);
        }
    }
}

/// Whether defaults keep to the limits.
pub fn validate(tenant: &DockerTenant) -> Result<(), String> {
    let ContainerLimits { cpus, memory, pids } = tenant.defaults.clone().unwrap_or_default();
    let most = tenant.limits.clone().unwrap_or_default();
    let exceeds = |field: &str, default: Option<String>, most: Option<String>, more: bool| match (default, most) {
        (Some(default), Some(most)) if more => Err(format!("{field}: {default} is more than limits.{field}, {most}")),
        _ => Ok(()),
    };
    fn text<T: Display>(value: Option<T>) -> Option<String> {
        value.map(|value| value.to_string())
    }
    exceeds("cpus", text(cpus), text(most.cpus), cpus > most.cpus)?;
    exceeds("memory", text(memory), text(most.memory), memory > most.memory)?;
    exceeds("pids", text(pids), text(most.pids), pids > most.pids)
}

/// Refuses what is more than the maxima.
pub fn check(terms: &Terms<'_>, path: &str, service: &Service, refused: &mut Refused) {
    let DockerLimits { cpus, memory, pids, containers: _, services: _, content: _ } = &terms.limits;
    let asked = Asked::of(service);
    let position = |own: &str, deployed: &str| {
        let limits = service.deploy.as_ref().and_then(|deploy| deploy.limits.as_ref());
        let attribute = if limits.is_some() { format!("deploy.resources.limits.{deployed}") } else { own.to_owned() };
        (service.at.of(&attribute).clone(), format!("{path}.{attribute}"))
    };
    if let (Some(asked), Some(most)) = (asked.cpus, cpus)
        && asked > nano(*most)
    {
        let (at, attribute) = position(if service.cpu_quota.is_some() { "cpu_quota" } else { "cpus" }, "cpus");
        #[allow(clippy::cast_precision_loss)]
        let value = format!("{} CPUs", asked as f64 / NANO);
        refused.add(&at, &attribute, &value, &format!("at most {most}"));
    }
    if let (Some(asked), Some(most)) = (asked.memory, memory)
        && asked > most.bytes()
    {
        let (at, attribute) = position("mem_limit", "memory");
        refused.add(&at, &attribute, &format!("{asked} bytes"), &format!("at most {most}"));
    }
    if let (Some(asked), Some(most)) = (asked.pids, pids)
        && asked > *most
    {
        let (at, attribute) = position("pids_limit", "pids");
        refused.add(&at, &attribute, &asked.to_string(), &format!("at most {most}"));
    }
    if let (Some(unlimited), Some(most)) = (service.pids_limit.filter(|value| *value <= 0), pids) {
        let at = service.at.of("pids_limit");
        refused.add(at, &format!("{path}.pids_limit"), &unlimited.to_string(), &format!("at most {most}"));
    }
    if let (Some(swap), Some(most)) = (service.memswap_limit, memory) {
        // Docker itself gives as much swap as memory.
        let twice = most.bytes().saturating_mul(2);
        if swap < 0 || swap > twice {
            let at = service.at.of("memswap_limit");
            let remedy = format!("memory and swap together at most twice {most}");
            refused.add(at, &format!("{path}.memswap_limit"), &swap.to_string(), &remedy);
        }
    }
}

/// Refuses more containers than a service may have.
pub fn check_count(terms: &Terms<'_>, services: &BTreeMap<String, Service>, refused: &mut Refused) {
    let Some(most) = terms.limits.containers else { return };
    let all = services.values().map(|service| i64::from(service.replicas()));
    let count = all.fold(0_i64, i64::saturating_add);
    if count > most
        && let Some((key, largest)) = services.iter().max_by_key(|(_, service)| service.replicas())
    {
        let attribute = if largest.scale.is_some() { "scale" } else { "deploy.replicas" };
        let value = format!("{count} containers in all");
        refused.add(
            largest.at.of(attribute),
            &format!("services.{key}.{attribute}"),
            &value,
            &format!("at most {most}"),
        );
    }
}
