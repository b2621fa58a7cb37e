//! `/nodes/N/qemu`: virtual machines, except for their configuration.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Answer, ApiError, Call, Stop};
use crate::simulator::world::guest::{Guest, Kind};
use crate::simulator::world::{
    AgentState, CloneRequest, CreateWork, DestroyRequest, MigrateWork, Power, PowerRequest, ResizeRequest,
    TemplateWork, World, is_drive, no_config, no_such_config,
};

/// How long a shutdown waits for the guest when the caller does not say.
const SHUTDOWN_TIMEOUT: u64 = 180;

pub(super) fn is_visible(call: &Call<'_>, guest: &Guest) -> bool {
    call.may(&format!("/vms/{}", guest.vmid), "VM.Audit")
}

/// The processors that lists show: no more than the node has.
pub(super) fn shown_cpus(world: &World, node: &str, cpus: u64) -> u64 {
    world.node(node).map_or(cpus, |node| cpus.min(u64::from(node.cpus)))
}

/// What a node itself says about a guest, with no lag.
fn describe(call: &Call<'_>, guest: &Guest) -> Map<String, Value> {
    let world = &*call.world;
    let config = &guest.config;
    let mut line = Map::new();
    let running = guest.running.as_ref();
    let memory = guest.touched_memory();
    line.insert("vmid".into(), json!(guest.vmid));
    line.insert("status".into(), json!(if running.is_some() { "running" } else { "stopped" }));
    line.insert("name".into(), json!(config.get("name").map_or_else(|| format!("VM {}", guest.vmid), str::to_owned)));
    line.insert("cpus".into(), json!(shown_cpus(world, &guest.node, guest.cpus())));
    line.insert("maxmem".into(), json!(guest.memory()));
    line.insert("maxdisk".into(), json!(config.boot_disk_size()));
    line.insert("uptime".into(), json!(running.map_or(0, |running| (world.now - running.since).as_secs())));
    line.insert("mem".into(), json!(memory));
    for key in ["cpu", "disk", "netin", "netout"] {
        line.insert(key.into(), json!(0));
    }
    if config.contains("serial0") {
        line.insert("serial".into(), json!(1));
    }
    if config.is_template() {
        line.insert("template".into(), json!(1));
    }
    for key in ["tags", "lock"] {
        if let Some(value) = config.get(key).filter(|value| !value.is_empty()) {
            line.insert(key.into(), json!(value));
        }
    }
    if let Some(balloon) = config.number("balloon").filter(|balloon| *balloon > 0 && balloon << 20 < guest.memory()) {
        line.insert("balloon_min".into(), json!(balloon << 20));
        line.insert("shares".into(), json!(config.number("shares").unwrap_or(1000)));
    }
    if world.is_v9() {
        line.insert("memhost".into(), json!(memory));
    }
    if let Some(running) = running {
        line.insert("pid".into(), json!(running.pid));
        if world.is_v9() {
            for resource in ["cpu", "io", "memory"] {
                line.insert(format!("pressure{resource}some"), json!(0));
                line.insert(format!("pressure{resource}full"), json!(0));
            }
        }
    }
    line
}

fn qmp_status(guest: &Guest) -> &'static str {
    match &guest.running {
        Some(running) if running.paused => "paused",
        Some(_) => "running",
        None => "stopped",
    }
}

/// Counters of a running guest's NICs.
fn nics(guest: &Guest) -> Option<(String, Value)> {
    guest.running.as_ref()?;
    let counters = guest
        .config
        .nics()
        .into_iter()
        .map(|(index, ..)| (format!("tap{}i{index}", guest.vmid), json!({"netin": 0, "netout": 0})));
    Some(("nics".into(), Value::Object(counters.collect())))
}

pub(super) fn list(call: &mut Call<'_>) -> Answer {
    let full = call.flag("full");
    let here = call.world.guests().filter(|guest| guest.node == call.node && guest.kind == Kind::Qemu);
    let lines = here.filter(|guest| is_visible(call, guest)).map(|guest| {
        let mut line = describe(call, guest);
        if full {
            line.insert("qmpstatus".into(), json!(qmp_status(guest)));
            line.extend(nics(guest));
        }
        Value::Object(line)
    });
    Ok(lines.collect())
}

fn find<'a>(call: &'a Call<'_>) -> Result<&'a Guest, ApiError> {
    call.world.guest_on(&call.node, call.vmid).ok_or_else(|| ApiError::plain(no_such_config(call.vmid, &call.node)))
}

