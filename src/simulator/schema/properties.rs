//! Values that are made of several: `first,key=value,…`, each part with a rule of its own.

use super::{Context, Rule, UNKNOWN, check};

/// One part of a property string; the first is the one that may come without its key.
struct Part(&'static str, Rule);

/// Checks a property string. Every wrong part gets a line, as Proxmox writes it.
fn parts(text: &str, context: &Context<'_>, rules: &[Part]) -> Result<(), String> {
    let mut lines = Vec::new();
    let wrong = |key: &str, error: &str| format!("{}.{key}: {error}", context.key);
    for (index, word) in text.split(',').filter(|word| !word.is_empty()).enumerate() {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) if index > 0 || rules.iter().any(|rule| rule.0 == key) => (key, value),
            _ if index == 0 => (rules.first().map_or("", |rule| rule.0), word),
            Some((key, value)) => (key, value),
            None => {
                return Err("format error\n".to_owned() + "value without key, but schema does not define a default key");
            }
        };
        match rules.iter().find(|rule| rule.0 == key) {
            Some(Part(_, Rule::Boolean)) if matches!(value, "on" | "off" | "yes" | "no" | "true" | "false") => {}
            Some(Part(_, rule)) => {
                if let Err(error) = check(*rule, value, context) {
                    lines.push(wrong(key, &error));
                }
            }
            None => lines.push(wrong(key, UNKNOWN)),
        }
    }
    finish(lines)
}

fn finish(mut lines: Vec<String>) -> Result<(), String> {
    if lines.is_empty() {
        return Ok(());
    }
    lines.sort();
    Err(format!("format error\n{}", lines.join("\n")))
}

pub(super) fn memory(text: &str, context: &Context<'_>) -> Result<(), String> {
    parts(text, context, &[Part("current", Rule::Integer(16, i64::MAX))])
}

pub(super) fn smbios1(text: &str, context: &Context<'_>) -> Result<(), String> {
    const BASE64: Rule = Rule::Pattern(|text| {
        let plain = text.trim_end_matches('=');
        text.len() - plain.len() <= 2 && plain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
    });
    let fields = ["version", "serial", "manufacturer", "product", "sku", "family"].map(|key| Part(key, BASE64));
    let uuid = Part("uuid", Rule::Pattern(|text| uuid::Uuid::try_parse(text).is_ok()));
    let rules: Vec<Part> = [uuid, Part("base64", Rule::Boolean)].into_iter().chain(fields).collect();
    parts(text, context, &rules)
}

const MODELS: &[&str] = &[
    "e1000",
    "e1000-82540em",
    "e1000-82544gc",
    "e1000-82545em",
    "e1000e",
    "i82551",
    "i82557b",
    "i82559er",
    "ne2k_isa",
    "ne2k_pci",
    "pcnet",
    "rtl8139",
    "virtio",
    "vmxnet3",
];

pub(super) fn nic(text: &str, context: &Context<'_>) -> Result<(), String> {
    const RULES: &[Part] = &[
        Part("model", Rule::Enum(MODELS)),
        Part("macaddr", Rule::Format(mac)),
        Part("bridge", Rule::Any),
        Part("queues", Rule::Integer(0, 64)),
        Part("rate", Rule::Number(0.0, f64::MAX)),
        Part("tag", Rule::Integer(1, 4094)),
        Part("trunks", Rule::Any),
        Part("mtu", Rule::Integer(1, 65520)),
        Part("firewall", Rule::Boolean),
        Part("link_down", Rule::Boolean),
    ];
    // `virtio=MAC` is short for `model=virtio,macaddr=MAC`.
    let first = text.split(',').next().unwrap_or_default();
    match first.split_once('=') {
        Some((model, address)) if MODELS.contains(&model) => {
            let rest = text.strip_prefix(first).unwrap_or_default();
            parts(&format!("model={model},macaddr={address}{rest}"), context, RULES)
        }
        _ => parts(text, context, RULES),
    }
}

fn mac(text: &str, _: &Context<'_>) -> Result<(), String> {
    let bytes: Option<Vec<u8>> =
        text.split(':').map(|part| (part.len() == 2).then(|| u8::from_str_radix(part, 16).ok()).flatten()).collect();
    match bytes.as_deref() {
        Some([first, _, _, _, _, _]) if first & 1 == 0 => Ok(()),
        _ => Err("value does not look like a valid unicast MAC address".into()),
    }
}

pub(super) fn ip_config(text: &str, context: &Context<'_>) -> Result<(), String> {
    const RULES: &[Part] = &[
        Part("ip", Rule::Format(|text, _| network(text, 4))),
        Part("gw", Rule::Format(|text, _| address(text, 4))),
        Part("ip6", Rule::Format(|text, _| network(text, 6))),
        Part("gw6", Rule::Format(|text, _| address(text, 6))),
    ];
    parts(text, context, RULES)?;
    let has = |key: &str| text.split(',').any(|word| word.split_once('=').is_some_and(|(name, _)| name == key));
    let key = context.key;
    let missing = [("gw", "ip"), ("gw6", "ip6")].into_iter().filter(|(gateway, ip)| has(gateway) && !has(ip));
    finish(
        missing
            .map(|(gateway, ip)| {
                if context.v9 {
                    format!("{key}.{ip}: missing property required by '{key}.{gateway}'")
                } else {
                    format!("{key}.{ip}: missing property - '{key}.{gateway}' requires this property")
                }
            })
            .collect(),
    )
}

