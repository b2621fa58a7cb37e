//! What the API server does for Secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::standalone::status::FieldError;

/// `stringData` is write-only: it goes into `data`. The type defaults to `Opaque`.
pub fn complete(secret: &mut Value) {
    let Some(secret) = secret.as_object_mut() else {
        return;
    };
    if let Some(Value::Object(texts)) = secret.remove("stringData") {
        let data = secret.entry("data").or_insert_with(|| Value::Object(Map::new()));
        if data.is_null() {
            *data = Value::Object(Map::new());
        }
        if let Some(data) = data.as_object_mut() {
            for (key, text) in texts {
                let text = text.as_str().unwrap_or_default();
                data.insert(key, STANDARD.encode(text).into());
            }
        }
    }
    let kind = secret.entry("type").or_insert(Value::Null);
    if kind.as_str().unwrap_or_default().is_empty() {
        *kind = "Opaque".into();
    }
}

/// An immutable Secret or ConfigMap keeps its data, and stays immutable; a Secret keeps its type.
pub fn check_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let same = |field: &str| new.get(field) == old.get(field);
    if !same("type") {
        let value = new.get("type").unwrap_or(&Value::Null);
        errors.push(FieldError::invalid("type", value, "field is immutable"));
    }
    if old.get("immutable") == Some(&Value::Bool(true)) {
        if !same("immutable") {
            errors.push(FieldError::forbidden("immutable", "field is immutable when `immutable` is set"));
        }
        for field in ["data", "binaryData"] {
            if !same(field) {
                errors.push(FieldError::forbidden(field, "field is immutable when `immutable` is set"));
            }
        }
    }
    errors
}

/// The keys of Secrets and ConfigMaps are file names.
pub fn check_keys(object: &Value) -> Vec<FieldError> {
    ["data", "binaryData"]
        .into_iter()
        .filter_map(|field| Some((field, object.get(field)?.as_object()?)))
        .flat_map(|(field, data)| data.keys().map(move |key| (field, key)))
        .filter(|(_, key)| !is_file_name(key))
        .map(|(field, key)| {
            let path = format!("{field}[{key}]");
            if matches!(key.as_str(), "." | "..") {
                return FieldError::invalid(path, &Value::from(key.as_str()), format!("must not be '{key}'"));
            }
            FieldError::invalid(
                path,
                &Value::from(key.as_str()),
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
            )
        })
        .collect()
}

fn is_file_name(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= 253
        && key != "."
        && !key.starts_with("..")
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}
