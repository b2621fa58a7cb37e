//! Field management of the kinds that are served: `metadata.managedFields` after each write, and
//! applying.

use std::borrow::Cow;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::fields::{self, Changes, Conflict, Manager, Managers, Operation, Set, Shape, Versions};
use super::json::{as_go_writes, at, put, set};
use super::meta;
use super::plane::{Plane, from_stored, now, to_stored};
use super::registry::{Kind, Origin};
use super::status::ApiError;

/// The manager that also keeps the annotation of client-side apply.
const KUBECTL: &str = "kubectl";

/// What client-side apply remembers its last configuration in.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The most that all annotations of an object may hold, in bytes.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

/// Field management of one kind, for those who write the object or its status.
pub struct Management<'a> {
    plane: &'a Plane,
    kind: &'a Kind,
    is_status: bool,
}

impl Versions for Management<'_> {
    fn shape(&self, version: &str) -> Option<Shape<'_>> {
        self.kind_in(version).map(|kind| Shape::of(&kind.schema))
    }

    fn convert(&self, object: &Value, version: &str) -> Value {
        let from = at(object, "/apiVersion").as_str().unwrap_or_default();
        match (self.kind_in(from), self.kind_in(version)) {
            (Some(from_kind), Some(to)) if from != version => from_stored(to, to_stored(from_kind, object.clone())),
            _ => object.clone(),
        }
    }

    fn ignored(&self) -> &Set {
        static NONE: LazyLock<Set> = LazyLock::new(Set::default);
        static STATUS: LazyLock<Set> = LazyLock::new(|| Set::of_names(&[&["status"]]));
        static ALL_BUT_STATUS: LazyLock<Set> = LazyLock::new(|| Set::of_names(&[&["metadata"], &["spec"]]));
        // A namespace's only field besides is its finalizer, which is the control plane's own.
        static NAMESPACE: LazyLock<Set> = LazyLock::new(|| Set::of_names(&[&["spec"], &["status"]]));
        match (self.is_status, self.kind.origin) {
            (true, _) => &ALL_BUT_STATUS,
            (false, Origin::Namespace) => &NAMESPACE,
            (false, _) if self.kind.status_subresource => &STATUS,
            (false, _) => &NONE,
        }
    }
}

impl<'a> Management<'a> {
    pub fn new(plane: &'a Plane, kind: &'a Kind, is_status: bool) -> Self {
        Self { plane, kind, is_status }
    }

