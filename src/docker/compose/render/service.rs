//! A service as it is written in a compose document.

use serde_json::{Value, json};

use super::write::{Document, escaped, path, printed_duration, strings};
use super::{hosts, single};
use crate::docker::compose::model::{
    BindSource, BlkioConfig, BlkioThrottle, Build, BuildContext, Deploy, DeviceReservation, FileGrant, Healthcheck,
    Hook, Link, Mount, MountKind, NetworkAttachment, Port, PullPolicy, Restart, Service, Ulimit, VolumesFromSource,
};

pub fn service(service: &Service) -> Value {
    let mut document = Document::default();
    run(&mut document, service);
    connect(&mut document, service);
    hold(&mut document, service);
    limit(&mut document, service);
    document.finish()
}

/// What is run, and how long.
fn run(document: &mut Document, service: &Service) {
    document.option("image", &service.image);
    document.number("build", service.build.as_ref().map(build));
    document.number("pull_policy", service.pull_policy.as_ref().map(pull_policy));
    document.option("platform", &service.platform);
    document.value("command", command(&service.command));
    document.value("entrypoint", command(&service.entrypoint));
    let variable = |value: &Option<String>| value.as_deref().map_or(Value::Null, escaped);
    document.section("environment", service.environment.iter().map(|(name, value)| (name, variable(value))));
    document.option("user", &service.user);
    document.strings("group_add", &service.group_add);
    document.option("working_dir", &service.working_dir);
    document.number("init", service.init);
    document.flag("tty", service.tty);
    document.flag("stdin_open", service.stdin_open);
    document.option("stop_signal", &service.stop_signal);
    document.duration("stop_grace_period", service.stop_grace_period);
    document.list("post_start", &service.post_start, hook);
    document.list("pre_stop", &service.pre_stop, hook);
    document.number("scale", service.scale);
    document.number("deploy", service.deploy.as_ref().map(deploy));
    document.number("restart", service.restart.map(restart));
    let dependencies = service.depends_on.iter().map(|(name, dependency)| {
        let mut document = Document::default();
        document.text("condition", dependency.condition.as_str());
        document.flag("restart", dependency.restart);
        document.value("required", Value::Bool(dependency.required));
        (name, document.finish())
    });
    document.section("depends_on", dependencies);
    document.number("healthcheck", service.healthcheck.as_ref().map(healthcheck));
    document.strings("profiles", &service.profiles);
    document.number("attach", service.attach);
    document.option("container_name", &service.container_name);
    document.option("hostname", &service.hostname);
    document.option("domainname", &service.domainname);
    document.pairs("labels", &service.labels);
    document.pairs("annotations", &service.annotations);
    let logging = service.logging.as_ref().map(|logging| {
        let mut document = Document::default();
        document.option("driver", &logging.driver);
        document.pairs("options", &logging.options);
        document.finish()
    });
    document.number("logging", logging);
}

fn connect(document: &mut Document, service: &Service) {
    document.section("networks", service.networks.iter().map(|(name, it)| (name, attachment(it))));
    document.number("network_mode", service.network_mode.as_ref().map(|mode| escaped(&mode.to_string())));
    document.list("ports", &service.ports, port);
    document.strings("expose", &service.expose);
    document.list("links", &service.links, link);
    document.list("external_links", &service.external_links, link);
    document.number("extra_hosts", hosts(&service.extra_hosts));
    document.strings("dns", &service.dns);
    document.strings("dns_opt", &service.dns_opt);
    document.strings("dns_search", &service.dns_search);
    document.option("mac_address", &service.mac_address);
}

fn hold(document: &mut Document, service: &Service) {
    document.list("volumes", &service.volumes, mount);
    document.list("volumes_from", &service.volumes_from, |source| {
        let name = match &source.source {
            VolumesFromSource::Service(name) => name.clone(),
            VolumesFromSource::Container(name) => format!("container:{name}"),
        };
        escaped(&source.mode.as_ref().map_or(name.clone(), |mode| format!("{name}:{mode}")))
    });
    document.list("tmpfs", &service.tmpfs, |mount| {
        escaped(&mount.options.as_ref().map_or(mount.target.clone(), |options| format!("{}:{options}", mount.target)))
    });
    document.list("configs", &service.configs, file_grant);
    document.list("secrets", &service.secrets, file_grant);
    document.flag("read_only", service.read_only);
    document.bytes("shm_size", service.shm_size);
    document.pairs("storage_opt", &service.storage_opt);
}

