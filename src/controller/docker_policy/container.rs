//! What a container may be: its rights on the host, and what it shares.

use std::time::Duration;

use super::{Refused, Terms, build, image, limits, mounts, names, network};
use crate::{
    api::docker_tenant::HostNamespace,
    controller::policy::{list, matches_any},
    docker::compose::model::{
        At, BlkioConfig, Deploy, Device, DeviceReservation, Healthcheck, Hook, Link, Logging, Namespace, Positions,
        Service,
    },
};

/// What Docker gives to every container: asking for it again, after all were dropped, is less than asking for nothing.
const CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Limits of processes that concern nobody but the container.
const ULIMITS: [&str; 9] = ["nofile", "nproc", "core", "stack", "data", "fsize", "cpu", "as", "rss"];

/// Logging drivers that keep the log with the engine, and those of their options that cost it nothing else.
const LOG_DRIVERS: [&str; 3] = ["json-file", "local", "none"];
const LOG_OPTIONS: [&str; 9] =
    ["max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag", "mode"];

/// Docker's own weights: whoever asks for more takes it from others.
const CPU_SHARES: i64 = 1024;
const BLKIO_WEIGHT: u16 = 500;

/// A health check runs outside of the container's limits, so it does not run without a pause.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// Refuses what a service may not ask for.
#[allow(clippy::too_many_lines, reason = "one line for each field of the model, so that none is forgotten")]
pub fn check(terms: &Terms<'_>, key: &str, service: &Service, refused: &mut Refused) {
    let Service {
        at,
        image,
        build,
        pull_policy: _,
        platform: _,
        command: _,
        entrypoint: _,
        environment,
        user: _,
        group_add: _,
        working_dir: _,
        init: _,
        tty: _,
        stdin_open: _,
        stop_signal: _,
        stop_grace_period: _,
        post_start,
        pre_stop,
        scale: _,
        deploy,
        restart: _,
        depends_on: _,
        healthcheck,
        profiles: _,
        attach: _,
        container_name,
        hostname: _,
        domainname: _,
        labels,
        annotations,
        logging,
        networks,
        network_mode,
        ports,
        expose: _,
        // Of the same project.
        links: _,
        external_links,
        extra_hosts: _,
        dns: _,
        dns_opt: _,
        dns_search: _,
        mac_address: _,
        volumes,
        volumes_from,
        // The engine takes only options of the tmpfs, which counts as the container's memory.
        tmpfs: _,
        configs: _,
        secrets: _,
        read_only: _,
        shm_size: _,
        storage_opt,
        privileged,
        cap_add,
        cap_drop: _,
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
        // Judged together.
        mem_limit: _,
        mem_reservation: _,
        memswap_limit: _,
        mem_swappiness: _,
        oom_kill_disable: _,
        oom_score_adj: _,
        nano_cpus: _,
        cpuset: _,
        cpu_shares: _,
        cpu_quota: _,
        cpu_period: _,
        cpu_rt_runtime: _,
        cpu_rt_period: _,
        pids_limit: _,
        ulimits,
        blkio_config: _,
    } = service;
    let path = format!("services.{key}");
    let allow = &terms.allow;
    match build {
        Some(build) => build::check(terms, &path, at, build, image.as_deref(), refused),
        None => {
            let reference = image.as_deref().unwrap_or_default();
            image::check(terms, at.of("image"), &format!("{path}.image"), reference, refused);
        }
    }
    names::check_variables(terms, at, &path, environment.keys(), refused);
    names::check_labels(terms, at, &path, "labels", labels, refused);
    if let Some(name) = container_name {
        names::check(terms, at.of("container_name"), &format!("{path}.container_name"), name, refused);
    }

    if *privileged && !allow.privileged {
        refused.add(at.of("privileged"), &format!("{path}.privileged"), "true", "privileged is not opened");
    }
    for (attribute, hooks) in [("post_start", post_start), ("pre_stop", pre_stop)] {
        for Hook { at, command: _, user: _, privileged, working_dir: _, environment: _ } in hooks {
            if *privileged && !allow.privileged {
                let attribute = format!("{path}.{attribute}.privileged");
                refused.add(at, &attribute, "true", "privileged is not opened");
            }
        }
    }
    check_capabilities(terms, at, &path, cap_add, refused);
    let mut closed = Closed { at, path: &path, refused };
    closed.security(&allow.security_options, security_opt);
    closed.each("sysctls", sysctls.keys(), &allow.sysctls, "no kernel parameter may be set");
    closed.each("annotations", annotations.keys(), &allow.annotations, "no annotation may be set");
    closed.each(
        "storage_opt",
        storage_opt.keys(),
        &allow.storage_options,
        "no option of the storage driver may be set",
    );
    closed.each("cgroup_parent", cgroup_parent.iter(), &allow.cgroup_parents, "no parent may be named");
    let runtime = runtime.iter().filter(|runtime| *runtime != "runc");
    closed.each("runtime", runtime, &allow.runtimes, "allowed: runc");
    let closed_rule = |(_, rule): &(usize, &String)| !allow.device_cgroup_rules.contains(rule);
    let rules = list(allow.device_cgroup_rules.iter().cloned(), "no device may be opened");
    // Rules end in letters and hold stars of their own: they are no patterns.
    closed.listed("device_cgroup_rules", device_cgroup_rules.iter().enumerate().filter(closed_rule), &[], &rules);
    check_ulimits(terms, at, &path, "ulimits", ulimits.keys(), refused);

    for (attribute, value, namespace) in [
        ("pid", pid, HostNamespace::Pid),
        ("ipc", ipc, HostNamespace::Ipc),
        ("uts", uts, HostNamespace::Uts),
        ("userns_mode", userns_mode, HostNamespace::User),
        ("cgroup", cgroup, HostNamespace::Cgroup),
    ] {
        if let Some(value) = value {
            check_namespace(terms, at.of(attribute), &format!("{path}.{attribute}"), value, namespace, refused);
        }
    }
    match network_mode {
        Some(Namespace::Private | Namespace::Shareable) | None => {}
        Some(Namespace::Other(name)) => {
            network::check_joined(terms, at.of("network_mode"), &format!("{path}.network_mode"), name, refused);
        }
        Some(mode) => {
            let attribute = format!("{path}.network_mode");
            check_namespace(terms, at.of("network_mode"), &attribute, mode, HostNamespace::Network, refused);
        }
    }
    for (network, attachment) in networks {
        network::check_attachment(terms, &path, network, attachment, refused);
    }
    for port in ports {
        network::check_port(terms, &path, port, refused);
    }
    for Link { at, target, alias: _ } in external_links {
        if !matches_any(&allow.containers, target) {
            let allowed = list(allow.containers.iter().cloned(), "nothing is shared with other containers");
            refused.add(at, &format!("{path}.external_links"), target, &allowed);
        }
    }
    for mount in volumes {
        mounts::check(terms, &path, mount, refused);
    }
    for from in volumes_from {
        mounts::check_from(terms, &path, from, refused);
    }

    for Device { at, source, target: _, permissions: _ } in devices {
        let climbs = source.split('/').any(|part| part == ".." || part == ".");
        if climbs || !matches_any(&allow.devices, source) {
            let allowed = list(allow.devices.iter().cloned(), "no device of the host may be used");
            refused.add(at, &format!("{path}.devices"), source, &allowed);
        }
    }
    let reserved = deploy.iter().filter_map(|Deploy { reservations, .. }| reservations.as_ref());
    let reserved = reserved.flat_map(|reservations| &reservations.devices);
    for DeviceReservation { at, capabilities, driver, .. } in gpus.iter().chain(reserved) {
        if !allow.gpus {
            let what = driver.clone().unwrap_or_else(|| capabilities.join(", "));
            refused.add(at, &format!("{path}.gpus"), &what, "gpus is not opened");
        }
    }
    if let Some(logging) = logging {
        check_logging(terms, at, &path, logging, refused);
    }
    if let Some(healthcheck) = healthcheck {
        check_health(at, &path, healthcheck, refused);
    }
    limits::check(terms, &path, service, refused);
    if !allow.precedence {
        check_precedence(at, &path, service, refused);
    }
}

