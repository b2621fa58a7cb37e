//! Create.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{Request, StatusCode};
use serde_json::Value;

use super::body::{self, FieldValidation};
use super::view::View;
use super::{Query, Target, manager};
use crate::standalone::management::Management;
use crate::standalone::plane::{Plane, to_stored};
use crate::standalone::registry::{Kind, Origin};
use crate::standalone::status::{ApiError, FieldError};
use crate::standalone::store::{Key, Record, Write, WriteError};
use crate::standalone::{builtin, meta};

/// How often a name is made up before the client hears that it is taken, and how often a write is
/// repeated because the namespace changed meanwhile.
const ATTEMPTS: usize = 8;

pub async fn create(
    plane: &Plane,
    target: &Target,
    query: &Query,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let kind = &target.kind;
    let view = View::wanted(kind, request.headers(), query)?;
    let dry_run = query.dry_run("CreateOptions")?;
    let validation = FieldValidation::of("CreateOptions", query)?;
    let manager = manager::of("CreateOptions", query, request.headers())?;
    let mut object = body::object(kind, request).await?;
    body::check_type(kind, &object)?;
    let warnings = validation.prune_whole(kind, &mut object)?;
    let mut object = to_stored(kind, object);
    meta::settle_namespace(&mut object, target.namespace.as_deref())?;
    meta::begin(kind, &mut object)?;
    let made_up = meta::generate_name(&mut object)?;
    complete(plane, kind, &mut object)?;
    Management::new(plane, kind, false).created(&mut object, &manager);
    let mut attempt = 1;
    loop {
        match store(plane, target, object.clone(), dry_run).await {
            Ok(record) => {
                let json = view.object(&record);
                return Ok(view.respond(StatusCode::CREATED, json, &warnings));
            }
            Err(error) if made_up && attempt < ATTEMPTS && error.code() == StatusCode::CONFLICT => {
                meta::of(&mut object)?.remove("name");
                meta::generate_name(&mut object)?;
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Derived values, defaults, and the checks of the kind.
pub fn complete(plane: &Plane, kind: &Kind, object: &mut Value) -> Result<(), ApiError> {
    if kind.is_custom()
        && kind.status_subresource
        && let Some(object) = object.as_object_mut()
    {
        object.remove("status");
    }
    builtin::admit(kind_as_stored(plane, kind), object)?;
    let mut errors = meta::check_new(kind, object);
    let more = check_kind(kind, object, None, &errors);
    errors.extend(more);
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(kind, meta::text(object, "name"), &errors)) }
}

/// The kind in whose version `kind`'s objects are stored.
pub fn kind_as_stored<'a>(plane: &'a Plane, kind: &'a Kind) -> &'a Kind {
    plane.registry.stored(&kind.shelf).map_or(kind, |kind| kind)
}

/// Fills in the kind's defaults and checks the object; `old` is what it replaces, and `known` what was
/// found wrong with its metadata.
pub fn check_kind(kind: &Kind, object: &mut Value, old: Option<&Value>, known: &[FieldError]) -> Vec<FieldError> {
    match kind.origin {
        Origin::Custom => {
            kind.schema.fill_defaults(object);
            kind.schema.validate(object, old, known)
        }
        Origin::Secret | Origin::ConfigMap => {
            let mut errors = builtin::secrets::check_keys(object);
            if let Some(old) = old {
                errors.extend(builtin::secrets::check_update(object, old));
            }
            errors
        }
        _ => Vec::new(),
    }
}

pub async fn store(plane: &Plane, target: &Target, object: Value, dry_run: bool) -> Result<Arc<Record>, ApiError> {
    let kind = &target.kind;
    let name = meta::text(&object, "name").to_owned();
    let key = target.key(&name);
    for _ in 0..ATTEMPTS {
        let guard = match &target.namespace {
            Some(namespace) => Some(live_namespace(plane, kind, &name, namespace)?),
            None => None,
        };
        if plane.store.get(&key).is_some() {
            return Err(ApiError::already_exists(kind, &name));
        }
        if dry_run {
            return Record::preview(object).map(Arc::new).map_err(ApiError::internal);
        }
        let write = Write { key: key.clone(), expected: None, guard, value: object.clone(), remove: false };
        match plane.store.write(write).await {
            Err(WriteError::Stale) => {}
            other => return Ok(other?),
        }
    }
    Err(ApiError::unavailable("too many changes at once"))
}

/// Objects are created in namespaces that exist and stay.
fn live_namespace(plane: &Plane, kind: &Kind, name: &str, namespace: &str) -> Result<(Key, u64), ApiError> {
    let Some(record) = plane.namespace(namespace) else {
        let namespaces =
            plane.registry.stored(crate::standalone::plane::NAMESPACES).ok_or_else(ApiError::no_resource)?;
        return Err(ApiError::not_found(namespaces, namespace));
    };
    if builtin::namespaces::is_terminating(&record.value) {
        return Err(ApiError::forbidden(
            kind,
            name,
            &format!("unable to create new content in namespace {namespace} because it is being terminated"),
        ));
    }
    Ok((Plane::namespace_key(namespace), record.revision))
}
