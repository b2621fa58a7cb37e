//! The rules of `metadata`: names, what the server sets, and what nobody may change.

use std::sync::LazyLock;

use rand::RngExt as _;
use regex::Regex;
use serde_json::{Map, Value, json};

use super::json::at;
use super::plane::now;
use super::registry::{Kind, Origin};
use super::status::{ApiError, FieldError, Problem};

/// The fields that only the server writes; an update keeps them as they are.
const SYSTEM: &[&str] =
    &["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion"];

const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const TOO_MANY_PARTS: &str = "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// The metadata of an object, which every stored object has.
pub fn of(object: &mut Value) -> Result<&mut Map<String, Value>, ApiError> {
    object
        .as_object_mut()
        .map(|object| object.entry("metadata").or_insert_with(|| json!({})))
        .and_then(|metadata| {
            if metadata.is_null() {
                *metadata = json!({});
            }
            metadata.as_object_mut()
        })
        .ok_or_else(|| ApiError::bad_request("metadata is no object"))
}

pub fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get("metadata").and_then(|metadata| metadata.get(field)).and_then(Value::as_str).unwrap_or_default()
}

pub fn finalizers(object: &Value) -> Vec<&str> {
    object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

pub fn is_deleting(object: &Value) -> bool {
    !text(object, "deletionTimestamp").is_empty()
}

/// The name and namespace of an object, which must be those of the request.
pub fn settle_namespace(object: &mut Value, namespace: Option<&str>) -> Result<(), ApiError> {
    let given = text(object, "namespace").to_owned();
    let wanted = namespace.unwrap_or_default();
    if !given.is_empty() && given != wanted {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let metadata = of(object)?;
    match namespace {
        Some(namespace) => metadata.insert("namespace".to_owned(), namespace.into()),
        None => metadata.remove("namespace"),
    };
    Ok(())
}

/// What the server sets on a new object.
pub fn begin(kind: &Kind, object: &mut Value) -> Result<(), ApiError> {
    if !text(object, "resourceVersion").is_empty() {
        return Err(ApiError::unexplained("resourceVersion should not be set on objects to be created"));
    }
    let metadata = of(object)?;
    for field in SYSTEM.iter().chain(&["selfLink", "managedFields"]) {
        metadata.remove(*field);
    }
    metadata.insert("uid".to_owned(), uuid::Uuid::new_v4().to_string().into());
    metadata.insert("creationTimestamp".to_owned(), now().into());
    if kind.is_custom() {
        metadata.insert("generation".to_owned(), 1.into());
    }
    drop_empty(metadata);
    Ok(())
}

/// A name from `generateName`, if no name is given.
///
/// # Returns
/// Whether the name was made up here (and another may be tried).
pub fn generate_name(object: &mut Value) -> Result<bool, ApiError> {
    // As Kubernetes: no vowels, so that no words arise, and no digits that look like letters.
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    const LONGEST_PREFIX: usize = 58;
    let prefix = text(object, "generateName").to_owned();
    if !text(object, "name").is_empty() || prefix.is_empty() {
        return Ok(false);
    }
    let mut random = rand::rng();
    let mut name: String = prefix.chars().take(LONGEST_PREFIX).collect();
    for _ in 0..5 {
        let index = random.random_range(0..LETTERS.len());
        name.extend(LETTERS.get(index).map(|&letter| char::from(letter)));
    }
    of(object)?.insert("name".to_owned(), name.into());
    Ok(true)
}

/// Carries over what only the server writes, from the object as it is.
pub fn keep_system_fields(new: &mut Value, old: &Value) -> Result<(), ApiError> {
    let metadata = of(new)?;
    for field in SYSTEM {
        match old.get("metadata").and_then(|metadata| metadata.get(*field)) {
            Some(value) => metadata.insert((*field).to_owned(), value.clone()),
            None => metadata.remove(*field),
        };
    }
    metadata.remove("selfLink");
    drop_empty(metadata);
    Ok(())
}

/// Kubernetes does not show empty collections in metadata.
pub fn drop_empty(metadata: &mut Map<String, Value>) {
    for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
        let empty = match metadata.get(field) {
            Some(Value::Null) => true,
            Some(Value::Object(object)) => object.is_empty(),
            Some(Value::Array(items)) => items.is_empty(),
            _ => false,
        };
        if empty {
            metadata.remove(field);
        }
    }
}

/// What is wrong with the metadata of a new object.
pub fn check_new(kind: &Kind, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = text(object, "name");
    if name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else {
        errors.extend(check_name(kind, name));
    }
    errors.extend(check_both(object));
    errors
}

/// What a patch tries to change of what only the server writes. What it leaves out is kept.
pub fn check_kept(new: &Value, old: &Value) -> Vec<FieldError> {
    ["uid", "deletionTimestamp"]
        .into_iter()
        .filter_map(|field| {
            let given = at(new, &format!("/metadata/{field}"));
            let changed = !given.is_null() && given != "" && given != at(old, &format!("/metadata/{field}"));
            changed.then(|| FieldError::invalid(format!("metadata.{field}"), given, "field is immutable"))
        })
        .collect()
}

/// What is wrong with the metadata of a changed object.
pub fn check_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = check_both(new);
    if is_deleting(old) {
        let before = finalizers(old);
        let added: Vec<&str> = finalizers(new).into_iter().filter(|finalizer| !before.contains(finalizer)).collect();
        if !added.is_empty() {
            let list: Vec<String> = added.iter().map(|name| format!("{name:?}")).collect();
            errors.push(FieldError::forbidden(
                "metadata.finalizers",
                format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    list.join(", ")
                ),
            ));
        }
    }
    errors
}