/// Attributes that are closed, with the patterns that open them.
struct Closed<'a> {
    at: &'a Positions,
    path: &'a str,
    refused: &'a mut Refused,
}

impl Closed<'_> {
    /// The keys of a map, or a single value.
    fn each<'b>(&mut self, name: &str, values: impl Iterator<Item = &'b String>, patterns: &[String], none: &str) {
        self.judge(name, values.map(|value| (format!("{name}.{value}"), value)), patterns, none);
    }

    /// The entries of a list, with their places in it.
    fn listed<'b>(
        &mut self,
        name: &str,
        values: impl Iterator<Item = (usize, &'b String)>,
        patterns: &[String],
        none: &str,
    ) {
        self.judge(name, values.map(|(index, value)| (format!("{name}.{index}"), value)), patterns, none);
    }

    fn judge<'b>(
        &mut self,
        name: &str,
        values: impl Iterator<Item = (String, &'b String)>,
        patterns: &[String],
        none: &str,
    ) {
        for (position, value) in values.filter(|(_, value)| !matches_any(patterns, value)) {
            let allowed = list(patterns.iter().cloned(), none);
            self.refused.add(self.at.of(&position), &format!("{}.{name}", self.path), value, &allowed);
        }
    }

    /// `no-new-privileges` takes rights away; whatever else is said gives some back.
    fn security(&mut self, patterns: &[String], options: &[String]) {
        // Docker reads both signs alike.
        let one_sign = |option: &String| option.replacen('=', ":", 1);
        let patterns: Vec<String> = patterns.iter().map(one_sign).collect();
        let harmless =
            |option: &String| ["no-new-privileges", "no-new-privileges:true"].contains(&one_sign(option).as_str());
        let asked: Vec<String> = options.iter().map(one_sign).collect();
        let asked = asked.iter().enumerate().filter(|(_, option)| !harmless(option));
        self.listed("security_opt", asked, &patterns, "allowed: no-new-privileges:true");
    }
}

