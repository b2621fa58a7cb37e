//! The parameters that each call knows.

use super::{Property, Rule, formats, properties};

const fn optional(name: &'static str, rule: Rule) -> Property {
    Property { name, count: 0, rule, optional: true }
}

const fn required(name: &'static str, rule: Rule) -> Property {
    Property { name, count: 0, rule, optional: false }
}

const fn several(name: &'static str, count: u32, rule: Rule) -> Property {
    Property { name, count, rule, optional: true }
}

const ANY: Rule = Rule::Any;
const BOOLEAN: Rule = Rule::Boolean;
const NATURAL: Rule = Rule::Integer(0, i64::MAX);
const NAME: Rule = Rule::Format(formats::dns_name);
const STORAGE: Rule = Rule::Format(formats::storage_id);
const NODE: Rule = Rule::Format(formats::node);
const SNAPSHOT_NAME: Rule = Rule::Format(formats::config_id);
const DRIVE: Rule = Rule::Format(properties::drive);
const DISKS: &[&str] = &[
    "ide0",
    "ide1",
    "ide2",
    "ide3",
    "scsi0",
    "scsi1",
    "scsi2",
    "scsi3",
    "scsi4",
    "scsi5",
    "scsi6",
    "scsi7",
    "scsi8",
    "scsi9",
    "scsi10",
    "scsi11",
    "scsi12",
    "scsi13",
    "scsi14",
    "scsi15",
    "scsi16",
    "scsi17",
    "scsi18",
    "scsi19",
    "scsi20",
    "scsi21",
    "scsi22",
    "scsi23",
    "scsi24",
    "scsi25",
    "scsi26",
    "scsi27",
    "scsi28",
    "scsi29",
    "scsi30",
    "virtio0",
    "virtio1",
    "virtio2",
    "virtio3",
    "virtio4",
    "virtio5",
    "virtio6",
    "virtio7",
    "virtio8",
    "virtio9",
    "virtio10",
    "virtio11",
    "virtio12",
    "virtio13",
    "virtio14",
    "virtio15",
    "sata0",
    "sata1",
    "sata2",
    "sata3",
    "sata4",
    "sata5",
    "efidisk0",
    "tpmstate0",
];
const FORMATS: &[&str] = &["raw", "qcow2", "vmdk"];
const LOCKS: &[&str] =
    &["backup", "clone", "create", "migrate", "rollback", "snapshot", "snapshot-delete", "suspending", "suspended"];

pub(crate) const NONE: &[Property] = &[];
pub(crate) const LOGIN: &[Property] = &[
    required("username", Rule::Text(64)),
    required("password", ANY),
    optional("realm", ANY),
    optional("otp", ANY),
    optional("path", ANY),
    optional("privs", ANY),
    optional("new-format", BOOLEAN),
    optional("tfa-challenge", ANY),
];
pub(crate) const PERMISSIONS: &[Property] = &[optional("path", ANY), optional("userid", ANY)];
pub(crate) const NEXT_ID: &[Property] = &[optional("vmid", formats::VMID)];
pub(crate) const CLUSTER_RESOURCES: &[Property] = &[optional("type", Rule::Enum(&["vm", "storage", "node", "sdn"]))];
pub(crate) const QEMU_LIST: &[Property] = &[optional("full", BOOLEAN)];
pub(crate) const STORAGE_LIST: &[Property] = &[
    optional("storage", STORAGE),
    optional("content", ANY),
    optional("enabled", BOOLEAN),
    optional("target", NODE),
    optional("format", BOOLEAN),
];
pub(crate) const CONTENT_LIST: &[Property] = &[optional("content", ANY), optional("vmid", formats::VMID)];
pub(crate) const CONTENT_DELETE: &[Property] = &[optional("delay", Rule::Integer(1, 30))];
pub(crate) const TASK_LIST: &[Property] = &[
    optional("start", NATURAL),
    optional("limit", NATURAL),
    optional("userfilter", ANY),
    optional("typefilter", ANY),
    optional("vmid", formats::VMID),
    optional("errors", BOOLEAN),
    optional("source", Rule::Enum(&["archive", "active", "all"])),
    optional("since", NATURAL),
    optional("until", NATURAL),
    optional("statusfilter", ANY),
];
pub(crate) const TASK_STATUS: &[Property] = NONE;
pub(crate) const TASK_LOG: &[Property] =
    &[optional("start", NATURAL), optional("limit", NATURAL), optional("download", BOOLEAN)];
