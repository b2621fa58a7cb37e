//! `/version` and `/cluster`.

use serde_json::{Map, Value, json};

use super::{Answer, ApiError, Call, guests, nodes, storage};
use crate::simulator::world::guest::{Guest, Kind};

pub(super) fn version(call: &mut Call<'_>) -> Answer {
    Ok(if call.world.is_v9() {
        json!({"version": "9.2.11", "release": "9.2", "repoid": "14a22df35955d97d"})
    } else {
        json!({"version": "8.4.21", "release": "8.4", "repoid": "2606ac854ce9a4fd"})
    })
}

pub(super) fn status(call: &mut Call<'_>) -> Answer {
    let world = &*call.world;
    let mut lines = Vec::new();
    if let Some(name) = &world.cluster_name {
        lines.push(json!({
            "type": "cluster", "id": "cluster", "name": name, "version": world.nodes.len(),
            "nodes": world.nodes.len(), "quorate": u8::from(world.has_quorum()),
        }));
    }
    for (index, node) in world.nodes.iter().enumerate() {
        let local = node.name == call.entry;
        let number = if world.cluster_name.is_some() { index + 1 } else { 0 };
        lines.push(json!({
            "type": "node", "id": format!("node/{}", node.name), "name": node.name, "nodeid": number,
            "ip": format!("10.99.0.{}", index + 1), "local": u8::from(local), "level": "",
            "online": u8::from(world.is_member(node)),
        }));
    }
    Ok(Value::Array(lines))
}

pub(super) fn resources(call: &mut Call<'_>) -> Answer {
    let wanted = call.text("type");
    let mut lines = Vec::new();
    if matches!(wanted, None | Some("vm")) {
        lines
            .extend(call.world.guests().filter(|guest| guests::is_visible(call, guest)).map(|guest| line(call, guest)));
    }
    if matches!(wanted, None | Some("node")) {
        lines.extend(nodes::lines(call, false));
    }
    if matches!(wanted, None | Some("storage")) {
        lines.extend(storage::cluster_lines(call));
    }
    Ok(Value::Array(lines))
}

/// A guest in the list: what the file system knows is exact, the rest is as old as the statistics.
pub(super) fn line(call: &Call<'_>, guest: &Guest) -> Value {
    let world = &*call.world;
    let kind = if guest.kind == Kind::Qemu { "qemu" } else { "lxc" };
    let mut line = Map::new();
    line.insert("id".into(), json!(format!("{kind}/{}", guest.vmid)));
    line.insert("type".into(), json!(kind));
    line.insert("vmid".into(), json!(guest.vmid));
    line.insert("node".into(), json!(guest.node));
    if let Some(tags) = guest.config.get("tags").filter(|tags| !tags.is_empty()) {
        line.insert("tags".into(), json!(tags));
    }
    if let Some(lock) = guest.config.lock() {
        line.insert("lock".into(), json!(lock));
    }
    if let Some((pool, _)) = world.pools.iter().find(|(_, members)| members.contains(&guest.vmid)) {
        line.insert("pool".into(), json!(pool));
    }
    let Some(report) = world.report(guest) else {
        line.insert("status".into(), json!("unknown"));
        if guest.config.is_template() {
            line.insert("template".into(), json!(1));
        }
        return Value::Object(line);
    };
    let uptime = report.running_since.map_or(0, |since| world.now.saturating_sub(since).as_secs());
    let status = if report.running_since.is_some() { "running" } else { "stopped" };
    line.insert("status".into(), json!(status));
    if let Some(name) = &report.name {
        line.insert("name".into(), json!(name));
    } else {
        line.insert("name".into(), json!(format!("VM {}", guest.vmid)));
    }
    line.insert("template".into(), json!(u8::from(report.template)));
    line.insert("maxcpu".into(), json!(guests::shown_cpus(world, &guest.node, report.cpus)));
    line.insert("maxmem".into(), json!(report.memory));
    line.insert("maxdisk".into(), json!(report.disk));
    line.insert("uptime".into(), json!(uptime));
    let memory = if report.running_since.is_some() { report.memory / 20 } else { 0 };
    line.insert("mem".into(), json!(memory));
    line.insert("cpu".into(), if report.running_since.is_some() { json!(0.01) } else { json!(0) });
    for key in ["disk", "diskread", "diskwrite", "netin", "netout"] {
        line.insert(key.into(), json!(0));
    }
    if world.is_v9() && guest.kind == Kind::Qemu {
        line.insert("memhost".into(), json!(memory));
    }
    Value::Object(line)
}

pub(super) fn tasks(call: &mut Call<'_>) -> Answer {
    let auditor = call.may("/", "Sys.Audit");
    let owner = &call.owner;
    let list = call
        .world
        .tasks
        .cluster_list(call.world.unix_time(), |task| auditor || (owner.token.is_none() && task.owner == *owner));
    Ok(Value::Array(list))
}

pub(super) fn next_id(call: &mut Call<'_>) -> Answer {
    if let Some(wanted) = call.text("vmid") {
        let taken = wanted.parse().is_ok_and(|vmid| call.world.guest(vmid).is_some());
        if taken {
            return Err(ApiError::param("vmid", format!("VM {wanted} already exists")).into());
        }
        return Ok(json!(wanted));
    }
    let free = (100..1_000_000).find(|vmid| call.world.guest(*vmid).is_none());
    match free {
        Some(vmid) => Ok(json!(vmid.to_string())),
        None => Err(ApiError::plain("unable to get any free VMID in range [100, 1000000]").into()),
    }
}
