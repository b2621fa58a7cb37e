//! Limits, devices, deployment, and builds.

use std::collections::BTreeMap;

use super::mounts::file_grant;
use super::network::extra_hosts;
use super::reader::{Fields, Item};
use crate::docker::compose::model::{
    BlkioConfig, BlkioThrottle, BlkioWeight, Build, BuildContext, Deploy, Device, DeviceReservation, ResourceLimits,
    ResourceReservations, RestartCondition, RestartPolicy, Ulimit,
};
use crate::docker::compose::tree::Value;

pub fn device(item: &Item<'_>) -> Option<Device> {
    if item.node.text().is_some() {
        item.complain(format!("{} has too many colons", item.node.shown()), "use the long form");
        return None;
    }
    let mut fields = item.fields();
    let source = fields.required("source").and_then(|item| item.text());
    let device = Device {
        at: item.at(),
        target: fields.text("target").or_else(|| source.clone()).unwrap_or_default(),
        source: source.unwrap_or_default(),
        permissions: fields.text("permissions").unwrap_or_else(|| "rwm".to_owned()),
    };
    fields.finish();
    (!device.source.is_empty()).then_some(device)
}

pub fn device_requests(items: Vec<Item<'_>>) -> Vec<DeviceReservation> {
    let request = |item: &Item<'_>| {
        let mut fields = item.fields();
        let count = fields.item("count");
        let device_ids = fields.texts("device_ids");
        if count.is_some() && !device_ids.is_empty() {
            item.complain("`count` and `device_ids` exclude one another", "give one of them");
        }
        let read = |item: Item<'_>| match item.node.text() {
            Some(text) if text.eq_ignore_ascii_case("all") => Some(-1),
            _ => item.number(),
        };
        let count = count.and_then(read).or_else(|| device_ids.is_empty().then_some(-1));
        let (capabilities, driver) = (fields.texts("capabilities"), fields.text("driver"));
        let options = fields.item("options").map(|item| item.pairs()).unwrap_or_default();
        fields.finish();
        DeviceReservation { at: item.at(), capabilities, driver, count, device_ids, options }
    };
    items.iter().map(request).collect()
}

pub fn ulimits(item: &Item<'_>) -> BTreeMap<String, Ulimit> {
    let read = |(name, item): (&str, Item<'_>)| {
        let ulimit = if item.node.map().is_some() {
            let mut fields = item.fields();
            let soft = fields.required("soft").and_then(|item| item.number());
            let hard = fields.required("hard").and_then(|item| item.number());
            fields.finish();
            Ulimit::Pair { soft: soft?, hard: hard? }
        } else {
            Ulimit::Single(item.number()?)
        };
        Some((name.to_owned(), ulimit))
    };
    item.entries().into_iter().filter_map(read).collect()
}

pub fn blkio(item: &Item<'_>) -> BlkioConfig {
    let mut fields = item.fields();
    let weight = |item: &Item<'_>| {
        let mut fields = item.fields();
        let path = fields.required("path").and_then(|item| item.text());
        let weight = fields.required("weight").and_then(|item| item.number());
        fields.finish();
        Some(BlkioWeight { path: path?, weight: weight? })
    };
    let blkio = BlkioConfig {
        weight: fields.number("weight"),
        weight_device: fields.list("weight_device").iter().filter_map(weight).collect(),
        device_read_bps: throttles(&mut fields, "device_read_bps"),
        device_read_iops: throttles(&mut fields, "device_read_iops"),
        device_write_bps: throttles(&mut fields, "device_write_bps"),
        device_write_iops: throttles(&mut fields, "device_write_iops"),
    };
    fields.finish();
    blkio
}

fn throttles(fields: &mut Fields<'_>, key: &'static str) -> Vec<BlkioThrottle> {
    let throttle = |item: &Item<'_>| {
        let mut fields = item.fields();
        let path = fields.required("path").and_then(|item| item.text());
        let rate = fields.required("rate").and_then(|item| item.bytes());
        fields.finish();
        Some(BlkioThrottle { path: path?, rate: rate? })
    };
    fields.list(key).iter().filter_map(throttle).collect()
}