fn limit(document: &mut Document, service: &Service) {
    document.flag("privileged", service.privileged);
    document.strings("cap_add", &service.cap_add);
    document.strings("cap_drop", &service.cap_drop);
    document.strings("security_opt", &service.security_opt);
    for (key, namespace) in [
        ("ipc", &service.ipc),
        ("pid", &service.pid),
        ("uts", &service.uts),
        ("userns_mode", &service.userns_mode),
        ("cgroup", &service.cgroup),
    ] {
        document.number(key, namespace.as_ref().map(|namespace| escaped(&namespace.to_string())));
    }
    document.option("cgroup_parent", &service.cgroup_parent);
    document.option("runtime", &service.runtime);
    document.pairs("sysctls", &service.sysctls);
    document.list("devices", &service.devices, |device| {
        let mut document = Document::default();
        document.text("source", &device.source);
        document.text("target", &device.target);
        document.text("permissions", &device.permissions);
        document.finish()
    });
    document.strings("device_cgroup_rules", &service.device_cgroup_rules);
    document.list("gpus", &service.gpus, device_request);
    document.bytes("mem_limit", service.mem_limit);
    document.bytes("mem_reservation", service.mem_reservation);
    document.bytes("memswap_limit", service.memswap_limit);
    document.bytes("mem_swappiness", service.mem_swappiness);
    document.flag("oom_kill_disable", service.oom_kill_disable);
    document.number("oom_score_adj", service.oom_score_adj);
    document.cpus("cpus", service.nano_cpus);
    document.option("cpuset", &service.cpuset);
    document.number("cpu_shares", service.cpu_shares);
    document.number("cpu_quota", service.cpu_quota);
    document.number("cpu_period", service.cpu_period);
    document.number("cpu_rt_runtime", service.cpu_rt_runtime);
    document.number("cpu_rt_period", service.cpu_rt_period);
    document.number("pids_limit", service.pids_limit);
    document.section("ulimits", service.ulimits.iter().map(|(name, it)| (name, ulimit(it))));
    document.number("blkio_config", service.blkio_config.as_ref().map(blkio));
}

fn command(words: &Option<Vec<String>>) -> Value {
    words.as_deref().map_or(Value::Null, strings)
}

fn pull_policy(policy: &PullPolicy) -> Value {
    let text = match policy {
        PullPolicy::Always => "always".to_owned(),
        PullPolicy::Never => "never".to_owned(),
        PullPolicy::Missing => "missing".to_owned(),
        PullPolicy::Build => "build".to_owned(),
        PullPolicy::Every(duration) => match duration.as_secs() {
            86_400 => "daily".to_owned(),
            604_800 => "weekly".to_owned(),
            _ => format!("every_{}", printed_duration(*duration)),
        },
    };
    Value::String(text)
}

fn restart(restart: Restart) -> String {
    match restart {
        Restart::No => "no".to_owned(),
        Restart::Always => "always".to_owned(),
        Restart::UnlessStopped => "unless-stopped".to_owned(),
        Restart::OnFailure(None) => "on-failure".to_owned(),
        Restart::OnFailure(Some(most)) => format!("on-failure:{most}"),
    }
}

fn hook(hook: &Hook) -> Value {
    let mut document = Document::default();
    document.value("command", strings(&hook.command));
    document.option("user", &hook.user);
    document.flag("privileged", hook.privileged);
    document.option("working_dir", &hook.working_dir);
    let variable = |value: &Option<String>| value.as_deref().map_or(Value::Null, escaped);
    document.section("environment", hook.environment.iter().map(|(name, value)| (name, variable(value))));
    document.finish()
}