pub(super) fn current(call: &mut Call<'_>) -> Answer {
    let guest = find(call)?;
    let mut line = describe(call, guest);
    line.insert("qmpstatus".into(), json!(qmp_status(guest)));
    line.insert("ha".into(), json!({"managed": 0}));
    line.insert("clipboard".into(), Value::Null);
    if guest.config.agent() {
        line.insert("agent".into(), json!(1));
    }
    line.extend(nics(guest));
    Ok(Value::Object(line))
}

pub(super) fn create(call: &mut Call<'_>) -> Answer {
    call.quorum()?;
    let vmid = call.number("vmid").and_then(|vmid| u32::try_from(vmid).ok()).unwrap_or(0);
    if let Some(guest) = call.world.guest(vmid) {
        let node = &guest.node;
        return Err(
            ApiError::plain(format!("unable to create VM {vmid} - VM {vmid} already exists on node '{node}'")).into()
        );
    }
    let pool = call.text("pool").map(str::to_owned);
    check_pool(call, pool.as_deref())?;
    let given: Vec<(String, String)> = call
        .params
        .iter()
        .filter(|(key, _)| {
            !matches!(
                *key,
                "vmid" | "archive" | "storage" | "force" | "unique" | "live-restore" | "pool" | "bwlimit" | "start"
            )
        })
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let mut config = crate::simulator::world::config::Config::default();
    for (key, value) in given {
        if is_drive(&key) {
            check_drive_storage(call, &value)?;
            config.set(&key, value);
        } else {
            let value = call.world.stored_value(&key, &value);
            config.set(&key, value);
        }
    }
    let start = call.flag("start");
    let work = CreateWork { node: call.node.clone(), vmid, config, pool, start, stage: 0 };
    Ok(json!(call.world.fork(&call.node, "qmcreate", &vmid.to_string(), &call.owner, Box::new(work))))
}

fn check_drive_storage(call: &Call<'_>, value: &str) -> Result<(), ApiError> {
    let drive = crate::simulator::world::config::Drive::parse(value);
    if drive.option("import-from").is_some_and(|path| path.starts_with('/')) && !call.is_root() {
        let line = if call.world.is_v9() { 651 } else { 581 };
        return Err(ApiError::plain(format!(
            "Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line {line}."
        )));
    }
    let Some((storage, _)) = drive.volume() else {
        return Ok(());
    };
    match call.world.storages.get(storage) {
        None => Err(ApiError::plain(format!("storage '{storage}' does not exist"))),
        Some(found) if !found.on_node(&call.node) => {
            Err(ApiError::plain(format!("storage '{storage}' is not available on node '{}'", call.node)))
        }
        Some(_) => call.require(&format!("/storage/{storage}"), "Datastore.AllocateSpace"),
    }
}

fn check_pool(call: &Call<'_>, pool: Option<&str>) -> Result<(), ApiError> {
    match pool {
        Some(pool) if !call.world.pools.contains_key(pool) => {
            Err(ApiError::new(403, format!("Permission check failed (pool '{pool}' does not exist)")))
        }
        _ => Ok(()),
    }
}

pub(super) fn destroy(call: &mut Call<'_>) -> Answer {
    let skiplock = call.skiplock()?;
    if let Some(refusal) = call.world.destroy_refusal(&call.node, call.vmid) {
        return Err(ApiError::plain(refusal).into());
    }
    let request = DestroyRequest {
        node: call.node.clone(),
        vmid: call.vmid,
        skiplock,
        purge: call.flag("purge"),
        unreferenced: call.flag("destroy-unreferenced-disks"),
    };
    Ok(json!(call.world.fork(&call.node, "qmdestroy", &call.vmid.to_string(), &call.owner, request.work())))
}

