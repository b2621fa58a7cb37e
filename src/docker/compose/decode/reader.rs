//! Takes values out of a tree, and tells of each that has the wrong form. What nobody takes is unknown, and told too.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::refused;
use super::units;
use crate::docker::compose::interpolate::join;
use crate::docker::compose::model::At;
use crate::docker::compose::problem::{Problem, add};
use crate::docker::compose::scalar;
use crate::docker::compose::tree::{Map, Node, Value};

/// What is wrong, collected.
#[derive(Debug, Default)]
pub struct Complaints(RefCell<Vec<Problem>>);

impl Complaints {
    /// Adds one.
    pub fn add(&self, problem: Problem) {
        add(&mut self.0.borrow_mut(), problem);
    }

    /// All of them.
    pub fn into_inner(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}

/// A value and its path.
#[derive(Clone)]
pub struct Item<'a> {
    pub node: &'a Node,
    pub path: String,
    pub complaints: &'a Complaints,
}

impl<'a> Item<'a> {
    /// Where it is written.
    pub fn at(&self) -> At {
        self.node.at.clone()
    }

    /// Tells that something is wrong with it.
    pub fn complain(&self, message: impl Into<String>, remedy: impl Into<String>) {
        self.complaints.add(Problem::new(&self.node.at, self.path.as_str(), message, remedy));
    }

    fn wrong<T>(&self, expected: &str, remedy: &str) -> Option<T> {
        self.complain(format!("this must be {expected}, not {}", self.node.shown()), remedy);
        None
    }

    /// A text.
    pub fn text(&self) -> Option<String> {
        match &self.node.value {
            Value::Text(text) | Value::Path(text) => Some(text.clone()),
            _ => self.wrong("text", "put it into quotes"),
        }
    }

    /// A text, or a number as it is printed.
    pub fn text_or_number(&self) -> Option<String> {
        match &self.node.value {
            Value::Text(_) | Value::Int(_) | Value::Float(_) => self.node.printed(),
            _ => self.wrong("text or a number", "correct it"),
        }
    }

    /// Anything single, as it is printed.
    pub fn printed(&self) -> Option<String> {
        self.node.printed().or_else(|| self.wrong("a single value", "write one value"))
    }

    /// A boolean; the words of YAML 1.1 are accepted.
    pub fn boolean(&self) -> Option<bool> {
        match &self.node.value {
            Value::Bool(value) => Some(*value),
            Value::Text(text) => match text.to_lowercase().as_str() {
                "true" | "y" | "yes" | "on" => Some(true),
                "false" | "n" | "no" | "off" => Some(false),
                _ => self.wrong("`true` or `false`", "write one of them"),
            },
            _ => self.wrong("`true` or `false`", "write one of them"),
        }
    }

    /// A whole number within bounds.
    pub fn number<T: TryFrom<i128>>(&self) -> Option<T> {
        let value = match &self.node.value {
            Value::Int(value) => Some(*value),
            Value::Text(text) => text.parse().ok(),
            Value::Float(value) => whole(*value),
            _ => None,
        };
        match value.map(T::try_from) {
            Some(Ok(value)) => Some(value),
            Some(Err(_)) => self.wrong("within the bounds of its kind", "use another number"),
            None => self.wrong("a whole number", "write a number"),
        }
    }

    /// Billionths of CPUs.
    pub fn nano_cpus(&self) -> Option<i64> {
        let cpus = match &self.node.value {
            #[expect(clippy::cast_precision_loss, reason = "nobody has so many CPUs")]
            Value::Int(value) => Some(*value as f64),
            Value::Float(value) => Some(*value),
            Value::Text(text) => text.parse().ok(),
            _ => None,
        };
        cpus.and_then(units::nano_cpus).or_else(|| self.wrong("a number of CPUs", "write one as in `0.5`"))
    }

