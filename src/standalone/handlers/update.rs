//! Update and patch, of objects and of their status.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{Request, StatusCode};
use serde_json::Value;

use super::body::{self, FieldValidation};
use super::create::{check_kind, kind_as_stored};
use super::view::View;
use super::{Query, Target, apply, manager};
use crate::standalone::fields::Managers;
use crate::standalone::json;
use crate::standalone::management::Management;
use crate::standalone::patch::Patch;
use crate::standalone::plane::{Plane, from_stored, to_stored};
use crate::standalone::registry::{Kind, Origin};
use crate::standalone::status::{ApiError, FieldError};
use crate::standalone::store::{Key, Record, Write, WriteError};
use crate::standalone::{builtin, meta};

/// How often a change that names no resource version is computed anew.
pub const ATTEMPTS: usize = 64;

/// What an object is to become, as it is stored.
pub enum Change {
    /// What a manager, who is named here, has written.
    Written { object: Value, manager: String },
    /// What has come of applying a configuration.
    Applied { object: Value, managers: Managers },
}

pub async fn put(
    plane: &Plane,
    target: &Target,
    name: &str,
    query: &Query,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let kind = &target.kind;
    let view = View::wanted(kind, request.headers(), query)?;
    let dry_run = query.dry_run("UpdateOptions")?;
    let validation = FieldValidation::of("UpdateOptions", query)?;
    let manager = manager::of("UpdateOptions", query, request.headers())?;
    let mut object = body::object(kind, request).await?;
    body::check_type(kind, &object)?;
    check_name(&object, name)?;
    let warnings = validation.prune_whole(kind, &mut object)?;
    if kind.is_custom() && meta::text(&object, "resourceVersion").is_empty() {
        let error = FieldError::invalid("metadata.resourceVersion", &0.into(), "must be specified for an update");
        return Err(ApiError::invalid_resource(kind, name, &[error]));
    }
    if let Some(current) = plane.store.get(&target.key(name)) {
        let (wanted, found) = (meta::text(&object, "uid"), meta::text(&current.value, "uid"));
        if !wanted.is_empty() && wanted != found {
            return Err(ApiError::precondition(kind, name, "UID", wanted, found));
        }
    }
    let object = to_stored(kind, object);
    let change = |_: &Value| Ok(Change::Written { object: object.clone(), manager: manager.clone() });
    let _turn = plane.turn(&target.key(name)).await;
    let record = update(plane, target, name, dry_run, change).await?;
    Ok(view.respond(StatusCode::OK, view.object(&record), &warnings))
}

pub async fn patch(
    plane: &Plane,
    target: &Target,
    name: &str,
    query: &Query,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let kind = &target.kind;
    let view = View::wanted(kind, request.headers(), query)?;
    let dry_run = query.dry_run("PatchOptions")?;
    let validation = FieldValidation::of("PatchOptions", query)?;
    let media_type = body::media_type(request.headers()).to_owned();
    if media_type == apply::MEDIA_TYPE {
        let body = body::read(request.into_body()).await?;
        return apply::apply(plane, target, name, query, &view, &body).await;
    }
    if !query.text("force").is_empty() {
        let error = FieldError::forbidden("force", "may not be specified for non-apply patch");
        return Err(ApiError::invalid_options("PatchOptions", &[error]));
    }
    let manager = manager::of("PatchOptions", query, request.headers())?;
    let body = body::read(request.into_body()).await?;
    let patch = Patch::parse(kind, &media_type, &body)?;
    let mut warnings = Vec::new();
    let change = |current: &Value| {
        let mut object = from_stored(kind, current.clone());
        patch.apply(&mut object)?;
        body::check_type(kind, &object)?;
        check_name(&object, name)?;
        warnings = validation.prune_patched(kind, &mut object)?;
        Ok(Change::Written { object: to_stored(kind, object), manager: manager.clone() })
    };
    let _turn = plane.turn(&target.key(name)).await;
    let record = update(plane, target, name, dry_run, change).await?;
    Ok(view.respond(StatusCode::OK, view.object(&record), &warnings))
}

/// Refuses an object that is not the one that the address names.
pub fn check_name(object: &Value, name: &str) -> Result<(), ApiError> {
    match meta::text(object, "name") {
        "" => Err(ApiError::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        ))),
        given if given != name => Err(ApiError::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        ))),
        _ => Ok(()),
    }
}

