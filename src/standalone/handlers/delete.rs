//! Delete, of one object and of many.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::update::{bump_generation, is_gone, save};
use super::view::View;
use super::{Query, Target, body};
use crate::standalone::json::set;
use crate::standalone::plane::{Plane, now};
use crate::standalone::registry::{Kind, Origin};
use crate::standalone::selectors::Selector;
use crate::standalone::status::ApiError;
use crate::standalone::store::{Key, Record, WriteError};
use crate::standalone::{housekeeping, meta};

/// How often a deletion without preconditions is tried again when the object changes meanwhile.
const ATTEMPTS: usize = 64;

/// What the client asks of a deletion.
#[derive(Debug, Default, Clone)]
pub struct Options {
    uid: Option<String>,
    revision: Option<String>,
    dry_run: bool,
    /// What the object owns stays.
    orphan: bool,
}

impl Options {
    async fn read(query: &Query, request: Request<Body>) -> Result<Self, ApiError> {
        let options = body::options(request).await?;
        let precondition = |field: &str| {
            options
                .get("preconditions")
                .and_then(|preconditions| preconditions.get(field))
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let dry_run = options
            .get("dryRun")
            .and_then(Value::as_array)
            .is_some_and(|stages| stages.iter().any(|stage| stage == "All"));
        let policy = options.get("propagationPolicy").and_then(Value::as_str);
        let policy = policy.unwrap_or_else(|| query.text("propagationPolicy"));
        if !matches!(policy, "" | "Background" | "Foreground" | "Orphan") {
            return Err(ApiError::bad_request(format!(
                "invalid value {policy:?} of propagationPolicy: one of Background, Foreground, Orphan is expected"
            )));
        }
        Ok(Self {
            orphan: policy == "Orphan",
            uid: precondition("uid"),
            revision: precondition("resourceVersion"),
            dry_run: dry_run || query.dry_run()?,
        })
    }

    fn check(&self, kind: &Kind, name: &str, current: &Record) -> Result<(), ApiError> {
        let uid = meta::text(&current.value, "uid");
        if let Some(wanted) = &self.uid
            && wanted != uid
        {
            return Err(ApiError::conflict(
                kind,
                name,
                &format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}"),
            ));
        }
        if let Some(wanted) = &self.revision
            && *wanted != current.revision.to_string()
        {
            return Err(ApiError::conflict(
                kind,
                name,
                &format!(
                    "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: {}",
                    current.revision
                ),
            ));
        }
        Ok(())
    }
}

pub async fn one(
    plane: &Plane,
    target: &Target,
    name: &str,
    query: &Query,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let kind = &target.kind;
    let view = View::wanted(kind, request.headers(), query)?;
    let options = Options::read(query, request).await?;
    let deleted = delete(plane, kind, &target.key(name), &options).await?;
    let json = match deleted {
        Deleted::Going(record) => view.object(&record),
        Deleted::Gone(record) => {
            let mut details = json!({
                "name": name,
                "kind": kind.plural,
                "uid": meta::text(&record.value, "uid"),
            });
            if !kind.group.is_empty() {
                set(&mut details, "group", kind.group.clone());
            }
            let status = json!({
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Success",
                "details": details,
            });
            status.to_string().into()
        }
    };
    Ok(view.respond(StatusCode::OK, json, &[]))
}

pub async fn collection(
    plane: &Plane,
    target: &Target,
    query: &Query,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let kind = &target.kind;
    let view = View::wanted(kind, request.headers(), query)?;
    let selector = Selector::parse(kind, query.text("labelSelector"), query.text("fieldSelector"))?;
    let options = Options::read(query, request).await?;
    let snapshot = plane.store.list(&kind.shelf, target.namespace.as_deref());
    let mut deleted = Vec::new();
    for (name, record) in snapshot.objects {
        if !selector.matches(&record.value) {
            continue;
        }
        let key = Key { shelf: Arc::clone(&kind.shelf), name };
        match delete(plane, kind, &key, &options).await {
            Ok(_) => deleted.push(record),
            Err(error) if error.code() == StatusCode::NOT_FOUND => {}
            Err(error) => return Err(error),
        }
    }
    let metadata = json!({ "resourceVersion": plane.store.revision().to_string() });
    Ok(view.respond(StatusCode::OK, view.list(&deleted, &metadata), &[]))
}

/// What became of an object that was to be deleted.
pub enum Deleted {
    Gone(Arc<Record>),
    /// Its finalizers hold it.
    Going(Arc<Record>),
}

/// Deletes an object, or marks it as going while finalizers hold it.
pub async fn delete(plane: &Plane, kind: &Kind, key: &Key, options: &Options) -> Result<Deleted, ApiError> {
    let name = &key.name.name;
    if kind.origin == Origin::Namespace && matches!(name.as_str(), "default" | "kube-system") {
        return Err(ApiError::forbidden(kind, name, "this namespace may not be deleted"));
    }
    for _ in 0..ATTEMPTS {
        let current = plane.store.get(key).ok_or_else(|| ApiError::not_found(kind, name))?;
        options.check(kind, name, &current)?;
        if options.orphan && !options.dry_run {
            housekeeping::orphan(plane, meta::text(&current.value, "uid")).await?;
        }
        let mut next = current.value.clone();
        if !meta::is_deleting(&next) {
            mark(kind, &mut next)?;
        }
        match save(plane, key, &current, next, options.dry_run).await {
            Ok(record) if is_gone(&record.value) => return Ok(Deleted::Gone(record)),
            Ok(record) => return Ok(Deleted::Going(record)),
            Err(WriteError::Stale) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ApiError::modified(kind, name))
}

fn mark(kind: &Kind, object: &mut Value) -> Result<(), ApiError> {
    let metadata = meta::of(object)?;
    metadata.insert("deletionTimestamp".to_owned(), now().into());
    metadata.insert("deletionGracePeriodSeconds".to_owned(), 0.into());
    bump_generation(object)?;
    if kind.origin == Origin::Namespace {
        crate::standalone::builtin::namespaces::complete(object);
    }
    Ok(())
}
