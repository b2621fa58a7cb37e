//! What of a machine's config differs from the spec.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{
    CloudInit, Intent, Machine, MachineSpec, NewPassword, Nic, Owner, Pending, Place, Power, Recorded, Stage, disks,
};
use crate::proxmox::{client::encode_ssh_keys, wire::VmConfig};

/// The tag that shows people which machines are ours.
pub const TAG: &str = "cloudfaster";
/// What a new network card is, if the spec does not say it.
const MODEL: &str = "virtio";

/// A key and the value that it is to have.
pub(super) type Setting = (String, String);

/// What the spec names, with other values than a config has: the one that the next boot brings, or the one in force.
pub(super) fn differences(spec: &MachineSpec, stage: Stage, config: &VmConfig) -> Vec<Setting> {
    let MachineSpec {
        name: _,
        source: _,
        cores,
        memory_mib,
        disk_bytes: _,
        storage: _,
        disks: _,
        pool: _,
        linked: _,
        placement: _,
        cloud_init,
        power: _,
        sockets,
        cpu_type,
        nics,
        on_boot,
        protection,
        description: _,
        tags: _,
        recreate: _,
    } = spec;
    let mut changes = Changes::default();
    if let Some(cores) = cores {
        changes.set("cores", config.cores() != *cores, cores);
    }
    if let Some(memory_mib) = memory_mib {
        changes.set("memory", config.memory_mib() != *memory_mib, memory_mib);
    }
    if let Some(sockets) = sockets {
        changes.set("sockets", config.sockets() != *sockets, sockets);
    }
    if let Some(model) = cpu_type {
        let cpu = config.get("cpu").unwrap_or_default();
        changes.set("cpu", cpu_model(cpu) != Some(model), with_cpu_model(cpu, model));
    }
    if let Some(on_boot) = on_boot {
        changes.set("onboot", config.is_on_boot() != *on_boot, u8::from(*on_boot));
    }
    // What never ran must be removable, should it come to nothing.
    if let Some(protection) = protection.filter(|_| stage == Stage::Established) {
        changes.set("protection", config.is_protected() != protection, u8::from(protection));
    }
    for (key, nic) in nics {
        let old = config.get(key);
        let new = NicLine::read(old).with(nic);
        changes.set(key, old.is_none_or(|old| NicLine::read(Some(old)) != new), new.line());
    }
    if let Some(cloud_init) = cloud_init {
        changes.cloud_init(cloud_init, config);
    }
    changes.0
}

#[derive(Default)]
struct Changes(Vec<Setting>);

impl Changes {
    fn set(&mut self, key: &str, due: bool, value: impl ToString) {
        if due {
            self.0.push((key.to_owned(), value.to_string()));
        }
    }

    fn cloud_init(&mut self, wanted: &CloudInit, config: &VmConfig) {
        let CloudInit { user, password: _, ssh_keys, addresses, dns_servers, search_domain } = wanted;
        let plain = [("ciuser", user.clone()), ("searchdomain", search_domain.clone())];
        let servers = (!dns_servers.is_empty()).then(|| dns_servers.join(" "));
        for (key, value) in plain.into_iter().chain([("nameserver", servers)]) {
            if let Some(value) = value {
                self.set(key, config.get(key) != Some(&value), value);
            }
        }
        if !ssh_keys.is_empty() {
            let keys = encode_ssh_keys(&ssh_keys.join("\n"));
            self.set("sshkeys", config.get("sshkeys").map(str::trim) != Some(keys.as_str()), keys);
        }
        for (key, parts) in addresses {
            let old = parse_parts(config.get(key).unwrap_or_default());
            let mut new = old.clone();
            new.retain(|part, _| !replaces(parts, part));
            new.extend(parts.clone());
            self.set(key, old != new, join_parts(&new));
        }
    }
}

/// An address replaces the gateway that belonged to the old one.
fn replaces(parts: &BTreeMap<String, String>, part: &str) -> bool {
    matches!(part, "gw" if parts.contains_key("ip")) || matches!(part, "gw6" if parts.contains_key("ip6"))
}

fn parse_parts(line: &str) -> BTreeMap<String, String> {
    let parts = line.split(',').filter_map(|part| part.split_once('='));
    parts.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()
}