    /// Bytes.
    pub fn bytes(&self) -> Option<i64> {
        let value = match &self.node.value {
            Value::Int(value) => i64::try_from(*value).ok(),
            Value::Float(value) => whole(*value).and_then(|value| i64::try_from(value).ok()),
            Value::Text(text) => units::bytes(text),
            _ => None,
        };
        value.or_else(|| self.wrong("a size", "write one as in `64m`"))
    }

    /// A duration.
    pub fn duration(&self) -> Option<Duration> {
        let text = match &self.node.value {
            Value::Text(text) => units::duration(text),
            _ => None,
        };
        text.or_else(|| self.wrong("a duration", "write one with a unit, as in `1m30s`"))
    }

    /// Permission bits: octal in text, any number otherwise.
    pub fn mode(&self) -> Option<u32> {
        let value = match &self.node.value {
            Value::Int(value) => u32::try_from(*value).ok(),
            Value::Text(text) => {
                scalar::integer(&format!("0{}", text.trim_start_matches('0'))).and_then(|v| u32::try_from(v).ok())
            }
            _ => None,
        };
        let value = value.filter(|mode| *mode <= 0o7777);
        value.or_else(|| self.wrong("permission bits", "write them in octal, as in `0440`"))
    }

    /// One of some words.
    pub fn one_of<T: Copy>(&self, known: &[T], name: fn(T) -> &'static str) -> Option<T> {
        let found = self.node.text().and_then(|text| known.iter().copied().find(|value| name(*value) == text));
        found.or_else(|| {
            let names: Vec<&str> = known.iter().map(|value| name(*value)).collect();
            self.wrong(&format!("one of `{}`", names.join("`, `")), "write one of them")
        })
    }

    /// A text that is read in some way.
    pub fn parsed<T>(&self, expected: &str, remedy: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.node.printed().filter(|_| !matches!(self.node.value, Value::Null | Value::Bool(_)));
        text.and_then(|text| read(&text)).or_else(|| self.wrong(expected, remedy))
    }

    /// The entries of a list.
    pub fn list(&self) -> Vec<Item<'a>> {
        let Some(items) = self.node.list() else {
            self.wrong::<()>("a list", "write `- ` before each entry");
            return Vec::new();
        };
        let item =
            |(index, node)| Item { node, path: join(&self.path, &format!("{index}")), complaints: self.complaints };
        items.iter().enumerate().map(item).collect()
    }

    /// The entries of a mapping, by name.
    pub fn entries(&self) -> Vec<(&'a str, Item<'a>)> {
        let Some(map) = self.node.map() else {
            if self.node.value != Value::Null {
                self.wrong::<()>("a mapping", "write `name: value`");
            }
            return Vec::new();
        };
        let item = |(key, node): (&'a String, &'a Node)| {
            (key.as_str(), Item { node, path: join(&self.path, key), complaints: self.complaints })
        };
        map.iter().map(item).collect()
    }

    /// A mapping of single values, as they are printed.
    pub fn mapping(&self) -> BTreeMap<String, String> {
        self.entries().into_iter().filter_map(|(name, item)| Some((name.to_owned(), item.printed()?))).collect()
    }

    /// The same, or a list of `name=value`.
    pub fn pairs(&self) -> BTreeMap<String, String> {
        if self.node.list().is_none() {
            return self.mapping();
        }
        let pair = |text: String| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (text, String::new()),
        };
        self.list().iter().filter_map(Item::text).map(pair).collect()
    }

    /// Its attributes; nothing at all counts as none.
    pub fn fields(&self) -> Fields<'a> {
        static NOTHING: Map = Map::new();
        let map = match &self.node.value {
            Value::Map(map) => map,
            Value::Null => &NOTHING,
            _ => {
                self.wrong::<()>("a mapping", "write `name: value`");
                &NOTHING
            }
        };
        Fields { item: self.clone(), map, taken: BTreeSet::new() }
    }
}

fn whole(value: f64) -> Option<i128> {
    #[expect(clippy::cast_possible_truncation, reason = "it is checked to fit")]
    (value.fract() == 0.0 && value.abs() < 9e18).then_some(value as i128)
}

