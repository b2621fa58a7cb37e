//! `/nodes/N/qemu/ID/config`, `/pending` and `/cloudinit`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Answer, ApiError, Call, Stop};
use crate::simulator::schema;
use crate::simulator::world::config::{Drive, shown};
use crate::simulator::world::guest::Guest;
use crate::simulator::world::{ChangeError, ConfigChange, ConfigWork, is_drive, no_such_config};

/// The options that go into the cloud-init drive, beside `ipconfigN`.
const CLOUD_INIT: &[&str] =
    &["cicustom", "cipassword", "ciupgrade", "ciuser", "citype", "nameserver", "searchdomain", "sshkeys"];

fn find<'a>(call: &'a Call<'_>) -> Result<&'a Guest, ApiError> {
    call.world.guest_on(&call.node, call.vmid).ok_or_else(|| ApiError::plain(no_such_config(call.vmid, &call.node)))
}

pub(super) fn get(call: &mut Call<'_>) -> Answer {
    let guest = find(call)?;
    let mut shown = match call.text("snapshot") {
        Some(name) => guest
            .snapshots
            .get(name)
            .ok_or_else(|| ApiError::plain(format!("snapshot '{name}' does not exist")))?
            .to_json(),
        None if call.flag("current") => guest.config.to_json(),
        None => guest.with_pending().to_json(),
    };
    shown.insert("digest".into(), json!(guest.digest()));
    Ok(Value::Object(shown))
}

pub(super) fn pending(call: &mut Call<'_>) -> Answer {
    let guest = find(call)?;
    let mut lines = vec![json!({"key": "digest", "value": guest.digest()})];
    for (key, value) in guest.config.iter() {
        let mut line = Map::from_iter([("key".to_owned(), json!(key)), ("value".to_owned(), shown(key, value))]);
        match guest.pending.get(key) {
            Some(Some(next)) => line.insert("pending".into(), shown(key, next)),
            Some(None) => line.insert("delete".into(), json!(1)),
            None => None,
        };
        lines.push(Value::Object(line));
    }
    for (key, value) in guest.pending.iter().filter(|(key, _)| !guest.config.contains(key)) {
        if let Some(value) = value {
            lines.push(json!({"key": key, "pending": shown(key, value)}));
        }
    }
    Ok(Value::Array(lines))
}

/// What the cloud-init drive has, and what it would get if it were made anew.
pub(super) fn cloud_init(call: &mut Call<'_>) -> Answer {
    let guest = find(call)?;
    let mut lines = Vec::new();
    let config = guest.with_pending();
    let belongs = |key: &str| CLOUD_INIT.contains(&key) || key.starts_with("ipconfig");
    for (key, value) in config.iter().filter(|(key, _)| belongs(key)) {
        match guest.cloud_init.get(key) {
            Some(old) if old == value => lines.push(json!({"key": key, "value": shown(key, value)})),
            Some(old) => lines.push(json!({"key": key, "value": shown(key, old), "pending": shown(key, value)})),
            None if guest.running.is_some() => lines.push(json!({"key": key, "pending": shown(key, value)})),
            None if key.starts_with("ipconfig") => {}
            None => lines.push(json!({"key": key, "value": shown(key, value)})),
        }
    }
    for (key, old) in guest.cloud_init.iter().filter(|(key, _)| belongs(key) && !config.contains(key)) {
        lines.push(json!({"key": key, "value": shown(key, old), "delete": 1}));
    }
    Ok(Value::Array(lines))
}

pub(super) fn renew_cloud_init(call: &mut Call<'_>) -> Answer {
    let guest = find(call)?;
    if let Some(lock) = guest.config.lock() {
        return Err(ApiError::plain(format!("VM is locked ({lock})")).into());
    }
    call.config_lock()?;
    let vmid = call.vmid;
    if let Some(guest) = call.world.guest_mut(vmid) {
        guest.cloud_init = guest.with_pending();
    }
    Ok(Value::Null)
}

