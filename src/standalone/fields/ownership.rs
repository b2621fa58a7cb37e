//! What a write does to the managers of an object: who gains and loses which fields, and who
//! stands in the way of an application.

use std::collections::BTreeMap;

use serde_json::Value;

use super::collect::fields_of;
use super::compare::Changes;
use super::managers::{Entry, Manager, Managers, Operation};
use super::merge::{merge, without};
use super::set::{FieldPath, Set};
use super::shape::Shape;

/// The versions in which a kind is served. Managers know their fields each in a version of their own.
pub trait Versions {
    /// How the objects of a version merge; `None` if it is not served (any more).
    fn shape(&self, version: &str) -> Option<Shape<'_>>;

    /// An object, in whatever version it is, as this version shows it.
    fn convert(&self, object: &Value, version: &str) -> Value;

    /// What nobody owns who writes this way, because the server sets it anyway.
    fn ignored(&self) -> &Set;
}

/// Fields of the object's metadata, and of its type, are nobody's.
fn nobodys() -> Set {
    Set::of_names(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ])
}

/// A field that belongs to somebody else.
#[derive(Debug, Clone)]
pub struct Conflict {
    pub manager: Manager,
    pub path: FieldPath,
}

/// `manager` has made `new` of `old`, both in its version: it owns what it changed, and nobody owns
/// any more what is gone.
pub fn update(
    versions: &impl Versions,
    old: &Value,
    new: &Value,
    managers: &mut Managers,
    manager: &Manager,
    now: &str,
) {
    let Some(shape) = versions.shape(&manager.version) else {
        return;
    };
    let changes = Changes::between(shape, old, new).except(versions.ignored());
    let won = changes.written().difference_with_all_below(versions.ignored()).difference(&nobodys());
    let mut others = Compared { versions, old, new, known: BTreeMap::from([(manager.version.clone(), changes)]) };
    others.settle(managers, None);
    if !won.is_empty() {
        let previous = managers.take(manager).map(|entry| entry.fields).unwrap_or_default();
        managers.0.push(Entry { manager: manager.clone(), time: Some(now.to_owned()), fields: previous.union(&won) });
    }
    managers.drop_empty();
    managers.merge_ancient();
}

/// The outcome of an application.
#[derive(Debug)]
pub struct Applied {
    /// The object as it would be, in the version that was applied.
    pub object: Value,
    pub managers: Managers,
}

/// `manager` wants `config` to be part of `live`, both in its version, and nothing else of it any more.
///
/// # Errors
/// Others own what it would change, and it does not force it.
pub fn apply(
    versions: &impl Versions,
    live: &Value,
    config: &Value,
    managers: &Managers,
    manager: &Manager,
    force: bool,
    now: &str,
) -> Result<Applied, Vec<Conflict>> {
    let mut managers = managers.clone();
    let shape = versions.shape(&manager.version).unwrap_or(Shape::Deduced);
    let merged = merge(shape, live, config);
    let last = managers.take(manager);
    let fields = fields_of(shape, config).difference_with_all_below(versions.ignored());
    let time = last.as_ref().and_then(|entry| entry.time.clone());
    managers.0.push(Entry { manager: manager.clone(), time, fields });
    let object = match &last {
        Some(last) => prune(versions, &merged, &managers, manager, last),
        None => merged,
    };
    let changes = Changes::between(shape, live, &object).except(versions.ignored());
    let mut others =
        Compared { versions, old: live, new: &object, known: BTreeMap::from([(manager.version.clone(), changes)]) };
    let conflicts = others.conflicts(&managers, manager);
    if !conflicts.is_empty() && !force {
        return Err(conflicts);
    }
    others.settle(&mut managers, Some(manager));
    let changed = *live != object;
    if let Some(own) = managers.0.iter_mut().find(|entry| entry.manager.is(manager)) {
        own.fields = own.fields.difference(&nobodys());
        if changed {
            own.time = Some(now.to_owned());
        }
    }
    managers.drop_empty();
    Ok(Applied { object, managers })
}