fn join_parts(parts: &BTreeMap<String, String>) -> String {
    parts.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// The model in a line such as `host,flags=+aes`.
pub fn cpu_model(line: &str) -> Option<&str> {
    line.split(',').find_map(|part| match part.split_once('=') {
        Some(("cputype", model)) => Some(model),
        Some(_) => None,
        None => Some(part).filter(|model| !model.is_empty()),
    })
}

/// The line with another model and all else as it was.
fn with_cpu_model(line: &str, model: &str) -> String {
    let rest = line.split(',').filter(|part| part.contains('=') && !part.starts_with("cputype="));
    std::iter::once(model).chain(rest).collect::<Vec<_>>().join(",")
}

/// A network card as Proxmox writes it: `virtio=BC:24:11:00:00:02,bridge=vmbr0,tag=10`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct NicLine {
    model: String,
    /// In upper case; none, if Proxmox is to draw one.
    mac: Option<String>,
    options: BTreeMap<String, String>,
}

impl NicLine {
    fn read(line: Option<&str>) -> Self {
        let mut nic = Self { model: MODEL.to_owned(), ..Self::default() };
        for (at, part) in line.unwrap_or_default().split(',').enumerate() {
            match part.split_once('=') {
                Some(("model", model)) => model.clone_into(&mut nic.model),
                Some(("macaddr", mac)) => nic.mac = Some(mac.to_ascii_uppercase()),
                Some((model, mac)) if at == 0 => {
                    (nic.model, nic.mac) = (model.to_owned(), Some(mac.to_ascii_uppercase()));
                }
                Some((key, value)) => {
                    nic.options.insert(key.to_owned(), value.to_owned());
                }
                None if at == 0 && !part.is_empty() => part.clone_into(&mut nic.model),
                None => {}
            }
        }
        nic
    }

    fn with(&self, wanted: &Nic) -> Self {
        let Nic { bridge, model, vlan, firewall, mac } = wanted;
        let mut nic = self.clone();
        nic.options.insert("bridge".to_owned(), bridge.clone());
        if let Some(model) = model {
            nic.model.clone_from(model);
        }
        if let Some(mac) = mac {
            nic.mac = Some(mac.to_ascii_uppercase());
        }
        match vlan {
            Some(0) => drop(nic.options.remove("tag")),
            Some(vlan) => drop(nic.options.insert("tag".to_owned(), vlan.to_string())),
            None => {}
        }
        match firewall {
            // Absent means off.
            Some(false) if !nic.options.contains_key("firewall") => {}
            Some(on) => drop(nic.options.insert("firewall".to_owned(), u8::from(*on).to_string())),
            None => {}
        }
        nic
    }

    fn line(&self) -> String {
        let Self { model, mac, options } = self;
        let first = mac.as_ref().map_or_else(|| model.clone(), |mac| format!("{model}={mac}"));
        let options = options.iter().map(|(key, value)| format!("{key}={value}"));
        std::iter::once(first).chain(options).collect::<Vec<_>>().join(",")
    }
}

impl Nic {
    /// A network card as Proxmox writes it; none, if it is on no bridge.
    pub fn read(line: &str) -> Option<Self> {
        let NicLine { model, mac, options } = NicLine::read(Some(line));
        Some(Self {
            bridge: options.get("bridge")?.clone(),
            model: Some(model),
            vlan: options.get("tag").and_then(|tag| tag.parse().ok()),
            firewall: options.get("firewall").map(|on| on == "1"),
            mac,
        })
    }
}

/// The second mark, if the machine has it not.
pub(super) fn second_mark(owner: &Owner, place: &Place, config: &VmConfig) -> Option<Setting> {
    let uuid = owner.smbios_uuid(place.vmid);
    let differs = config.smbios_uuid() != Some(uuid);
    differs.then(|| ("smbios1".to_owned(), with_uuid(config.get("smbios1").unwrap_or_default(), &uuid.to_string())))
}

/// The SMBIOS settings with another UUID and all else as it was.
fn with_uuid(smbios: &str, uuid: &str) -> String {
    std::iter::once(format!("uuid={uuid}"))
        .chain(smbios.split(',').filter(|part| !part.is_empty() && !part.starts_with("uuid=")).map(str::to_owned))
        .collect::<Vec<_>>()
        .join(",")
}

