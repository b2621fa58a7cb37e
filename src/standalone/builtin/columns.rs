//! What `kubectl get` shows of the built-in kinds.

use serde_json::Value;

use crate::standalone::table::{Column, age};

pub fn namespace() -> Vec<Column> {
    vec![Column::name(), Column::computed("Status", "string", |object| at(object, "/status/phase")), Column::age()]
}

pub fn secret() -> Vec<Column> {
    vec![
        Column::name(),
        Column::computed("Type", "string", |object| at(object, "/type")),
        Column::computed("Data", "string", |object| entries(object, &["data"])),
        Column::age(),
    ]
}

pub fn config_map() -> Vec<Column> {
    vec![
        Column::name(),
        Column::computed("Data", "string", |object| entries(object, &["data", "binaryData"])),
        Column::age(),
    ]
}

pub fn lease() -> Vec<Column> {
    vec![
        Column::name(),
        Column::computed("Holder", "string", |object| at(object, "/spec/holderIdentity")),
        Column::age(),
    ]
}

pub fn definition() -> Vec<Column> {
    vec![Column::name(), Column::computed("Created At", "date", |object| at(object, "/metadata/creationTimestamp"))]
}

/// Of events as they are stored, in `events.k8s.io/v1`.
pub fn event() -> Vec<Column> {
    vec![
        Column::computed("Last Seen", "string", |event| {
            let series = event.pointer("/series/lastObservedTime");
            let deprecated = event.get("deprecatedLastTimestamp");
            seen(&[series, deprecated, event.get("eventTime")])
        }),
        Column::computed("Type", "string", |event| at(event, "/type")),
        Column::computed("Reason", "string", |event| at(event, "/reason")),
        Column::computed("Object", "string", |event| {
            let kind = text(event, "/regarding/kind").to_lowercase();
            let name = text(event, "/regarding/name");
            match name {
                "" => kind.into(),
                name => format!("{kind}/{name}").into(),
            }
        }),
        Column::computed("Subobject", "string", |event| at(event, "/regarding/fieldPath")).wide(),
        Column::computed("Source", "string", |event| {
            let component = text(event, "/deprecatedSource/component");
            let instance = text(event, "/reportingInstance");
            let source = match component {
                "" => text(event, "/reportingController"),
                component => component,
            };
            match instance {
                "" => source.into(),
                instance => format!("{source}, {instance}").into(),
            }
        })
        .wide(),
        Column::computed("Message", "string", |event| text(event, "/note").trim().into()),
        Column::computed("First Seen", "string", |event| {
            let deprecated = event.get("deprecatedFirstTimestamp");
            seen(&[deprecated, event.get("eventTime")])
        })
        .wide(),
        Column::computed("Count", "string", |event| {
            let count = event.pointer("/series/count").or_else(|| event.get("deprecatedCount")).and_then(Value::as_i64);
            count.unwrap_or(1).to_string().into()
        })
        .wide(),
        Column::name().wide(),
    ]
}

fn seen(times: &[Option<&Value>]) -> Value {
    times.iter().flatten().find(|time| !time.is_null()).map_or_else(|| "<unknown>".into(), |time| age(time))
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn at(object: &Value, pointer: &str) -> Value {
    text(object, pointer).into()
}

fn entries(object: &Value, fields: &[&str]) -> Value {
    let count: usize = fields.iter().filter_map(|field| object.get(field)?.as_object()).map(serde_json::Map::len).sum();
    count.into()
}