fn check_capabilities(terms: &Terms<'_>, at: &Positions, path: &str, added: &[String], refused: &mut Refused) {
    for (index, capability) in added.iter().enumerate() {
        let upper = capability.trim().to_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if !CAPABILITIES.contains(&name) && !terms.allow.capabilities.iter().any(|allowed| allowed == name) {
            let allowed = list(terms.allow.capabilities.iter().cloned(), "none may be added to Docker's own");
            refused.add(at.of(&format!("cap_add.{index}")), &format!("{path}.cap_add"), capability, &allowed);
        }
    }
}

/// Refuses limits of processes that concern others too.
pub fn check_ulimits<'a>(
    terms: &Terms<'_>,
    at: &Positions,
    path: &str,
    attribute: &str,
    kinds: impl Iterator<Item = &'a String>,
    refused: &mut Refused,
) {
    for kind in kinds {
        if !ULIMITS.contains(&kind.as_str()) && !terms.allow.ulimits.contains(kind) {
            let allowed = ULIMITS.map(str::to_owned).into_iter().chain(terms.allow.ulimits.iter().cloned());
            let at = at.of(&format!("{attribute}.{kind}"));
            refused.add(at, &format!("{path}.{attribute}"), kind, &list(allowed, ""));
        }
    }
}

fn check_namespace(
    terms: &Terms<'_>,
    at: &At,
    attribute: &str,
    value: &Namespace,
    namespace: HostNamespace,
    refused: &mut Refused,
) {
    let (open, remedy) = match value {
        Namespace::Private | Namespace::Shareable | Namespace::None | Namespace::Service(_) => return,
        Namespace::Host => (terms.shares(namespace), format!("hostNamespaces does not name {namespace:?}")),
        Namespace::Container(name) => (
            matches_any(&terms.allow.containers, name),
            list(terms.allow.containers.iter().cloned(), "nothing is shared with other containers"),
        ),
        // No engine knows another word; one that did would not have been thought of here.
        Namespace::Other(_) => (false, "it means nothing here".to_owned()),
    };
    if !open {
        refused.add(at, attribute, &value.to_string(), &remedy);
    }
}