fn healthcheck(healthcheck: &Healthcheck) -> Value {
    let mut document = Document::default();
    document.strings("test", &healthcheck.test);
    document.duration("interval", healthcheck.interval);
    document.duration("timeout", healthcheck.timeout);
    document.number("retries", healthcheck.retries);
    document.duration("start_period", healthcheck.start_period);
    document.duration("start_interval", healthcheck.start_interval);
    document.flag("disable", healthcheck.disable);
    document.finish()
}

fn deploy(deploy: &Deploy) -> Value {
    let mut resources = Document::default();
    let limits = deploy.limits.as_ref().map(|limits| {
        let mut document = Document::default();
        document.cpus("cpus", limits.nano_cpus);
        document.bytes("memory", limits.memory);
        document.number("pids", limits.pids);
        document.finish()
    });
    let reservations = deploy.reservations.as_ref().map(|reservations| {
        let mut document = Document::default();
        document.cpus("cpus", reservations.nano_cpus);
        document.bytes("memory", reservations.memory);
        document.list("devices", &reservations.devices, device_request);
        document.finish()
    });
    resources.number("limits", limits);
    resources.number("reservations", reservations);
    let policy = deploy.restart_policy.as_ref().map(|policy| {
        let mut document = Document::default();
        document.number("condition", policy.condition.map(|condition| condition.as_str()));
        document.duration("delay", policy.delay);
        document.number("max_attempts", policy.max_attempts);
        document.duration("window", policy.window);
        document.finish()
    });
    let mut document = Document::default();
    document.number("replicas", deploy.replicas);
    document.value("resources", resources.finish());
    document.number("restart_policy", policy);
    document.finish()
}

fn device_request(request: &DeviceReservation) -> Value {
    let mut document = Document::default();
    document.strings("capabilities", &request.capabilities);
    document.option("driver", &request.driver);
    document.number("count", request.count.map(|count| if count == -1 { json!("all") } else { json!(count) }));
    document.strings("device_ids", &request.device_ids);
    document.pairs("options", &request.options);
    document.finish()
}

fn attachment(attachment: &NetworkAttachment) -> Value {
    let mut document = Document::default();
    document.strings("aliases", &attachment.aliases);
    document.number("ipv4_address", attachment.ipv4_address.map(|address| address.to_string()));
    document.number("ipv6_address", attachment.ipv6_address.map(|address| address.to_string()));
    document.strings("link_local_ips", &attachment.link_local_ips);
    document.option("mac_address", &attachment.mac_address);
    document.option("interface_name", &attachment.interface_name);
    document.pairs("driver_opts", &attachment.driver_opts);
    document.number("priority", Some(attachment.priority).filter(|priority| *priority != 0));
    document.number("gw_priority", Some(attachment.gw_priority).filter(|priority| *priority != 0));
    document.finish()
}

fn port(port: &Port) -> Value {
    let mut document = Document::default();
    document.option("name", &port.name);
    document.text("mode", port.mode.as_str());
    document.number("host_ip", port.host_ip.map(|address| address.to_string()));
    document.value("target", json!(port.target));
    document.number("published", port.published.map(|published| published.to_string()));
    document.text("protocol", port.protocol.as_str());
    document.option("app_protocol", &port.app_protocol);
    document.finish()
}

fn link(link: &Link) -> Value {
    escaped(&link.alias.as_ref().map_or(link.target.clone(), |alias| format!("{}:{alias}", link.target)))
}

