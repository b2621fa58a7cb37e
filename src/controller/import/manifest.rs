//! The manifest of a machine: what it is now, so that to apply it changes nothing.

use std::fmt;

use serde_json::Value;

use super::Args;
use crate::{
    api::{
        ProxmoxVM, Size,
        common::NameRef,
        network::{Nic, NicModel},
        power::PowerState,
        proxmox_vm::{Adopt, Disk, ProxmoxVMSpec},
    },
    proxmox::{
        identity,
        plan::{self, Reason},
        restart,
        wire::{VmConfig, Vmid},
    },
};

/// The longest notes that a spec can hold.
const LONGEST_NOTES: usize = 4096;
/// The most tags and network cards that it can hold.
const MOST_ITEMS: usize = 32;

/// A machine as it was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Our name of its node.
    pub node: String,
    pub vmid: Vmid,
    /// Its name in Proxmox.
    pub name: String,
    pub running: bool,
    pub paused: bool,
    /// The config as it will be after the next boot.
    pub config: VmConfig,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, vmid, name, .. } = self;
        write!(f, "VM {vmid} ({name}) on {node}")
    }
}

/// A manifest, and what it does not say.
pub struct Manifest {
    /// The object.
    pub object: ProxmoxVM,
    /// Fields that are not stated, and why.
    pub left_out: Vec<(&'static str, String)>,
    /// Why the cluster refuses it all the same.
    pub refused: Option<String>,
}

/// A field that may be left out: its name, and how.
type Optional = (&'static str, fn(&mut ProxmoxVMSpec));

/// What may be left out where the cluster does not allow it: a machine keeps what its spec does not name.
const OPTIONAL: [Optional; 7] = [
    ("nics", |spec| spec.nics.clear()),
    ("tags", |spec| spec.tags.clear()),
    ("description", |spec| spec.description = None),
    ("cores", |spec| (spec.cores, spec.sockets) = (None, None)),
    ("memory", |spec| spec.memory = None),
    ("disk", |spec| spec.disk = None),
    ("cpuType", |spec| spec.cpu_type = None),
];

/// The manifest of a machine. `refusal` is what the cluster says to an object.
pub fn of(args: &Args, machine: &Found, name: &str, refusal: impl Fn(&ProxmoxVM) -> Option<Reason>) -> Manifest {
    let mut left_out = Vec::new();
    let mut object = ProxmoxVM::new(name, spec(args, machine, &mut left_out));
    object.metadata.namespace = Some(args.namespace.clone());
    let mut refused = refusal(&object);
    for (field, leave_out) in OPTIONAL {
        let Some(before) = &refused else { break };
        let mut without = object.clone();
        leave_out(&mut without.spec);
        let after = refusal(&without);
        if after.as_ref() != Some(before) {
            left_out.push((field, before.message.clone()));
            (object, refused) = (without, after);
        }
    }
    Manifest { object, left_out, refused: refused.map(|reason| reason.message) }
}

fn spec(args: &Args, machine: &Found, left_out: &mut Vec<(&'static str, String)>) -> ProxmoxVMSpec {
    let Found { node, vmid, running, paused, config, name: _ } = machine;
    let power_state = match (running, paused) {
        (_, true) => PowerState::Paused,
        (true, false) => PowerState::Running,
        (false, false) => PowerState::Stopped,
    };
    let given = |key: &str| config.get(key).is_some();
    let mut check = |field: &'static str, fits: bool, why: &str| {
        if !fits {
            left_out.push((field, why.to_owned()));
        }
        fits
    };
    let size = |bytes: u64| {
        let exact = bytes.is_multiple_of(1 << 20);
        let size = i64::try_from(bytes >> 20).ok().map(Size::of_mebibytes).filter(|size| size.is_writable());
        size.filter(|_| exact)
    };
    let memory = size(config.memory_mib().saturating_mul(1 << 20)).filter(|memory| memory.mebibytes() >= 16);
    check("memory", memory.is_some(), "it cannot be written with a unit of Mi, Gi or Ti");
    let disk_size = config.boot_disk_size();
    let disk = disk_size.and_then(size).map(|size| Disk { size, storage: None });
    check("disk", disk.is_some() || disk_size.is_none(), "its size is no whole number of Mi");
    let cores = (1..=512).contains(&config.cores()) && (1..=16).contains(&config.sockets());
    check("cores", cores, "more than a spec can ask for");
    let cpu_type = plan::cpu_model(config.get("cpu").unwrap_or_default()).map(str::to_owned);
    let plain = |text: &String| {
        let begins = text.starts_with(|first: char| first.is_ascii_alphanumeric());
        let rest = text.chars().all(|other| other.is_ascii_alphanumeric() || "._-".contains(other));
        begins && rest && text.len() <= 64
    };
    check("cpuType", cpu_type.as_ref().is_none_or(plain), "no name of a CPU that a spec can hold");
    let notes = identity::strip(&restart::strip(config.description()));
    let notes = Some(notes).filter(|notes| !notes.is_empty());
    let short = notes.as_ref().is_none_or(|notes| notes.chars().count() <= LONGEST_NOTES);
    check("description", short, "longer than a spec can hold");
    let (tags, odd): (Vec<_>, Vec<_>) = config.tags().into_iter().partition(|tag| is_tag(tag));
    check("tags", odd.is_empty() && tags.len() <= MOST_ITEMS, "some of them are none that a spec can hold");
    let (nics, odd) = nics(config);
    check("nics", odd.is_empty(), &format!("{} are on no bridge that a spec can name", odd.join(", ")));
    ProxmoxVMSpec {
        cluster_ref: NameRef { name: args.cluster.clone() },
        os: None,
        template: None,
        adopt: Some(Adopt { node: node.clone(), vmid: i64::from(*vmid), dry_run: args.dry_run_first }),
        cores: cores.then(|| i64::from(config.cores())),
        memory,
        disk,
        disks: Vec::new(),
        // It stays in the one that it is in.
        pool: None,
        clone: Default::default(),
        placement: None,
        cloud_init: None,
        power_state: Some(power_state),
        shutdown: None,
        reboot_policy: Default::default(),
        sockets: (cores && given("sockets")).then(|| i64::from(config.sockets())),
        cpu_type: cpu_type.filter(plain),
        nics,
        tags: tags.into_iter().take(MOST_ITEMS).collect(),
        description: notes.filter(|_| short),
        on_boot: config.is_on_boot().then_some(true),
        protection: config.is_protected().then_some(true),
        deletion_policy: args.deletion_policy,
        when_missing: Default::default(),
    }
}

/// Network cards, without their addresses, which they keep; and the keys of those that no spec can name.
fn nics(config: &VmConfig) -> (Vec<Nic>, Vec<String>) {
    let keys = (0..MOST_ITEMS).map(|number| format!("net{number}"));
    let mut odd = Vec::new();
    let mut nics = Vec::new();
    for key in keys {
        let Some(line) = config.get(&key) else { continue };
        match plan::Nic::read(line).filter(|nic| is_bridge(&nic.bridge)) {
            Some(plan::Nic { bridge, model, vlan, firewall, mac: _ }) => nics.push(Nic {
                name: key,
                bridge,
                model: model.and_then(|model| serde_json::from_value::<NicModel>(Value::from(model)).ok()),
                vlan: vlan.map(i64::from),
                firewall,
                mac: None,
            }),
            None => odd.push(key),
        }
    }
    (nics, odd)
}

fn is_bridge(name: &str) -> bool {
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic());
    let rest = name.chars().all(|other| other.is_ascii_alphanumeric() || "_.-".contains(other));
    begins && rest && name.len() <= 15
}

fn is_tag(tag: &str) -> bool {
    let word = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    let begins = tag.starts_with(word);
    begins && tag.len() <= 64 && tag.chars().all(|letter| word(letter) || ".+-".contains(letter))
}

/// The object as a document, without what is so in any case.
///
/// # Errors
/// When it cannot be put into words.
pub fn text(object: &ProxmoxVM) -> Result<String, serde_saphyr::ser::Error> {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    if let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) {
        for (field, default) in [("clone", "Full"), ("rebootPolicy", "Never"), ("whenMissing", "Stall")] {
            if spec.get(field).and_then(Value::as_str) == Some(default) {
                spec.shift_remove(field);
            }
        }
        if let Some(adopt) = spec.get_mut("adopt").and_then(Value::as_object_mut)
            && adopt.get("dryRun") == Some(&Value::Bool(false))
        {
            adopt.shift_remove("dryRun");
        }
    }
    Ok(format!("---\n{}\n", serde_saphyr::to_string(&value)?.trim_end()))
}