fn network(text: &str, family: u8) -> Result<(), String> {
    let special: &[&str] = if family == 4 { &["dhcp"] } else { &["dhcp", "auto"] };
    if special.contains(&text) {
        return Ok(());
    }
    let longest = if family == 4 { 32 } else { 128 };
    let fits = text.split_once('/').is_some_and(|(ip, prefix)| {
        is_address(ip, family) && prefix.parse::<u8>().is_ok_and(|prefix| (8..=longest).contains(&prefix))
    });
    if fits { Ok(()) } else { Err(format!("value does not look like a valid ipv{family} network configuration")) }
}

fn address(text: &str, family: u8) -> Result<(), String> {
    if is_address(text, family) { Ok(()) } else { Err(format!("value does not look like a valid IPv{family} address")) }
}

fn is_address(text: &str, family: u8) -> bool {
    text.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_ipv4() == (family == 4))
}

const CPU_MODELS: &[&str] = &[
    "486",
    "Broadwell",
    "Cascadelake-Server",
    "Conroe",
    "Cooperlake",
    "EPYC",
    "EPYC-Genoa",
    "EPYC-Milan",
    "EPYC-Milan-v2",
    "EPYC-Rome",
    "EPYC-v3",
    "EPYC-v4",
    "Haswell",
    "Haswell-noTSX",
    "IvyBridge",
    "KnightsMill",
    "Nehalem",
    "Opteron_G1",
    "Opteron_G2",
    "Opteron_G3",
    "Opteron_G4",
    "Opteron_G5",
    "Penryn",
    "SandyBridge",
    "SapphireRapids",
    "Skylake-Client",
    "Skylake-Server",
    "Westmere",
    "athlon",
    "core2duo",
    "coreduo",
    "host",
    "kvm32",
    "kvm64",
    "max",
    "pentium",
    "pentium2",
    "pentium3",
    "phenom",
    "qemu32",
    "qemu64",
    "x86-64-v2",
    "x86-64-v2-AES",
    "x86-64-v3",
    "x86-64-v4",
];

pub(super) fn cpu(text: &str, _: &Context<'_>) -> Result<(), String> {
    let first = text.split(',').next().unwrap_or_default();
    let model = first.strip_prefix("cputype=").unwrap_or(first);
    match model.strip_prefix("custom-") {
        Some(name) => Err(format!("Custom cputype '{name}' not found")),
        None if CPU_MODELS.contains(&model) => Ok(()),
        None => Err(format!("Built-in cputype '{model}' is not defined (missing 'custom-' prefix?)")),
    }
}

pub(super) fn agent(text: &str, context: &Context<'_>) -> Result<(), String> {
    const RULES: &[Part] = &[
        Part("enabled", Rule::Boolean),
        Part("fstrim_cloned_disks", Rule::Boolean),
        Part("freeze-fs-on-backup", Rule::Boolean),
        Part("freeze-fs", Rule::Boolean),
        Part("type", Rule::Enum(&["isa", "virtio"])),
    ];
    parts(text, context, RULES)
}

pub(super) fn drive(text: &str, context: &Context<'_>) -> Result<(), String> {
    const WORDS: &[&str] = &[
        "file",
        "format",
        "size",
        "media",
        "cache",
        "discard",
        "ssd",
        "iothread",
        "backup",
        "replicate",
        "snapshot",
        "import-from",
        "aio",
        "ro",
        "shared",
        "serial",
        "wwn",
        "model",
        "queues",
        "detect_zeroes",
        "werror",
        "rerror",
        "cyls",
        "heads",
        "secs",
        "trans",
        "scsiblock",
        "product",
        "vendor",
        "efitype",
        "pre-enrolled-keys",
        "version",
        "ms-cert",
        "bps",
        "bps_rd",
        "bps_wr",
        "iops",
        "iops_rd",
        "iops_wr",
        "mbps",
        "mbps_max",
        "mbps_rd",
        "mbps_rd_max",
        "mbps_wr",
        "mbps_wr_max",
        "iops_max",
        "iops_rd_max",
        "iops_wr_max",
        "bps_max_length",
        "bps_rd_max_length",
        "bps_wr_max_length",
        "iops_max_length",
        "iops_rd_max_length",
        "iops_wr_max_length",
    ];
    let lines = text.split(',').skip(1).filter_map(|word| {
        let key = word.split_once('=').map_or(word, |(key, _)| key);
        let bus = context.key.trim_end_matches(|digit: char| digit.is_ascii_digit());
        let foreign = match key {
            "ssd" => bus == "virtio",
            "iothread" => !matches!(bus, "scsi" | "virtio"),
            _ => false,
        };
        (foreign || !WORDS.contains(&key)).then(|| format!("{}.{key}: {UNKNOWN}", context.key))
    });
    finish(lines.collect())
}
