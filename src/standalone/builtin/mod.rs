//! The kinds that every cluster has, as far as operators and kubectl need them here.

pub mod columns;
pub mod definitions;
pub mod events;
pub mod messages;
pub mod namespaces;
pub mod secrets;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event as CoreEvent, Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::schemars::{JsonSchema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::json::set;
use super::registry::{ALL_VERBS, Kind, Origin};
use super::schema::Schema;
use super::status::ApiError;

/// The fields by which core events can be selected.
const CORE_EVENT_FIELDS: &[&str] = &[
    "involvedObject.apiVersion",
    "involvedObject.fieldPath",
    "involvedObject.kind",
    "involvedObject.name",
    "involvedObject.namespace",
    "involvedObject.resourceVersion",
    "involvedObject.uid",
    "reason",
    "reportingComponent",
    "source",
    "type",
];

const EVENT_FIELDS: &[&str] = &[
    "reason",
    "regarding.kind",
    "regarding.name",
    "regarding.namespace",
    "regarding.uid",
    "reportingController",
    "type",
];

/// The built-in kinds.
///
/// # Errors
/// A schema of `k8s_openapi` says something that is not served.
pub fn kinds() -> Result<Vec<Kind>, String> {
    let namespace = Kind {
        namespaced: false,
        status_subresource: true,
        short_names: vec!["ns".to_owned()],
        columns: columns::namespace(),
        selectable: vec!["status.phase".to_owned()],
        ..kind::<Namespace>("", "v1", "Namespace", Origin::Namespace)?
    };
    let secret = Kind {
        columns: columns::secret(),
        selectable: vec!["type".to_owned()],
        ..kind::<Secret>("", "v1", "Secret", Origin::Secret)?
    };
    let config_map = Kind {
        short_names: vec!["cm".to_owned()],
        columns: columns::config_map(),
        ..kind::<ConfigMap>("", "v1", "ConfigMap", Origin::ConfigMap)?
    };
    let event = Kind {
        short_names: vec!["ev".to_owned()],
        columns: columns::event(),
        selectable: owned(EVENT_FIELDS),
        ..kind::<Event>("events.k8s.io", "v1", "Event", Origin::Event)?
    };
    let core_event = Kind {
        short_names: vec!["ev".to_owned()],
        columns: columns::event(),
        selectable: owned(CORE_EVENT_FIELDS),
        // Two views of the same objects.
        shelf: event.shelf.clone(),
        stored_as: event.stored_as.clone(),
        ..kind::<CoreEvent>("", "v1", "Event", Origin::CoreEvent)?
    };
    let lease =
        Kind { columns: columns::lease(), ..kind::<Lease>("coordination.k8s.io", "v1", "Lease", Origin::Lease)? };
    Ok(vec![namespace, secret, config_map, event, core_event, lease, definition()?])
}

fn kind<K: JsonSchema>(group: &str, version: &str, name: &str, origin: Origin) -> Result<Kind, String> {
    let mut published = schema_of::<K>();
    for (pointer, keyword, value) in merge_rules(origin) {
        annotate(&mut published, pointer, keyword, value);
    }
    annotate_metadata(&mut published, "/properties/metadata");
    let singular = name.to_lowercase();
    let plural = format!("{singular}s");
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Ok(Kind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: name.to_owned(),
        list_kind: format!("{name}List"),
        shelf: if group.is_empty() { plural.clone().into() } else { format!("{plural}.{group}").into() },
        plural,
        singular,
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: true,
        stored_as: api_version,
        status_subresource: false,
        origin,
        schema: Schema::compile(&published)?,
        published,
        columns: Vec::new(),
        selectable: Vec::new(),
        verbs: ALL_VERBS,
    })
}

/// The definitions that the control plane was given can be read, as kubectl expects.
fn definition() -> Result<Kind, String> {
    let published = json!({
        "type": "object",
        "description": "CustomResourceDefinition represents a resource that is exposed on the API server.",
        "x-kubernetes-preserve-unknown-fields": true,
    });
    Ok(Kind {
        group: "apiextensions.k8s.io".to_owned(),
        version: "v1".to_owned(),
        kind: "CustomResourceDefinition".to_owned(),
        list_kind: "CustomResourceDefinitionList".to_owned(),
        plural: "customresourcedefinitions".to_owned(),
        singular: "customresourcedefinition".to_owned(),
        short_names: owned(&["crd", "crds"]),
        categories: owned(&["api-extensions"]),
        namespaced: false,
        shelf: "customresourcedefinitions.apiextensions.k8s.io".into(),
        stored_as: "apiextensions.k8s.io/v1".to_owned(),
        status_subresource: false,
        origin: Origin::Definition,
        schema: Schema::compile(&published)?,
        published,
        columns: columns::definition(),
        selectable: Vec::new(),
        verbs: &["get", "list", "watch"],
    })
}

