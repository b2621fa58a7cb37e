//! Small steps on JSON objects, which never panic: what is no object has no fields.

use serde_json::Value;

/// Sets a field.
pub fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(object) = object.as_object_mut() {
        object.insert(field.to_owned(), value.into());
    }
}

/// Sets a field, or removes it if there is no value.
pub fn put(object: &mut Value, field: &str, value: Option<Value>) {
    match value {
        Some(value) => set(object, field, value),
        None => {
            if let Some(object) = object.as_object_mut() {
                object.shift_remove(field);
            }
        }
    }
}

/// The value at a pointer; null if there is none.
pub fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// JSON as Go writes it, which keeps texts harmless within HTML.
pub fn as_go_writes(value: &Value) -> String {
    value
        .to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}