pub fn deploy(item: &Item<'_>) -> Deploy {
    let mut fields = item.fields();
    let mut resources = fields.item("resources").map(|item| item.fields());
    let limits = resources.as_mut().and_then(|resources| resources.item("limits"));
    let reservations = resources.as_mut().and_then(|resources| resources.item("reservations"));
    if let Some(resources) = resources {
        resources.finish();
    }
    let deploy = Deploy {
        replicas: fields.number("replicas"),
        limits: limits.map(|item| resource_limits(&item)),
        reservations: reservations.map(|item| resource_reservations(&item)),
        restart_policy: fields.item("restart_policy").map(|item| restart_policy(&item)),
    };
    fields.finish();
    deploy
}

fn resource_limits(item: &Item<'_>) -> ResourceLimits {
    let mut fields = item.fields();
    let limits = ResourceLimits {
        nano_cpus: fields.item("cpus").and_then(|item| item.nano_cpus()),
        memory: fields.bytes("memory"),
        pids: fields.number("pids"),
    };
    fields.finish();
    limits
}

fn resource_reservations(item: &Item<'_>) -> ResourceReservations {
    let mut fields = item.fields();
    let reservations = ResourceReservations {
        nano_cpus: fields.item("cpus").and_then(|item| item.nano_cpus()),
        memory: fields.bytes("memory"),
        devices: device_requests(fields.list("devices")),
    };
    fields.finish();
    reservations
}

fn restart_policy(item: &Item<'_>) -> RestartPolicy {
    let mut fields = item.fields();
    let policy = RestartPolicy {
        condition: fields
            .item("condition")
            .and_then(|item| item.one_of(&RestartCondition::ALL, RestartCondition::as_str)),
        delay: fields.duration("delay"),
        max_attempts: fields.number("max_attempts"),
        window: fields.duration("window"),
    };
    fields.finish();
    policy
}

pub fn build(item: &Item<'_>) -> Build {
    let mut fields = item.fields();
    let f = &mut fields;
    let context = f.item("context").and_then(|item| match &item.node.value {
        Value::Path(path) => Some(BuildContext::Project(path.clone())),
        _ => item.text().map(BuildContext::Remote),
    });
    let dockerfile_inline = f.text("dockerfile_inline");
    let dockerfile = f.text("dockerfile");
    if dockerfile.is_some() && dockerfile_inline.is_some() {
        item.complain("`dockerfile` and `dockerfile_inline` exclude one another", "give one of them");
    }
    let dockerfile = dockerfile.or_else(|| dockerfile_inline.is_none().then(|| "Dockerfile".to_owned()));
    let build = Build {
        context: context.unwrap_or_default(),
        dockerfile,
        dockerfile_inline,
        args: f.optional_pairs("args").into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        labels: f.pairs("labels"),
        cache_from: f.texts("cache_from"),
        cache_to: f.texts("cache_to"),
        no_cache: f.flag("no_cache"),
        no_cache_filter: f.texts("no_cache_filter"),
        additional_contexts: f.pairs("additional_contexts"),
        pull: f.flag("pull"),
        target: f.text("target"),
        network: f.text("network"),
        shm_size: f.bytes("shm_size"),
        extra_hosts: f.item("extra_hosts").map(|item| extra_hosts(&item)).unwrap_or_default(),
        secrets: f.list("secrets").iter().filter_map(|item| file_grant(item, "/run/secrets/")).collect(),
        tags: f.texts("tags"),
        ulimits: f.item("ulimits").map(|item| ulimits(&item)).unwrap_or_default(),
        platforms: f.texts("platforms"),
        privileged: f.flag("privileged"),
        entitlements: f.texts("entitlements"),
        provenance: f.item("provenance").and_then(|item| item.printed()),
        sbom: f.item("sbom").and_then(|item| item.printed()),
    };
    fields.finish();
    build
}