/// The attributes of something.
pub struct Fields<'a> {
    pub item: Item<'a>,
    map: &'a Map,
    taken: BTreeSet<&'static str>,
}

impl<'a> Fields<'a> {
    /// An attribute, if it is given.
    pub fn item(&mut self, key: &'static str) -> Option<Item<'a>> {
        self.taken.insert(key);
        let node = self.map.get(key).filter(|node| node.value != Value::Null)?;
        Some(Item { node, path: join(&self.item.path, key), complaints: self.item.complaints })
    }

    /// An attribute that must be given.
    pub fn required(&mut self, key: &'static str) -> Option<Item<'a>> {
        let item = self.item(key);
        if item.is_none() {
            self.item.complain(format!("`{key}` is missing"), format!("give `{key}`"));
        }
        item
    }

    /// A text; an empty one counts as none.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        self.item(key).and_then(|item| item.text()).filter(|text| !text.is_empty())
    }

    /// A boolean that is false if it is not given.
    pub fn flag(&mut self, key: &'static str) -> bool {
        self.item(key).and_then(|item| item.boolean()).unwrap_or_default()
    }

    /// A whole number.
    pub fn number<T: TryFrom<i128>>(&mut self, key: &'static str) -> Option<T> {
        self.item(key).and_then(|item| item.number())
    }

    /// Bytes.
    pub fn bytes(&mut self, key: &'static str) -> Option<i64> {
        self.item(key).and_then(|item| item.bytes())
    }

    /// A duration.
    pub fn duration(&mut self, key: &'static str) -> Option<Duration> {
        self.item(key).and_then(|item| item.duration())
    }

    /// The entries of a list.
    pub fn list(&mut self, key: &'static str) -> Vec<Item<'a>> {
        self.item(key).map(|item| item.list()).unwrap_or_default()
    }

    /// A list of texts.
    pub fn texts(&mut self, key: &'static str) -> Vec<String> {
        self.list(key).iter().filter_map(Item::text).collect()
    }

    /// A list of texts and numbers.
    pub fn texts_or_numbers(&mut self, key: &'static str) -> Vec<String> {
        self.list(key).iter().filter_map(Item::text_or_number).collect()
    }

    /// A mapping of single values, as they are printed.
    pub fn pairs(&mut self, key: &'static str) -> BTreeMap<String, String> {
        self.item(key).map(|item| item.mapping()).unwrap_or_default()
    }

    /// The same, but something without a value stays apart from something empty.
    pub fn optional_pairs(&mut self, key: &'static str) -> BTreeMap<String, Option<String>> {
        let entries = self.item(key).map(|item| item.entries()).unwrap_or_default();
        let value = |item: &Item<'_>| match item.node.value {
            Value::Null => Some(None),
            _ => item.printed().map(Some),
        };
        entries.into_iter().filter_map(|(key, item)| Some((key.to_owned(), value(&item)?))).collect()
    }

    /// Tells of the attributes that nobody took.
    pub fn finish(self) {
        for (key, node) in self.map {
            if self.taken.contains(key.as_str()) || key.starts_with("x-") {
                continue;
            }
            let path = join(&self.item.path, key);
            let (message, remedy) = match refused::reason(&path) {
                Some((reason, remedy)) => (format!("`{key}` is not supported: {reason}"), remedy.to_owned()),
                None => (format!("the attribute `{key}` is unknown"), self.remedy(key)),
            };
            self.item.complaints.add(Problem::new(&node.at, path, message, remedy));
        }
    }

    /// Perhaps it is only misspelt.
    fn remedy(&self, key: &str) -> String {
        let near = |known: &&&str| strsim::damerau_levenshtein(known, key) <= 2 && known.len() > 3;
        match self.taken.iter().find(near) {
            Some(known) => format!("write `{known}` if that is meant, or remove it"),
            None => "remove it, or name it `x-…` if it is a note of your own".to_owned(),
        }
    }
}
