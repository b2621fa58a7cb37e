//! Values against their schemas, with the texts of Kubernetes.
//!
//! As in Kubernetes since 1.30, an update is not refused for what it did not touch: a part that
//! equals the same part of the old object is not checked again.

use serde_json::{Map, Value};

use super::format::{number_fits, string_fits};
use super::{ListKind, Schema, Type};
use crate::standalone::status::{FieldError, Problem, shown};

impl Schema {
    /// What is wrong with `value`; `old` is what stood there before, if anything did, and `known` what was
    /// found wrong already.
    pub fn validate(&self, value: &Value, old: Option<&Value>, known: &[FieldError]) -> Vec<FieldError> {
        let mut errors = Vec::new();
        self.check(value, old, "", &mut errors);
        if errors.iter().chain(known).any(hides_others) {
            errors.push(FieldError::new(
                "<nil>",
                Problem::Invalid {
                    value: Some("null".to_owned()),
                    detail: "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation".to_owned(),
                },
            ));
        } else {
            self.check_rules(value, old, "", &mut errors);
        }
        errors
    }

    fn check(&self, value: &Value, old: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
        if old == Some(value) {
            return;
        }
        let fits = self.check_type(value, path, errors);
        if value.is_null() {
            return;
        }
        self.check_choice(value, path, errors);
        if !fits {
            return;
        }
        match value {
            Value::Object(object) => {
                self.check_object(object, old.and_then(Value::as_object), path, errors);
            }
            Value::Array(items) => self.check_array(items, old, path, errors),
            Value::String(text) => self.check_string(text, path, errors),
            Value::Number(_) => self.check_number(value, path, errors),
            Value::Bool(_) | Value::Null => {}
        }
        self.check_combinations(value, path, errors);
    }

    /// Whether the rest is worth checking.
    fn check_type(&self, value: &Value, path: &str, errors: &mut Vec<FieldError>) -> bool {
        if value.is_null() && (self.nullable || (self.kind.is_none() && !self.int_or_string)) {
            return true;
        }
        let (fits, expected) = if self.int_or_string {
            (is_integer(value) || value.is_string(), "integer,string")
        } else if let Some(kind) = self.kind {
            let fits = match kind {
                Type::Object => value.is_object(),
                Type::Array => value.is_array(),
                Type::String => value.is_string(),
                Type::Integer => is_integer(value),
                Type::Number => value.is_number(),
                Type::Boolean => value.is_boolean(),
            };
            (fits, kind.name())
        } else {
            (true, "")
        };
        if !fits {
            // As Kubernetes: where a format is given, it stands for the type, texts and lists apart.
            let (expected, got) = match &self.format {
                Some(format) if !value.is_string() && !value.is_array() && !value.is_null() => {
                    (format.as_str(), format_name(value))
                }
                _ => (expected, type_name(value)),
            };
            errors.push(wrong_type(path, expected, got));
            self.check_number_format(value, path, errors);
        }
        fits
    }

    fn check_choice(&self, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
        let Some(choices) = &self.choices else {
            return;
        };
        if !choices.contains(value) {
            let supported = choices
                .iter()
                .map(|choice| match choice {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                })
                .collect();
            errors.push(FieldError::new(path, Problem::NotSupported { value: shown(value), supported }));
        }
    }

    fn check_object(
        &self,
        object: &Map<String, Value>,
        old: Option<&Map<String, Value>>,
        path: &str,
        errors: &mut Vec<FieldError>,
    ) {
        for name in &self.required {
            if !object.contains_key(name) {
                errors.push(FieldError::required(child(path, name), ""));
            }
        }
        let count = object.len();
        if let Some(most) = self.properties_range.most
            && count > most
        {
            errors.push(FieldError::new(path, Problem::TooMany { actual: count, most }));
        }
        if let Some(least) = self.properties_range.least
            && count < least
        {
            errors.push(FieldError::invalid(
                path,
                &count.into(),
                format!("{} should have at least {least} properties", in_body(path)),
            ));
        }
        for (name, value) in object {
            // What metadata may be, no kind decides.
            if path.is_empty() && name == "metadata" {
                continue;
            }
            if let Some(schema) = self.property(name) {
                let old = old.and_then(|old| old.get(name));
                schema.check(value, old, &child(path, name), errors);
            }
        }
    }

    fn check_array(&self, items: &[Value], old: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
        if let Some(schema) = &self.items {
            for (index, item) in items.iter().enumerate() {
                let old = self.correlate(old, item, index);
                schema.check(item, old, &format!("{path}[{index}]"), errors);
            }
        }
        let count = items.len();
        if let Some(most) = self.items_range.most
            && count > most
        {
            errors.push(FieldError::new(path, Problem::TooMany { actual: count, most }));
        }
        if let Some(least) = self.items_range.least
            && count < least
        {
            errors.push(FieldError::invalid(
                path,
                &count.into(),
                format!("{} should have at least {least} items", in_body(path)),
            ));
        }
        self.check_duplicates(items, path, errors);
    }

