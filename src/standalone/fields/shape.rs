//! How the parts of an object merge, by its schema: as a whole, field by field, or item by item.

use serde_json::Value;

use super::element::Element;
use crate::standalone::schema::{ListKind, Schema, Type};

/// What is known of the values at one place.
#[derive(Debug, Clone, Copy)]
pub enum Shape<'a> {
    /// What the schema says. It is `open` if unknown fields are kept somewhere above it.
    Of { schema: &'a Schema, open: bool },
    /// Nothing: objects merge field by field, and everything else as a whole.
    Deduced,
}

/// How one value merges.
#[derive(Debug, Clone, Copy)]
pub enum Form<'a> {
    /// As a whole.
    Whole,
    /// Field by field.
    Fields,
    /// Item by item.
    Items(&'a ListKind),
}

impl<'a> Shape<'a> {
    pub fn of(schema: &'a Schema) -> Self {
        Self::Of { schema, open: false }
    }

    pub fn form(self, value: &Value) -> Form<'a> {
        match (self, value) {
            (Self::Deduced, Value::Object(_)) => Form::Fields,
            (Self::Of { schema, .. }, Value::Object(_))
                if matches!(schema.kind, None | Some(Type::Object)) && !schema.whole_map =>
            {
                Form::Fields
            }
            (Self::Of { schema, .. }, Value::Array(_)) if matches!(schema.kind, None | Some(Type::Array)) => {
                match &schema.list {
                    ListKind::Atomic => Form::Whole,
                    kind => Form::Items(kind),
                }
            }
            _ => Form::Whole,
        }
    }

    /// The shape of a field, and whether the schema names it; `None` if it is no field of such an object.
    pub fn field(self, name: &str) -> Option<(Self, bool)> {
        let Self::Of { schema, open } = self else {
            return Some((Self::Deduced, false));
        };
        let open = open || schema.preserve_unknown;
        if let Some(schema) = schema.properties.get(name) {
            return Some((Self::Of { schema, open }, true));
        }
        match &schema.additional {
            Some(schema) => Some((Self::Of { schema, open }, false)),
            None if open || schema.properties.is_empty() => Some((Self::Deduced, false)),
            None => None,
        }
    }

    /// As [`Self::field`]; what no such object should have counts as unknown.
    pub fn field_or_unknown(self, name: &str) -> (Self, bool) {
        self.field(name).unwrap_or((Self::Deduced, false))
    }

    /// The shape of the items of a list.
    pub fn items(self) -> Self {
        match self {
            Self::Of { schema: Schema { items: Some(items), preserve_unknown, .. }, open } => {
                Self::Of { schema: items, open: open || *preserve_unknown }
            }
            _ => Self::Deduced,
        }
    }

    /// Whether a step is a field that the schema names, and what is behind it.
    pub fn step(self, element: &Element) -> (bool, Option<Self>) {
        match element {
            Element::Field(name) => match self.field(name) {
                Some((shape, named)) => (named, Some(shape)),
                None => (false, None),
            },
            Element::Key(_) | Element::Value(_) | Element::Index(_) => (false, Some(self.items())),
        }
    }

    /// The default of a field, if there is one.
    pub fn default_of(self, name: &str) -> Option<&'a Value> {
        match self {
            Self::Of { schema, .. } => schema.properties.get(name)?.default.as_ref(),
            Self::Deduced => None,
        }
    }
}