fn check_name(kind: &Kind, name: &str) -> Option<FieldError> {
    static NAME: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$").ok());
    let (text, most) = match kind.origin {
        Origin::Namespace => (LABEL, 63),
        _ => (SUBDOMAIN, 253),
    };
    let fits = NAME.as_ref().is_some_and(|pattern| pattern.is_match(name));
    let detail = if kind.origin == Origin::Namespace && name.contains('.') {
        "must not contain dots".to_owned()
    } else if !fits {
        text.to_owned()
    } else if name.len() > most {
        format!("must be no more than {most} bytes")
    } else {
        return None;
    };
    Some(FieldError::invalid("metadata.name", &name.into(), detail))
}

fn check_both(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (field, is_label) in [("labels", true), ("annotations", false)] {
        let entries = object.get("metadata").and_then(|metadata| metadata.get(field)).and_then(Value::as_object);
        for (key, value) in entries.into_iter().flatten() {
            if !is_qualified(key) {
                errors.push(FieldError::invalid(
                    format!("metadata.{field}"),
                    &key.as_str().into(),
                    if key.matches('/').count() > 1 { TOO_MANY_PARTS } else { NAME_PART },
                ));
            }
            if is_label && !value.as_str().is_some_and(is_label_value) {
                errors.push(FieldError::invalid(
                    "metadata.labels",
                    value,
                    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
                ));
            }
        }
    }
    errors.extend(check_owners(object));
    for finalizer in finalizers(object).into_iter().filter(|finalizer| !is_qualified(finalizer)) {
        errors.push(FieldError::invalid("metadata.finalizers", &finalizer.into(), NAME_PART));
    }
    errors
}

fn check_owners(object: &Value) -> Vec<FieldError> {
    const OWNERS: &str = "metadata.ownerReferences";
    let list = at(object, "/metadata/ownerReferences");
    let mut errors = Vec::new();
    let mut controller = None;
    for (index, owner) in list.as_array().into_iter().flatten().enumerate() {
        let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
        for field in ["apiVersion", "kind", "name", "uid"] {
            if text(field).is_empty() {
                errors.push(FieldError::required(format!("{OWNERS}[{index}].{field}"), "must not be empty"));
            }
        }
        if text("apiVersion") == "v1" && text("kind") == "Event" {
            errors.push(FieldError::new(
                format!("{OWNERS}[{index}]"),
                Problem::Invalid {
                    value: Some(as_go_orders(owner).to_string()),
                    detail: "/v1, Kind=Event is disallowed from being an owner".to_owned(),
                },
            ));
        }
        if owner.get("controller") == Some(&Value::Bool(true)) {
            let name = format!("{}/{}", text("kind"), text("name"));
            if let Some(first) = &controller {
                let owners: Value = list.as_array().into_iter().flatten().map(as_go_orders).collect();
                errors.push(FieldError::new(
                    OWNERS,
                    Problem::Invalid {
                        value: Some(owners.to_string()),
                        detail: format!(
                            "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                        ),
                    },
                ));
            } else {
                controller = Some(name);
            }
        }
    }
    errors
}

/// An owner reference with its fields in the order in which Go has them.
fn as_go_orders(owner: &Value) -> Value {
    ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"]
        .into_iter()
        .filter_map(|field| Some((field.to_owned(), owner.get(field)?.clone())))
        .collect::<Map<_, _>>()
        .into()
}

/// A name with an optional DNS prefix, as `example.org/name`.
fn is_qualified(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').unwrap_or(("a", key));
    !name.is_empty() && is_label_value(name) && !prefix.is_empty() && prefix.len() <= 253
}

fn is_label_value(value: &str) -> bool {
    value.len() <= 63
        && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && !value.starts_with(['-', '_', '.'])
        && !value.ends_with(['-', '_', '.'])
}
