//! The fields that a configuration gives values to, and whether it fits its schema at all.

use serde_json::{Map, Value};

use super::element::Element;
use super::set::Set;
use super::shape::{Form, Shape};
use crate::standalone::schema::{ListKind, Type};

/// The fields that `value` has.
pub fn fields_of(shape: Shape<'_>, value: &Value) -> Set {
    let mut set = Set::default();
    collect(shape, value, &mut Vec::new(), &mut set);
    set
}

fn collect(shape: Shape<'_>, value: &Value, path: &mut Vec<Element>, set: &mut Set) {
    match (shape.form(value), value) {
        (Form::Fields, Value::Object(fields)) => {
            for (name, value) in fields {
                let (inner, named) = shape.field_or_unknown(name);
                path.push(Element::Field(name.clone()));
                let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                if !named || empty {
                    set.insert(path);
                }
                collect(inner, value, path, set);
                path.pop();
            }
        }
        (Form::Items(kind), Value::Array(items)) => {
            let inner = shape.items();
            let elements: Vec<Option<Element>> =
                items.iter().map(|item| Element::of_item(kind, inner, item).ok()).collect();
            for (item, element) in items.iter().zip(&elements) {
                let Some(element) = element else {
                    continue;
                };
                path.push(element.clone());
                set.insert(path);
                // Of items that cannot be told apart, nobody owns the parts.
                if elements.iter().flatten().filter(|other| *other == element).count() == 1 {
                    collect(inner, item, path, set);
                }
                path.pop();
            }
        }
        _ => set.insert(path),
    }
}

/// What is wrong with a configuration that is to be applied, in Kubernetes' words; `None` if nothing is.
pub fn misfit(shape: Shape<'_>, value: &Value) -> Option<String> {
    let mut errors = Vec::new();
    check(shape, value, "", &mut errors);
    match errors.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("errors:\n  {}", many.join("\n  "))),
    }
}

fn check(shape: Shape<'_>, value: &Value, path: &str, errors: &mut Vec<String>) {
    let mut wrong = |what: String| errors.push(if path.is_empty() { what } else { format!("{path}: {what}") });
    if let Shape::Of { schema, .. } = shape
        && !value.is_null()
        && let Some(kind) = schema.kind
    {
        // A format other than bytes makes a text an untyped scalar.
        let scalar = schema.format.as_deref().is_none_or(|format| format == "byte");
        let expected = match (kind, value) {
            (Type::Object, Value::Object(_))
            | (Type::Array, Value::Array(_))
            | (Type::Integer | Type::Number, Value::Number(_))
            | (Type::Boolean, Value::Bool(_)) => None,
            (Type::String, value) if scalar => (!value.is_string())
                .then(|| format!("expected string, got &value.valueUnstructured{{Value:{}}}", go_syntax(value))),
            (Type::String, value) => (value.is_object() || value.is_array())
                .then(|| format!("expected any scalar, got &{{{}}}", go_plain(value))),
            (Type::Integer | Type::Number, value) => {
                Some(format!("expected numeric (int or float), got {}", go_type(value)))
            }
            (Type::Boolean, value) => Some(format!("expected boolean, got &{{{}}}", go_plain(value))),
            (Type::Object, value) => Some(format!("expected map, got &{{{}}}", go_plain(value))),
            (Type::Array, value) => Some(format!("expected list, got &{{{}}}", go_plain(value))),
        };
        if let Some(what) = expected {
            wrong(what);
            return;
        }
    }
    match value {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort();
            for name in names {
                let below = format!("{path}.{name}");
                let Some((inner, _)) = shape.field(name) else {
                    errors.push(format!("{below}: field not declared in schema"));
                    return;
                };
                if let Some(value) = fields.get(name) {
                    check(inner, value, &below, errors);
                }
            }
        }
        Value::Array(items) => check_items(shape, items, path, errors),
        _ => {}
    }
}

fn check_items(shape: Shape<'_>, items: &[Value], path: &str, errors: &mut Vec<String>) {
    let inner = shape.items();
    let kind = match shape {
        Shape::Of { schema, .. } => &schema.list,
        Shape::Deduced => &ListKind::Atomic,
    };
    let mut seen: Vec<Element> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let element = match kind {
            ListKind::Atomic => Element::Index(i64::try_from(index).unwrap_or(i64::MAX)),
            ListKind::Set | ListKind::Map(_) => match Element::of_item(kind, inner, item) {
                Ok(element) => element,
                Err(what) => {
                    errors.push(format!("{path}: element {index}: {what}"));
                    return;
                }
            },
        };
        if seen.contains(&element) {
            errors.push(format!("{path}: duplicate entries for key {element}"));
        }
        check(inner, item, &format!("{path}{element}"), errors);
        seen.push(element);
    }
}

/// The type of a value as Go names it.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// A value as Go's `%v` prints it.
fn go_plain(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go_plain).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(fields) => {
            let mut fields: Vec<String> =
                fields.iter().map(|(name, value)| format!("{name}:{}", go_plain(value))).collect();
            fields.sort();
            format!("map[{}]", fields.join(" "))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A value as Go's `%#v` prints it.
fn go_syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go_syntax).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Object(fields) => {
            let mut fields: Vec<String> =
                fields.iter().map(|(name, value)| format!("{name:?}:{}", go_syntax(value))).collect();
            fields.sort();
            format!("map[string]interface {{}}{{{}}}", fields.join(", "))
        }
        scalar => scalar.to_string(),
    }
}