/// Takes out of the object what `manager` applied last time, does not apply any more, and nobody
/// else owns.
fn prune(versions: &impl Versions, merged: &Value, managers: &Managers, manager: &Manager, last: &Entry) -> Value {
    let version = &last.manager.version;
    let Some(shape) = versions.shape(version) else {
        return merged.clone();
    };
    if last.fields.is_empty() {
        return merged.clone();
    }
    let whole = versions.convert(merged, version);
    let had = last.fields.with_named_fields(shape);
    let mut pruned = without(shape, &whole, &had).unwrap_or_default();
    // What others own comes back, in the version in which they own it: first in this one.
    let mut owned: BTreeMap<(bool, &str), Set> = BTreeMap::new();
    for entry in &managers.0 {
        let of = entry.manager.version.as_str();
        let set = owned.entry((of != version, of)).or_default();
        *set = std::mem::take(set).union(&entry.fields);
    }
    for ((_, of), owned) in owned {
        let Some(shape) = versions.shape(of) else {
            continue;
        };
        let whole = versions.convert(merged, of);
        let there = fields_of(shape, &versions.convert(&pruned, of)).with_named_fields(shape);
        let stay = there.union(&owned.with_named_fields(shape));
        let gone = fields_of(shape, &whole).with_named_fields(shape).difference(&stay);
        pruned = versions.convert(&without(shape, &whole, &gone).unwrap_or_default(), version);
    }
    // What is nobody's, or an updater's, was not applied last time and stays too.
    let there = fields_of(shape, &pruned).with_named_fields(shape);
    let gone = fields_of(shape, &whole).with_named_fields(shape).difference(&there).intersection(&had);
    let pruned = without(shape, &whole, &gone).unwrap_or_default();
    versions.convert(&pruned, &manager.version)
}

/// Two states of an object, and what differs between them in each version.
struct Compared<'a, V> {
    versions: &'a V,
    old: &'a Value,
    new: &'a Value,
    known: BTreeMap<String, Changes>,
}

impl<V: Versions> Compared<'_, V> {
    /// What differs in a version; `None` if it is not served.
    fn changes(&mut self, version: &str) -> Option<&Changes> {
        if !self.known.contains_key(version) {
            let shape = self.versions.shape(version)?;
            let convert = |object| self.versions.convert(object, version);
            let changes =
                Changes::between(shape, &convert(self.old), &convert(self.new)).except(self.versions.ignored());
            self.known.insert(version.to_owned(), changes);
        }
        self.known.get(version)
    }

    /// What others than `manager` own of what was changed, sorted by managers.
    fn conflicts(&mut self, managers: &Managers, manager: &Manager) -> Vec<Conflict> {
        let mut others: Vec<&Entry> = managers.0.iter().filter(|entry| !entry.manager.is(manager)).collect();
        others.sort_by_cached_key(|entry| entry.manager.sort_key());
        let mut conflicts = Vec::new();
        for entry in others {
            let Some(changes) = self.changes(&entry.manager.version) else {
                continue;
            };
            let taken = entry.fields.intersection(&changes.written());
            let paths = taken.paths().into_iter();
            conflicts.extend(paths.map(|path| Conflict { manager: entry.manager.clone(), path }));
        }
        conflicts
    }

    /// Takes from all but `keeper` what was changed or is gone, and forgets those whose version is
    /// not served any more.
    fn settle(&mut self, managers: &mut Managers, keeper: Option<&Manager>) {
        managers.0.retain_mut(|entry| {
            if keeper.is_some_and(|keeper| keeper.is(&entry.manager)) {
                return true;
            }
            let Some(changes) = self.changes(&entry.manager.version) else {
                return false;
            };
            if *changes != Changes::default() {
                entry.fields = entry.fields.difference(&changes.written()).difference(&changes.removed);
            }
            true
        });
    }
}

/// Everything that is there belongs to whoever came before the first application.
pub fn before_first_apply(
    versions: &impl Versions,
    nothing: &Value,
    live: &Value,
    version: &str,
    subresource: &str,
    now: &str,
) -> Managers {
    let manager = Manager {
        name: "before-first-apply".to_owned(),
        operation: Operation::Update,
        version: version.to_owned(),
        subresource: subresource.to_owned(),
    };
    let mut managers = Managers::default();
    update(versions, nothing, live, &mut managers, &manager, now);
    managers
}
