//! OpenAPI documents: what kubectl reads for `explain`, and before it asks for strict validation.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use serde_json::{Map, Value, json};

use super::builtin;
use super::json::{at, set};
use super::plane::Plane;
use super::registry::Kind;
use super::status::ApiError;

/// The Kubernetes version whose API is served.
const VERSION: &str = "v1.37.0";
const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const METADATA: &str = "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
/// The parts of an object's metadata that have a name of their own: where they stand in it, inner ones first.
const META_PARTS: &[(&str, &str)] = &[
    ("/properties/managedFields/items/properties/fieldsV1", "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1"),
    ("/properties/managedFields/items", "io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry"),
    ("/properties/ownerReferences/items", "io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference"),
];

/// Which documents there are. Their addresses change with their content, so clients may keep them.
pub async fn index(State(plane): State<Arc<Plane>>) -> Json<Value> {
    let mut paths = Map::new();
    for (group, version, kinds) in plane.registry.versions() {
        let path = path_of(group, version);
        let kinds: Vec<&Arc<Kind>> = kinds.collect();
        let mut hasher = DefaultHasher::new();
        describe(&kinds, "schemas").to_string().hash(&mut hasher);
        let address = format!("/openapi/v3/{path}?hash={:016X}", hasher.finish());
        paths.insert(path, json!({ "serverRelativeURL": address }));
    }
    Json(json!({ "paths": paths }))
}

/// The document of one group's version.
pub async fn document(State(plane): State<Arc<Plane>>, Path(path): Path<String>) -> Result<Json<Value>, ApiError> {
    let (group, version) = match path.split('/').collect::<Vec<_>>().as_slice() {
        ["api", version] => ("", *version),
        ["apis", group, version] => (*group, *version),
        _ => return Err(ApiError::no_resource()),
    };
    let kinds = plane.registry.version(group, version).ok_or_else(ApiError::no_resource)?;
    let kinds: Vec<&Arc<Kind>> = kinds.values().collect();
    Ok(Json(json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": VERSION },
        "paths": paths(&kinds),
        "components": { "schemas": describe(&kinds, "components/schemas") },
    })))
}

const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
/// The same as an answer says it: an `@` is no part of a media type, and Go refuses it.
const V2_PROTOBUF_ANSWER: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// An OpenAPI v2 document in protobuf that says its format and a title (fields 1 and 2 of a
/// document, and 1 and 2 of an info): kubectl before 1.29 gives up without one, but then reads version 3.
const V2_TITLE: &[u8] = b"\x0a\x032.0\x12\x15\x0a\x0aKubernetes\x12\x07v1.37.0";

/// The older document: with schemas in JSON, and without them in protobuf.
pub async fn v2(State(plane): State<Arc<Plane>>, headers: HeaderMap) -> Result<Response, ApiError> {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("*/*");
    let accepts = |wanted: &[&str]| {
        accept.split(',').any(|choice| {
            let media = choice.split(';').next().unwrap_or_default().trim();
            wanted.contains(&media)
        })
    };
    if accepts(&[V2_PROTOBUF]) {
        return Ok(([(header::CONTENT_TYPE, V2_PROTOBUF_ANSWER)], V2_TITLE).into_response());
    }
    if !accepts(&["application/json", "application/*", "*/*"]) {
        return Err(ApiError::not_acceptable());
    }
    let kinds: Vec<&Arc<Kind>> = plane.registry.versions().flat_map(|(_, _, kinds)| kinds).collect();
    Ok(Json(json!({
        "swagger": "2.0",
        "info": { "title": "Kubernetes", "version": VERSION },
        "paths": {},
        "definitions": describe(&kinds, "definitions"),
    }))
    .into_response())
}

fn path_of(group: &str, version: &str) -> String {
    match group {
        "" => format!("api/{version}"),
        group => format!("apis/{group}/{version}"),
    }
}

/// A kind's name among the schemas: its group's DNS name backwards, as Kubernetes does.
fn schema_name(kind: &Kind) -> String {
    let group = match kind.group.as_str() {
        "" => "core.api.k8s.io",
        group => group,
    };
    let reversed: Vec<&str> = group.split('.').rev().collect();
    format!("{}.{}.{}", reversed.join("."), kind.version, kind.kind)
}

