//! `/nodes/N/storage`: storages and what is on them.

use serde_json::{Map, Value, json};

use super::{Answer, ApiError, Call};
use crate::simulator::scenario::StorageKind;
use crate::simulator::world::FreeVolume;
use crate::simulator::world::storage::{Storage, VolumeKey};

fn is_visible(call: &Call<'_>, name: &str) -> bool {
    let path = format!("/storage/{name}");
    call.may(&path, "Datastore.Audit") || call.may(&path, "Datastore.AllocateSpace")
}

fn content_of(storage: &Storage) -> String {
    storage.spec.content.join(",")
}

/// The storages in `/cluster/resources`: once per node, shared ones too. Datastore.AllocateSpace does not show them there.
pub(super) fn cluster_lines(call: &Call<'_>) -> Vec<Value> {
    let mut lines = Vec::new();
    let audited = |name: &str| call.may(&format!("/storage/{name}"), "Datastore.Audit");
    for (name, storage) in call.world.storages.iter().filter(|(name, _)| audited(name)) {
        for node in call.world.nodes.iter().filter(|node| storage.on_node(&node.name)) {
            let (used, total) = call.world.space(name, &node.name);
            let mut line = Map::new();
            line.insert("id".into(), json!(format!("storage/{}/{name}", node.name)));
            line.insert("type".into(), json!("storage"));
            line.insert("storage".into(), json!(name));
            line.insert("node".into(), json!(node.name));
            line.insert("plugintype".into(), json!(storage.plugin()));
            line.insert("content".into(), json!(content_of(storage)));
            line.insert("shared".into(), json!(u8::from(storage.shared())));
            let fresh = call.world.has_statistics(node);
            line.insert("status".into(), json!(if fresh { "available" } else { "unknown" }));
            if fresh {
                line.insert("maxdisk".into(), json!(total));
                line.insert("disk".into(), json!(used));
            }
            lines.push(Value::Object(line));
        }
    }
    lines
}

fn describe(call: &Call<'_>, name: &str, storage: &Storage) -> Map<String, Value> {
    let here = storage.on_node(&call.node);
    let (used, total) = if here { call.world.space(name, &call.node) } else { (0, 0) };
    let mut line = Map::new();
    line.insert("type".into(), json!(storage.plugin()));
    line.insert("content".into(), json!(content_of(storage)));
    line.insert("shared".into(), json!(u8::from(storage.shared())));
    line.insert("enabled".into(), json!(u8::from(here)));
    line.insert("active".into(), json!(u8::from(here)));
    line.insert("total".into(), json!(total));
    line.insert("used".into(), json!(used));
    line.insert("avail".into(), json!(total.saturating_sub(used)));
    line
}

pub(super) fn list(call: &mut Call<'_>) -> Answer {
    let wanted: Option<Vec<&str>> = call.text("content").map(|words| words.split(',').collect());
    let mut lines = Vec::new();
    for (name, storage) in call.world.storages.iter().filter(|(name, _)| is_visible(call, name)) {
        let here = storage.on_node(&call.node);
        let fits = wanted.as_ref().is_none_or(|words| words.iter().any(|word| storage.has_content(word)));
        let named = call.text("storage").is_none_or(|wanted| wanted == name);
        if !fits || !named || (call.flag("enabled") && !here) {
            continue;
        }
        let mut line = describe(call, name, storage);
        line.insert("storage".into(), json!(name));
        if let (Some(used), Some(total)) =
            (line.get("used").and_then(Value::as_f64), line.get("total").and_then(Value::as_f64))
            && total > 0.0
        {
            line.insert("used_fraction".into(), json!(used / total));
        }
        lines.push(Value::Object(line));
    }
    Ok(Value::Array(lines))
}

fn find<'a>(call: &'a Call<'_>) -> Result<(&'a str, &'a Storage), ApiError> {
    let name = call.rest.first().map_or("", String::as_str);
    let found = call.world.storages.get(name).ok_or_else(|| ApiError::param("storage", "No such storage."))?;
    Ok((name, found))
}

pub(super) fn status(call: &mut Call<'_>) -> Answer {
    let (name, storage) = find(call)?;
    Ok(Value::Object(describe(call, name, storage)))
}

pub(super) fn content(call: &mut Call<'_>) -> Answer {
    let name = call.rest.first().cloned().unwrap_or_default();
    let storage =
        call.world.storages.get(&name).ok_or_else(|| ApiError::plain(format!("storage '{name}' does not exist")))?;
    if !storage.on_node(&call.node) {
        return Err(ApiError::plain(format!("storage '{name}' is not available on node '{}'", call.node)).into());
    }
    if call.text("content").is_some_and(|content| content != "images") {
        return Ok(json!([]));
    }
    let host = (!storage.shared()).then_some(call.node.as_str());
    let wanted = call.number("vmid").and_then(|vmid| u32::try_from(vmid).ok());
    let volumes: Vec<_> = match wanted {
        Some(vmid) => {
            let here = |key: &VolumeKey| key.storage == name && key.host.as_deref() == host;
            call.world.volumes.of_guest(vmid).filter(|(key, _)| here(key)).collect()
        }
        None => call.world.volumes.on(&name, host).collect(),
    };
    let mut lines = Vec::new();
    for (key, volume) in volumes {
        let mut line = Map::new();
        line.insert("volid".into(), json!(format!("{name}:{}", key.name)));
        line.insert("content".into(), json!("images"));
        line.insert("format".into(), json!(volume.format));
        line.insert("size".into(), json!(volume.size));
        line.insert("vmid".into(), json!(volume.vmid));
        line.insert("ctime".into(), json!(volume.created));
        if storage.is_files() {
            line.insert("used".into(), json!(volume.used));
            line.insert("parent".into(), json!(volume.base.as_ref().map(|base| format!("../{base}"))));
        } else if storage.spec.kind == StorageKind::ZfsPool {
            line.insert("parent".into(), json!(volume.base.as_ref().map(|base| format!("{base}@__base__"))));
        }
        lines.push(Value::Object(line));
    }
    Ok(Value::Array(lines))
}

/// Frees a volume, as a task.
pub(super) fn delete(call: &mut Call<'_>) -> Answer {
    let name = call.rest.first().cloned().unwrap_or_default();
    let volume = call.rest.get(2..).map(|parts| parts.join("/")).unwrap_or_default();
    let volid = if volume.contains(':') { volume } else { format!("{name}:{volume}") };
    call.require(&format!("/storage/{name}"), "Datastore.Allocate")?;
    let key = call
        .world
        .volume_by_id(&call.node, &volid)
        .filter(|key| call.world.storages.contains_key(&key.storage))
        .ok_or_else(|| ApiError::plain(format!("unable to parse volume ID '{volid}'\n")))?;
    let Some(volume) = call.world.volumes.get(&key) else {
        return Err(ApiError::plain(format!("volume '{volid}' does not exist")).into());
    };
    let vmid = volume.vmid;
    let id = format!("{vmid}@{name}");
    let work = Box::new(FreeVolume { key, vmid });
    Ok(json!(call.world.fork(&call.node, "imgdel", &id, &call.owner, work)))
}
