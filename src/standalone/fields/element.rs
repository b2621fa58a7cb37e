//! One step of a path through an object: a field, an item by its keys, or an item by its value.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Value};

use super::shape::Shape;
use crate::standalone::json::as_go_writes;
use crate::standalone::schema::ListKind;

/// A step of a path. The order is the one in which Kubernetes lists fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    Field(String),
    /// An item of a list that is a map, by its keys in the order of their names.
    Key(Vec<(String, Atom)>),
    /// An item of a set.
    Value(Atom),
    /// A place in a list. Nobody owns such a place; it names one in messages.
    Index(i64),
}

/// A value by which an item is known. Numbers come before texts, and texts before truth values.
#[derive(Debug, Clone)]
pub struct Atom(pub Value);

impl Element {
    /// The step as `FieldsV1` writes it, as `f:spec` or `k:{"name":"a"}`.
    pub fn encode(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => {
                let keys: Map<String, Value> =
                    keys.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect();
                format!("k:{}", as_go_writes(&keys.into()))
            }
            Self::Value(value) => format!("v:{}", as_go_writes(&value.0)),
            Self::Index(index) => format!("i:{index}"),
        }
    }

    /// Reads what [`Self::encode`] writes.
    ///
    /// # Returns
    /// `None` for a kind of step that is not known, which Kubernetes passes over.
    ///
    /// # Errors
    /// It is no step at all.
    pub fn decode(text: &str) -> Result<Option<Self>, BadElement> {
        let bad = || BadElement(text.to_owned());
        let (kind, rest) = text.split_once(':').ok_or_else(bad)?;
        let json = || serde_json::from_str::<Value>(rest).map_err(|_| bad());
        Ok(Some(match kind {
            "f" => Self::Field(rest.to_owned()),
            "v" => Self::Value(Atom(json()?)),
            "k" => {
                let Value::Object(keys) = json()? else {
                    return Err(bad());
                };
                Self::key(keys)
            }
            "i" => Self::Index(rest.parse().map_err(|_| bad())?),
            one if one.chars().count() == 1 => return Ok(None),
            _ => return Err(bad()),
        }))
    }

    fn key(keys: impl IntoIterator<Item = (String, Value)>) -> Self {
        let mut keys: Vec<(String, Atom)> = keys.into_iter().map(|(name, value)| (name, Atom(value))).collect();
        keys.sort();
        Self::Key(keys)
    }

    /// How an item of a list is known; `items` is the shape of the list's items.
    ///
    /// # Errors
    /// The item has nothing to be known by; the text is Kubernetes'.
    pub fn of_item(list: &ListKind, items: Shape<'_>, item: &Value) -> Result<Self, String> {
        match (list, item) {
            (ListKind::Map(_), Value::Null) => Err("associative list with keys may not have a null element".to_owned()),
            (ListKind::Map(names), Value::Object(object)) => {
                let keys: Vec<(String, Value)> = names
                    .iter()
                    .filter_map(|name| {
                        let value = object.get(name).or_else(|| items.default_of(name))?;
                        Some((name.clone(), value.clone()))
                    })
                    .collect();
                if keys.is_empty() {
                    return Err(format!(
                        "associative list with keys has an element that omits all key fields {} (and doesn't have default values for any key fields)",
                        quoted(names)
                    ));
                }
                Ok(Self::key(keys))
            }
            (ListKind::Map(_), _) => Err("associative list with keys may not have non-map elements".to_owned()),
            (_, Value::Object(_)) => Err("associative list without keys has an element that's a map type".to_owned()),
            (_, Value::Array(_)) => Err("not supported: associative list with lists as elements".to_owned()),
            (_, Value::Null) => Err("associative list without keys has an element that's an explicit null".to_owned()),
            (_, scalar) => Ok(Self::Value(Atom(scalar.clone()))),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no path element")]
pub struct BadElement(String);

/// The step as messages write it, as `.spec` or `[name="a"]`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                let keys: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={}", value.0)).collect();
                write!(f, "[{}]", keys.join(","))
            }
            Self::Value(value) => write!(f, "[={}]", value.0),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl Atom {
    fn rank(&self) -> u8 {
        match &self.0 {
            Value::Number(_) => 0,
            Value::String(_) => 1,
            Value::Bool(_) => 2,
            Value::Array(_) => 3,
            Value::Object(_) => 4,
            Value::Null => 5,
        }
    }
}

impl Ord for Atom {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Value::String(one), Value::String(other)) => one.cmp(other),
            (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
            (Value::Number(one), Value::Number(other)) => match (one.as_i64(), other.as_i64()) {
                (Some(one), Some(other)) => one.cmp(&other),
                _ => one.as_f64().unwrap_or_default().total_cmp(&other.as_f64().unwrap_or_default()),
            },
            (one, two) => self.rank().cmp(&other.rank()).then_with(|| one.to_string().cmp(&two.to_string())),
        }
    }
}

impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Atom {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Atom {}

/// Texts as Go prints a list of them.
fn quoted(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", texts.join(" "))
}