    fn check_duplicates(&self, items: &[Value], path: &str, errors: &mut Vec<FieldError>) {
        let mut seen = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let identity = match &self.list {
                ListKind::Map(keys) => self.identity(item, keys),
                ListKind::Set => item.clone(),
                ListKind::Atomic if self.unique => item.clone(),
                ListKind::Atomic => return,
            };
            if seen.contains(&identity) {
                errors.push(FieldError::new(format!("{path}[{index}]"), Problem::Duplicate(Some(shown(&identity)))));
            } else {
                seen.push(identity);
            }
        }
    }

    /// The keys of an item of a list that is a map, with the defaults of those that are missing.
    fn identity(&self, item: &Value, keys: &[String]) -> Value {
        keys.iter()
            .filter_map(|key| {
                let default = || {
                    let property = self.items.as_deref()?.properties.get(key)?;
                    property.default.as_ref()
                };
                let value = item.get(key).or_else(default)?;
                Some((key.clone(), value.clone()))
            })
            .collect::<Map<_, _>>()
            .into()
    }

    /// The item of the old list that `item` came from: known by its keys if the list is a map;
    /// Kubernetes does not correlate other lists.
    pub(super) fn correlate<'a>(&self, old: Option<&'a Value>, item: &Value, index: usize) -> Option<&'a Value> {
        let old = old?.as_array()?;
        match &self.list {
            ListKind::Map(keys) => {
                let identity = self.identity(item, keys);
                old.iter().find(|old| self.identity(old, keys) == identity)
            }
            // An equal item at the same place is merely an unchanged one.
            ListKind::Set | ListKind::Atomic => old.get(index).filter(|old| *old == item),
        }
    }

    fn check_string(&self, text: &str, path: &str, errors: &mut Vec<FieldError>) {
        let invalid = |detail: String| Some(FieldError::invalid(path, &Value::from(text), detail));
        let length = text.chars().count();
        // As Kubernetes: of length and pattern, the first that does not fit is told.
        errors.extend(match (self.length.most, self.length.least, &self.pattern) {
            (Some(most), _, _) if length > most => Some(FieldError::new(path, Problem::TooLong(most))),
            (_, Some(least), _) if length < least => {
                invalid(format!("{} should be at least {least} chars long", in_body(path)))
            }
            (_, _, Some(pattern)) if !pattern.is_match(text) => {
                invalid(format!("{} should match '{pattern}'", in_body(path)))
            }
            _ => None,
        });
        if let Some(format) = &self.format
            && !string_fits(format, text)
        {
            errors.push(wrong_type(path, format, text));
        }
    }

    fn check_number(&self, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
        let Some(number) = value.as_f64() else {
            return;
        };
        self.check_number_format(value, path, errors);
        let bounds = &self.bounds;
        let mut refuse = |detail: String| {
            errors.push(FieldError::invalid(path, value, format!("{} should be {detail}", in_body(path))));
        };
        if let Some(most) = bounds.most {
            if bounds.below_most && number >= most {
                refuse(format!("less than {most}"));
            } else if number > most {
                refuse(format!("less than or equal to {most}"));
            }
        }
        if let Some(least) = bounds.least {
            if bounds.above_least && number <= least {
                refuse(format!("greater than {least}"));
            } else if number < least {
                refuse(format!("greater than or equal to {least}"));
            }
        }
        if let Some(factor) = bounds.multiple_of
            && (number / factor).fract() != 0.0
        {
            refuse(format!("a multiple of {factor}"));
        }
    }

    fn check_number_format(&self, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
        if let (Some(format), Value::Number(number)) = (&self.format, value)
            && !number_fits(format, number)
        {
            let kind = self.kind.map_or("", Type::name);
            errors.push(whole_error(&format!("Checked value must be of type {kind} with format {format} in {path}")));
        }
    }

    fn check_combinations(&self, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
        let failures = |schema: &Schema| {
            let mut errors = Vec::new();
            schema.check(value, None, path, &mut errors);
            errors
        };
        // Kubernetes adds the errors of the alternative that came closest.
        let closest = |schemas: &[Schema]| {
            let candidates = schemas.iter().map(failures);
            candidates.min_by_key(Vec::len).unwrap_or_default()
        };
        let fits = |schema: &Schema| failures(schema).is_empty();
        if !self.any_of.is_empty() && !self.any_of.iter().any(fits) {
            errors.push(whole_error(&format!("{path:?} must validate at least one schema (anyOf)")));
            errors.extend(closest(&self.any_of));
        }
        if !self.one_of.is_empty() {
            let found = match self.one_of.iter().filter(|schema| fits(schema)).count() {
                1 => None,
                0 => Some("Found none valid".to_owned()),
                n => Some(format!("Found {n} valid alternatives")),
            };
            if let Some(found) = found {
                errors.push(whole_error(&format!("{path:?} must validate one and only one schema (oneOf). {found}")));
                errors.extend(closest(&self.one_of));
            }
        }
        let broken: Vec<FieldError> = self.all_of.iter().flat_map(failures).collect();
        if !broken.is_empty() {
            let none = if self.all_of.iter().any(fits) { "" } else { ". None validated" };
            errors.extend(broken);
            errors.push(whole_error(&format!("{path:?} must validate all the schemas (allOf){none}")));
        }
        if self.not.as_deref().is_some_and(fits) {
            errors.push(whole_error(&format!("{path:?} must not validate the schema (not)")));
        }
    }
}

/// With these, Kubernetes does not evaluate the rules: they could fail for the same reason.
fn hides_others(error: &FieldError) -> bool {
    matches!(
        error.problem,
        Problem::Required(_)
            | Problem::TypeInvalid { .. }
            | Problem::NotSupported { .. }
            | Problem::TooLong(_)
            | Problem::TooMany { .. }
    )
}

fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_integer(value) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

pub(super) fn child(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn in_body(path: &str) -> String {
    format!("{path} in body")
}

fn wrong_type(path: &str, expected: &str, got: &str) -> FieldError {
    FieldError::new(
        path,
        Problem::TypeInvalid {
            value: format!("{got:?}"),
            detail: format!("{} must be of type {expected}: {got:?}", in_body(path)),
        },
    )
}

/// Kubernetes reports some errors without a field.
fn whole_error(detail: &str) -> FieldError {
    FieldError::invalid("<nil>", &Value::from(""), detail)
}

fn format_name(value: &Value) -> &'static str {
    match value {
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        _ => "",
    }
}