fn check_logging(terms: &Terms<'_>, at: &Positions, path: &str, logging: &Logging, refused: &mut Refused) {
    let Logging { driver, options } = logging;
    let driver = driver.as_deref().unwrap_or("json-file");
    if matches_any(&terms.allow.log_drivers, driver) {
        return;
    }
    if !LOG_DRIVERS.contains(&driver) {
        let allowed = LOG_DRIVERS.map(str::to_owned).into_iter().chain(terms.allow.log_drivers.iter().cloned());
        refused.add(at.of("logging.driver"), &format!("{path}.logging.driver"), driver, &list(allowed, ""));
        return;
    }
    for option in options.keys().filter(|option| !LOG_OPTIONS.contains(&option.as_str())) {
        let attribute = format!("logging.options.{option}");
        let allowed = list(LOG_OPTIONS.iter().map(ToString::to_string), "");
        refused.add(at.of(&attribute), &format!("{path}.logging.options"), option, &allowed);
    }
}

fn check_health(at: &Positions, path: &str, healthcheck: &Healthcheck, refused: &mut Refused) {
    let Healthcheck { test: _, interval, timeout: _, retries: _, start_period: _, start_interval, disable: _ } =
        healthcheck;
    for (name, pause) in [("interval", interval), ("start_interval", start_interval)] {
        // The engine takes zero for its own pause.
        if let Some(pause) = pause.filter(|pause| !pause.is_zero() && *pause < SHORTEST_INTERVAL) {
            let attribute = format!("healthcheck.{name}");
            let remedy = format!("at least {SHORTEST_INTERVAL:?}: checks do not count as the container's CPU");
            refused.add(at.of(&attribute), &format!("{path}.{attribute}"), &format!("{pause:?}"), &remedy);
        }
    }
}

/// Refuses what puts a container before those of others.
fn check_precedence(at: &Positions, path: &str, service: &Service, refused: &mut Refused) {
    const REMEDY: &str = "it puts the container before those of others, and precedence is not opened";
    let mut refuse = |attribute: &str, value: String| {
        refused.add(at.of(attribute), &format!("{path}.{attribute}"), &value, REMEDY);
    };
    if service.oom_kill_disable {
        refuse("oom_kill_disable", "true".to_owned());
    }
    if let Some(adjusted) = service.oom_score_adj.filter(|adjusted| *adjusted < 0) {
        refuse("oom_score_adj", adjusted.to_string());
    }
    if let Some(shares) = service.cpu_shares.filter(|shares| *shares > CPU_SHARES) {
        refuse("cpu_shares", shares.to_string());
    }
    for (attribute, realtime) in [("cpu_rt_runtime", service.cpu_rt_runtime), ("cpu_rt_period", service.cpu_rt_period)]
    {
        if let Some(realtime) = realtime.filter(|realtime| *realtime != 0) {
            refuse(attribute, realtime.to_string());
        }
    }
    if let Some(BlkioConfig { weight, weight_device, .. }) = &service.blkio_config {
        let weights = weight.iter().chain(weight_device.iter().map(|device| &device.weight));
        if let Some(weight) = weights.max().filter(|weight| **weight > BLKIO_WEIGHT) {
            refuse("blkio_config", format!("weight {weight}"));
        }
    }
}
