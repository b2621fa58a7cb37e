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
