//! The definitions that the control plane was given, as objects that can be read.

use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use crate::standalone::json::{at, set};
use crate::standalone::meta;
use crate::standalone::plane::{Plane, now};
use crate::standalone::registry::{Kind, Origin};
use crate::standalone::status::ApiError;
use crate::standalone::store::{Key, Name, Write};

/// Brings the stored definitions in line with the given ones.
pub async fn show(plane: &Plane) -> Result<(), ApiError> {
    let Some(kind) = plane.registry.shelves().find(|kind| kind.origin == Origin::Definition) else {
        return Ok(());
    };
    let given = plane.registry.definitions();
    for definition in given {
        write(plane, kind, definition).await?;
    }
    for (name, record) in plane.store.list(&kind.shelf, None).objects {
        if given.iter().any(|definition| definition.metadata.name.as_ref() == Some(&name.name)) {
            continue;
        }
        // What is of that kind stays on the disk, and is served again with its definition.
        let write = Write {
            key: Key { shelf: Arc::clone(&kind.shelf), name },
            expected: Some(record.revision),
            guard: None,
            value: record.value.clone(),
            remove: true,
        };
        plane.store.write(write).await?;
    }
    Ok(())
}

async fn write(plane: &Plane, kind: &Kind, definition: &CustomResourceDefinition) -> Result<(), ApiError> {
    let mut object = serde_json::to_value(definition).map_err(ApiError::internal)?;
    let name = meta::text(&object, "name").to_owned();
    let key = Key { shelf: Arc::clone(&kind.shelf), name: Name::new("", name) };
    let current = plane.store.get(&key);
    let conditions = match &current {
        Some(current) => at(&current.value, "/status/conditions").clone(),
        None => json!([condition("NamesAccepted", "NoConflicts"), condition("Established", "InitialNamesAccepted")]),
    };
    let versions = at(&object, "/spec/versions").as_array().into_iter().flatten();
    let stored: Vec<&Value> = versions
        .filter(|version| at(version, "/storage") == &Value::Bool(true))
        .map(|version| at(version, "/name"))
        .collect();
    let status = json!({
        "acceptedNames": at(&object, "/spec/names"),
        "storedVersions": stored,
        "conditions": conditions,
    });
    set(&mut object, "status", status);
    match &current {
        Some(current) => meta::keep_system_fields(&mut object, &current.value)?,
        None => meta::begin(kind, &mut object)?,
    }
    if current.as_ref().is_some_and(|current| current.value == object) {
        return Ok(());
    }
    let expected = current.map(|current| current.revision);
    plane.store.write(Write { key, expected, guard: None, value: object, remove: false }).await?;
    Ok(())
}

fn condition(kind: &str, reason: &str) -> Value {
    json!({ "type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": now() })
}
