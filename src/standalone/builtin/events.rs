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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_views_lose_nothing_of_each_other() {
        let stored =
            json!({ "regarding": { "name": "web" }, "note": "text", "deprecatedCount": 2, "reason": "Started" });
        let mut event = stored.clone();
        to_core(&mut event);
        assert_eq!(
            event,
            json!({ "involvedObject": { "name": "web" }, "message": "text", "count": 2, "reason": "Started" })
        );
        from_core(&mut event);
        assert_eq!(event, stored);
    }

    #[test]
    fn an_event_was_last_seen_at_the_latest_of_its_times() {
        let event = json!({
            "metadata": { "creationTimestamp": "2026-01-01T00:00:00Z" },
            "eventTime": "2026-01-01T00:00:01.000000Z",
            "deprecatedLastTimestamp": null,
            "series": { "count": 2, "lastObservedTime": "2026-01-01T00:30:00.000000Z" },
        });
        assert_eq!(last_seen(&event), "2026-01-01T00:30:00Z".parse().ok());
        assert_eq!(last_seen(&json!({})), None);
    }
}
