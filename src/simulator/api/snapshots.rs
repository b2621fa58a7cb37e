//! `/nodes/N/qemu/ID/snapshot`: snapshots of the configuration; the data of disks is not played.

use serde_json::{Map, Value, json};

use super::{Answer, ApiError, Call};
use crate::simulator::world::{SnapshotStep, SnapshotWork, no_such_config};

pub(super) fn list(call: &mut Call<'_>) -> Answer {
    let guest = call
        .world
        .guest_on(&call.node, call.vmid)
        .ok_or_else(|| ApiError::plain(no_such_config(call.vmid, &call.node)))?;
    let mut lines = Vec::new();
    for (name, config) in &guest.snapshots {
        let mut line = Map::from_iter([
            ("name".to_owned(), json!(name)),
            ("description".to_owned(), json!(config.get("description").unwrap_or_default())),
            ("snaptime".to_owned(), json!(config.number("snaptime").unwrap_or(0))),
            ("vmstate".to_owned(), json!(0)),
        ]);
        if let Some(parent) = config.get("parent") {
            line.insert("parent".into(), json!(parent));
        }
        lines.push(Value::Object(line));
    }
    let mut current = Map::from_iter([
        ("name".to_owned(), json!("current")),
        ("description".to_owned(), json!("You are here!")),
        ("running".to_owned(), json!(u8::from(guest.running.is_some()))),
        ("digest".to_owned(), json!(guest.digest())),
    ]);
    if let Some(parent) = guest.config.get("parent") {
        current.insert("parent".into(), json!(parent));
    }
    lines.push(Value::Object(current));
    Ok(Value::Array(lines))
}

pub(super) fn config(call: &mut Call<'_>) -> Answer {
    let name = call.rest.get(1).cloned().unwrap_or_default();
    let guest = call
        .world
        .guest_on(&call.node, call.vmid)
        .ok_or_else(|| ApiError::plain(no_such_config(call.vmid, &call.node)))?;
    match guest.snapshots.get(&name) {
        Some(config) => Ok(Value::Object(config.to_json())),
        None => Err(ApiError::plain(format!("snapshot '{name}' does not exist")).into()),
    }
}

fn fork(call: &mut Call<'_>, kind: &str, name: String, step: SnapshotStep) -> Answer {
    let work = Box::new(SnapshotWork { node: call.node.clone(), vmid: call.vmid, name, step, locked: false });
    let id = call.vmid.to_string();
    Ok(json!(call.world.fork(&call.node, kind, &id, &call.owner, work)))
}

pub(super) fn create(call: &mut Call<'_>) -> Answer {
    let name = call.text("snapname").unwrap_or_default().to_owned();
    if name.chars().count() > 40 {
        return Err(ApiError::param("snapname", "value may only be 40 characters long").into());
    }
    if matches!(name.as_str(), "current" | "pending") {
        return Err(ApiError::plain(format!("unable to use snapshot name '{name}' (reserved name)")).into());
    }
    let description = call.text("description").unwrap_or_default().to_owned();
    fork(call, "qmsnapshot", name, SnapshotStep::Create { description })
}

pub(super) fn delete(call: &mut Call<'_>) -> Answer {
    let name = call.rest.get(1).cloned().unwrap_or_default();
    fork(call, "qmdelsnapshot", name, SnapshotStep::Delete)
}

pub(super) fn rollback(call: &mut Call<'_>) -> Answer {
    let name = call.rest.get(1).cloned().unwrap_or_default();
    let start = call.flag("start");
    fork(call, "qmrollback", name, SnapshotStep::Rollback { start })
}