pub(crate) const CONFIG_GET: &[Property] = &[optional("current", BOOLEAN), optional("snapshot", SNAPSHOT_NAME)];
pub(crate) const PENDING: &[Property] = NONE;
pub(crate) const TEMPLATE: &[Property] = &[optional("disk", Rule::Enum(DISKS))];
pub(crate) const MIGRATE: &[Property] = &[
    required("target", NODE),
    optional("online", BOOLEAN),
    optional("force", BOOLEAN),
    optional("with-local-disks", BOOLEAN),
    optional("targetstorage", ANY),
    optional("migration_type", ANY),
    optional("migration_network", ANY),
    optional("bwlimit", NATURAL),
];
pub(crate) const CLONE: &[Property] = &[
    required("newid", formats::VMID),
    optional("name", NAME),
    optional("description", ANY),
    optional("pool", ANY),
    optional("snapname", SNAPSHOT_NAME),
    optional("storage", STORAGE),
    optional("format", Rule::Enum(FORMATS)),
    optional("full", BOOLEAN),
    optional("target", NODE),
    optional("bwlimit", NATURAL),
];
pub(crate) const RESIZE: &[Property] = &[
    required("disk", Rule::Enum(DISKS)),
    required("size", Rule::Pattern(formats::is_disk_size)),
    optional("digest", Rule::Text(40)),
    optional("skiplock", BOOLEAN),
];
pub(crate) const DESTROY: &[Property] =
    &[optional("skiplock", BOOLEAN), optional("purge", BOOLEAN), optional("destroy-unreferenced-disks", BOOLEAN)];
pub(crate) const STATUS_CHANGE: &[Property] = &[optional("skiplock", BOOLEAN)];
pub(crate) const START: &[Property] = &[
    optional("skiplock", BOOLEAN),
    optional("timeout", NATURAL),
    optional("machine", ANY),
    optional("force-cpu", ANY),
    optional("migratedfrom", NODE),
    optional("stateuri", Rule::Text(128)),
    optional("targetstorage", ANY),
    optional("migration_type", ANY),
    optional("migration_network", ANY),
];
pub(crate) const STOP: &[Property] = &[
    optional("skiplock", BOOLEAN),
    optional("timeout", NATURAL),
    optional("keepActive", BOOLEAN),
    optional("overrule-shutdown", BOOLEAN),
    optional("migratedfrom", NODE),
];
pub(crate) const SHUTDOWN: &[Property] = &[
    optional("skiplock", BOOLEAN),
    optional("timeout", NATURAL),
    optional("forceStop", BOOLEAN),
    optional("keepActive", BOOLEAN),
];
pub(crate) const REBOOT: &[Property] = &[optional("timeout", NATURAL)];
pub(crate) const SUSPEND: &[Property] =
    &[optional("skiplock", BOOLEAN), optional("todisk", BOOLEAN), optional("statestorage", STORAGE)];
pub(crate) const RESUME: &[Property] = &[optional("skiplock", BOOLEAN), optional("nocheck", BOOLEAN)];
pub(crate) const SNAPSHOT: &[Property] =
    &[required("snapname", SNAPSHOT_NAME), optional("vmstate", BOOLEAN), optional("description", ANY)];
pub(crate) const SNAPSHOT_DELETE: &[Property] = &[optional("force", BOOLEAN)];
pub(crate) const SNAPSHOT_ROLLBACK: &[Property] = &[optional("start", BOOLEAN)];
pub(crate) const POOL: &[Property] = &[optional("type", Rule::Enum(&["qemu", "lxc", "storage"]))];
pub(crate) const POOL_CREATE: &[Property] = &[required("poolid", ANY), optional("comment", ANY)];
pub(crate) const POOL_UPDATE: &[Property] = &[
    // Where the path does not say it.
    optional("poolid", ANY),
    optional("vms", ANY),
    optional("storage", ANY),
    optional("delete", BOOLEAN),
    optional("comment", ANY),
    optional("allow-move", BOOLEAN),
];