/// Checks everything that is checked before the configuration is looked at.
fn change_of(call: &Call<'_>) -> Result<ConfigChange, ApiError> {
    let skiplock = call.skiplock()?;
    if let Some(key) = call.params.null() {
        return Err(ApiError::plain(format!("unable to parse value of '{key}' - got undefined value")));
    }
    let list = |key: &str| -> Vec<String> {
        let words = call.text(key).unwrap_or_default().split([',', ';', ' ']);
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let mut change = ConfigChange {
        delete: list("delete"),
        revert: list("revert"),
        digest: call.text("digest").map(str::to_owned),
        skiplock,
        force: call.flag("force"),
        set: Vec::new(),
    };
    for (key, value) in call.params.iter() {
        if !matches!(key, "delete" | "revert" | "digest" | "skiplock" | "force" | "background_delay") {
            change.set.push((key.to_owned(), value.to_owned()));
        }
    }
    if let Some(keys) = call.text("sshkeys")
        && !are_ssh_keys(keys)
    {
        return Err(ApiError::plain("SSH public key validation error"));
    }
    if change.set.is_empty() && change.delete.is_empty() && change.revert.is_empty() {
        return Err(ApiError::plain("no options specified"));
    }
    let known = |key: &str| schema::knows(schema::CONFIG_WRITE, key);
    if let Some(key) = change.revert.iter().find(|key| !known(key)) {
        return Err(ApiError::param("revert", format!("unknown option '{key}'")));
    }
    for key in &change.delete {
        if change.set.iter().any(|(set, _)| set == key) {
            return Err(ApiError::param(
                "delete",
                format!("you can't use '-{key}' and -delete {key}' at the same time"),
            ));
        }
        if !known(key) {
            return Err(ApiError::param("delete", format!("unknown option '{key}'")));
        }
    }
    check_rights(call, &change)?;
    check_values(call, &change)?;
    Ok(change)
}

/// The right that an option needs, by the kind of option.
fn right_for(key: &str) -> &'static [&'static str] {
    let name = key.trim_end_matches(|letter: char| letter.is_ascii_digit());
    match name {
        "cores" | "sockets" | "cpu" | "vcpus" | "cpulimit" | "cpuunits" | "numa" | "affinity" => &["VM.Config.CPU"],
        "memory" | "balloon" | "shares" | "hugepages" | "keephugepages" | "allow-ksm" => &["VM.Config.Memory"],
        "boot" | "bootdisk" | "vmstatestorage" | "unused" => &["VM.Config.Disk"],
        "net" => &["VM.Config.Network"],
        "ipconfig" | "ciuser" | "cipassword" | "sshkeys" | "nameserver" | "searchdomain" | "citype" | "cicustom"
        | "ciupgrade" => &["VM.Config.Cloudinit", "VM.Config.Network"],
        "agent" | "autostart" | "bios" | "description" | "keyboard" | "localtime" | "migrate_downtime"
        | "migrate_speed" | "name" | "onboot" | "ostype" | "protection" | "reboot" | "startdate" | "startup"
        | "tdf" | "template" | "tags" => &["VM.Config.Options"],
        "acpi" | "arch" | "audio" | "freeze" | "hotplug" | "ivshmem" | "kvm" | "machine" | "parallel" | "rng"
        | "scsihw" | "serial" | "smbios" | "spice_enhancements" | "tablet" | "usb" | "vga" | "watchdog" | "hostpci"
        | "virtiofs" => &["VM.Config.HWType"],
        _ => &[],
    }
}

fn check_rights(call: &Call<'_>, change: &ConfigChange) -> Result<(), ApiError> {
    if call.is_root() {
        return Ok(());
    }
    let vm = format!("/vms/{}", call.vmid);
    let old = call.world.guest_on(&call.node, call.vmid).map(|guest| &guest.config);
    let deleted = change.delete.iter().map(|key| (key.as_str(), None));
    let set = change.set.iter().map(|(key, value)| (key.as_str(), Some(value.as_str())));
    for (key, value) in deleted.chain(set) {
        if is_drive(key) {
            let was_cdrom = old.and_then(|old| old.get(key)).is_some_and(|old| Drive::parse(old).is_cdrom());
            let new = value.map(Drive::parse);
            let cloud_init = new.as_ref().is_some_and(|drive| drive.file.ends_with(":cloudinit"));
            let cdrom = new.as_ref().is_some_and(|drive| drive.is_cdrom() || drive.file == "none" || cloud_init);
            if cloud_init {
                call.require(&vm, "VM.Config.Cloudinit")?;
            }
            call.require(&vm, if cdrom || was_cdrom { "VM.Config.CDROM" } else { "VM.Config.Disk" })?;
            continue;
        }
        if key.starts_with("hostpci") && value.is_some_and(|value| !value.contains("mapping=")) {
            return Err(ApiError::plain(format!("only root can set '{key}' config for non-mapped devices")));
        }
        match right_for(key) {
            [] if key == "hookscript" => {
                let script = value.unwrap_or_default();
                return Err(ApiError::param(key, format!("script '{script}' does not exist\n")));
            }
            [] => return Err(ApiError::plain(format!("only root can set '{key}' config"))),
            privileges => call.require_any(&vm, privileges)?,
        }
        if key == "startup" {
            call.require("/", "Sys.Modify")?;
        }
        if let Some(bridge) = value.filter(|_| key.starts_with("net")).and_then(bridge_of) {
            call.require(&format!("/sdn/zones/localnetwork/{bridge}"), "SDN.Use")?;
        }
    }
    Ok(())
}

