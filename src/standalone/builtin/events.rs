//! Events, which have two views: `events.k8s.io/v1`, in which they are stored, and core `v1`.

use jiff::Timestamp;
use serde_json::Value;

/// The fields that are named differently: in `events.k8s.io/v1`, and in core `v1`.
const NAMES: &[(&str, &str)] = &[
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("reportingController", "reportingComponent"),
];

pub fn to_core(event: &mut Value) {
    rename(event, NAMES.iter().copied());
}

pub fn from_core(event: &mut Value) {
    rename(event, NAMES.iter().map(|&(ours, core)| (core, ours)));
}

/// When an event, as it is stored, was last seen.
pub fn last_seen(event: &Value) -> Option<Timestamp> {
    ["/series/lastObservedTime", "/deprecatedLastTimestamp", "/eventTime", "/metadata/creationTimestamp"]
        .into_iter()
        .filter_map(|pointer| event.pointer(pointer)?.as_str()?.parse().ok())
        .max()
}

fn rename<'a>(event: &mut Value, names: impl Iterator<Item = (&'a str, &'a str)>) {
    let Some(event) = event.as_object_mut() else {
        return;
    };
    for (from, to) in names {
        if let Some(value) = event.remove(from) {
            event.insert(to.to_owned(), value);
        }
    }
}
