//! Structural schemas: what a kind's objects look like, compiled from its OpenAPI schema.
//!
//! The same schema fills in defaults, drops or reports unknown fields, and checks values.

mod cel;
mod format;
mod prune;
mod validate;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

pub use cel::Rule;

/// What one value may be. A schema that says nothing allows everything of its type.
#[derive(Debug, Default)]
pub struct Schema {
    pub kind: Option<Type>,
    pub int_or_string: bool,
    pub nullable: bool,
    pub format: Option<String>,
    pub default: Option<Value>,
    pub choices: Option<Vec<Value>>,
    pub properties: BTreeMap<String, Schema>,
    /// What every property that is not in `properties` must be.
    pub additional: Option<Box<Schema>>,
    pub preserve_unknown: bool,
    pub embedded_resource: bool,
    pub required: Vec<String>,
    pub properties_range: Range<usize>,
    pub items: Option<Box<Schema>>,
    pub items_range: Range<usize>,
    pub unique: bool,
    pub list: ListKind,
    /// `x-kubernetes-map-type` is atomic: the object is owned, and replaced, as a whole.
    pub whole_map: bool,
    pub length: Range<usize>,
    pub pattern: Option<Regex>,
    pub bounds: Bounds,
    pub all_of: Vec<Schema>,
    pub any_of: Vec<Schema>,
    pub one_of: Vec<Schema>,
    pub not: Option<Box<Schema>>,
    pub rules: Vec<Rule>,
    /// There are rules here or below.
    pub has_rules: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Type {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            other => return Err(format!("unknown type {other}")),
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

#[derive(Debug, Default, Clone, Copy)]
pub struct Range<T> {
    pub least: Option<T>,
    pub most: Option<T>,
}

#[derive(Debug, Default, Clone, Copy)]
pub struct Bounds {
    pub least: Option<f64>,
    pub above_least: bool,
    pub most: Option<f64>,
    pub below_most: bool,
    pub multiple_of: Option<f64>,
}

/// `x-kubernetes-list-type`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum ListKind {
    #[default]
    Atomic,
    Set,
    /// Items are known by the values of these keys.
    Map(Vec<String>),
}

impl Schema {
    /// Compiles a schema as a CRD or an OpenAPI document writes it, with the references resolved.
    ///
    /// # Errors
    /// It says something that is not served, such as a pattern that is no regular expression.
    pub fn compile(json: &Value) -> Result<Self, String> {
        let Some(json) = json.as_object() else {
            // `true`: anything goes.
            return Ok(Self { preserve_unknown: true, ..Self::default() });
        };
        let source = Source(json);
        let kind = json.get("type").and_then(Value::as_str).map(Type::parse).transpose()?;
        let additional = match json.get("additionalProperties") {
            Some(Value::Bool(false)) | None => None,
            Some(schema) => Some(Box::new(Self::compile(schema)?)),
        };
        let pattern = json
            .get("pattern")
            .and_then(Value::as_str)
            .map(|pattern| Regex::new(pattern).map_err(|error| error.to_string()))
            .transpose()?;
        let list = match source.text("x-kubernetes-list-type").as_deref() {
            Some("set") => ListKind::Set,
            Some("map") => ListKind::Map(source.texts("x-kubernetes-list-map-keys")),
            _ => ListKind::Atomic,
        };
        let items = json.get("items").map(Self::compile).transpose()?;
        let properties = source.properties()?;
        let rules = source.rules()?;
        let has_rules = !rules.is_empty()
            || properties.values().any(|schema| schema.has_rules)
            || additional.as_deref().is_some_and(|schema: &Self| schema.has_rules)
            || items.as_ref().is_some_and(|schema| schema.has_rules);
        Ok(Self {
            kind,
            int_or_string: source.flag("x-kubernetes-int-or-string"),
            nullable: source.flag("nullable"),
            format: source.text("format"),
            default: json.get("default").cloned(),
            choices: json.get("enum").and_then(Value::as_array).cloned(),
            properties,
            additional,
            preserve_unknown: source.flag("x-kubernetes-preserve-unknown-fields"),
            embedded_resource: source.flag("x-kubernetes-embedded-resource"),
            required: source.texts("required"),
            properties_range: source.range("minProperties", "maxProperties"),
            items: items.map(Box::new),
            items_range: source.range("minItems", "maxItems"),
            unique: source.flag("uniqueItems"),
            list,
            whole_map: source.text("x-kubernetes-map-type").as_deref() == Some("atomic"),
            length: source.range("minLength", "maxLength"),
            pattern,
            bounds: Bounds {
                least: source.number("minimum"),
                above_least: source.flag("exclusiveMinimum"),
                most: source.number("maximum"),
                below_most: source.flag("exclusiveMaximum"),
                multiple_of: source.number("multipleOf"),
            },
            all_of: source.schemas("allOf")?,
            any_of: source.schemas("anyOf")?,
            one_of: source.schemas("oneOf")?,
            rules,
            has_rules,
            not: json.get("not").map(Self::compile).transpose()?.map(Box::new),
        })
    }