pub(super) fn power(call: &mut Call<'_>, power: Power) -> Answer {
    let skiplock = call.skiplock()?;
    if power == Power::Start {
        call.quorum()?;
    }
    let running = call.world.guest_on(&call.node, call.vmid).and_then(|guest| guest.running.as_ref());
    let not_running = running.is_none();
    let paused = running.is_some_and(|running| running.paused);
    match power {
        Power::Reboot | Power::Suspend | Power::Resume | Power::Reset if not_running => {
            return Err(ApiError::plain(format!("VM {} not running", call.vmid)).into());
        }
        Power::Shutdown if paused && !call.flag("forceStop") => {
            return Err(ApiError::plain("VM is paused - cannot shutdown").into());
        }
        _ => {}
    }
    let id = call.vmid.to_string();
    let mut overruled = Vec::new();
    if power == Power::Stop && call.flag("overrule-shutdown") {
        let shutdowns: Vec<_> = call
            .world
            .tasks
            .running()
            .filter(|(_, task)| task.kind == "qmshutdown" && task.id == id && task.node == call.node)
            .map(|(key, task)| (key, task.upid.clone()))
            .collect();
        for (key, upid) in shutdowns {
            call.world.interrupt(key);
            overruled.push(upid);
        }
    }
    let request = PowerRequest {
        node: call.node.clone(),
        vmid: call.vmid,
        power,
        skiplock,
        timeout: Duration::from_secs(call.number("timeout").unwrap_or(SHUTDOWN_TIMEOUT)),
        force_stop: call.flag("forceStop"),
        overruled,
    };
    Ok(json!(call.world.fork(&call.node, power.task_type(), &id, &call.owner, request.work())))
}

pub(super) fn resize(call: &mut Call<'_>) -> Answer {
    let request = ResizeRequest {
        node: call.node.clone(),
        vmid: call.vmid,
        disk: call.text("disk").unwrap_or_default().to_owned(),
        size: call.text("size").unwrap_or_default().to_owned(),
        digest: call.text("digest").map(str::to_owned),
        skiplock: call.skiplock()?,
    };
    Ok(json!(call.world.fork(&call.node, "resize", &call.vmid.to_string(), &call.owner, request.work())))
}

impl Call<'_> {
    /// The right to make a guest of that id: on the id itself or on the pool it goes to.
    pub(super) fn may_allocate(&self, vmid: Option<&str>, pool: Option<&str>) -> Result<(), ApiError> {
        let on_vm = vmid.is_none_or(|vmid| self.may(&format!("/vms/{vmid}"), "VM.Allocate"));
        let on_pool = pool.is_some_and(|pool| self.may(&format!("/pool/{pool}"), "VM.Allocate"));
        if on_vm || on_pool { Ok(()) } else { Err(ApiError::new(403, "Permission check failed")) }
    }
}

pub(super) fn clone(call: &mut Call<'_>) -> Answer {
    call.quorum()?;
    let text = |key: &str| call.text(key).map(str::to_owned);
    let (node, vmid) = (call.node.clone(), call.vmid);
    let newid = call.number("newid").and_then(|newid| u32::try_from(newid).ok()).unwrap_or(0);
    let pool = text("pool");
    let storage = text("storage");
    let target = text("target").filter(|target| *target != node);
    check_pool(call, pool.as_deref())?;
    check_clone_storage(call, storage.as_deref(), target.as_deref())?;
    let Some(guest) = call.world.guest_on(&node, vmid) else {
        return Err(ApiError::plain(no_config(vmid, &node)).into());
    };
    if let Some(lock) = guest.config.lock() {
        return Err(ApiError::plain(format!("VM is locked ({lock})")).into());
    }
    let snapshot = text("snapname");
    if let Some(name) = snapshot.as_ref().filter(|name| !guest.snapshots.contains_key(*name)) {
        return Err(ApiError::plain(format!("snapshot '{name}' does not exist")).into());
    }
    let full = call.text("full").map_or(!guest.config.is_template(), |full| full == "1");
    if !full {
        for parameter in ["storage", "format"] {
            if call.text(parameter).is_some() {
                return Err(ApiError::plain(format!("parameter '{parameter}' not allowed for linked clones")).into());
            }
        }
    }
    let mut shared = true;
    for (_, drive) in guest.config.drives() {
        let Some((from, _)) = drive.volume() else {
            continue;
        };
        let Some(found) = call.world.storages.get(from) else {
            return Err(ApiError::plain(format!("storage '{from}' does not exist")).into());
        };
        shared &= found.shared();
        let to = storage.as_deref().unwrap_or(from);
        call.require(&format!("/storage/{to}"), "Datastore.AllocateSpace")?;
    }
    for bridge in guest.config.nics().into_iter().filter_map(|(_, _, bridge)| bridge) {
        call.require(&format!("/sdn/zones/localnetwork/{bridge}"), "SDN.Use")?;
    }
    if let Some(target) = target.as_ref().filter(|_| !shared) {
        return Err(ApiError::plain(format!("can't clone VM to node '{target}' (VM uses local storage)")).into());
    }
    if call.world.is_taken_on(&node, newid) {
        return Err(ApiError::plain(format!("unable to create VM {newid}: config file already exists")).into());
    }
    if !full {
        check_linked(call, guest)?;
    }
    let request = CloneRequest {
        node: node.clone(),
        source: vmid,
        newid,
        target,
        name: text("name"),
        description: text("description"),
        snapshot,
        full,
        storage,
        format: text("format"),
        pool,
        bwlimit: call.number("bwlimit"),
    };
    Ok(json!(call.world.fork(&node, "qmclone", &vmid.to_string(), &call.owner, request.work())))
}