/// The schemas of the kinds and their lists; `place` is where references point to.
fn describe(kinds: &[&Arc<Kind>], place: &str) -> Value {
    let mut schemas = Map::new();
    let reference = |name: &str| json!({ "$ref": format!("#/{place}/{name}") });
    let mut object_meta = builtin::object_meta();
    for (part, name) in META_PARTS {
        if let Some(schema) = object_meta.pointer_mut(part) {
            let part = std::mem::replace(schema, reference(name));
            schemas.insert((*name).to_owned(), part);
        }
    }
    schemas.insert(OBJECT_META.to_owned(), object_meta);
    for kind in kinds {
        let name = schema_name(kind);
        let identity = |kind_name: &str| json!([{ "group": kind.group, "version": kind.version, "kind": kind_name }]);
        let metadata = if place == "definitions" {
            reference(OBJECT_META)
        } else {
            json!({ "description": METADATA, "allOf": [reference(OBJECT_META)] })
        };
        let mut schema = kind.published.clone();
        set(&mut schema, "type", "object");
        set(&mut schema, "x-kubernetes-group-version-kind", identity(&kind.kind));
        let mut properties = at(&schema, "/properties").clone();
        if !properties.is_object() {
            properties = json!({});
        }
        set(&mut properties, "apiVersion", json!({ "type": "string", "description": API_VERSION }));
        set(&mut properties, "kind", json!({ "type": "string", "description": KIND }));
        set(&mut properties, "metadata", metadata);
        set(&mut schema, "properties", properties);
        schemas.insert(name.clone(), schema);
        let list = json!({
            "description": format!("{} is a list of {}", kind.list_kind, kind.kind),
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": { "type": "string", "description": API_VERSION },
                "kind": { "type": "string", "description": KIND },
                "metadata": { "type": "object" },
                "items": {
                    "type": "array",
                    "description": format!("List of {}", kind.plural),
                    "items": reference(&name),
                },
            },
            "x-kubernetes-group-version-kind": identity(&kind.list_kind),
        });
        schemas.insert(format!("{name}List"), list);
    }
    schemas.into()
}

/// The paths, with the parameters that kubectl looks for before it uses them.
fn paths(kinds: &[&Arc<Kind>]) -> Value {
    let mut paths = Map::new();
    for kind in kinds {
        let root = path_of(&kind.group, &kind.version);
        let collection = if kind.namespaced {
            format!("/{root}/namespaces/{{namespace}}/{}", kind.plural)
        } else {
            format!("/{root}/{}", kind.plural)
        };
        let object = format!("{collection}/{{name}}");
        if kind.namespaced {
            paths.insert(format!("/{root}/{}", kind.plural), json!({ "get": operation(kind, "list", &[]) }));
        }
        paths.insert(
            collection,
            json!({
                "get": operation(kind, "list", &[]),
                "post": operation(kind, "post", WRITE),
                "delete": operation(kind, "deletecollection", &["dryRun"]),
            }),
        );
        let change = json!({
            "get": operation(kind, "get", &[]),
            "put": operation(kind, "put", WRITE),
            "patch": operation(kind, "patch", WRITE),
        });
        if kind.status_subresource {
            paths.insert(format!("{object}/status"), change.clone());
        }
        let mut all = change;
        set(&mut all, "delete", operation(kind, "delete", &["dryRun"]));
        paths.insert(object, all);
    }
    paths.into()
}

const WRITE: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];

fn operation(kind: &Kind, action: &str, parameters: &[&str]) -> Value {
    let parameters: Vec<Value> =
        parameters.iter().map(|name| json!({ "name": name, "in": "query", "schema": { "type": "string" } })).collect();
    let schema = json!({ "$ref": format!("#/components/schemas/{}", schema_name(kind)) });
    json!({
        "parameters": parameters,
        "responses": {
            "200": {
                "description": "OK",
                "content": { "application/json": { "schema": schema } },
            },
        },
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {
            "group": kind.group,
            "version": kind.version,
            "kind": kind.kind,
        },
    })
}