    /// As [`Self::compile`], for the root of a kind: every object has `apiVersion`, `kind` and `metadata`.
    ///
    /// # Errors
    /// As for [`Self::compile`].
    pub fn compile_root(json: &Value, metadata: &Value) -> Result<Self, String> {
        let mut schema = Self::compile(json)?;
        for name in ["apiVersion", "kind"] {
            schema.properties.insert(name.to_owned(), Self { kind: Some(Type::String), ..Self::default() });
        }
        schema.properties.insert("metadata".to_owned(), Self::compile(metadata)?);
        Ok(schema)
    }

    /// The schema of one property, if it is known.
    pub fn property(&self, name: &str) -> Option<&Schema> {
        self.properties.get(name).or(self.additional.as_deref())
    }

    /// Fills in what is missing and has a default. A null where none is allowed counts as missing, and
    /// goes.
    pub fn fill_defaults(&self, value: &mut Value) {
        match value {
            Value::Object(object) => {
                object.retain(|name, value| {
                    !value.is_null()
                        || self.property(name).is_none_or(|schema| schema.nullable || schema.kind.is_none())
                });
                for (name, schema) in &self.properties {
                    let Some(default) = &schema.default else {
                        continue;
                    };
                    let missing = object.get(name).is_none_or(|value| value.is_null() && !schema.nullable);
                    if missing {
                        object.insert(name.clone(), default.clone());
                    }
                }
                for (name, value) in object {
                    if let Some(schema) = self.property(name) {
                        schema.fill_defaults(value);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    for item in items {
                        schema.fill_defaults(item);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The JSON of a schema, read by keyword.
struct Source<'a>(&'a Map<String, Value>);

impl Source<'_> {
    fn flag(&self, keyword: &str) -> bool {
        self.0.get(keyword).and_then(Value::as_bool).unwrap_or_default()
    }

    fn text(&self, keyword: &str) -> Option<String> {
        self.0.get(keyword).and_then(Value::as_str).map(str::to_owned)
    }

    fn texts(&self, keyword: &str) -> Vec<String> {
        self.0
            .get(keyword)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    }

    fn number(&self, keyword: &str) -> Option<f64> {
        self.0.get(keyword).and_then(Value::as_f64)
    }

    fn range(&self, least: &str, most: &str) -> Range<usize> {
        let count = |keyword| self.0.get(keyword).and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok());
        Range { least: count(least), most: count(most) }
    }

    fn schemas(&self, keyword: &str) -> Result<Vec<Schema>, String> {
        self.0.get(keyword).and_then(Value::as_array).into_iter().flatten().map(Schema::compile).collect()
    }

    fn properties(&self) -> Result<BTreeMap<String, Schema>, String> {
        self.0
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, schema)| Ok((name.clone(), Schema::compile(schema)?)))
            .collect()
    }

    fn rules(&self) -> Result<Vec<Rule>, String> {
        self.0
            .get("x-kubernetes-validations")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(Rule::compile)
            .collect()
    }
}