/// The options of a guest's configuration, which `create` and `config` share.
macro_rules! with_options {
    ($($own:expr),* $(,)?) => {
        &[
            $($own,)*
            optional("acpi", BOOLEAN),
            optional("affinity", ANY),
            optional("agent", Rule::Format(properties::agent)),
            optional("allow-ksm", BOOLEAN),
            optional("amd-sev", ANY),
            optional("arch", Rule::Enum(&["x86_64", "aarch64"])),
            optional("args", ANY),
            optional("audio0", ANY),
            optional("autostart", BOOLEAN),
            optional("balloon", NATURAL),
            optional("bios", Rule::Enum(&["seabios", "ovmf"])),
            optional("boot", ANY),
            optional("bootdisk", ANY),
            optional("cdrom", ANY),
            optional("cicustom", ANY),
            optional("cipassword", ANY),
            optional("citype", Rule::Enum(&["configdrive2", "nocloud", "opennebula"])),
            optional("ciupgrade", BOOLEAN),
            optional("ciuser", ANY),
            optional("cores", Rule::Integer(1, i64::MAX)),
            optional("cpu", Rule::Format(properties::cpu)),
            optional("cpulimit", Rule::Number(0.0, 128.0)),
            optional("cpuunits", Rule::Integer(1, 262_144)),
            optional("description", Rule::Text(8192)),
            optional("efidisk0", DRIVE),
            optional("freeze", BOOLEAN),
            optional("hookscript", ANY),
            several("hostpci", 16, ANY),
            optional("hotplug", ANY),
            optional("hugepages", Rule::Enum(&["any", "2", "1024"])),
            several("ide", 4, DRIVE),
            optional("import-working-storage", STORAGE),
            several("ipconfig", 32, Rule::Format(properties::ip_config)),
            optional("ivshmem", ANY),
            optional("keephugepages", BOOLEAN),
            optional("keyboard", ANY),
            optional("kvm", BOOLEAN),
            optional("localtime", BOOLEAN),
            optional("lock", Rule::Enum(LOCKS)),
            optional("machine", ANY),
            optional("memory", Rule::Format(properties::memory)),
            optional("migrate_downtime", Rule::Number(0.0, f64::MAX)),
            optional("migrate_speed", NATURAL),
            optional("name", NAME),
            optional("nameserver", ANY),
            several("net", 32, Rule::Format(properties::nic)),
            optional("numa", BOOLEAN),
            several("numa", 8, ANY),
            optional("onboot", BOOLEAN),
            optional("ostype", ANY),
            several("parallel", 3, ANY),
            optional("protection", BOOLEAN),
            optional("reboot", BOOLEAN),
            optional("rng0", ANY),
            several("sata", 6, DRIVE),
            several("scsi", 31, DRIVE),
            optional("scsihw", Rule::Enum(&["lsi", "lsi53c810", "virtio-scsi-pci", "virtio-scsi-single", "megasas", "pvscsi"])),
            optional("searchdomain", ANY),
            several("serial", 4, ANY),
            optional("shares", Rule::Integer(0, 50_000)),
            optional("smbios1", Rule::Format(properties::smbios1)),
            optional("sockets", Rule::Integer(1, i64::MAX)),
            optional("spice_enhancements", ANY),
            optional("sshkeys", Rule::Format(formats::url_encoded)),
            optional("startdate", ANY),
            optional("startup", ANY),
            optional("tablet", BOOLEAN),
            optional("tags", Rule::Format(formats::tags)),
            optional("tdf", BOOLEAN),
            optional("template", BOOLEAN),
            optional("tpmstate0", DRIVE),
            several("unused", 256, ANY),
            several("usb", 14, ANY),
            optional("vcpus", Rule::Integer(1, i64::MAX)),
            optional("vga", ANY),
            several("virtio", 16, DRIVE),
            several("virtiofs", 10, ANY),
            optional("vmgenid", ANY),
            optional("vmstatestorage", STORAGE),
            optional("watchdog", ANY),
        ]
    };
}

pub(crate) const CREATE: &[Property] = with_options![
    required("vmid", formats::VMID),
    optional("archive", ANY),
    optional("storage", STORAGE),
    optional("force", BOOLEAN),
    optional("unique", BOOLEAN),
    optional("live-restore", BOOLEAN),
    optional("pool", ANY),
    optional("bwlimit", NATURAL),
    optional("start", BOOLEAN),
];
pub(crate) const CONFIG_WRITE: &[Property] = with_options![
    optional("digest", ANY),
    optional("delete", ANY),
    optional("revert", ANY),
    optional("force", BOOLEAN),
    optional("skiplock", BOOLEAN),
    optional("background_delay", Rule::Integer(1, 30)),
];