/// The password, if this version of it was not set yet. It reads back masked, so the machine does not tell.
///
/// It is hashed with a salt that never changes for a machine: the same password gives the same value again, which changes
/// nothing in the guest. Cloudbase-init in Windows knows no hashes.
pub(super) fn new_password(
    spec: &MachineSpec,
    owner: &Owner,
    intent: &Intent,
    recorded: &Recorded,
    config: &VmConfig,
) -> Option<NewPassword> {
    let password = spec.cloud_init.as_ref()?.password.as_ref()?;
    // A machine that was cloned anew has nothing of what was applied to the one before.
    let same = intent.stage == Stage::Established || second_mark(owner, &intent.place, config).is_none();
    let configured = same && config.get("cipassword").is_some();
    if configured && recorded.applied.password.as_ref() == Some(&password.version) {
        return None;
    }
    let windows = config.get("ostype").is_some_and(|system| system.starts_with('w'));
    let Owner { installation, namespace: _, name: _, uid } = owner;
    let salt = || Sha256::digest(format!("cloud-init password {installation} {uid}").as_bytes());
    let salt = (!windows).then(|| salt().iter().copied().take(9).collect());
    Some(NewPassword { password: password.clone(), salt })
}

/// Network cards that were there for the spec's sake, and their addresses: keys that are to go.
pub(super) fn unwanted(spec: &MachineSpec, recorded: &Recorded, config: &VmConfig) -> Vec<String> {
    let gone = recorded.applied.nics.iter().filter(|nic| !spec.nics.contains_key(*nic));
    let keys = gone.flat_map(|nic| [nic.clone(), nic.replacen("net", "ipconfig", 1)]);
    let named = |key: &str| spec.cloud_init.as_ref().is_some_and(|init| init.addresses.contains_key(key));
    keys.filter(|key| config.get(key).is_some() && !named(key)).collect()
}

/// Tags to set.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tags {
    /// All of them, as Proxmox takes them.
    pub all: String,
    /// Ours is new among them.
    pub ours: bool,
}

/// The tags that the machine is to have, if it has others: those of the spec, less those that the spec named before and
/// names no more, and ours if it is to be added.
pub(super) fn tags(spec: &MachineSpec, recorded: &Recorded, config: &VmConfig, ours: bool) -> Option<Tags> {
    let old = config.tags();
    let mut tags = old.clone();
    tags.retain(|tag| tag == TAG || spec.tags.contains(tag) || !recorded.applied.tags.contains(tag));
    tags.extend(spec.tags.iter().filter(|tag| !old.contains(tag)).cloned());
    let ours = ours && !old.iter().any(|tag| tag == TAG);
    tags.extend(ours.then(|| TAG.to_owned()));
    (tags != old).then(|| Tags { all: tags.join(";"), ours })
}

/// What the spec names and what the machine runs without until its next boot.
pub(super) fn pending(spec: &MachineSpec, recorded: &Recorded, machine: &Machine) -> Vec<Pending> {
    if machine.power == Power::Stopped {
        return Vec::new();
    }
    let secret = |key: &str| matches!(key, "cipassword" | "sshkeys");
    let shown = |key: &str, value: Option<&str>| value.filter(|_| !secret(key)).map(str::to_owned);
    let entry = |key: &str, current: Option<&str>| Pending {
        key: key.to_owned(),
        current: shown(key, current),
        next: shown(key, machine.config.get(key)),
    };
    let set = differences(spec, Stage::Established, &machine.current).into_iter().map(|(key, _)| key);
    let gone = unwanted(spec, recorded, &machine.current).into_iter();
    let disks = disks::pending(spec, recorded, machine).into_iter();
    let mut pending: Vec<_> = set.chain(gone).chain(disks).map(|key| entry(&key, machine.current.get(&key))).collect();
    for (key, current) in &machine.unprepared {
        if names(spec, key) && pending.iter().all(|other| other.key != *key) {
            pending.push(entry(key, current.as_deref()));
        }
    }
    pending
}

/// Whether the spec names a key of cloud-init.
fn names(spec: &MachineSpec, key: &str) -> bool {
    let Some(CloudInit { user, password, ssh_keys, addresses, dns_servers, search_domain }) = &spec.cloud_init else {
        return false;
    };
    match key {
        "ciuser" => user.is_some(),
        "cipassword" => password.is_some(),
        "sshkeys" => !ssh_keys.is_empty(),
        "nameserver" => !dns_servers.is_empty(),
        "searchdomain" => search_domain.is_some(),
        key => addresses.contains_key(key),
    }
}