fn bridge_of(value: &str) -> Option<&str> {
    value.split(',').find_map(|part| part.strip_prefix("bridge="))
}

fn check_values(call: &Call<'_>, change: &ConfigChange) -> Result<(), ApiError> {
    for (key, value) in &change.set {
        if is_drive(key)
            && let Some((storage, _)) = Drive::parse(value).volume()
        {
            if !call.world.storages.contains_key(storage) {
                return Err(ApiError::plain(format!("storage '{storage}' does not exist")));
            }
            call.require(&format!("/storage/{storage}"), "Datastore.AllocateSpace")?;
        }
        if key == "balloon" {
            let old =
                call.world.guest_on(&call.node, call.vmid).map_or(512, |guest| guest.with_pending().memory() >> 20);
            let memory = call.number("memory").unwrap_or(old);
            if value.parse::<u64>().is_ok_and(|balloon| balloon > memory) {
                return Err(ApiError::plain("balloon value too large (must be smaller than assigned memory)"));
            }
        }
    }
    Ok(())
}

/// Public keys, one a line, percent-encoded; each names the type that its own data name.
fn are_ssh_keys(encoded: &str) -> bool {
    let text = percent_encoding::percent_decode_str(encoded).decode_utf8_lossy();
    text.lines().filter(|line| !line.trim().is_empty()).all(|line| {
        let mut words = line.split_whitespace();
        let (Some(kind), Some(data)) = (words.next(), words.next()) else {
            return false;
        };
        let Ok(bytes) = STANDARD.decode(data) else {
            return false;
        };
        let Some((length, rest)) = bytes.split_first_chunk::<4>() else {
            return false;
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        rest.get(..length).is_some_and(|name| name == kind.as_bytes()) && rest.len() > length
    })
}

fn refused(error: ChangeError) -> ApiError {
    match error {
        ChangeError::Plain(text) => ApiError::plain(text),
        ChangeError::Field(field, text) => ApiError::param(&field, text),
    }
}

/// Looks at the locks: 9.2 sees the guest's own lock before it waits for that of the file.
fn refuse_early(call: &Call<'_>, change: &ConfigChange) -> Result<(), Stop> {
    let refusal = call.world.change_refusal(&call.node, call.vmid, change);
    if let Some(refusal) = refusal.filter(|_| call.world.is_v9() || !call.world.is_config_locked(call.vmid)) {
        return Err(ApiError::plain(refusal).into());
    }
    call.config_lock()
}

pub(super) fn put(call: &mut Call<'_>) -> Answer {
    let change = change_of(call)?;
    refuse_early(call, &change)?;
    call.world.change_config(&call.node, call.vmid, &change).map_err(refused)?;
    Ok(Value::Null)
}

pub(super) fn post(call: &mut Call<'_>) -> Answer {
    let change = change_of(call)?;
    refuse_early(call, &change)?;
    let (node, vmid) = (call.node.clone(), call.vmid);
    let words = change.set.iter().map(|(key, value)| {
        let value = if key == "cipassword" { "<hidden>" } else { value };
        format!(" -{key} {value}")
    });
    let line = words.fold(format!("update VM {vmid}:"), |line, word| line + &word);
    let line = match change.delete.as_slice() {
        [] => line,
        keys => format!("{line} -delete {}", keys.join(",")),
    };
    let work = ConfigWork(Some(move |world: &mut crate::simulator::world::World, task| {
        world.tasks.log(task, line);
        world.change_config(&node, vmid, &change).map_err(|error| match error {
            ChangeError::Plain(text) => text,
            ChangeError::Field(field, text) => format!("{field}: {text}"),
        })
    }));
    Ok(json!(call.world.fork(&call.node, "qmconfig", &vmid.to_string(), &call.owner, Box::new(work))))
}