fn mount(mount: &Mount) -> Value {
    let mut document = Document::default();
    match &mount.kind {
        MountKind::Bind { source, propagation, create_host_path, recursive, selinux } => {
            document.text("type", "bind");
            document.value(
                "source",
                match source {
                    BindSource::Absolute(absolute) => escaped(absolute),
                    BindSource::Project(inside) => path(inside),
                },
            );
            let mut bind = Document::default();
            bind.number("propagation", propagation.map(|propagation| propagation.as_str()));
            bind.number("create_host_path", (!create_host_path).then_some(false));
            bind.number("recursive", recursive.map(|recursive| recursive.as_str()));
            bind.number("selinux", selinux.map(|selinux| selinux.as_str()));
            document.value("bind", bind.finish());
        }
        MountKind::Volume { source, nocopy, subpath, labels, selinux } => {
            document.text("type", "volume");
            document.option("source", source);
            if let Some(selinux) = selinux {
                document.value("bind", json!({ "selinux": selinux.as_str() }));
            }
            let mut volume = Document::default();
            volume.flag("nocopy", *nocopy);
            volume.option("subpath", subpath);
            volume.pairs("labels", labels);
            document.value("volume", volume.finish());
        }
        MountKind::Tmpfs { size, mode } => {
            document.text("type", "tmpfs");
            let mut tmpfs = Document::default();
            tmpfs.bytes("size", *size);
            tmpfs.number("mode", *mode);
            document.value("tmpfs", tmpfs.finish());
        }
        MountKind::Image { source, subpath } => {
            document.text("type", "image");
            document.text("source", source);
            document.value("image", single("subpath", subpath.as_deref().map(escaped)));
        }
    }
    document.text("target", &mount.target);
    document.flag("read_only", mount.read_only);
    document.option("consistency", &mount.consistency);
    document.finish()
}

fn file_grant(grant: &FileGrant) -> Value {
    let mut document = Document::default();
    document.text("source", &grant.source);
    document.text("target", &grant.target);
    document.option("uid", &grant.uid);
    document.option("gid", &grant.gid);
    document.number("mode", grant.mode.map(|mode| format!("0{mode:o}")));
    document.finish()
}

fn ulimit(ulimit: &Ulimit) -> Value {
    match ulimit {
        Ulimit::Single(value) => json!(value),
        Ulimit::Pair { soft, hard } => json!({ "soft": soft, "hard": hard }),
    }
}

fn blkio(blkio: &BlkioConfig) -> Value {
    let throttle =
        |throttle: &BlkioThrottle| json!({ "path": escaped(&throttle.path), "rate": throttle.rate.to_string() });
    let mut document = Document::default();
    document.number("weight", blkio.weight);
    document.list(
        "weight_device",
        &blkio.weight_device,
        |device| json!({ "path": escaped(&device.path), "weight": device.weight }),
    );
    document.list("device_read_bps", &blkio.device_read_bps, throttle);
    document.list("device_read_iops", &blkio.device_read_iops, throttle);
    document.list("device_write_bps", &blkio.device_write_bps, throttle);
    document.list("device_write_iops", &blkio.device_write_iops, throttle);
    document.finish()
}

fn build(build: &Build) -> Value {
    let mut document = Document::default();
    document.value(
        "context",
        match &build.context {
            BuildContext::Project(folder) => path(folder),
            BuildContext::Remote(url) => escaped(url),
        },
    );
    document.option("dockerfile", &build.dockerfile);
    document.option("dockerfile_inline", &build.dockerfile_inline);
    document.pairs("args", &build.args);
    document.pairs("labels", &build.labels);
    document.strings("cache_from", &build.cache_from);
    document.strings("cache_to", &build.cache_to);
    document.flag("no_cache", build.no_cache);
    document.strings("no_cache_filter", &build.no_cache_filter);
    let context = |context: &String| match context.contains("://") || context.contains(':') {
        true => escaped(context),
        false => path(context),
    };
    document.section("additional_contexts", build.additional_contexts.iter().map(|(name, it)| (name, context(it))));
    document.flag("pull", build.pull);
    document.option("target", &build.target);
    document.option("network", &build.network);
    document.bytes("shm_size", build.shm_size);
    document.number("extra_hosts", hosts(&build.extra_hosts));
    document.list("secrets", &build.secrets, file_grant);
    document.strings("tags", &build.tags);
    document.section("ulimits", build.ulimits.iter().map(|(name, it)| (name, ulimit(it))));
    document.strings("platforms", &build.platforms);
    document.flag("privileged", build.privileged);
    document.strings("entitlements", &build.entitlements);
    document.option("provenance", &build.provenance);
    document.option("sbom", &build.sbom);
    document.finish()
}