/// The schema of a type of `k8s_openapi`, with nothing left to look up elsewhere.
fn schema_of<K: JsonSchema>() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<K>().to_value();
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("title");
    }
    schema
}

/// The schema of `metadata`.
pub fn object_meta() -> Value {
    let mut schema = schema_of::<ObjectMeta>();
    annotate_metadata(&mut schema, "");
    schema
}

/// How the parts of a built-in kind merge, which the schemas of `k8s_openapi` do not say: the place,
/// the keyword, and its value, from the OpenAPI documents of Kubernetes.
fn merge_rules(origin: Origin) -> Vec<(&'static str, &'static str, Value)> {
    let whole = |pointer| (pointer, "x-kubernetes-map-type", json!("atomic"));
    match origin {
        Origin::CoreEvent => vec![whole("/properties/involvedObject"), whole("/properties/related")],
        Origin::Event => vec![whole("/properties/regarding"), whole("/properties/related")],
        Origin::Namespace => vec![
            ("/properties/status/properties/conditions", "x-kubernetes-list-type", json!("map")),
            ("/properties/status/properties/conditions", "x-kubernetes-list-map-keys", json!(["type"])),
        ],
        Origin::Secret | Origin::ConfigMap | Origin::Lease | Origin::Definition | Origin::Custom => Vec::new(),
    }
}

/// As [`merge_rules`], for the metadata that stand at `pointer`.
fn annotate_metadata(schema: &mut Value, pointer: &str) {
    for (place, keyword, value) in [
        ("finalizers", "x-kubernetes-list-type", json!("set")),
        ("ownerReferences", "x-kubernetes-list-type", json!("map")),
        ("ownerReferences", "x-kubernetes-list-map-keys", json!(["uid"])),
        ("ownerReferences/items", "x-kubernetes-map-type", json!("atomic")),
        ("managedFields", "x-kubernetes-list-type", json!("atomic")),
        ("managedFields/items/properties/fieldsV1", "x-kubernetes-preserve-unknown-fields", json!(true)),
    ] {
        annotate(schema, &format!("{pointer}/properties/{place}"), keyword, value);
    }
}

fn annotate(schema: &mut Value, pointer: &str, keyword: &str, value: Value) {
    if let Some(schema) = schema.pointer_mut(pointer) {
        set(schema, keyword, value);
    }
}

/// What a built-in kind decides when an object is created or changed: values that are derived,
/// and whether the whole can be read as the type it claims to be.
///
/// # Errors
/// It cannot.
pub fn admit(kind: &Kind, object: &mut Value) -> Result<(), ApiError> {
    match kind.origin {
        Origin::Namespace => {
            readable::<Namespace>(kind, object)?;
            namespaces::complete(object);
        }
        Origin::Secret => {
            readable::<Secret>(kind, object)?;
            secrets::complete(object);
        }
        Origin::ConfigMap => readable::<ConfigMap>(kind, object)?,
        Origin::CoreEvent => readable::<CoreEvent>(kind, object)?,
        Origin::Event => readable::<Event>(kind, object)?,
        Origin::Lease => {
            if object.get("spec").is_none_or(Value::is_null) {
                set(object, "spec", json!({}));
            }
            readable::<Lease>(kind, object)?;
        }
        Origin::Definition => {}
        Origin::Custom => {
            let metadata = object.get("metadata").unwrap_or(&Value::Null);
            serde_json::from_value::<ObjectMeta>(metadata.clone()).map_err(|error| unreadable(kind, &error))?;
        }
    }
    Ok(())
}

fn readable<K: DeserializeOwned>(kind: &Kind, object: &Value) -> Result<(), ApiError> {
    serde_json::from_value::<K>(object.clone()).map(drop).map_err(|error| unreadable(kind, &error))
}

fn unreadable(kind: &Kind, error: &serde_json::Error) -> ApiError {
    ApiError::bad_request(format!(
        "{} in version \"{}\" cannot be handled as a {}: {error}",
        kind.kind, kind.version, kind.kind
    ))
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}
