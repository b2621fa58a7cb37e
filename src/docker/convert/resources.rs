//! What a container may use, and which devices it gets.

use std::collections::BTreeMap;

use bollard::models::{
    DeviceMapping, DeviceRequest, HostConfig, ResourcesBlkioWeightDevice, ResourcesUlimits, ThrottleDevice,
};

use crate::docker::compose::model::{
    BlkioConfig, BlkioThrottle, BlkioWeight, Deploy, Device, DeviceReservation, ResourceLimits, ResourceReservations,
    Ulimit,
};

use super::{list, map};

/// The attributes of a service that this is about.
pub(super) struct Limits<'a> {
    pub deploy: Option<&'a Deploy>,
    pub cgroup_parent: Option<&'a String>,
    pub devices: &'a [Device],
    pub device_cgroup_rules: &'a [String],
    pub gpus: &'a [DeviceReservation],
    pub mem_limit: Option<i64>,
    pub mem_reservation: Option<i64>,
    pub memswap_limit: Option<i64>,
    pub mem_swappiness: Option<i64>,
    pub oom_kill_disable: bool,
    pub nano_cpus: Option<i64>,
    pub cpuset: Option<&'a String>,
    pub cpu_shares: Option<i64>,
    pub cpu_quota: Option<i64>,
    pub cpu_period: Option<i64>,
    pub cpu_rt_runtime: Option<i64>,
    pub cpu_rt_period: Option<i64>,
    pub pids_limit: Option<i64>,
    pub ulimits: &'a BTreeMap<String, Ulimit>,
    pub blkio_config: Option<&'a BlkioConfig>,
}

/// What of a host configuration is about these.
pub(super) fn config(limits: Limits<'_>) -> HostConfig {
    let Limits {
        deploy,
        cgroup_parent,
        devices,
        device_cgroup_rules,
        gpus,
        mem_limit,
        mem_reservation,
        memswap_limit,
        mem_swappiness,
        oom_kill_disable,
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
    } = limits;
    // What `deploy` says prevails.
    let most = deploy.and_then(|deploy| deploy.limits.clone()).unwrap_or_default();
    let ResourceLimits { nano_cpus: most_cpus, memory: most_memory, pids: most_pids } = most;
    let least = deploy.and_then(|deploy| deploy.reservations.clone()).unwrap_or_default();
    let ResourceReservations { nano_cpus: _, memory: least_memory, devices: reserved } = least;
    let (named, mapped): (Vec<&Device>, Vec<&Device>) = devices.iter().partition(|device| is_cdi(device));
    let mapped: Vec<_> = mapped
        .into_iter()
        .map(|Device { at: _, source, target, permissions }| DeviceMapping {
            path_on_host: Some(source.clone()),
            path_in_container: Some(target.clone()),
            cgroup_permissions: Some(permissions.clone()),
        })
        .collect();
    let mut requests: Vec<_> = reserved.iter().map(|device| request(device, &[])).collect();
    if !named.is_empty() {
        requests.push(DeviceRequest {
            driver: Some("cdi".to_owned()),
            count: Some(0),
            device_ids: Some(named.into_iter().map(|device| device.source.clone()).collect()),
            capabilities: None,
            options: None,
        });
    }
    requests.extend(gpus.iter().map(|device| request(device, &["gpu"])));
    let ulimits: Vec<_> = ulimits
        .iter()
        .map(|(name, ulimit)| ResourcesUlimits {
            name: Some(name.clone()),
            soft: Some(ulimit.soft()),
            hard: Some(ulimit.hard()),
        })
        .collect();
    HostConfig {
        cgroup_parent: cgroup_parent.cloned(),
        memory: most_memory.or(mem_limit),
        memory_reservation: least_memory.or(mem_reservation),
        memory_swap: memswap_limit,
        // Compose takes 0 for nothing.
        memory_swappiness: mem_swappiness.filter(|swappiness| *swappiness != 0),
        oom_kill_disable: Some(oom_kill_disable),
        nano_cpus: most_cpus.or(nano_cpus),
        cpuset_cpus: cpuset.cloned(),
        cpu_shares,
        cpu_quota,
        cpu_period,
        cpu_realtime_runtime: cpu_rt_runtime,
        cpu_realtime_period: cpu_rt_period,
        pids_limit: most_pids.filter(|pids| *pids > 0).or(pids_limit).filter(|pids| *pids != 0),
        devices: list(&mapped),
        device_cgroup_rules: list(device_cgroup_rules),
        device_requests: list(&requests),
        ulimits: list(&ulimits),
        ..blkio_config.map(block_devices).unwrap_or_default()
    }
}

fn block_devices(config: &BlkioConfig) -> HostConfig {
    let BlkioConfig { weight, weight_device, device_read_bps, device_read_iops, device_write_bps, device_write_iops } =
        config;
    let weights: Vec<_> = weight_device
        .iter()
        .map(|BlkioWeight { path, weight }| ResourcesBlkioWeightDevice {
            path: Some(path.clone()),
            weight: Some(usize::from(*weight)),
        })
        .collect();
    let throttles = |throttles: &[BlkioThrottle]| {
        let throttles: Vec<_> = throttles
            .iter()
            .map(|BlkioThrottle { path, rate }| ThrottleDevice { path: Some(path.clone()), rate: Some(*rate) })
            .collect();
        list(&throttles)
    };
    HostConfig {
        blkio_weight: *weight,
        blkio_weight_device: list(&weights),
        blkio_device_read_bps: throttles(device_read_bps),
        blkio_device_read_iops: throttles(device_read_iops),
        blkio_device_write_bps: throttles(device_write_bps),
        blkio_device_write_iops: throttles(device_write_iops),
        ..HostConfig::default()
    }
}

/// `vendor.com/class=name`: a device that has its description on the host.
fn is_cdi(device: &Device) -> bool {
    let Device { at: _, source, target, permissions: _ } = device;
    let qualified = source.split_once('=').is_some_and(|(kind, name)| {
        !name.is_empty()
            && !kind.starts_with('/')
            && kind
                .split_once('/')
                .is_some_and(|(vendor, class)| !vendor.is_empty() && !class.is_empty() && !class.contains('/'))
    });
    source == target && qualified
}

fn request(device: &DeviceReservation, further: &[&str]) -> DeviceRequest {
    let DeviceReservation { at: _, capabilities, driver, count, device_ids, options } = device;
    let further = further.iter().map(|&capability| capability.to_owned());
    DeviceRequest {
        driver: Some(driver.clone().unwrap_or_default()),
        count: Some(count.unwrap_or_default()),
        device_ids: list(device_ids),
        capabilities: Some(vec![capabilities.iter().cloned().chain(further).collect()]),
        options: map(options),
    }
}
