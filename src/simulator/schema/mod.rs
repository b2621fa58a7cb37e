//! Parameter verification: what Proxmox refuses before a call begins, in its own words.

mod formats;
mod properties;
mod tables;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub(crate) use tables::{
    CLONE, CLUSTER_RESOURCES, CONFIG_GET, CONFIG_WRITE, CONTENT_DELETE, CONTENT_LIST, CREATE, DESTROY, LOGIN, MIGRATE,
    NEXT_ID, NONE, PENDING, PERMISSIONS, POOL, POOL_CREATE, POOL_UPDATE, QEMU_LIST, REBOOT, RESIZE, RESUME, SHUTDOWN,
    SNAPSHOT, SNAPSHOT_DELETE, SNAPSHOT_ROLLBACK, START, STATUS_CHANGE, STOP, STORAGE_LIST, SUSPEND, TASK_LIST,
    TASK_LOG, TASK_STATUS, TEMPLATE,
};

/// The parameters of a request as they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(BTreeMap<String, Param>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Param {
    Text(String),
    /// Given more than once, or as a JSON array or object.
    Several,
    /// JSON's null.
    Null,
}

impl Params {
    pub fn get(&self, key: &str) -> Option<&str> {
        match self.0.get(key) {
            Some(Param::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The first parameter that is `null`.
    pub fn null(&self) -> Option<&str> {
        self.0.iter().find(|(_, value)| **value == Param::Null).map(|(key, _)| key.as_str())
    }

    pub fn insert(&mut self, key: String, value: Param) {
        self.0.insert(key, value);
    }

    /// Adds one of a form; a key that comes again makes it several.
    pub fn add(&mut self, key: String, value: String) {
        let value = if self.0.contains_key(&key) { Param::Several } else { Param::Text(value) };
        self.0.insert(key, value);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(key, value)| match value {
            Param::Text(text) => Some((key.as_str(), text.as_str())),
            Param::Several | Param::Null => None,
        })
    }
}

/// A parameter that a call knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Property {
    pub name: &'static str,
    /// For `net0` to `netN` the number of them.
    pub count: u32,
    pub rule: Rule,
    pub optional: bool,
}

/// What a value must look like.
#[derive(Clone, Copy)]
pub(crate) enum Rule {
    Any,
    Boolean,
    Integer(i64, i64),
    Number(f64, f64),
    Enum(&'static [&'static str]),
    /// No longer than that.
    Text(usize),
    /// `Err` is the text after `invalid format - `.
    Format(fn(&str, &Context<'_>) -> Result<(), String>),
    Pattern(fn(&str) -> bool),
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Rule")
    }
}

/// What a format may need to know beside the value.
pub(crate) struct Context<'a> {
    pub key: &'a str,
    pub v9: bool,
}

const UNKNOWN: &str = "property is not defined in schema and the schema does not allow additional properties";

/// Checks all parameters and the VMID of the path; every wrong one gets its text.
pub(crate) fn verify(
    table: &[Property],
    params: Params,
    v9: bool,
    vmid: Option<&str>,
) -> Result<Params, Map<String, Value>> {
    let mut errors = Map::new();
    if let Some(vmid) = vmid
        && let Err(text) = check(formats::VMID, vmid, &Context { key: "vmid", v9 })
    {
        errors.insert("vmid".into(), Value::from(text));
    }
    for (key, value) in &params.0 {
        let result = match (find(table, key), value) {
            (None, _) => Err(UNKNOWN.to_owned()),
            (Some(_), Param::Null) => Ok(()),
            (Some(property), Param::Several) => match property.rule {
                Rule::Boolean => Err("type check ('boolean') failed - got ARRAY".into()),
                Rule::Integer(..) => Err("type check ('integer') failed - got ARRAY".into()),
                Rule::Number(..) => Err("type check ('number') failed - got ARRAY".into()),
                _ => Err("type check ('string') failed - got ARRAY".into()),
            },
            (Some(property), Param::Text(text)) => check(property.rule, text, &Context { key, v9 }),
        };
        if let Err(text) = result {
            errors.insert(key.clone(), Value::from(text));
        }
    }
    for property in table.iter().filter(|property| !property.optional) {
        if !params.0.contains_key(property.name) {
            errors.insert(property.name.into(), Value::from("property is missing and it is not optional"));
        }
    }
    if errors.is_empty() { Ok(params) } else { Err(errors) }
}

/// Whether a table has that key.
pub(crate) fn knows(table: &[Property], key: &str) -> bool {
    find(table, key).is_some()
}

fn find<'a>(table: &'a [Property], key: &str) -> Option<&'a Property> {
    table.iter().find(|property| {
        if property.count == 0 {
            return property.name == key;
        }
        let index = key.strip_prefix(property.name).filter(|index| index.len() == 1 || !index.starts_with('0'));
        index.and_then(|index| index.parse::<u32>().ok()).is_some_and(|index| index < property.count)
    })
}

/// Checks one value.
fn check(rule: Rule, text: &str, context: &Context<'_>) -> Result<(), String> {
    match rule {
        Rule::Any => Ok(()),
        Rule::Boolean if matches!(text, "0" | "1") => Ok(()),
        Rule::Boolean => Err(format!("type check ('boolean') failed - got '{text}'")),
        Rule::Integer(min, max) => {
            let number: i64 = text.parse().map_err(|_| format!("type check ('integer') failed - got '{text}'"))?;
            within(number < min, min, number > max, max)
        }
        Rule::Number(min, max) => {
            let number: f64 = text.parse().map_err(|_| format!("type check ('number') failed - got '{text}'"))?;
            within(number < min, min, number > max, max)
        }
        Rule::Enum(words) if words.contains(&text) => Ok(()),
        Rule::Enum(words) => {
            Err(format!("value '{text}' does not have a value in the enumeration '{}'", words.join(", ")))
        }
        Rule::Text(longest) if text.chars().count() > longest => {
            Err(format!("value may only be {longest} characters long"))
        }
        Rule::Text(_) => Ok(()),
        Rule::Format(format) => match format(text, context) {
            Ok(()) => Ok(()),
            // Types are checked before formats.
            Err(text) if text.starts_with("type check") => Err(text),
            Err(text) => Err(format!("invalid format - {text}\n")),
        },
        Rule::Pattern(fits) if fits(text) => Ok(()),
        Rule::Pattern(_) => Err("value does not match the regex pattern".into()),
    }
}

fn within<T: std::fmt::Display>(below: bool, min: T, above: bool, max: T) -> Result<(), String> {
    if below {
        Err(format!("value must have a minimum value of {min}"))
    } else if above {
        Err(format!("value must have a maximum value of {max}"))
    } else {
        Ok(())
    }
}