/// Computes what the object is to become, from what it is, until nobody else was faster. The caller
/// has the object's turn.
pub async fn update(
    plane: &Plane,
    target: &Target,
    name: &str,
    dry_run: bool,
    mut change: impl FnMut(&Value) -> Result<Change, ApiError>,
) -> Result<Arc<Record>, ApiError> {
    let kind = &target.kind;
    let key = target.key(name);
    let management = Management::new(plane, kind, target.is_status());
    for _ in 0..ATTEMPTS {
        let current = plane.store.get(&key).ok_or_else(|| ApiError::not_found(kind, name))?;
        let next = match change(&current.value)? {
            Change::Written { object, manager } => {
                let mut next = admit(plane, target, name, object, &current)?;
                management.changed(&current.value, &mut next, &manager);
                next
            }
            Change::Applied { object, managers } => {
                let mut next = admit(plane, target, name, object, &current)?;
                management.applied(Some(&current.value), &mut next, managers);
                next
            }
        };
        match save(plane, &key, &current, next, dry_run).await {
            Err(WriteError::Stale) => {}
            other => return Ok(other?),
        }
    }
    Err(ApiError::modified(kind, name))
}

/// Writes the object, or removes it if nothing holds it any more.
///
/// # Errors
/// It was changed meanwhile, or cannot be written.
pub async fn save(
    plane: &Plane,
    key: &Key,
    current: &Arc<Record>,
    next: Value,
    dry_run: bool,
) -> Result<Arc<Record>, WriteError> {
    let remove = is_gone(&next);
    if !remove && next == current.value {
        return Ok(Arc::clone(current));
    }
    if dry_run {
        return Record::preview(next).map(Arc::new).map_err(|error| WriteError::Disk(error.to_string()));
    }
    plane
        .store
        .write(Write { key: key.clone(), expected: Some(current.revision), guard: None, value: next, remove })
        .await
}

/// Whether an object that is being deleted has nothing left that holds it.
pub fn is_gone(object: &Value) -> bool {
    meta::is_deleting(object) && meta::finalizers(object).is_empty() && !builtin::namespaces::is_held(object)
}

/// The rules of an update.
fn admit(plane: &Plane, target: &Target, name: &str, mut next: Value, current: &Record) -> Result<Value, ApiError> {
    let kind = &target.kind;
    let old = &current.value;
    check_preconditions(kind, name, &next, current)?;
    meta::settle_namespace(&mut next, target.namespace.as_deref())?;
    if kind.status_subresource {
        if target.is_status() {
            // Only the status is taken over.
            let status = next.get_mut("status").map(Value::take);
            next = old.clone();
            json::put(&mut next, "status", status);
        } else {
            json::put(&mut next, "status", old.get("status").cloned());
        }
    }
    if kind.origin == Origin::Namespace {
        // Its finalizer is the control plane's own.
        json::put(&mut next, "spec", old.get("spec").cloned());
    }
    let mut errors = meta::check_kept(&next, old);
    meta::keep_system_fields(&mut next, old)?;
    errors.extend(meta::check_update(&next, old));
    builtin::admit(kind_as_stored(plane, kind), &mut next)?;
    let more = check_kind(kind, &mut next, Some(old), &errors);
    errors.extend(more);
    if target.is_status() {
        errors.iter_mut().for_each(|error| error.seen_from("status"));
    }
    if !errors.is_empty() {
        return Err(ApiError::invalid(kind, name, &errors));
    }
    count_generation(kind, &mut next, old)?;
    Ok(next)
}

fn check_preconditions(kind: &Kind, name: &str, next: &Value, current: &Record) -> Result<(), ApiError> {
    let revision = meta::text(next, "resourceVersion");
    if !revision.is_empty() && revision != current.revision.to_string() {
        return Err(ApiError::modified(kind, name));
    }
    Ok(())
}

/// The generation counts the changes of what is wanted: of everything but the metadata and, where
/// it is a subresource, the status.
fn count_generation(kind: &Kind, next: &mut Value, old: &Value) -> Result<(), ApiError> {
    if !kind.is_custom() {
        return Ok(());
    }
    let is_wanted =
        |(name, _): &(&String, &Value)| *name != "metadata" && !(kind.status_subresource && *name == "status");
    let fields = |object: &Value| object.as_object().into_iter().flatten().filter(is_wanted).count();
    let same =
        next.as_object().into_iter().flatten().filter(is_wanted).all(|(name, value)| old.get(name) == Some(value));
    if !same || fields(next) != fields(old) {
        bump_generation(next)?;
    }
    Ok(())
}

/// One generation more, for a kind that counts them.
pub fn bump_generation(object: &mut Value) -> Result<(), ApiError> {
    let metadata = meta::of(object)?;
    if let Some(generation) = metadata.get("generation").and_then(Value::as_i64) {
        metadata.insert("generation".to_owned(), (generation + 1).into());
    }
    Ok(())
}
