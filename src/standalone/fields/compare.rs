//! Which fields differ between two states of an object.

use serde_json::{Map, Value};

use super::element::Element;
use super::set::Set;
use super::shape::{Form, Shape};
use crate::standalone::schema::ListKind;

/// The fields that differ. No field is in two of these sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    pub added: Set,
    pub modified: Set,
    pub removed: Set,
}

impl Changes {
    /// What has to be done to `old` to make it `new`.
    pub fn between(shape: Shape<'_>, old: &Value, new: &Value) -> Self {
        let mut walk = Walk { changes: Self::default(), path: Vec::new() };
        walk.compare(shape, Some(old), Some(new));
        walk.changes
    }

    /// Leaves out these fields with all that is below them.
    #[must_use]
    pub fn except(self, fields: &Set) -> Self {
        Self {
            added: self.added.difference_with_all_below(fields),
            modified: self.modified.difference_with_all_below(fields),
            removed: self.removed.difference_with_all_below(fields),
        }
    }

    /// What was given a value.
    pub fn written(&self) -> Set {
        self.modified.clone().union(&self.added)
    }
}

struct Walk {
    changes: Changes,
    path: Vec<Element>,
}

impl Walk {
    fn compare(&mut self, shape: Shape<'_>, old: Option<&Value>, new: Option<&Value>) {
        if old == new {
            return;
        }
        let old_form = old.map(|value| shape.form(value));
        let new_form = new.map(|value| shape.form(value));
        let has_parts = |value: Option<&Value>, form: Option<Form<'_>>| {
            !matches!(form, None | Some(Form::Whole)) && !value.is_some_and(is_empty)
        };
        if !has_parts(old, old_form) && !has_parts(new, new_form) {
            self.differs(old, new);
            return;
        }
        // Null is the absence of parts, whatever they are; other values of another form are a change.
        let changes_form = match (old, new) {
            (Some(old), Some(new)) => {
                let form = |value: &Value| (value.is_object(), value.is_array());
                !old.is_null() && !new.is_null() && form(old) != form(new)
            }
            _ => true,
        };
        if changes_form {
            self.differs(old, new);
        }
        self.compare_fields(shape, old.and_then(Value::as_object), new.and_then(Value::as_object));
        if let Some(Form::Items(kind)) =
            [old_form, new_form].into_iter().flatten().find(|form| matches!(form, Form::Items(_)))
        {
            self.compare_items(shape, kind, old, new);
        }
    }

    fn differs(&mut self, old: Option<&Value>, new: Option<&Value>) {
        let changes = &mut self.changes;
        let set = match (old, new) {
            (None, _) => &mut changes.added,
            (_, None) => &mut changes.removed,
            _ => &mut changes.modified,
        };
        set.insert(&self.path);
    }

    fn compare_fields(&mut self, shape: Shape<'_>, old: Option<&Map<String, Value>>, new: Option<&Map<String, Value>>) {
        let both =
            old.into_iter().flatten().map(|(name, value)| (name, Some(value), new.and_then(|new| new.get(name))));
        let added = new.into_iter().flatten().filter(|(name, _)| old.is_none_or(|old| !old.contains_key(*name)));
        for (name, old, new) in both.chain(added.map(|(name, value)| (name, None, Some(value)))) {
            if old != new {
                let (inner, _) = shape.field_or_unknown(name);
                self.below(Element::Field(name.clone()), inner, old, new);
            }
        }
    }

    fn below(&mut self, element: Element, shape: Shape<'_>, old: Option<&Value>, new: Option<&Value>) {
        self.path.push(element);
        self.compare(shape, old, new);
        self.path.pop();
    }

    fn compare_items(&mut self, shape: Shape<'_>, kind: &ListKind, old: Option<&Value>, new: Option<&Value>) {
        let items = shape.items();
        let old_items = Items::of(kind, items, old);
        let new_items = Items::of(kind, items, new);
        for (element, olds) in &old_items.0 {
            self.compare_item(element, items, olds, new_items.get(element));
        }
        for (element, news) in &new_items.0 {
            if old_items.get(element).is_empty() {
                self.compare_item(element, items, &[], news);
            }
        }
    }

    /// Items that are known by the same element are compared as one value.
    fn compare_item(&mut self, element: &Element, shape: Shape<'_>, old: &[&Value], new: &[&Value]) {
        let mut mark = |set: fn(&mut Changes) -> &mut Set| {
            self.path.push(element.clone());
            set(&mut self.changes).insert(&self.path);
            self.path.pop();
        };
        let (one_old, one_new) = (old.first().copied(), new.first().copied());
        match (old, new) {
            ([] | [_], [] | [_]) => self.below(element.clone(), shape, one_old, one_new),
            ([_, _, ..], [_, _, ..]) if old == new => {}
            ([_, _, ..], [_, _, ..]) => mark(|changes| &mut changes.modified),
            ([_, _, ..], _) => {
                mark(|changes| &mut changes.removed);
                self.below(element.clone(), shape, None, one_new);
            }
            (_, [_, _, ..]) => {
                mark(|changes| &mut changes.added);
                self.below(element.clone(), shape, one_old, None);
            }
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// The items of a list by their elements, in the order in which they first stand there.
struct Items<'a>(Vec<(Element, Vec<&'a Value>)>);

impl<'a> Items<'a> {
    fn of(kind: &ListKind, shape: Shape<'_>, list: Option<&'a Value>) -> Self {
        let mut all: Vec<(Element, Vec<&'a Value>)> = Vec::new();
        for item in list.and_then(Value::as_array).into_iter().flatten() {
            // What has nothing to be known by is nobody's.
            let Ok(element) = Element::of_item(kind, shape, item) else {
                continue;
            };
            match all.iter_mut().find(|(known, _)| *known == element) {
                Some((_, same)) => same.push(item),
                None => all.push((element, vec![item])),
            }
        }
        Self(all)
    }

    fn get(&self, element: &Element) -> &[&'a Value] {
        self.0.iter().find(|(known, _)| known == element).map(|(_, items)| items.as_slice()).unwrap_or_default()
    }
}
