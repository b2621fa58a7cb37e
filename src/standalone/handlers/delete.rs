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
use crate::standalone::meta;
use crate::standalone::plane::{Plane, now};
use crate::standalone::registry::{Kind, Origin};
use crate::standalone::selectors::Selector;
use crate::standalone::status::{ApiError, FieldError};
use crate::standalone::store::{Key, Record, WriteError};

/// How often a deletion without preconditions is tried again when the object changes meanwhile.
const ATTEMPTS: usize = 64;

/// What becomes of what the object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Propagation {
    /// It goes after the object.
    Background,
    /// It goes before the object.
    Foreground,
    /// It stays.
    Orphan,
}

/// The finalizer of an object that waits for what it owns to go.
pub const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an object that waits for what it owns to be let go.
pub const ORPHAN: &str = "orphan";

impl Propagation {
    fn finalizer(self) -> Option<&'static str> {
        match self {
            Self::Background => None,
            Self::Foreground => Some(FOREGROUND),
            Self::Orphan => Some(ORPHAN),
        }
    }
}

/// What the client asks of a deletion.
#[derive(Debug, Default, Clone)]
pub struct Options {
    uid: Option<String>,
    revision: Option<String>,
    dry_run: bool,
    /// Unsaid, the object's finalizers decide.
    propagation: Option<Propagation>,
}

impl Options {
    /// What the object owns goes before it.
    pub fn foreground() -> Self {
        Self { propagation: Some(Propagation::Foreground), ..Self::default() }
    }

    async fn read(query: &Query, request: Request<Body>) -> Result<Self, ApiError> {
        let options = body::options(request).await?;
        let precondition = |field: &str| {
            options
                .get("preconditions")
                .and_then(|preconditions| preconditions.get(field))
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let stages: Vec<&Value> = options.get("dryRun").and_then(Value::as_array).into_iter().flatten().collect();
        let policy = options.get("propagationPolicy").and_then(Value::as_str);
        let policy = policy.unwrap_or_else(|| query.text("propagationPolicy"));
        let orphan = options.get("orphanDependents").and_then(Value::as_bool);
        let mut errors = Vec::new();
        if orphan.is_some() && !policy.is_empty() {
            errors.push(FieldError::invalid(
                "propagationPolicy",
                &policy.into(),
                "orphanDependents and deletionPropagation cannot be both set",
            ));
        }
        let propagation = match (policy, orphan) {
            ("Background", _) | ("", Some(false)) => Some(Propagation::Background),
            ("Foreground", _) => Some(Propagation::Foreground),
            ("Orphan", _) | ("", Some(true)) => Some(Propagation::Orphan),
            ("", None) => None,
            (other, _) => {
                let supported = ["Foreground", "Background", "Orphan", "nil"];
                errors.push(FieldError::not_supported("propagationPolicy", &other.into(), &supported));
                None
            }
        };
        if stages.iter().any(|stage| *stage != "All") {
            let given = options.get("dryRun").unwrap_or(&Value::Null);
            errors.push(FieldError::not_supported("dryRun", given, &["All"]));
        }
        if !errors.is_empty() {
            return Err(ApiError::invalid_options("DeleteOptions", &errors));
        }
        Ok(Self {
            propagation,
            uid: precondition("uid"),
            revision: precondition("resourceVersion"),
            dry_run: !stages.is_empty() || query.dry_run("DeleteOptions")?,
        })
    }

    fn check(&self, kind: &Kind, name: &str, current: &Record) -> Result<(), ApiError> {
        let uid = meta::text(&current.value, "uid");
        if let Some(wanted) = &self.uid
            && wanted != uid
        {
            return Err(ApiError::precondition(kind, name, "UID", wanted, uid));
        }
        if let Some(wanted) = &self.revision
            && *wanted != current.revision.to_string()
        {
            let found = current.revision.to_string();
            return Err(ApiError::precondition(kind, name, "ResourceVersion", wanted, &found));
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
        let mut next = current.value.clone();
        if let Some(propagation) = options.propagation {
            propagate(&mut next, propagation)?;
        }
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

/// Notes what is to become of what the object owns.
fn propagate(object: &mut Value, propagation: Propagation) -> Result<(), ApiError> {
    let kept = meta::finalizers(object).into_iter().filter(|finalizer| !matches!(*finalizer, FOREGROUND | ORPHAN));
    let finalizers: Vec<Value> = kept.chain(propagation.finalizer()).map(Value::from).collect();
    let metadata = meta::of(object)?;
    metadata.insert("finalizers".to_owned(), finalizers.into());
    meta::drop_empty(metadata);
    Ok(())
}

fn mark(kind: &Kind, object: &mut Value) -> Result<(), ApiError> {
    let metadata = meta::of(object)?;
    metadata.insert("deletionTimestamp".to_owned(), now().into());
    if kind.origin != Origin::Namespace {
        metadata.insert("deletionGracePeriodSeconds".to_owned(), 0.into());
    }
    bump_generation(object)?;
    if kind.origin == Origin::Namespace {
        crate::standalone::builtin::namespaces::complete(object);
    }
    Ok(())
}
