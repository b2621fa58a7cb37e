//! A service.

use super::Decoder;
use super::life::{command, dependencies, healthcheck, hook, logging, pull_policy, restart};
use super::mounts::{file_grant, mount, tmpfs, volumes_from};
use super::network::{attachments, extra_hosts, links, port};
use super::positions;
use super::reader::{Fields, Item};
use super::resources::{blkio, build, deploy, device, device_requests, ulimits};
use crate::docker::compose::canonical::port_range;
use crate::docker::compose::model::{Namespace, Service};

impl Decoder<'_> {
    /// Reads a service. Nothing is taken from another one's attributes: that comes later.
    pub(super) fn service(&self, item: &Item<'_>) -> Service {
        let mut fields = item.fields();
        let f = &mut fields;
        let environment = self.environment(f);
        let labels = self.labels(f);
        let service = Service {
            at: positions(item),
            image: f.text("image"),
            build: f.item("build").map(|item| build(&item)),
            pull_policy: f.item("pull_policy").and_then(|item| pull_policy(&item)),
            platform: f.text("platform"),
            command: f.item("command").and_then(|item| command(&item)),
            entrypoint: f.item("entrypoint").and_then(|item| command(&item)),
            environment,
            user: f.text("user"),
            group_add: f.texts_or_numbers("group_add"),
            working_dir: f.text("working_dir"),
            init: f.item("init").and_then(|item| item.boolean()),
            tty: f.flag("tty"),
            stdin_open: f.flag("stdin_open"),
            stop_signal: f.text("stop_signal"),
            stop_grace_period: f.duration("stop_grace_period"),
            post_start: f.list("post_start").iter().map(hook).collect(),
            pre_stop: f.list("pre_stop").iter().map(hook).collect(),
            scale: f.number("scale"),
            deploy: f.item("deploy").map(|item| deploy(&item)),
            restart: f.item("restart").and_then(|item| restart(&item)),
            depends_on: f.item("depends_on").map(|item| dependencies(&item)).unwrap_or_default(),
            healthcheck: f.item("healthcheck").map(|item| healthcheck(&item)),
            profiles: f.texts("profiles"),
            attach: f.item("attach").and_then(|item| item.boolean()),
            container_name: f.item("container_name").and_then(|item| container_name(&item)),
            hostname: f.text("hostname"),
            domainname: f.text("domainname"),
            labels,
            annotations: f.pairs("annotations"),
            logging: f.item("logging").map(|item| logging(&item)),
            networks: f.item("networks").map(|item| attachments(&item)).unwrap_or_default(),
            network_mode: namespace(f, "network_mode"),
            ports: f.list("ports").iter().filter_map(port).collect(),
            expose: f.list("expose").iter().filter_map(expose).collect(),
            links: links(f.list("links")),
            external_links: links(f.list("external_links")),
            extra_hosts: f.item("extra_hosts").map(|item| extra_hosts(&item)).unwrap_or_default(),
            dns: f.texts("dns").into_iter().filter(|server| !server.is_empty()).collect(),
            dns_opt: f.texts("dns_opt"),
            dns_search: f.texts("dns_search"),
            mac_address: f.text("mac_address"),
            volumes: f.list("volumes").iter().filter_map(mount).collect(),
            volumes_from: f.list("volumes_from").iter().filter_map(volumes_from).collect(),
            tmpfs: f.list("tmpfs").iter().filter_map(tmpfs).collect(),
            configs: f.list("configs").iter().filter_map(|item| file_grant(item, "/")).collect(),
            secrets: f.list("secrets").iter().filter_map(|item| file_grant(item, "/run/secrets/")).collect(),
            read_only: f.flag("read_only"),
            shm_size: f.bytes("shm_size"),
            storage_opt: f.pairs("storage_opt"),
            privileged: f.flag("privileged"),
            cap_add: f.texts("cap_add"),
            cap_drop: f.texts("cap_drop"),
            security_opt: f.texts("security_opt"),
            ipc: namespace(f, "ipc"),
            pid: namespace(f, "pid"),
            uts: namespace(f, "uts"),
            userns_mode: namespace(f, "userns_mode"),
            cgroup: f.item("cgroup").and_then(|item| cgroup(&item)),
            cgroup_parent: f.text("cgroup_parent"),
            runtime: f.text("runtime"),
            sysctls: f.pairs("sysctls"),
            devices: f.list("devices").iter().filter_map(device).collect(),
            device_cgroup_rules: f.texts("device_cgroup_rules"),
            gpus: device_requests(f.list("gpus")),
            mem_limit: f.bytes("mem_limit"),
            mem_reservation: f.bytes("mem_reservation"),
            memswap_limit: f.bytes("memswap_limit"),
            mem_swappiness: f.number("mem_swappiness").filter(|value| within(f, "mem_swappiness", *value, 0, 100)),
            oom_kill_disable: f.flag("oom_kill_disable"),
            oom_score_adj: f.number("oom_score_adj").filter(|value| within(f, "oom_score_adj", *value, -1000, 1000)),
            nano_cpus: f.item("cpus").and_then(|item| item.nano_cpus()),
            cpuset: f.text("cpuset"),
            cpu_shares: f.number("cpu_shares"),
            cpu_quota: f.number("cpu_quota"),
            cpu_period: f.number("cpu_period"),
            cpu_rt_runtime: f.number("cpu_rt_runtime"),
            cpu_rt_period: f.number("cpu_rt_period"),
            pids_limit: f.number("pids_limit"),
            ulimits: f.item("ulimits").map(|item| ulimits(&item)).unwrap_or_default(),
            blkio_config: f.item("blkio_config").map(|item| blkio(&item)),
        };
        fields.finish();
        service
    }
}

fn namespace(fields: &mut Fields<'_>, key: &'static str) -> Option<Namespace> {
    fields.text(key).filter(|value| !value.is_empty()).map(Namespace::from)
}

fn cgroup(item: &Item<'_>) -> Option<Namespace> {
    let known = |text: &str| matches!(text, "host" | "private").then(|| Namespace::from(text.to_owned()));
    item.parsed("`host` or `private`", "write one of them", known)
}

fn within(fields: &mut Fields<'_>, key: &'static str, value: i64, least: i64, most: i64) -> bool {
    let fits = (least..=most).contains(&value);
    if !fits && let Some(item) = fields.item(key) {
        item.complain(format!("this must be from {least} to {most}"), "use a number within these bounds");
    }
    fits
}

/// The engine's rule for names.
fn container_name(item: &Item<'_>) -> Option<String> {
    let valid = |name: &str| {
        let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        first && name.len() > 1 && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
    };
    item.parsed("a name of letters, digits, `_`, `.` and `-`", "use another name", |name| {
        valid(name).then(|| name.to_owned())
    })
}

fn expose(item: &Item<'_>) -> Option<String> {
    let valid = |text: &str| {
        let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let known = matches!(protocol.to_lowercase().as_str(), "tcp" | "udp" | "sctp");
        (known && port_range(ports).is_some()).then(|| text.to_owned())
    };
    item.parsed("a port, or a range of them", "write one as in `8080` or `8000-8010/udp`", valid)
}