    fn kind_in(&self, version: &str) -> Option<&'a Kind> {
        self.plane.registry.by_kind(version, &self.kind.kind).map(|kind| &**kind)
    }

    fn manager(&self, name: &str, operation: Operation) -> Manager {
        Manager {
            name: if name.is_empty() { "unknown" } else { name }.to_owned(),
            operation,
            version: self.kind.api_version(),
            subresource: self.subresource().to_owned(),
        }
    }

    fn subresource(&self) -> &'static str {
        if self.is_status { "status" } else { "" }
    }

    /// A stored object in the version of the request.
    fn shown<'v>(&self, stored: &'v Value) -> Cow<'v, Value> {
        let shown = if self.kind.api_version() == self.kind.stored_as {
            Cow::Borrowed(stored)
        } else {
            Cow::Owned(from_stored(self.kind, stored.clone()))
        };
        let missing = frame(self.kind.origin).iter().any(|field| shown.get(*field).is_none());
        if missing { Cow::Owned(self.framed(shown.into_owned())) } else { shown }
    }

    fn framed(&self, mut object: Value) -> Value {
        for field in frame(self.kind.origin) {
            if object.get(*field).is_none() {
                set(&mut object, field, json!({}));
            }
        }
        object
    }

    /// The object before there is one.
    fn nothing(&self) -> Value {
        self.framed(json!({ "apiVersion": self.kind.api_version(), "kind": self.kind.kind }))
    }

    /// Notes that `manager` has created the object, as it is to be stored.
    pub fn created(&self, object: &mut Value, manager: &str) {
        let mut managers = Managers::default();
        let manager = self.manager(manager, Operation::Update);
        fields::update(self, &self.nothing(), &self.shown(object), &mut managers, &manager, &now());
        self.write(object, managers);
    }

    /// Notes what `manager` has changed, in an object as it is to be stored. What `next` says of its
    /// managers itself is taken up, if it can be read.
    pub fn changed(&self, old: &Value, next: &mut Value, manager: &str) {
        let live = at(old, "/metadata/managedFields");
        let given = next.pointer_mut("/metadata/managedFields").map(Value::take).unwrap_or_default();
        let says_nothing = given.is_null() || given == *live;
        if says_nothing || self.is_status {
            self.put(next, (!live.is_null()).then(|| live.clone()));
            if next == old {
                return;
            }
        }
        let live = || Managers::decode(live).unwrap_or_default();
        let mut managers = if self.is_status {
            live()
        } else if fields::asks_to_forget(&given, self.kind.is_custom()) {
            Managers::default()
        } else {
            match Managers::decode(&given) {
                Ok(managers) if !managers.0.is_empty() => managers,
                _ => live(),
            }
        };
        // Who manages nothing at all begins with the first application.
        if !managers.0.is_empty() {
            self.put(next, None);
            let manager = self.manager(manager, Operation::Update);
            fields::update(self, &self.shown(old), &self.shown(next), &mut managers, &manager, &now());
        }
        self.write(next, managers);
    }

    /// What becomes of the object when `config` is applied to it: the object in the version of the
    /// request, without its managers, and these.
    ///
    /// # Errors
    /// The configuration does not fit the schema, or others own what it would change.
    pub fn apply(
        &self,
        live: Option<&Value>,
        config: &Value,
        manager: &str,
        force: bool,
    ) -> Result<(Value, Managers), ApiError> {
        let shape = Shape::of(&self.kind.schema);
        if let Some(what) = fields::misfit(shape, config) {
            let text = |field| meta::text(config, field);
            return Err(ApiError::unexplained(format!(
                "failed to create typed patch object ({}/{}; {}): {what}",
                text("namespace"),
                text("name"),
                type_of(config)
            )));
        }
        let listed = live.map_or(&Value::Null, |live| at(live, "/metadata/managedFields"));
        let mut managers = Managers::decode(listed)
            .map_err(|error| ApiError::unexplained(format!("failed to decode managed fields: {error}")))?;
        let mut live = live.map_or_else(|| self.nothing(), |live| self.shown(live).into_owned());
        self.put(&mut live, None);
        let now = now();
        if managers.0.is_empty() {
            let version = self.kind.api_version();
            managers = fields::before_first_apply(self, &self.nothing(), &live, &version, self.subresource(), &now);
        }
        let name = manager;
        let manager = self.manager(name, Operation::Apply);
        let apply = |force| fields::apply(self, &live, config, &managers, &manager, force, &now);
        let applied = match apply(force) {
            Err(conflicts) if name == KUBECTL => {
                let allowed = self.last_applied(&live).unwrap_or_default();
                let left: Vec<Conflict> =
                    conflicts.into_iter().filter(|conflict| !allowed.has(&conflict.path.0)).collect();
                if left.is_empty() { apply(true) } else { Err(left) }
            }
            other => other,
        };
        let mut applied = applied.map_err(|conflicts| ApiError::apply_conflict(&conflicts))?;
        if name == KUBECTL {
            remember(&mut applied.object, config);
        }
        Ok((applied.object, applied.managers))
    }

    /// The fields that client-side apply gave their present values: server-side apply may take them over.
    fn last_applied(&self, live: &Value) -> Option<Set> {
        let text = live.pointer("/metadata/annotations")?.get(LAST_APPLIED)?.as_str()?;
        let last: Value = serde_json::from_str(text).ok()?;
        if at(&last, "/apiVersion").as_str() != Some(&self.kind.api_version()) {
            return None;
        }
        let shape = Shape::of(&self.kind.schema);
        let changes = Changes::between(shape, &last, live);
        let fields = fields::fields_of(shape, &last);
        Some(fields.difference(&changes.written()).difference(&changes.removed))
    }

    /// Notes the managers of an object that was applied. If nothing but times would change, they stay.
    pub fn applied(&self, old: Option<&Value>, next: &mut Value, managers: Managers) {
        self.write(next, managers);
        let Some(old) = old else {
            return;
        };
        let timeless = |object: &Value| {
            let mut list = at(object, "/metadata/managedFields").clone();
            for entry in list.as_array_mut().into_iter().flatten() {
                put(entry, "time", None);
            }
            list
        };
        if timeless(old) != timeless(next) {
            return;
        }
        let written = at(next, "/metadata/managedFields").clone();
        self.put(next, Some(at(old, "/metadata/managedFields").clone()));
        if next != old {
            self.put(next, Some(written));
        }
    }

    fn write(&self, object: &mut Value, managers: Managers) {
        self.put(object, managers.encode());
    }

    fn put(&self, object: &mut Value, list: Option<Value>) {
        if let Some(metadata) = object.get_mut("metadata") {
            put(metadata, "managedFields", list);
        }
    }
}

/// The parts that an object of a built-in kind always has, be they empty.
fn frame(origin: Origin) -> &'static [&'static str] {
    match origin {
        Origin::Namespace => &["spec", "status"],
        Origin::Lease => &["spec"],
        Origin::CoreEvent => &["involvedObject", "source"],
        Origin::Event => &["regarding", "deprecatedSource"],
        Origin::Secret | Origin::ConfigMap | Origin::Definition | Origin::Custom => &[],
    }
}

/// The type that an object says it is, as Go prints it.
pub fn type_of(object: &Value) -> String {
    let text = |pointer| at(object, pointer).as_str().unwrap_or_default();
    let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
    format!("{group}/{version}, Kind={}", text("/kind"))
}

/// Keeps the annotation of client-side apply in step, if there is one: whoever goes back to it finds
/// what was applied last.
fn remember(object: &mut Value, config: &Value) {
    let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) else {
        return;
    };
    if annotations.get(LAST_APPLIED).and_then(Value::as_str).unwrap_or_default().is_empty() {
        return;
    }
    let mut last = config.clone();
    if let Some(annotations) = last.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    last.sort_all_objects();
    let text = format!("{}\n", as_go_writes(&last));
    annotations.insert(LAST_APPLIED.to_owned(), text.into());
    if size(annotations) > ANNOTATIONS_LIMIT {
        annotations.remove(LAST_APPLIED);
    }
}

fn size(annotations: &Map<String, Value>) -> usize {
    annotations.iter().map(|(key, value)| key.len() + value.as_str().unwrap_or_default().len()).sum()
}