fn check_clone_storage(call: &Call<'_>, storage: Option<&str>, target: Option<&str>) -> Result<(), ApiError> {
    if let Some(target) = target.filter(|target| call.world.node(target).is_none()) {
        return Err(ApiError::plain(format!("no such cluster node '{target}'")));
    }
    let Some(storage) = storage else {
        return Ok(());
    };
    let Some(found) = call.world.storages.get(storage) else {
        return Err(ApiError::plain(format!("storage '{storage}' does not exist")));
    };
    for node in [Some(call.node.as_str()), target].into_iter().flatten() {
        if !found.on_node(node) {
            return Err(ApiError::plain(format!("storage '{storage}' is not available on node '{node}'")));
        }
    }
    if target.is_some() && !found.shared() {
        return Err(ApiError::plain(format!("can't clone to non-shared storage '{storage}'")));
    }
    if !found.has_content("images") {
        return Err(ApiError::param("storage", format!("storage '{storage}' does not support vm images")));
    }
    Ok(())
}

/// Only the base image of a template has linked clones.
fn check_linked(call: &Call<'_>, guest: &Guest) -> Result<(), ApiError> {
    for (key, drive) in guest.config.drives().into_iter().filter(|(_, drive)| !drive.is_cdrom()) {
        let supported = call.world.volume_by_id(&call.node, &drive.file).is_some_and(|key| {
            let is_base = key.name.rsplit('/').next().is_some_and(|file| file.starts_with("base-"));
            let format = call.world.volumes.get(&key).map_or("", |volume| volume.format.as_str());
            is_base && call.world.storages.get(&key.storage).is_some_and(|found| found.supports_linked_clones(format))
        });
        if !supported {
            let file = &drive.file;
            return Err(ApiError::plain(format!("Linked clone feature is not supported for '{file}' ({key})")));
        }
    }
    Ok(())
}

pub(super) fn template(call: &mut Call<'_>) -> Answer {
    let guest = find(call)?;
    if let Some(lock) = guest.config.lock() {
        return Err(ApiError::plain(format!("VM is locked ({lock})")).into());
    }
    if !guest.snapshots.is_empty() {
        return Err(ApiError::plain("unable to create template, because VM contains snapshots").into());
    }
    if guest.config.is_template() {
        return Err(ApiError::plain("you can't convert a template to a template").into());
    }
    if guest.running.is_some() {
        return Err(ApiError::plain("you can't convert a VM to template if VM is running").into());
    }
    let work = TemplateWork { node: call.node.clone(), vmid: call.vmid, locked: false };
    Ok(json!(call.world.fork(&call.node, "qmtemplate", &call.vmid.to_string(), &call.owner, Box::new(work))))
}

pub(super) fn migrate(call: &mut Call<'_>) -> Answer {
    let target = call.text("target").unwrap_or_default().to_owned();
    if target == call.node {
        return Err(ApiError::param("target", "target is local node.").into());
    }
    if call.world.node(&target).is_none() {
        return Err(ApiError::plain(format!("no such cluster node '{target}'")).into());
    }
    call.quorum()?;
    find(call)?;
    let work = MigrateWork { node: call.node.clone(), vmid: call.vmid, target, stage: 0 };
    Ok(json!(call.world.fork(&call.node, "qmigrate", &call.vmid.to_string(), &call.owner, Box::new(work))))
}

/// A call to the guest agent; one that does not answer takes three seconds to find out.
pub(super) fn agent(call: &mut Call<'_>, interfaces: bool) -> Answer {
    let guest = find(call)?;
    let error = match call.world.agent_state(guest) {
        AgentState::Answers if interfaces => return Ok(call.world.interfaces(guest)),
        AgentState::Answers => return Ok(json!({"result": {}})),
        AgentState::NotRunning => ApiError::plain(format!("VM {} is not running", call.vmid)),
        AgentState::NotConfigured => ApiError::plain("No QEMU guest agent configured"),
        AgentState::Silent => {
            ApiError { after: Duration::from_secs(3), ..ApiError::plain("QEMU guest agent is not running") }
        }
    };
    Err(Stop::Error(error))
}
