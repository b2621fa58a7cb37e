//! The set-up of the laboratory: nodes, storages, users, and the guests that a topic found there.

use std::collections::{BTreeMap, BTreeSet};

use cloudfaster::simulator::{
    AclSpec, Auto, ClockMode, GuestSpec, Scenario, StorageKind, StorageSpec, TokenSpec, UserSpec,
};
use regex::Regex;
use serde_json::Value;

const OPERATOR: &[&str] = &[
    "Datastore.AllocateSpace",
    "Datastore.Audit",
    "Pool.Allocate",
    "Pool.Audit",
    "SDN.Use",
    "Sys.Audit",
    "VM.Allocate",
    "VM.Audit",
    "VM.Clone",
    "VM.Config.CPU",
    "VM.Config.Cloudinit",
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.Monitor",
    "VM.GuestAgent.Audit",
    "VM.GuestAgent.Unrestricted",
    "VM.PowerMgmt",
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
];

/// The guests of a topic: those whose configuration it reads before it makes them, and those it only names.
fn guests(release: &str, name: &str, topic: &Value) -> Vec<GuestSpec> {
    let config = Regex::new(r"^GET /api2/json/nodes/(\w+)/qemu/(\d+)/config/?$").unwrap();
    let mut made = BTreeSet::new();
    let mut guests = BTreeMap::new();
    for exchange in topic["exchanges"].as_array().unwrap() {
        let request = exchange["request"].as_str().unwrap_or_default();
        for key in ["newid", "vmid"] {
            if request.starts_with("POST") && exchange["params"].is_object() {
                made.insert(exchange["params"][key].to_string());
            }
        }
        let Some(found) = config.captures(request) else { continue };
        let (node, vmid) = (&found[1], found[2].to_owned());
        if exchange["status"] != 200 || made.contains(&vmid) || guests.contains_key(&vmid) {
            continue;
        }
        let mut guest = bare(vmid.parse().unwrap(), node);
        for (key, value) in exchange["body"]["data"].as_object().unwrap().iter().filter(|(key, _)| *key != "digest") {
            guest = guest.with(key, &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        guests.insert(vmid, guest);
    }
    if name == "17-extras" {
        guests.clear();
    }
    let size =
        if release == "9.2" && !matches!(name, "00-basics" | "02-template" | "03-clone" | "20-migrate-console-pool") {
            "2G"
        } else {
            "1G"
        };
    let mut add = |guest: GuestSpec| {
        guests.entry(guest.vmid.to_string()).or_insert(guest);
    };
    if !matches!(name, "01-create-template" | "05-clone-other-node") {
        add(template(size));
    }
    match name {
        "04-clone-in-flight" | "18-offline-node-vms" => {
            for vmid in [101, 107] {
                add(usual(vmid, "vm", size));
            }
        }
        "04b-clone-stopped" => add(usual(101, "vm-full", size)),
        "09-power" => {}
        "10-snapshot" => {
            add(usual(107, "jsonclone", size));
            add(usual(104, "raw", size)
                .with("scsi0", &format!("local:104/vm-104-disk-0.raw,size={size}"))
                .with("ide2", "local:104/vm-104-cloudinit.raw,media=cdrom,size=4M"));
        }
        "12-delete" => add(usual(102, "vm-linked", size)
            .with("scsi0", &format!("local:9000/base-9000-disk-0.qcow2/102/vm-102-disk-0.qcow2,size={size}"))),
        "13-auth" | "15-create" => add(usual(101, "vm101b", "10G")),
        "16-node-down-quorum" => {
            add(usual(101, "vm101b", "7G"));
            add(usual(104, "Copy-of-VM-tpl-deb12", size));
        }
        _ => {}
    }
    adjust(name, size, &mut guests);
    guests.into_values().collect()
}

/// Takes back what a topic had already changed when it first read a configuration.
fn adjust(name: &str, size: &str, guests: &mut BTreeMap<String, GuestSpec>) {
    let mut set = |vmid: &str, key: &str, value: &str| {
        if let Some(guest) = guests.get_mut(vmid) {
            guest.config.insert(key.into(), value.into());
        }
    };
    match name {
        "08-resize" => {
            set("101", "scsi0", &format!("data2:101/vm-101-disk-0.qcow2,size={size}"));
            set("102", "scsi0", &format!("local:9000/base-9000-disk-0.qcow2/102/vm-102-disk-0.qcow2,size={size}"));
        }
        "09-power" => {
            for (key, value) in
                [("cores", "1"), ("memory", "192"), ("description", ""), ("tags", "cf;deb12"), ("name", "vm101")]
            {
                set("101", key, value);
            }
        }
        "10-snapshot" => set("101", "parent", ""),
        "11-locks-protection" => set("101", "lock", ""),
        "19-http" => set("101", "description", "after s1"),
        _ => {}
    }
}

fn bare(vmid: u32, node: &str) -> GuestSpec {
    let mut guest = GuestSpec::new(vmid, "x", node);
    guest.bridge = None;
    for key in ["name", "cores", "memory", "scsihw", "ostype", "serial0", "vga", "agent", "smbios1", "vmgenid", "meta"]
    {
        guest = guest.with(key, "");
    }
    guest
}

fn template(size: &str) -> GuestSpec {
    let mut guest = GuestSpec::new(9000, "tpl-deb12", "pve1").tags("cf;deb12").with("boot", "order=scsi0");
    guest.memory_mib = 128;
    guest
        .with("template", "1")
        .with("scsi0", &format!("local:9000/base-9000-disk-0.qcow2,size={size}"))
        .with("ide2", "local:9000/vm-9000-cloudinit.qcow2,media=cdrom")
}

/// A full clone of the template on `data2`.
pub fn usual(vmid: u32, name: &str, size: &str) -> GuestSpec {
    let mut guest = GuestSpec::new(vmid, name, "pve1").tags("cf;deb12").with("boot", "order=scsi0");
    guest.memory_mib = 128;
    guest
        .with("scsi0", &format!("data2:{vmid}/vm-{vmid}-disk-0.qcow2,size={size}"))
        .with("ide2", &format!("data2:{vmid}/vm-{vmid}-cloudinit.qcow2,media=cdrom,size=4M"))
}

/// The laboratory as it was at the start of a topic.
pub fn scenario(release: &str, name: &str, topic: &Value) -> Scenario {
    let mut scenario = Scenario::empty(&["pve1", "pve2"]).release(release.parse().unwrap());
    scenario.clock = ClockMode::Virtual(Auto::WhenWaiting);
    scenario.cluster_name = Some("lab".into());
    scenario.boot_seconds = 10;
    for node in &mut scenario.nodes {
        node.cpus = 2;
        node.memory_mib = 24_106;
    }
    let everything = ["images", "rootdir", "iso", "vztmpl", "backup", "snippets", "import"];
    let contents: &[&str] = if release == "9.2" { &everything } else { &everything[..] };
    scenario.storages = vec![
        StorageSpec::new("local", StorageKind::Dir, 250).content(contents),
        StorageSpec::new("data2", StorageKind::Dir, 250).nodes(&["pve1"]),
        StorageSpec::new("shared1", StorageKind::Dir, 250).shared(),
    ];
    for storage in &mut scenario.storages {
        storage.path = (storage.name == "shared1").then(|| "/mnt/shared".to_owned());
    }
    let user = |name: &str, enabled| UserSpec { name: name.into(), password: None, enabled };
    scenario.users.extend([user("op@pve", true), user("low@pve", true), user("dis@pve", false), user("m@pve", true)]);
    scenario.tokens.extend(["op@pve!full", "low@pve!low", "dis@pve!t", "m@pve!tok"].map(|id| TokenSpec::new(id, "s")));
    scenario.tokens.push(TokenSpec { expired: true, ..TokenSpec::new("op@pve!exp", "s") });
    scenario.tokens.push(TokenSpec { privsep: true, ..TokenSpec::new("op@pve!sep", "s") });
    let role = |name: &str, words: &[&str]| (name.to_owned(), words.iter().map(|&word| word.to_owned()).collect());
    scenario.roles.extend([role("Op", OPERATOR), role("Minimal", &[])]);
    scenario.acl = vec![AclSpec::new("/", "op@pve", "Op"), AclSpec::new("/vms/9000", "low@pve", "PVEAuditor")];
    if name == "20-migrate-console-pool" {
        scenario.acl.push(AclSpec::new("/", "op@pve", "PVEVMAdmin"));
    }
    scenario.vms = guests(release, name, topic);
    scenario
}
