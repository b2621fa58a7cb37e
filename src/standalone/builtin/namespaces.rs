//! Namespaces: those every cluster has, and what may happen in one that is being deleted.

use serde_json::{Value, json};

use crate::standalone::json::at;

/// What a fresh cluster has.
pub const INITIAL: &[&str] = &["default", "kube-node-lease", "kube-public", "kube-system"];

/// As the API server does: the finalizer that holds a namespace until it is empty, the phase, and a
/// label with the name.
pub fn complete(namespace: &mut Value) {
    let name = namespace.pointer("/metadata/name").cloned().unwrap_or_default();
    let deleting = is_terminating(namespace);
    let Some(object) = namespace.as_object_mut() else {
        return;
    };
    if !deleting {
        object.entry("spec").or_insert_with(|| json!({ "finalizers": ["kubernetes"] }));
    }
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
        && !deleting
    {
        spec.entry("finalizers").or_insert_with(|| json!(["kubernetes"]));
    }
    let phase = if deleting { "Terminating" } else { "Active" };
    let status = object.entry("status").or_insert_with(|| json!({}));
    if let Some(status) = status.as_object_mut() {
        status.insert("phase".to_owned(), phase.into());
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        let labels = metadata.entry("labels").or_insert_with(|| json!({}));
        if labels.is_null() {
            *labels = json!({});
        }
        if let Some(labels) = labels.as_object_mut() {
            labels.insert("kubernetes.io/metadata.name".to_owned(), name);
        }
    }
}

pub fn is_terminating(namespace: &Value) -> bool {
    namespace.pointer("/metadata/deletionTimestamp").is_some()
}

/// Whether an object is a namespace that its own finalizer still holds.
pub fn is_held(object: &Value) -> bool {
    at(object, "/kind") == "Namespace"
        && at(object, "/apiVersion") == "v1"
        && at(object, "/spec/finalizers").as_array().is_some_and(|finalizers| !finalizers.is_empty())
}
