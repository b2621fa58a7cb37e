//! When an answer agrees with the recorded one: what is mapped, and what only has to have the same type.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::{Map, Value};

/// Times, loads, sizes of the laboratory's host, process ids: only the type counts.
const BY_TYPE: &[&str] = &[
    "avail",
    "available",
    "cpu",
    "cpuinfo",
    "ctime",
    "current-kernel",
    "disk",
    "diskread",
    "diskwrite",
    "endtime",
    "flags",
    "free",
    "hardware-address",
    "idle",
    "ip",
    "ip-addresses",
    "kversion",
    "loadavg",
    "mem",
    "memhost",
    "netin",
    "netout",
    "pid",
    "pstart",
    "rootfs",
    "snaptime",
    "starttime",
    "statistics",
    "swap",
    "total",
    "uptime",
    "used",
    "used_fraction",
    "boot-info",
    "ksm",
    "ssl_fingerprint",
    "wait",
    "repoid",
    "pveversion",
    "nics",
    "pressurecpusome",
    "pressurecpufull",
];

pub struct Compare {
    patterns: Vec<(Regex, &'static str)>,
}

impl Compare {
    pub fn new() -> Self {
        let patterns = [
            (r"UPID:(\w+):[0-9A-F]{8}:[0-9A-F]{8}:[0-9A-F]{8}:", "UPID:$1:"),
            (r"(?i)\bBC:24:11(:[0-9A-F]{2}){3}\b", "MAC"),
            (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UUID"),
            (r"\b[0-9a-f]{40}\b", "DIGEST"),
            (r"ctime=\d+", "ctime=T"),
            (r"\.conf\.tmp\.\d+", ".conf.tmp.N"),
            (r"^transferred .* of (.*) \(.*%\)$", "transferred … of $1"),
            (r"Temporary failure in name resolution|Name or service not known", "NO SUCH NAME"),
            // The laboratory lacks Proxmox's own QEMU patches and mounts its shared storage elsewhere.
            (r"zeroinit:", ""),
            (r"/x-run/shared", "/mnt/shared"),
            (r"\(before .*\) at ", "(before …) at "),
        ];
        Self { patterns: patterns.map(|(pattern, with)| (Regex::new(pattern).unwrap(), with)).into() }
    }

    fn text(&self, text: &str) -> String {
        self.patterns
            .iter()
            .fold(text.to_owned(), |text, (pattern, with)| pattern.replace_all(&text, *with).into_owned())
    }

    pub fn reason(&self, recorded: &str, ours: &str) -> Result<(), String> {
        let (recorded, ours) = (self.text(recorded), self.text(ours));
        if recorded == ours { Ok(()) } else { Err(format!("reason: recorded {recorded:?}, ours {ours:?}")) }
    }

    /// Compares two bodies. `known` are the things that the topic itself made or that were set up.
    pub fn body(&self, recorded: &Value, ours: &Value, known: &BTreeSet<String>) -> Result<(), String> {
        match (recorded, ours) {
            (Value::Object(recorded), Value::Object(ours)) if recorded.contains_key("data") => {
                // The number of log lines depends on the progress when a task is looked at.
                let mut recorded = recorded.clone();
                let mut ours = ours.clone();
                if let (Some(old), Some(new)) = (recorded.remove("total"), ours.remove("total")) {
                    same_type("total", &old, &new)?;
                }
                self.map("", &recorded, &ours, known)
            }
            _ => self.value("", recorded, ours, known),
        }
    }

    fn value(&self, at: &str, recorded: &Value, ours: &Value, known: &BTreeSet<String>) -> Result<(), String> {
        let key = at.rsplit('.').next().unwrap_or(at);
        if BY_TYPE.contains(&key) {
            return same_type(at, recorded, ours);
        }
        match (recorded, ours) {
            (Value::Object(recorded), Value::Object(ours)) => self.map(at, recorded, ours, known),
            (Value::Array(recorded), Value::Array(ours)) => self.list(at, recorded, ours, known),
            (Value::String(recorded), Value::String(ours)) if key == "content" => {
                let words = |text: &str| text.split(',').map(str::to_owned).collect::<BTreeSet<_>>();
                equal(at, &words(recorded), &words(ours))
            }
            (Value::String(recorded), Value::String(ours)) => equal(at, &self.text(recorded), &self.text(ours)),
            _ => equal(at, recorded, ours),
        }
    }

    fn map(
        &self,
        at: &str,
        recorded: &Map<String, Value>,
        ours: &Map<String, Value>,
        known: &BTreeSet<String>,
    ) -> Result<(), String> {
        let keys = |map: &Map<String, Value>| map.keys().cloned().collect::<BTreeSet<_>>();
        let (old, new) = (keys(recorded), keys(ours));
        if old != new {
            let missing: Vec<_> = old.difference(&new).collect();
            let more: Vec<_> = new.difference(&old).collect();
            return Err(format!("keys of '{at}': ours lacks {missing:?} and has {more:?} more"));
        }
        let of_node = recorded.get("type").is_some_and(|kind| kind == "node" || kind == "storage");
        for (key, value) in recorded {
            if of_node && matches!(key.as_str(), "maxdisk" | "maxmem") {
                same_type(key, value, &ours[key])?;
                continue;
            }
            if key == "memory" && value.is_object() {
                continue;
            }
            self.value(&format!("{at}.{key}"), value, &ours[key], known)?;
        }
        Ok(())
    }

    fn list(&self, at: &str, recorded: &[Value], ours: &[Value], known: &BTreeSet<String>) -> Result<(), String> {
        let is_log = recorded.iter().chain(ours).any(|line| line.get("t").is_some());
        if is_log {
            let lines = |list: &[Value]| {
                let mut lines: Vec<String> =
                    list.iter().map(|line| self.text(line["t"].as_str().unwrap_or_default())).collect();
                lines.dedup();
                lines
            };
            return equal(at, &lines(recorded), &lines(ours));
        }
        let Some(id) = ["upid", "volid", "id", "key", "vmid", "storage", "iface", "name"]
            .into_iter()
            .find(|id| recorded.iter().chain(ours).all(|item| item.get(id).is_some()))
        else {
            return equal(at, &recorded.len(), &ours.len());
        };
        let index = |list: &[Value]| -> BTreeMap<String, Value> {
            let name = |item: &Value| item[id].as_str().map_or_else(|| item[id].to_string(), str::to_owned);
            list.iter().map(|item| (name(item), item.clone())).collect()
        };
        let (old, new) = (index(recorded), index(ours));
        // What other topics left behind is in the recorded lists, and what this one set up may not be.
        let shared = matches!(id, "upid" | "id" | "vmid");
        for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            match (old.get(key), new.get(key)) {
                (Some(_), Some(_)) if shared && !known.contains(key) => {}
                (Some(old), Some(new)) => self.value(&format!("{at}[{key}]"), old, new, known)?,
                (Some(_), None) if !shared || known.contains(key) => return Err(format!("{at}: ours lacks {key}")),
                (None, Some(_)) if !shared || known.contains(key) => return Err(format!("{at}: ours has {key} more")),
                _ => {}
            }
        }
        Ok(())
    }
}

fn same_type(at: &str, recorded: &Value, ours: &Value) -> Result<(), String> {
    let same = matches!(
        (recorded, ours),
        (Value::Null, Value::Null)
            | (Value::Bool(_), Value::Bool(_))
            | (Value::Number(_), Value::Number(_))
            | (Value::String(_), Value::String(_))
            | (Value::Array(_), Value::Array(_))
            | (Value::Object(_), Value::Object(_))
    );
    if same { Ok(()) } else { Err(format!("type of {at}: recorded {recorded}, ours {ours}")) }
}

fn equal<T: PartialEq + std::fmt::Debug>(at: &str, recorded: &T, ours: &T) -> Result<(), String> {
    if recorded == ours { Ok(()) } else { Err(format!("{at}:\n      recorded {recorded:?}\n      ours     {ours:?}")) }
}
