//! `/nodes`: the hosts.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Answer, ApiError, Call};
use crate::simulator::world::storage::Storage;

pub(super) fn list(call: &mut Call<'_>) -> Answer {
    Ok(Value::Array(lines(call, true)))
}

/// The nodes as `/nodes` or as `/cluster/resources` lists them; load shows to auditors only.
pub(super) fn lines(call: &Call<'_>, with_fingerprint: bool) -> Vec<Value> {
    let world = &*call.world;
    let line = |node: &_| {
        let node: &crate::simulator::world::NodeView = node;
        let mut line = Map::new();
        line.insert("id".into(), json!(format!("node/{}", node.name)));
        line.insert("type".into(), json!("node"));
        line.insert("node".into(), json!(node.name));
        line.insert("level".into(), json!(""));
        let online = world.is_member(node);
        line.insert("status".into(), json!(if online { "online" } else { "offline" }));
        if with_fingerprint {
            line.insert("ssl_fingerprint".into(), json!(fingerprint(&node.name)));
        } else {
            line.insert("cgroup-mode".into(), json!(1));
        }
        if call.may(&format!("/nodes/{}", node.name), "Sys.Audit") {
            let disk = root(call, &node.name);
            line.insert("maxmem".into(), json!(node.memory));
            line.insert("maxdisk".into(), json!(disk.1));
            line.insert("maxcpu".into(), json!(node.cpus));
            if online {
                line.insert("mem".into(), json!(world.memory_used(node)));
                line.insert("disk".into(), json!(disk.0));
                line.insert("cpu".into(), json!(0.03));
                line.insert("uptime".into(), json!(5000 + world.now.as_secs()));
            } else if with_fingerprint {
                line.remove("maxcpu");
                line.insert("maxcpu".into(), json!(node.cpus));
            }
        }
        Value::Object(line)
    };
    world.nodes.iter().map(line).collect()
}

/// Used and total bytes of the root file system: that of the storage `local`, if there is one.
fn root(call: &Call<'_>, node: &str) -> (u64, u64) {
    let local = call.world.storages.get("local").filter(|found: &&Storage| found.on_node(node));
    local.map_or((8 << 30, 64 << 30), |_| call.world.space("local", node))
}

/// A made-up certificate fingerprint of a node, as Proxmox writes one.
fn fingerprint(node: &str) -> String {
    let bytes: Vec<String> = Sha256::digest(node).iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(":")
}

pub(super) fn status(call: &mut Call<'_>) -> Answer {
    let world = &*call.world;
    let Some(node) = world.node(&call.node) else {
        return Err(ApiError::plain(format!("no such node '{}'", call.node)).into());
    };
    let used = world.memory_used(node);
    let free = node.memory - used;
    let (disk_used, disk) = root(call, &node.name);
    let disk_free = disk.saturating_sub(disk_used);
    let (version, kernel) = if world.is_v9() {
        ("pve-manager/9.2.11/14a22df35955d97d", "6.14.8-2-pve")
    } else {
        ("pve-manager/8.4.21/2606ac854ce9a4fd", "6.8.12-9-pve")
    };
    let mut memory = json!({"total": node.memory, "used": used, "free": free});
    if world.is_v9()
        && let Value::Object(memory) = &mut memory
    {
        memory.insert("available".into(), json!(free));
    }
    Ok(json!({
        "uptime": 5000 + world.now.as_secs(),
        "cpu": 0.03,
        "wait": 0,
        "idle": 0,
        "loadavg": ["0.10", "0.08", "0.05"],
        "memory": memory,
        "swap": {"total": 0, "used": 0, "free": 0},
        "rootfs": {"total": disk, "used": disk_used, "free": disk_free, "avail": disk_free},
        "ksm": {"shared": 0},
        "pveversion": version,
        "kversion": format!("Linux {kernel}"),
        "current-kernel": {
            "sysname": "Linux", "release": kernel, "machine": "x86_64", "version": "#1 SMP PREEMPT_DYNAMIC",
        },
        "boot-info": {"mode": "legacy-bios"},
        "cpuinfo": {
            "cpus": node.cpus, "cores": node.cpus, "sockets": 1, "user_hz": 100, "hvm": "1", "model": "Simulated CPU",
            "vendor": "Simulated", "family": "6", "mhz": "3000.000", "flags": "fpu vme sse2",
        },
    }))
}

pub(super) fn network(call: &Call<'_>) -> Value {
    let bridges = call.world.bridges.iter();
    bridges.map(|bridge| json!({"iface": bridge, "type": "bridge", "active": 1, "autostart": 1})).collect()
}
