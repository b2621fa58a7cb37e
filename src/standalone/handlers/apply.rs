//! Server-side apply: a patch that says what the client wants, whether the object is there or not.

use axum::response::Response;
use http::StatusCode;
use serde_json::Value;

use super::create;
use super::manager;
use super::update::{self, Change};
use super::view::View;
use super::{Query, Target};
use crate::standalone::json::at;
use crate::standalone::management::{Management, type_of};
use crate::standalone::meta;
use crate::standalone::plane::{Plane, to_stored};
use crate::standalone::status::ApiError;

/// The media type of such a patch.
pub const MEDIA_TYPE: &str = "application/apply-patch+yaml";

/// What a request applies, and how.
struct Application {
    config: Value,
    manager: String,
    force: bool,
    dry_run: bool,
}

pub async fn apply(
    plane: &Plane,
    target: &Target,
    name: &str,
    query: &Query,
    view: &View,
    body: &[u8],
) -> Result<Response, ApiError> {
    let application = Application {
        manager: manager::of_applier(query)?,
        force: query.flag("force"),
        dry_run: query.dry_run("PatchOptions")?,
        config: read(target, body)?,
    };
    let key = target.key(name);
    let _turn = plane.turn(&key).await;
    for _ in 0..update::ATTEMPTS {
        let (code, written) = if plane.store.get(&key).is_some() || target.is_status() {
            (StatusCode::OK, change(plane, target, name, &application).await)
        } else {
            (StatusCode::CREATED, create(plane, target, name, &application).await)
        };
        match written {
            // Somebody else was faster in creating or deleting it.
            Err(error) if code == StatusCode::CREATED && error.is_taken() => {}
            Err(error) if code == StatusCode::OK && error.code() == StatusCode::NOT_FOUND && !target.is_status() => {}
            Err(error) => return Err(error),
            Ok(record) => return Ok(view.respond(code, view.object(&record), &[])),
        }
    }
    Err(ApiError::modified(&target.kind, name))
}

fn read(target: &Target, body: &[u8]) -> Result<Value, ApiError> {
    let config: Value = serde_saphyr::from_slice(body)
        .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
    if !config.is_object() {
        return Err(ApiError::bad_request("error decoding patch: an object is expected"));
    }
    let kind = &target.kind;
    let is = |pointer, wanted: &str| at(&config, pointer).as_str() == Some(wanted);
    if !is("/apiVersion", &kind.api_version()) || !is("/kind", &kind.kind) {
        return Err(ApiError::bad_request(format!("invalid object type: {}", type_of(&config))));
    }
    if !at(&config, "/metadata/managedFields").is_null() {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    Ok(config)
}

type Written = Result<std::sync::Arc<crate::standalone::store::Record>, ApiError>;

async fn change(plane: &Plane, target: &Target, name: &str, application: &Application) -> Written {
    let Application { config, manager, force, dry_run } = application;
    let management = Management::new(plane, &target.kind, target.is_status());
    update::update(plane, target, name, *dry_run, |current| {
        let (object, managers) = management.apply(Some(current), config, manager, *force)?;
        update::check_name(&object, name)?;
        Ok(Change::Applied { object: to_stored(&target.kind, object), managers })
    })
    .await
}

async fn create(plane: &Plane, target: &Target, name: &str, application: &Application) -> Written {
    let Application { config, manager, force, dry_run } = application;
    let kind = &target.kind;
    let management = Management::new(plane, kind, false);
    let (object, managers) = management.apply(None, config, manager, *force)?;
    let uid = meta::text(&object, "uid");
    if !uid.is_empty() {
        return Err(ApiError::conflict(
            kind,
            name,
            &format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found"),
        ));
    }
    update::check_name(&object, name)?;
    let mut object = to_stored(kind, object);
    meta::settle_namespace(&mut object, target.namespace.as_deref())?;
    meta::begin(kind, &mut object)?;
    create::complete(plane, kind, &mut object)?;
    management.applied(None, &mut object, managers);
    create::store(plane, target, object, *dry_run).await
}
