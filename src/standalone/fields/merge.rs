//! A configuration laid over an object, and fields taken out of one.

use std::collections::VecDeque;

use serde_json::{Map, Value};

use super::element::Element;
use super::set::Set;
use super::shape::{Form, Shape};
use crate::standalone::schema::ListKind;

/// `live` with `config` laid over it: what `config` does not give stays.
pub fn merge(shape: Shape<'_>, live: &Value, config: &Value) -> Value {
    match (shape.form(live), live, config) {
        (Form::Fields, Value::Object(fields), Value::Object(given)) => {
            let mut merged = fields.clone();
            for (name, value) in given {
                let (inner, _) = shape.field_or_unknown(name);
                let value = match fields.get(name) {
                    Some(old) => merge(inner, old, value),
                    None => value.clone(),
                };
                merged.insert(name.clone(), value);
            }
            merged.into()
        }
        (Form::Items(kind), Value::Array(items), Value::Array(given)) => {
            merge_items(shape.items(), kind, items, given).into()
        }
        // Null gives nothing where there are parts.
        (Form::Fields, Value::Object(fields), Value::Null) if !fields.is_empty() => live.clone(),
        (Form::Items(_), Value::Array(items), Value::Null) if !items.is_empty() => live.clone(),
        _ => config.clone(),
    }
}

/// The given items in their order; the others stay where they were relative to those that both have.
fn merge_items(shape: Shape<'_>, kind: &ListKind, live: &[Value], given: &[Value]) -> Vec<Value> {
    let known = |items: &[Value]| -> Vec<Option<Element>> {
        items.iter().map(|item| Element::of_item(kind, shape, item).ok()).collect()
    };
    let (live_elements, given_elements) = (known(live), known(given));
    let mut shared: VecDeque<&Option<Element>> =
        given_elements.iter().filter(|element| live_elements.contains(element)).collect();
    let mut waiting = live.iter().zip(&live_elements).peekable();
    let mut merged = Vec::with_capacity(live.len().max(given.len()));
    for (item, element) in given.iter().zip(&given_elements) {
        while let Some((old, known)) = waiting.peek() {
            if shared.front().is_some_and(|next| next == known) {
                break;
            }
            if !given_elements.contains(known) {
                merged.push((*old).clone());
            }
            waiting.next();
        }
        if waiting.peek().is_some_and(|(_, known)| *known == element) {
            waiting.next();
        }
        if shared.front().is_some_and(|next| *next == element) {
            shared.pop_front();
        }
        let old = live.iter().zip(&live_elements).find(|(_, known)| *known == element);
        merged.push(match old {
            Some((old, _)) => merge(shape, old, item),
            None => item.clone(),
        });
    }
    merged.extend(waiting.filter(|(_, known)| !given_elements.contains(known)).map(|(old, _)| old.clone()));
    merged
}

/// `value` without the fields of the set; `None` if nothing is left of it.
pub fn without(shape: Shape<'_>, value: &Value, fields: &Set) -> Option<Value> {
    match (shape.form(value), value) {
        (Form::Fields, Value::Object(object)) if !object.is_empty() => {
            let mut left = Map::new();
            for (name, value) in object {
                let (member, below) = fields.at(&Element::Field(name.clone()));
                let kept = match below {
                    _ if member => None,
                    Some(below) => without(shape.field_or_unknown(name).0, value, below),
                    None => Some(value.clone()),
                };
                if let Some(value) = kept {
                    left.insert(name.clone(), value);
                }
            }
            (!left.is_empty()).then(|| left.into())
        }
        (Form::Items(kind), Value::Array(items)) if !items.is_empty() => {
            let inner = shape.items();
            let left: Vec<Value> = items
                .iter()
                .filter_map(|item| {
                    let Ok(element) = Element::of_item(kind, inner, item) else {
                        return Some(item.clone());
                    };
                    match fields.at(&element) {
                        (true, _) => None,
                        (false, Some(below)) => without(inner, item, below),
                        (false, None) => Some(item.clone()),
                    }
                })
                .collect();
            (!left.is_empty()).then(|| left.into())
        }
        // What merges as a whole goes as a whole.
        (_, Value::Object(_) | Value::Array(_)) => None,
        _ => Some(value.clone()),
    }
}
