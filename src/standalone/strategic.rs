//! Strategic merge patches: merge patches that know which lists are maps or sets.
//!
//! kubectl computes them for the kinds it knows, with directives for what a merge cannot say:
//! `$patch`, `$retainKeys`, `$setElementOrder/…` and `$deleteFromPrimitiveList/…`.

use serde_json::{Map, Value};

#[derive(Debug, thiserror::Error)]
pub enum StrategicError {
    #[error("unknown patch type: {0}")]
    UnknownDirective(String),
    #[error("map: {item} does not contain declared merge key: {key}")]
    MissingKey { item: Value, key: &'static str },
}

/// How the items of a list are told apart.
#[derive(Clone, Copy)]
enum ListMerge {
    Replace,
    Set,
    By(&'static str),
}

/// The lists of the built-in kinds that are not replaced as a whole, by their field's name.
fn list_merge(field: &str) -> ListMerge {
    match field {
        "finalizers" => ListMerge::Set,
        "ownerReferences" => ListMerge::By("uid"),
        "conditions" => ListMerge::By("type"),
        _ => ListMerge::Replace,
    }
}

/// Applies `patch` to `object`.
///
/// # Errors
/// The patch has an unknown directive, or an item without its key.
pub fn merge(object: &mut Value, patch: &Value) -> Result<(), StrategicError> {
    let Some(patch) = patch.as_object() else {
        *object = patch.clone();
        return Ok(());
    };
    match patch.get("$patch").and_then(Value::as_str) {
        None | Some("merge") => {}
        Some("replace") => {
            let mut replacement = patch.clone();
            replacement.remove("$patch");
            *object = replacement.into();
            return Ok(());
        }
        Some("delete") => {
            *object = Value::Object(Map::new());
            return Ok(());
        }
        Some(other) => return Err(StrategicError::UnknownDirective(other.to_owned())),
    }
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Some(object) = object.as_object_mut() else {
        return Ok(());
    };
    if let Some(keep) = patch.get("$retainKeys").and_then(Value::as_array) {
        object.retain(|name, _| keep.iter().any(|kept| kept == name));
    }
    for (name, value) in patch {
        if let Some(field) = name.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = value.as_array().cloned().unwrap_or_default();
            if let Some(items) = object.get_mut(field).and_then(Value::as_array_mut) {
                items.retain(|item| !gone.contains(item));
            }
        }
    }
    for (name, value) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        match (value, list_merge(name)) {
            (Value::Null, _) => {
                object.remove(name);
            }
            (Value::Object(_), _) => {
                merge(object.entry(name).or_insert(Value::Null), value)?;
            }
            (Value::Array(items), ListMerge::Set) => {
                let mut target = take_list(object, name);
                for item in items {
                    if !target.contains(item) {
                        target.push(item.clone());
                    }
                }
                object.insert(name.clone(), target.into());
            }
            (Value::Array(items), ListMerge::By(key)) => {
                let mut target = take_list(object, name);
                merge_items(&mut target, items, key)?;
                object.insert(name.clone(), target.into());
            }
            _ => {
                object.insert(name.clone(), value.clone());
            }
        }
    }
    for (name, order) in patch {
        if let Some(field) = name.strip_prefix("$setElementOrder/")
            && let Some(items) = object.get_mut(field).and_then(Value::as_array_mut)
        {
            sort(items, order, list_merge(field));
        }
    }
    Ok(())
}

/// The list that stands there; anything else counts as an empty one.
fn take_list(object: &mut Map<String, Value>, name: &str) -> Vec<Value> {
    match object.get_mut(name).map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn merge_items(target: &mut Vec<Value>, items: &[Value], key: &'static str) -> Result<(), StrategicError> {
    if items.iter().any(|item| directive(item) == Some("replace")) {
        target.clear();
    }
    for item in items {
        if directive(item) == Some("replace") {
            continue;
        }
        let Some(identity) = item.get(key) else {
            return Err(StrategicError::MissingKey { item: item.clone(), key });
        };
        let found = target.iter().position(|candidate| candidate.get(key) == Some(identity));
        match (found, directive(item)) {
            (Some(index), Some("delete")) => {
                target.remove(index);
            }
            (None, Some("delete")) => {}
            (Some(index), _) => {
                if let Some(existing) = target.get_mut(index) {
                    merge(existing, item)?;
                }
            }
            (None, _) => target.push(item.clone()),
        }
    }
    Ok(())
}

fn directive(item: &Value) -> Option<&str> {
    item.get("$patch").and_then(Value::as_str)
}

/// Sorts by the order that is given; what it does not name goes to the end, as it was.
fn sort(items: &mut [Value], order: &Value, how: ListMerge) {
    let order = order.as_array().map(Vec::as_slice).unwrap_or_default();
    let place = |item: &Value| {
        order
            .iter()
            .position(|wanted| match how {
                ListMerge::By(key) => wanted.get(key) == item.get(key),
                ListMerge::Set | ListMerge::Replace => wanted == item,
            })
            .unwrap_or(usize::MAX)
    };
    items.sort_by_key(place);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn strategic_patches_merge_what_they_should() {
        for (name, object, patch, expected) in [
            (
                "fields merge and null removes",
                json!({ "data": { "a": "1", "b": "2" } }),
                json!({ "data": { "a": null, "c": "3" } }),
                json!({ "data": { "b": "2", "c": "3" } }),
            ),
            (
                "finalizers are a set",
                json!({ "finalizers": ["x", "y"] }),
                json!({ "finalizers": ["y", "z"] }),
                json!({ "finalizers": ["x", "y", "z"] }),
            ),
            (
                "items of a set can be removed",
                json!({ "finalizers": ["x", "y"] }),
                json!({ "$deleteFromPrimitiveList/finalizers": ["x"] }),
                json!({ "finalizers": ["y"] }),
            ),
            (
                "items with a key merge",
                json!({ "ownerReferences": [{ "uid": "1", "name": "a" }, { "uid": "2" }] }),
                json!({ "ownerReferences": [{ "uid": "1", "name": "b" }, { "uid": "2", "$patch": "delete" }] }),
                json!({ "ownerReferences": [{ "uid": "1", "name": "b" }] }),
            ),
            ("other lists are replaced", json!({ "list": [1, 2] }), json!({ "list": [3] }), json!({ "list": [3] })),
            (
                "a map can be replaced",
                json!({ "data": { "a": "1" } }),
                json!({ "data": { "$patch": "replace", "b": "2" } }),
                json!({ "data": { "b": "2" } }),
            ),
            (
                "only the retained keys stay",
                json!({ "spec": { "a": 1, "b": 2 } }),
                json!({ "spec": { "$retainKeys": ["b", "c"], "c": 3 } }),
                json!({ "spec": { "b": 2, "c": 3 } }),
            ),
            (
                "the order can be set",
                json!({ "finalizers": ["x", "y"] }),
                json!({ "$setElementOrder/finalizers": ["z", "y", "x"], "finalizers": ["z"] }),
                json!({ "finalizers": ["z", "y", "x"] }),
            ),
        ] {
            let mut merged = object;
            merge(&mut merged, &patch).unwrap();
            assert_eq!(merged, expected, "{name}");
        }
    }

    #[test]
    fn an_unknown_directive_is_refused() {
        assert!(merge(&mut json!({}), &json!({ "$patch": "guess" })).is_err());
    }
}
